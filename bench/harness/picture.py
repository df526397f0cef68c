"""The ratios as a picture: a row for each figure and peer, on a logarithmic axis with the peer at 1."""

import math
from html import escape

from . import report

WIDTH, LEFT, RIGHT, ROW, TOP = 980, 430, 90, 22, 74
COLOURS = {True: "#1a7f37", False: "#b35900"}
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.small { font-size: 11px; fill: #57606a } .suite { font-weight: 600 }
.grid { stroke: #d0d7de } .one { stroke: #1f2328; stroke-width: 1.5 }
.goal { stroke: #8250df; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #8d96a0 } .grid { stroke: #30363d } .one { stroke: #e6edf3 }
}
"""


def rows(figures):
    for figure in figures:
        for peer in report.peers(figure):
            found = report.ratios(figure, peer)
            if found and report.spread(found)["median"] > 0:
                yield figure, peer, report.spread(found)


def write(figures, path):
    all_rows = list(rows(figures))
    if not all_rows:
        return
    ends = [row[2]["least"] for row in all_rows] + [row[2]["most"] for row in all_rows]
    low = min(0.1, *[math.pow(10, math.floor(math.log10(end))) for end in ends if end > 0])
    high = max(10, *[math.pow(10, math.ceil(math.log10(end))) for end in ends if end > 0])

    def x(ratio):
        part = (math.log10(max(ratio, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    suites = len({figure.suite for figure, _, _ in all_rows})
    height = TOP + ROW * (len(all_rows) + suites) + 40
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="Ratios of Ringfence to its peers"><style>{STYLE}</style>',
        '<text x="16" y="26" class="suite">Ringfence beside its peers</text>',
        '<text x="16" y="46" class="small">Ratio of ours to the peer’s, median and range over rounds. Green: the goal (violet)'
        " is met, or, without one, ours is better or level (within 5 %).</text>",
    ]
    decade = low
    while decade <= high * 1.001:
        at, name = x(decade), "one" if abs(decade - 1) < 1e-9 else "grid"
        out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 8}" y2="{height - 30}" class="{name}"/>')
        out.append(f'<text x="{at:.1f}" y="{height - 14}" text-anchor="middle" class="small">{decade:g}×</text>')
        decade *= 10
    y, suite = TOP, None
    for figure, peer, ratio in all_rows:
        if figure.suite != suite:
            suite = figure.suite
            out.append(f'<text x="16" y="{y + 12}" class="suite">{escape(suite)}</text>')
            y += ROW
        middle = ratio["median"]
        if peer in figure.goals:
            good = report.goal_met(figure, peer, figure.goals[peer])
        else:
            good = middle >= 0.95 if figure.better == "more" else middle <= 1.05
        out.append(f'<text x="28" y="{y + 12}">{escape(figure.name)} <tspan class="small">to {escape(peer)}</tspan></text>')
        colour = COLOURS[good]
        out.append(
            f'<line x1="{x(ratio["least"]):.1f}" x2="{x(ratio["most"]):.1f}" y1="{y + 8}" y2="{y + 8}"'
            f' stroke="{colour}" stroke-width="3" stroke-opacity="0.45"/>'
            f'<circle cx="{x(middle):.1f}" cy="{y + 8}" r="4.5" fill="{colour}"/>'
        )
        if peer in figure.goals:
            at = x(figure.goals[peer])
            out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y}" y2="{y + 16}" class="goal"/>')
        out.append(f'<text x="{WIDTH - 16}" y="{y + 12}" text-anchor="end">{middle:.2f}×</text>')
        y += ROW
    out.append("</svg>")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")
