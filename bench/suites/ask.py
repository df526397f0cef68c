"""Asking: ten million sealed records, the questions of every day; a million beside SQLite; and a node that is asked under load

The records of `seal`. Ten million are asked by the verbs of every day and by `ringfence-query`, each a process of its own from start to
end, on all cores; `audit unused` against policies that allow what the agents do, and for each pair what none does. The first million are
asked by both and by SQLite (write-ahead log, `synchronous = NORMAL`, a transaction for every thousand rows; an index on nothing: its rows
are read as ours are), in a process that has its database open. Both have their files in the page cache. The answers of both are compared.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import time

from harness import machine, peers
from harness.rounds import Wrong, run

from .http1 import Ours, load, read_wrk, wrk
from .seal import sealed

MANY, FEW, BATCH = 10_000_000, 1_000_000, 1_000
SECONDS_GOAL = 0.5
ATTEMPT = "kind IN ('connection', 'operation', 'wall')"
QUESTIONS = {
    "busiest pairs": f"SELECT source, destination, sum(count) AS n FROM flows WHERE {ATTEMPT} "
    "GROUP BY source, destination ORDER BY n DESC, source, destination LIMIT 20",
    "denied, and why": "SELECT source, destination, reason, sum(count) AS n FROM flows WHERE outcome = 'deny' "
    "GROUP BY source, destination, reason ORDER BY n DESC, source, destination, reason LIMIT 20",
    "bytes by service": "SELECT destination, sum(bytesSent) AS sent, sum(bytesReceived) AS received FROM flows "
    "WHERE kind = 'close' GROUP BY destination ORDER BY sent DESC, destination",
    "last 1,000 records": "SELECT max(seq) AS last, count(*) AS n FROM flows WHERE seq >= {late}",
}

# What the services of `traffic.rs` are asked for, by their number, and what nobody asks.
OPERATIONS = [
    ["GET /customers/*", "PATCH /customers/*/notes", "GET /customers/*/orders", "GET /search"],
    ["POST /v1/chat/completions", "POST /v1/embeddings", "GET /v1/models"],
    ["GET /orders/*", "POST /orders", "GET /orders/*/lines", "DELETE /orders/*"],
    ["POST /tickets", "GET /tickets/*", "PUT /tickets/*/state"],
    ["GET /articles/*", "GET /health", "POST /events"],
]
NEVER = "GET /never/*"


def permissions(bench):
    """A directory with the policies of fifty agents, each of which may ask all of twenty services."""

    def document(kind, name, spec):
        head = {"apiVersion": "ringfence.dev/v1alpha1", "kind": kind, "metadata": {"name": name}}
        return json.dumps({**head, "spec": {"owner": "bench", **spec}})

    services = [f"service-{number:02}" for number in range(20)]
    documents = [
        document("Service", name, {"protocol": "http", "port": 8000 + number}) for number, name in enumerate(services)
    ]
    entries = [
        {"service": name, "operations": [*OPERATIONS[number % len(OPERATIONS)], NEVER]}
        for number, name in enumerate(services)
    ]
    for number in range(50):
        name = f"agent-{number:02}"
        attest = {"uid": 2000 + number, "exe": "/bin/true"}
        documents.append(document("Agent", name, {"purpose": "is measured", "attest": attest}))
        policy = {"agent": name, "mode": "enforce", "reviewBy": "2099-01-01", "initiate": entries}
        documents.append(document("Policy", name, policy))
    directory = bench.folder("ask", "permissions")
    with open(os.path.join(directory, "estate.yaml"), "w", encoding="utf-8") as out:
        out.write("\n---\n".join(documents) + "\n")
    return directory


def asked(command):
    """What a program answers, and in how many seconds."""
    start = time.perf_counter()
    printed, _ = run(command, core=machine.ANYWHERE, timeout=300)
    return [json.loads(line) for line in printed.splitlines()], time.perf_counter() - start


def of_ours(bench, log, question):
    program = os.path.join(os.path.dirname(bench.args.binary), "ringfence-query")
    return asked([program, "--log", log, "-o", "json", question])


def of_sqlite(database, question):
    start = time.perf_counter()
    cursor = database.execute(question)
    names = [column[0] for column in cursor.description]
    rows = [{name: value for name, value in zip(names, row) if value is not None} for row in cursor]
    return rows, time.perf_counter() - start


def filled(bench):
    """An SQLite database with the first records, and how many a second went in."""
    program = os.path.join(os.path.dirname(bench.args.probe), "ringfence-bench-log")
    lines = os.path.join(bench.folder("ask"), "records.jsonl")
    with open(lines, "wb") as out:
        subprocess.run([program, "--records", str(FEW), "--json", "--to", "unused"], stdout=out, check=True)
    with open(lines, encoding="utf-8") as records:
        records = [json.loads(line) for line in records]
    os.remove(lines)
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = [tuple(map(record.get, names)) for record in records]
    database = sqlite3.connect(os.path.join(bench.folder("ask"), "flows.db"), isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    columns = ", ".join(f'"{name}"' for name in names)
    database.execute(f"CREATE TABLE flows ({columns})")
    insert = f"INSERT INTO flows VALUES ({', '.join('?' * len(names))})"
    start = time.perf_counter()
    for at in range(0, FEW, BATCH):
        database.execute("BEGIN")
        database.executemany(insert, rows[at : at + BATCH])
        database.execute("COMMIT")
    return database, FEW / (time.perf_counter() - start)


class Asked(Ours):
    """A node on whose core somebody asks one question after the other."""

    name = "asked meanwhile"

    def __init__(self, bench, log):
        super().__init__(bench, "asked")
        self.bench, self.log = bench, log

    def client(self, command):
        question = QUESTIONS["busiest pairs"]
        program = os.path.join(os.path.dirname(self.bench.args.binary), "ringfence-query")
        ever = 'while "$0" --log "$1" -o json "$2" >/dev/null; do echo; done'
        asking = self.bench.start("asking", ["sh", "-c", ever, program, self.log, question], "\n", core=machine.MEASURED)
        try:
            return super().client(command)
        finally:
            self.bench.stop(asking)


def under_load(bench, log):
    peers.nginx(bench)
    contenders = [Asked(bench, log), Ours(bench, "unasked")]
    contenders[1].name = "nobody asks"
    for contender in contenders:
        load(contender, wrk(1, 8), read_wrk, 8)
    found = bench.turns({each.name: lambda each=each: load(each, wrk(bench.args.seconds, 64), read_wrk, 64) for each in contenders})
    bench.figure("64 connections on a core where SQL runs: requests", "1/s", found["rate"], ours="asked meanwhile", better="more",
                 goals={"nobody asks": 0.95})
    bench.figure("64 connections on a core where SQL runs: p99", "µs", found["p99"], ours="asked meanwhile")


def measure(bench):
    count = min(bench.args.rounds, 3)
    few, many = bench.folder("ask", "few"), bench.folder("ask", "many")
    told = sealed(bench, FEW, os.path.join(few, "log", "sealed"))
    sealed(bench, MANY, os.path.join(many, "log", "sealed"))
    database, ingested = filled(bench)
    rates = {"ringfence": [told["records"] / told["seal_seconds"]], "SQLite": [ingested]}
    bench.figure("a million records taken in: sealed; inserted", "records/s", rates, better="more")
    for name, question in QUESTIONS.items():
        found = {"ringfence": [], "SQLite": []}
        for _ in range(count):
            ours, seconds = of_ours(bench, os.path.join(few, "log"), question.format(late=FEW - 1000))
            theirs, other = of_sqlite(database, question.format(late=FEW - 1000))
            if ours != theirs:
                raise Wrong(f"{name}: {ours[:2]} is not {theirs[:2]}")
            found["ringfence"].append(seconds * 1e3)
            found["SQLite"].append(other * 1e3)
        bench.figure(f"a million records: {name}", "ms", found)
    for name, question in QUESTIONS.items():
        seconds = [of_ours(bench, os.path.join(many, "log"), question.format(late=MANY - 1000))[1] for _ in range(count)]
        bench.figure(f"ten million records: {name}", "ms", {"ringfence": [each * 1e3 for each in seconds]},
                     goals={None: SECONDS_GOAL * 1e3})
    for verb in (["top"], ["services"], ["agents"], ["unused", "--config", permissions(bench)]):
        command = [bench.args.binary, "audit", *verb, "--state", many, "-o", "json"]
        seconds = [asked(command)[1] for _ in range(count)]
        bench.figure(f"ten million records: audit {verb[0]}", "ms", {"ringfence": [each * 1e3 for each in seconds]},
                     goals={None: SECONDS_GOAL * 1e3})
    shutil.rmtree(many)
    under_load(bench, os.path.join(few, "log"))
