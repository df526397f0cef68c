"""The flow log: records appended, signed, verified and proven on one core, beside SQLite taking the same number of records

Two million records of requests (`bench/src/append.rs`), one writer, with the tree growing and being signed at the same time, all on
one core; the same without the tree. Once where files are memory (`/run`), once on the disk, where what it costs to make a file for every
256 records depends on the file system and on what was removed there lately. Every record is counted again in the end, and the whole log verified: one that is missing ends
the run. SQLite: as many rows of the same columns, write-ahead log, `synchronous = NORMAL`, a transaction for every thousand, from
Python tuples that were made beforehand, on the same core, in the same directory.
"""

import json
import os
import shutil
import subprocess
import sys
import time

from harness import insert, machine
from harness.rounds import Wrong, run

RECORDS = 2_000_000
PER_SECOND_GOAL = 500_000
MEDIAN_GOAL, LATE_GOAL = 300, 2_000
PROVEN = 1_234_567


# Of this run alone: `harness/machine.py` puts memory there.
MEMORY = "/run/ringfence-bench"


def appended(bench, directory, *more):
    os.makedirs(directory, exist_ok=True)
    printed, _ = run(
        [bench.args.probe, "append", "--directory", directory, "--records", str(RECORDS), *more],
        core=machine.MEASURED, timeout=300,
    )
    return json.loads(printed)


def sqlite(directory):
    path = os.path.join(directory, "sqlite", "flows.db")
    os.makedirs(os.path.dirname(path))
    command = [sys.executable, "-B", insert.__file__, path]
    printed, _ = run(command, core=machine.MEASURED, timeout=300)
    shutil.rmtree(os.path.dirname(path))
    return json.loads(printed)


def proven(bench, state):
    """One record proven and the proof checked: how long each takes, how large it is."""
    start = time.perf_counter()
    made = subprocess.run(
        machine.pinned(machine.MEASURED, [bench.args.binary, "audit", "proof", "--state", state, str(PROVEN)]),
        capture_output=True, check=False,
    )
    took = time.perf_counter() - start
    if made.returncode != 0:
        raise Wrong(f"no proof: {made.stderr.decode()}")
    return {"ms": took * 1e3, "bytes": len(made.stdout)}


def measure(bench):
    rounds = min(bench.args.rounds, 3)
    disk = bench.folder("append")
    found = bench.turns({
        "ringfence": lambda: appended(bench, MEMORY, "--tree"),
        "without the tree": lambda: appended(bench, MEMORY),
        "SQLite": lambda: sqlite(MEMORY),
    }, rounds)
    on_disk = bench.turns({
        "ringfence": lambda: appended(bench, disk, "--tree"),
        "SQLite": lambda: sqlite(disk),
    }, rounds)

    def of(quantity, *names):
        return {name: [each for each in found[quantity][name] if each] for name in names}

    for place, told, goals in (("in memory", found, {None: PER_SECOND_GOAL}), ("on disk", on_disk, {})):
        signed = {"ringfence": told["signedPerSecond"]["ringfence"], "SQLite": told["perSecond"]["SQLite"]}
        bench.figure(f"appended and signed on one core, {place}", "records/s", signed, better="more", goals=goals)
    bench.figure("appended, the tree aside", "records/s", {"ringfence": found["perSecond"]["without the tree"]}, better="more")
    bench.figure("what a record costs, median", "ns", {"ringfence": found["nsMedian"]["without the tree"]},
                 goals={None: MEDIAN_GOAL})
    bench.figure("what a record costs, 99th percentile", "ns", {"ringfence": found["nsP99"]["without the tree"]},
                 goals={None: LATE_GOAL})
    bench.figure("verified on one core", "records/s", of("verifiedPerSecond", "ringfence"), better="more")
    bench.figure("size of a record that is not sealed", "bytes", of("bytesPerRecord", "ringfence", "SQLite"))
    state = bench.folder("kept")
    run([bench.args.probe, "append", "--directory", state, "--records", str(RECORDS), "--tree", "--keep"], core=machine.ANYWHERE,
        timeout=300)
    proofs = [proven(bench, state) for _ in range(rounds)]
    bench.figure("a proof of one of two million, from start to end", "ms", {"ringfence": [each["ms"] for each in proofs]})
    bench.figure("size of that proof", "bytes", {"ringfence": [each["bytes"] for each in proofs]})
    shutil.rmtree(state)

