"""Sealing: leaves of a busy node to a Parquet file, and back; beside the same leaves in one zstd frame

A million records of fifty agents and twenty services (`bench/src/bin/ringfence-bench-log/traffic.rs`): connections with their
requests, names that are resolved, denials, and denials that are folded. Each leaf that comes back is compared. Making up the
traffic is not timed; encoding, compressing, writing and syncing are, on one core.
"""

import json
import os
import shutil

from harness import machine
from harness.rounds import Wrong, run

RECORDS = 1_000_000
RATE_GOAL, BYTES_GOAL = 200_000, 40


def sealed(bench, records, directory, *more):
    """What `ringfence-bench-log` tells of so many records, sealed in `directory`."""
    program = os.path.join(os.path.dirname(bench.args.probe), "ringfence-bench-log")
    printed, _ = run(
        [program, "--records", str(records), "--to", directory, *more], core=machine.MEASURED, timeout=900
    )
    told = json.loads(printed)
    if told["kept_whole"]:
        raise Wrong(f"{told['kept_whole']} records of this version were not understood by their columns")
    return told


def measure(bench):
    told = []
    for turn in range(bench.args.rounds):
        directory = bench.folder(f"sealed-{turn}")
        told.append(sealed(bench, RECORDS, directory, "--frame"))
        shutil.rmtree(directory)
    bench.raw[bench.suite] = told
    rate = {"ringfence": [each["records"] / each["seal_seconds"] for each in told]}
    bench.figure("sealing on one core", "records/s", rate, better="more", goals={None: RATE_GOAL})
    rate = {"ringfence": [each["records"] / each["read_seconds"] for each in told]}
    bench.figure("leaves from a sealed file, on one core", "records/s", rate, better="more")
    size = {
        "ringfence": [each["sealed_bytes"] / each["records"] for each in told],
        "zstd frame": [each["frame_bytes"] / each["records"] for each in told],
    }
    leaf = told[0]["leaf_bytes"] / told[0]["records"]
    bench.figure("size of a sealed record", "bytes", size, goals={None: BYTES_GOAL}, note=f"its leaf has {leaf:.0f}")
