"""Instructions and system calls per request, HTTP/1.1: of the enforcer, beside nginx alone, Envoy, and HAProxy

There are no hardware counters on most virtual machines, so each contender is stepped through (`ringfence-bench step`): the process as
it was started and confined, stopped by the kernel behind each instruction in user space. As this costs a factor of a thousand,
requests are few, and what is told is the difference between two numbers of them, less what the process does by itself in so much time.
Of ours it is the enforcer that is stepped through: node, launcher and keeper have no part in a request. Its node is held still
meanwhile: it asks for figures once a second, and would take the answer's delay for an illness. Nobody's kernel is counted.
"""

import contextlib
import json
import signal
import subprocess
import sys
import time

from harness import estate, machine, peers
from harness.rounds import Wrong

from . import http1

# What is counted, on how many connections, with two numbers of requests on each: what is told is the difference.
SHAPES = (("calls", 1, 20, 120), ("calls", 64, 2, 12), ("instructions", 1, 2, 10))
TITLES = {"calls": "system calls", "instructions": "instructions"}
# How long a contender is left alone, at least, to see what it does by itself.
IDLE_SECONDS = 2
# Of an answer, from somebody who is stepped through.
PATIENCE = 300


class Direct(http1.Theirs):
    """The server itself, which is what stands behind all others."""

    def __init__(self, bench, server):
        super().__init__(bench, peers.Direct())
        self.name, self.server = "nginx alone", server

    def stepped(self):
        return [self.server.pid]

    held_still = contextlib.nullcontext


class Proxy(http1.Theirs):
    def stepped(self):
        return self.processes()

    held_still = contextlib.nullcontext


class Enforcer(http1.Ours):
    def stepped(self):
        found = [pid for pid in machine.tree(self.node.up.pid) if is_enforcer(pid)]
        if len(found) != 1:
            raise Wrong(f"{len(found)} enforcers")
        return found

    @contextlib.contextmanager
    def held_still(self):
        node = self.node.up
        node.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            node.send_signal(signal.SIGCONT)
            # What it has missed it does now, and not in the next measurement.
            time.sleep(1)


def is_enforcer(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as line:
        return line.read().split(b"\0")[1:2] == [b"enforcer"]


class Line:
    """A process that answers lines with lines."""

    def __init__(self, bench, command, ready, core=machine.OTHERS):
        self.child = subprocess.Popen(
            machine.pinned(core, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=bench.directory
        )
        bench.children.append(self.child)
        self.bench = bench
        self.expect(ready)

    def expect(self, wanted):
        line = self.child.stdout.readline()
        if not line.startswith(wanted):
            raise Wrong(f"{' '.join(self.child.args)} says {line!r} and not {wanted}")

    def say(self, what):
        self.child.stdin.write(f"{what}\n")
        self.child.stdin.flush()

    def end(self):
        """The last line."""
        self.child.stdin.close()
        last = [line for line in self.child.stdout if line.strip()]
        self.bench.children.remove(self.child)
        if self.child.wait(PATIENCE) != 0 or not last:
            raise Wrong(f"{' '.join(self.child.args)} ended with {self.child.returncode}")
        return json.loads(last[-1])


def client(bench, contender, connections):
    command = ["PROBE", "ask", "--to", "SERVER", "--path", estate.ASKED, "--connections", str(connections)]
    return Line(bench, contender.command(command), "ready")


def counted(bench, contender, kind, work):
    """What `contender` does while `work` is done; and how long that takes."""
    command = [bench.args.probe, "step", *[word for pid in contender.stepped() for word in ("--pid", str(pid))]]
    with contender.held_still():
        stepper = Line(bench, command + (["--calls"] if kind == "calls" else []), "stepping", core=machine.MEASURED)
        work()
        told = stepper.end()
    return told[kind], told["seconds"]


def per_request(bench, contender, kind, shape):
    _, connections, fewer, more = shape
    asks = client(bench, contender, connections)
    asked = 0

    def ask(rounds):
        nonlocal asked
        asked += rounds * connections
        asks.say(rounds)
        asks.expect(f"asked {asked}\n")

    print(f"bench: {contender.name}: {kind}", file=sys.stderr, flush=True)
    few, few_seconds = counted(bench, contender, kind, lambda: ask(fewer))
    many, many_seconds = counted(bench, contender, kind, lambda: ask(more))
    # What comes in bursts, every few seconds, is seen as often as it was among the requests.
    longer = many_seconds - few_seconds
    idle, idle_seconds = counted(bench, contender, kind, lambda: time.sleep(max(IDLE_SECONDS, longer)))
    asks.end()
    return (many - few - idle / idle_seconds * longer) / ((more - fewer) * connections)


def measure(bench):
    contenders = [
        Enforcer(bench, "instructions-node"),
        Direct(bench, peers.nginx(bench, name="nginx-instructions")),
        Proxy(bench, peers.envoy(bench, 9501)),
        Proxy(bench, peers.haproxy(bench, 9502)),
    ]
    for contender in contenders[2:]:
        http1.refuses(contender)
    for shape in SHAPES:
        kind, connections = shape[:2]
        rounds = min(bench.args.rounds, 2)
        found = bench.turns({
            each.name: lambda each=each: {kind: per_request(bench, each, kind, shape)} for each in contenders
        }, rounds)
        noun = "connection" if connections == 1 else "connections"
        # A step takes the longer the more else there is to do, and with it grows what comes by the clock.
        note = "to be taken from a machine at rest, and for what its range says" if kind == "instructions" else ""
        bench.figure(f"{TITLES[kind]} per request, {connections} {noun}", "", found[kind], note=note)
