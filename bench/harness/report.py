"""What was found, as JSON for programs and as a table for people."""

import json
import statistics
import subprocess
import time


def ratios(figure, peer):
    """Ours to a peer's, round by round: both were measured one after the other, so what slowed one slowed both."""
    pairs = zip(figure.values[figure.ours], figure.values[peer])
    return [ours / theirs for ours, theirs in pairs if theirs]


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "rounds": len(values)}


def peers(figure):
    return [name for name in figure.values if name != figure.ours]


def goal_met(figure, peer, goal):
    value = statistics.median(figure.values[figure.ours] if peer is None else ratios(figure, peer))
    return value >= goal if figure.better == "more" else value <= goal


def told(figure):
    return {
        "suite": figure.suite,
        "name": figure.name,
        "unit": figure.unit,
        "better": figure.better,
        "note": figure.note,
        "ours": figure.ours,
        "values": {name: {**spread(values), "all": values} for name, values in figure.values.items() if values},
        "ratios": {name: spread(ratios(figure, name)) for name in peers(figure) if ratios(figure, name)},
        "goals": [
            {"beside": peer or "itself", "goal": goal, "met": goal_met(figure, peer, goal)}
            for peer, goal in figure.goals.items()
        ],
    }


def version(command):
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "absent"
    return (said.stdout or said.stderr).strip().splitlines()[0] if (said.stdout or said.stderr).strip() else "unknown"


def write(bench, path):
    document = {
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": bench.machine,
        "versions": {"ringfence": version([bench.args.binary, "--version"]), **getattr(bench, "versions", {})},
        "rounds": bench.args.rounds,
        "figures": [told(figure) for figure in bench.figures],
        "raw": bench.raw,
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")


def number(value):
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def tell(figures, out):
    suite = None
    for figure in figures:
        if figure.suite != suite:
            suite = figure.suite
            print(f"\n{suite}", file=out)
        ours = spread(figure.values[figure.ours])
        line = f"  {figure.name:<44} {number(ours['median']):>10} {figure.unit:<8}"
        line += f" ({number(ours['least'])} to {number(ours['most'])})"
        print(line, file=out)
        for name in peers(figure):
            if found := ratios(figure, name):
                theirs, ratio = spread(figure.values[name]), spread(found)
                print(
                    f"    {name:<42} {number(theirs['median']):>10} {figure.unit:<8}"
                    f" ours is {ratio['median']:.2f} of it ({ratio['least']:.2f} to {ratio['most']:.2f})",
                    file=out,
                )
        for peer, goal in figure.goals.items():
            sign = "at least" if figure.better == "more" else "at most"
            beside = f"{goal} × {peer}" if peer else f"{number(goal)} {figure.unit}"
            print(f"    goal: {sign} {beside}: {'met' if goal_met(figure, peer, goal) else 'NOT MET'}", file=out)
        if figure.note:
            print(f"    {figure.note}", file=out)
