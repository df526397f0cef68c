"""Starting a program that does nothing: in a compartment, and in bubblewrap's namespaces

`ringfence run NAME -- true` beside `bwrap --unshare-all … true` with a root of the same parts. What bubblewrap does not do and
the compartment does: ask a node who may be what, a firewall and doors in the namespace, Landlock, a filter of system calls.
"""

import time

from harness import machine
from harness.node import Node
from harness.rounds import run

STARTS = 20
# Added to bubblewrap's median, at most, in milliseconds.
ADDED_MS = 15

BWRAP = [
    "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink",
    "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--", "true",
]


def measure(bench):
    node = Node(bench, "start-node")
    ours = node.command("caller", ["true"])

    def timed(command):
        began = time.monotonic()
        run(command, core=machine.OTHERS)
        return (time.monotonic() - began) * 1e3

    def some(command):
        times = sorted(timed(command) for _ in range(STARTS))
        return {"median": times[len(times) // 2], "slow": times[int(len(times) * 0.9)]}

    for command in (ours, BWRAP):
        timed(command)
    found = bench.turns({"ringfence": lambda: some(ours), "bubblewrap": lambda: some(BWRAP)})
    bench.figure("start to end, median", "ms", found["median"])
    bench.figure("start to end, 90th percentile", "ms", found["slow"])
    pairs = zip(found["median"]["ringfence"], found["median"]["bubblewrap"])
    bench.figure(
        "added to bubblewrap", "ms", {"ringfence": [ours - theirs for ours, theirs in pairs]}, goals={None: ADDED_MS}
    )
