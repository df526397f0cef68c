"""The flow log: records appended, signed, verified and proven on one core, beside SQLite taking the same number of records

Two million records of requests (`bench/src/append.rs`), one writer, with the tree growing and being signed at the same time, all on
one core; the same without the tree. Every record is counted again in the end, and the whole log verified: one that is missing ends
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


def appended(bench, *more):
    directory = bench.folder("append")
    printed, _ = run(
        [bench.args.probe, "append", "--directory", directory, "--records", str(RECORDS), *more],
        core=machine.MEASURED, timeout=300,
    )
    return json.loads(printed)


def sqlite(bench):
    path = os.path.join(bench.folder("sqlite"), "flows.db")
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
    found = bench.turns({
        "ringfence": lambda: appended(bench, "--tree"),
        "without the tree": lambda: appended(bench),
        "SQLite": lambda: sqlite(bench),
    }, rounds)

    def of(quantity, *names):
        return {name: [each for each in found[quantity][name] if each] for name in names}

    signed = {"ringfence": found["signedPerSecond"]["ringfence"], "SQLite": found["perSecond"]["SQLite"]}
    bench.figure("appended and signed on one core", "records/s", signed, better="more", goals={None: PER_SECOND_GOAL})
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

