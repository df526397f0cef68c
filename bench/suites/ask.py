"""Asking: ten million sealed records, the questions of every day; and a million beside SQLite

The records of `seal`. The first ten million are asked by `ringfence audit top` and by `ringfence-query`, each a process of its own
from start to end, on all cores. The first million are asked by both and by SQLite (an index on nothing: its rows are
read as ours are), which has its file in memory as we have ours. The answers of both are compared.
"""

import json
import os
import sqlite3
import subprocess
import time

from harness import machine
from harness.rounds import Wrong, run

from .seal import sealed

MANY, FEW = 10_000_000, 1_000_000
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
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = [tuple(map(record.get, names)) for record in records]
    database = sqlite3.connect(":memory:")
    columns = ", ".join(f'"{name}"' for name in names)
    database.execute(f"CREATE TABLE flows ({columns})")
    start = time.perf_counter()
    with database:
        database.executemany(f"INSERT INTO flows VALUES ({', '.join('?' * len(names))})", rows)
    return database, FEW / (time.perf_counter() - start)


def measure(bench):
    count = min(bench.args.rounds, 3)
    few, many = bench.folder("ask", "few"), bench.folder("ask", "many")
    told = sealed(bench, FEW, os.path.join(few, "log", "sealed"))
    sealed(bench, MANY, os.path.join(many, "log", "sealed"))
    database, ingested = filled(bench)
    rates = {"ringfence": [told["records"] / told["seal_seconds"]], "SQLite": [ingested]}
    bench.figure("records taken in, SQLite in memory by Python", "records/s", rates, better="more")
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
    top = [bench.args.binary, "audit", "top", "--state", many, "-o", "json"]
    seconds = [asked(top)[1] for _ in range(count)]
    bench.figure("ten million records: audit top", "ms", {"ringfence": [each * 1e3 for each in seconds]},
                 goals={None: SECONDS_GOAL * 1e3})
