"""Quarantine, and a reload that forbids, with as many live connections as fit: from the command to the last byte

`bench/quarantine` measures; it says what it counts. There is no peer. All connections have to be cut and no neighbour may lose one, or
the run ends.
"""

import json
import os
import sys

from harness import machine
from harness.rounds import run

# From the command to the last byte of the last connection, at most, in milliseconds.
GOAL_MS = 250
PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "quarantine")


def measure(bench):
    rounds = min(bench.args.rounds, 5)
    command = [sys.executable, "-B", PROGRAM, "--binary", bench.args.binary, "--rounds", str(rounds)]
    told = json.loads(run(command, core=machine.ANYWHERE, timeout=1200)[0])
    bench.raw[bench.suite] = told
    for kind, title in (("quarantine", "quarantine"), ("reload", "reload that forbids")):
        of = [one for one in told["rounds"] if one["kind"] == kind]
        connections = min(one["connections"] for one in of)
        for quantity, name in (("last_byte_ms", "the last byte"), ("reset_ms", "the last reset")):
            values = {"ringfence": [one[quantity]["max"] for one in of]}
            goals = {None: GOAL_MS} if quantity == "last_byte_ms" else {}
            bench.figure(f"{title}: to {name}", "ms", values, goals=goals, note=f"{connections:,} connections")
