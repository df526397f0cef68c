"""HTTP/1.1 through a compartment, small answers: beside nothing in between, Envoy, and HAProxy

One server (nginx, one process) for everybody; `wrk` with 1 and with 64 connections that are kept, then 1,000 requests a second
at times set beforehand. Ours: client and server each in a compartment. The others: client, proxy and server in one network
namespace, on its loopback. The proxy has one core and one worker thread, client and server share another one. Each proxy
matches the same method and path and writes a record of every request; the records are counted, and a missing one ends the
run. Processor time is that of the proxy's processes, of ours node, enforcer, launcher and keeper together.
"""

import json
import re
import time

from harness import estate, machine, peers
from harness.node import Node
from harness.rounds import Wrong, run

# Added to the 99th percentile at 1,000 requests a second, at most, in nanoseconds.
ADDED_NS = 100_000
RATE = 1000
UNITS = {"us": 1e3, "ms": 1e6, "s": 1e9}


class Ours:
    name = "ringfence"

    def __init__(self, bench, name="node", service="web", listen="8080", protocol="http", binary=None):
        self.node, self.service, self.port = Node(bench, name, binary=binary), service, listen.split()[0]
        workdir = self.node.workdir(service, nginx__conf=estate.nginx("/tmp", listen))
        self.node.serve(service, ["/usr/sbin/nginx", "-c", "/work/nginx.conf"], workdir, "event method")
        self.workdir = self.node.workdir("caller")
        self.began, self.protocol = 0, protocol

    def words(self, command):
        return ["/work/probe" if word == "PROBE" else word.replace("SERVER", f"{self.service}:{self.port}") for word in command]

    def client(self, command):
        return self.node.client(self.words(command), self.workdir)

    def command(self, command):
        """What starts that client, to do it oneself."""
        return self.node.command("caller", self.words(command), self.workdir)

    def processes(self):
        return self.node.processes()

    def before(self):
        self.began = time.time()

    def logged(self):
        return self.node.operations(self.began, self.protocol)


class Theirs:
    """Nothing, or a proxy, between a client and a server on a loopback."""

    def __init__(self, bench, peer):
        self.bench, self.peer, self.name, self.lines = bench, peer, peer.name, 0

    def command(self, command):
        server = f"127.0.0.1:{self.peer.port}"
        return [self.bench.args.probe if word == "PROBE" else word.replace("SERVER", server) for word in command]

    def client(self, command):
        return run(self.command(command))

    def processes(self):
        return self.peer.processes()

    def before(self):
        self.lines = self.peer.logged()

    def logged(self):
        now = self.peer.logged()
        return None if now is None else now - self.lines


def wrk(seconds, connections, path=estate.ASKED):
    return ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://SERVER{path}"]


def nanoseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * UNITS[unit]


def read_wrk(said):
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)", said)
    if errors:
        raise Wrong(f"wrk: {errors.group(0)}")
    requests, took = re.search(r"(\d+) requests in ([\d.]+\w+)", said).groups()
    found = {"requests": int(requests), "seconds": nanoseconds(took) / 1e9}
    for name, percent in (("p50", "50%"), ("p99", "99%")):
        found[name] = nanoseconds(re.search(rf"{percent}\s+([\d.]+\w+)", said).group(1))
    return found


def read_rate(said):
    told = json.loads(said)
    if told["answered"] != told["asked"] or told["not_200"]:
        raise Wrong(f"at a fixed rate: {told}")
    return {"requests": told["answered"], "p50": told["delay"]["p50_ns"], "p99": told["delay"]["p99_ns"]}


def settled(contender, wanted):
    """The requests that a proxy has recorded; Envoy's log is written a second late."""
    deadline = time.monotonic() + 10
    while (count := contender.logged()) is not None and count < wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return count


def load(contender, command, read, connections):
    """One contender under load once."""
    contender.before()
    pids = contender.processes()
    before = machine.cpu_ns(pids)
    said, client_ns = contender.client(command)
    spent = machine.cpu_ns(pids) - before
    found = read(said)
    requests = found["requests"]
    logged = settled(contender, requests)
    # wrk goes without waiting for its last answers, and does not count them.
    if logged is not None and not requests <= logged <= requests + 2 * connections + 8:
        raise Wrong(f"{contender.name}: {requests} requests were answered, {logged} stand in its log")
    result = {"p50": found["p50"] / 1e3, "p99": found["p99"] / 1e3, "client": client_ns / requests / 1e3}
    if "seconds" in found:
        result["rate"] = requests / found["seconds"]
    if pids:
        result["cpu"] = spent / requests / 1e3
        result["per_cpu_second"] = requests / (spent / 1e9)
        result["logged"] = logged
    return result


def refuses(contender, *options):
    """Each proxy refuses what the rule does not allow: one that lets everything pass is no peer."""
    said, _ = contender.client(["curl", "-s", *options, "-o", "/dev/null", "-w", "%{http_code}", f"http://SERVER{estate.REFUSED}"])
    if said != "403":
        raise Wrong(f"{contender.name} answered {said} to what it should refuse")


def figures(bench, title, found, fixed):
    def values(quantity, *without):
        return {name: values for name, values in found[quantity].items() if values and name not in without}

    if not fixed:
        bench.figure(f"{title}: requests per second", "1/s", values("rate"), better="more")
    bench.figure(f"{title}: delay, median", "µs", values("p50"))
    bench.figure(f"{title}: delay, 99th percentile", "µs", values("p99"))
    bench.figure(
        f"{title}: requests per processor second", "1/s", values("per_cpu_second"), better="more",
        goals={} if fixed else {"envoy": 2.0, "haproxy": 1.0},
    )
    bench.figure(f"{title}: processor time per request", "µs", values("cpu"))
    if fixed:
        base = found["p99"]["direct"]
        added = {
            name: [max(0.01, p99 - least) for p99, least in zip(all_rounds, base)]
            for name, all_rounds in found["p99"].items() if name != "direct"
        }
        bench.figure(f"{title}: added to the 99th percentile", "µs", added, goals={None: ADDED_NS / 1e3})


def measure(bench):
    peers.nginx(bench)
    contenders = [
        Ours(bench),
        Theirs(bench, peers.Direct()),
        Theirs(bench, peers.envoy(bench, 9101)),
        Theirs(bench, peers.haproxy(bench, 9102)),
    ]
    for contender in contenders:
        if contender.name != "direct":
            refuses(contender)
        load(contender, wrk(1, 8), read_wrk, 8)
    shapes = [
        ("1 connection", wrk(bench.args.seconds, 1), read_wrk, 1),
        ("64 connections", wrk(bench.args.seconds, 64), read_wrk, 64),
        (f"{RATE:,} a second", ["PROBE", "rate", "--to", "SERVER", "--path", estate.ASKED, "--rate", str(RATE),
                                "--seconds", str(bench.args.seconds)], read_rate, 8),
    ]
    for title, command, read, connections in shapes:
        found = bench.turns({
            each.name: lambda each=each: load(each, command, read, connections) for each in contenders
        })
        figures(bench, title, found, read is read_rate)
