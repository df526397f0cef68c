"""Decisions: 10,000 agents, ten rules each, ten operations each; beside a plain scan and the evaluator alone

One process asks the same questions of the compiled policy and of the peers, checks every answer, and times each by itself
(for median and 99th percentile, the cost of looking at the clock taken off) and all together (for the mean and the number of
allocations).
"""

import json

from harness import machine
from harness.rounds import run

ZERO = {"ringfence": 0}


def asked(bench, *words):
    return json.loads(run([bench.args.probe, "decide", *words], core=machine.MEASURED, timeout=600)[0])


def measure(bench):
    count = min(bench.args.rounds, 3)
    told = [asked(bench) for _ in range(count)]
    bench.raw[bench.suite] = told
    for part, peer, title in (
        ("plain", "linear scan", "decision"),
        ("when", "cel alone", "decision with one `when`"),
    ):
        both = {"ringfence": "ours", peer: peer}
        for quantity, name in (("p50_ns", "median"), ("p99_ns", "99th percentile")):
            values = {
                who: [max(1, each[part][key][quantity] - each["clock_ns"]) for each in told] for who, key in both.items()
            }
            bench.figure(f"{title}, {name}", "ns", values)
        values = {who: [each[part][key]["allocations"] for each in told] for who, key in both.items()}
        goals = {None: 0} if part == "plain" else {}
        bench.figure(f"{title}, allocations", "", values, goals=goals)
    for part, title in (("plain", "snapshot"), ("when", "snapshot with `when` everywhere")):
        estate = told[0][part]["estate"]
        rules = estate["agents"] * estate["rules_per_agent"] * estate["operations_per_rule"]
        size = f"{estate['agents']:,} agents, {rules:,} operations"
        for quantity, name, unit, factor in (
            ("load_seconds", "reading the files", "s", 1),
            ("compile_seconds", "compiling", "s", 1),
            ("snapshot_bytes", "size", "MB", 1e-6),
        ):
            values = {"ringfence": [each[part]["estate"][quantity] * factor for each in told]}
            bench.figure(f"{title}: {name}", unit, values, note=size)
