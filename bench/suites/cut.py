"""Quarantine, and a reload that forbids, with 10,000 live streams and as many connections as fit: from the command to the last byte

`bench/quarantine` measures; it says what it counts. There is no peer. All that is forbidden has to be cut and no neighbour may be lost,
or the run ends.
"""

import json
import os
import sys

from harness import machine
from harness.rounds import run

# From the command to the last byte of the last connection, or stream, at most, in milliseconds.
GOAL_MS = 250
PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "quarantine")
KINDS = (
    ("quarantine", "quarantine", ("connections", "streams")),
    ("reload", "reload that forbids all", ("connections", "streams")),
    ("operation", "reload that forbids one operation", ("streams",)),
)


def measure(bench):
    rounds = min(bench.args.rounds, 5)
    command = [sys.executable, "-B", PROGRAM, "--binary", bench.args.binary, "--probe", bench.args.probe, "--rounds", str(rounds)]
    told = json.loads(run(command, core=machine.ANYWHERE, timeout=1200)[0])
    bench.raw[bench.suite] = told
    for kind, title, whats in KINDS:
        of = [one for one in told["rounds"] if one["kind"] == kind]
        for what in whats:
            live = min(one[what]["live"] for one in of)
            beside = min(one["neighbours"] for one in of)
            for quantity, name in (("last_byte_ms", "last byte"), ("reset_ms", "last reset")):
                values = {"ringfence": [one[what][quantity]["max"] for one in of]}
                goals = {None: GOAL_MS} if quantity == "last_byte_ms" else {}
                note = f"{live:,} {what}; {beside:,} others live on"
                bench.figure(f"{title}: to the {name} of the {what}", "ms", values, goals=goals, note=note)
