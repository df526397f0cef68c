"""One TCP connection as fast as it goes: beside the bare loopback, and HAProxy with `splice`

A program writes for some seconds what another one reads and counts; the two agree on the count or the run ends. Nothing is pinned:
writer, reader and proxy are where the scheduler puts them, as the bare loopback has no third one to make room for.
"""

import json

from harness import machine, peers
from harness.node import Node
from harness.rounds import run


def measure(bench):
    node = Node(bench, "tcp-node", anywhere=True)
    node.serve("stream", ["/work/probe", "sink", "--at", "0.0.0.0:9000"], node.workdir("stream"), "listening")
    workdir = node.workdir("caller")
    sink = [bench.args.probe, "sink", "--at", f"127.0.0.1:{peers.STREAM_PORT}"]
    bench.start("sink", sink, "listening", core=machine.ANYWHERE)
    haproxy = peers.haproxy(bench, 9202, server=peers.STREAM_PORT, tcp=True, core=machine.ANYWHERE)

    def source(to, client, probe, pids):
        before = machine.cpu_ns(pids)
        told = json.loads(client([probe, "source", "--to", to, "--seconds", str(bench.args.seconds)])[0])
        spent = machine.cpu_ns(pids) - before
        found = {"rate": told["bytes"] / told["seconds"] / 1e9}
        if pids:
            found["cpu"] = spent / told["bytes"]
        return found

    def bare(words):
        return run(words, core=machine.ANYWHERE)

    found = bench.turns({
        "ringfence": lambda: source("stream:9000", lambda words: node.client(words, workdir), "/work/probe", node.processes()),
        "loopback": lambda: source(f"127.0.0.1:{peers.STREAM_PORT}", bare, bench.args.probe, []),
        "haproxy": lambda: source("127.0.0.1:9202", bare, bench.args.probe, haproxy.processes()),
    })
    bench.figure("throughput", "GB/s", found["rate"], better="more", goals={"loopback": 0.5})
    cpu = {name: values for name, values in found["cpu"].items() if values}
    bench.figure("processor time of the proxy per byte", "ns", cpu)
