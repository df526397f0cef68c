"""Memory of our own: of an idle node, and for each idle connection, TCP and HTTP; beside Envoy and HAProxy

Anonymous memory (RssAnon) of all processes of a contender: with the services started and nothing open, and again with five
hundred connections open (HTTP: each after one request and its answer), which is about what one caller gets of one service where
20,000 descriptors may be open. All of them are still open at the end, or the run ends. What the kernel holds for sockets is not
in it, for anybody.
"""

import json
import subprocess
import time

from harness import estate, machine, peers
from harness.node import Node
from harness.rounds import Wrong

CONNECTIONS = 500
# Bytes per connection, and of a node with nothing to do, at most.
CONNECTION_GOAL, NODE_GOAL = 8192, 20e6


def total(pids):
    return sum(machine.anonymous_bytes(pid) for pid in pids)


def holding(bench, name, command):
    """A client that has its connections open; and what to do to end it."""
    child = bench.start(f"hold-{name}", command, "holding", stdin=subprocess.PIPE)

    def end():
        child.stdin.close()
        child.wait(30)
        bench.children.remove(child)
        with open(f"{bench.directory}/hold-{name}.log", encoding="utf-8") as said:
            if json.loads(said.read().splitlines()[-1])["open"] != CONNECTIONS:
                raise Wrong(f"{name}: connections were closed that should have been held")

    return end


def per_connection(bench, name, command, pids):
    before = total(pids())
    end = holding(bench, name, command)
    time.sleep(1.5)
    found = (total(pids()) - before) / CONNECTIONS
    end()
    return found


def ours(bench, kind, turn):
    """A fresh node: what one kind of connection leaves behind would be there for the next kind."""
    node = Node(bench, f"memory-{kind}-{turn}")
    conf = estate.nginx("/tmp", "8080")
    node.serve("web", ["/usr/sbin/nginx", "-c", "/work/nginx.conf"], node.workdir("web", nginx__conf=conf), "event method")
    node.serve("stream", ["/work/probe", "sink", "--hold", "--at", "0.0.0.0:9000"], node.workdir("stream"), "listening")
    time.sleep(2)
    pids = node.processes()
    idle = {pid: (role(pid), machine.anonymous_bytes(pid)) for pid in pids}
    to, more = {"tcp": ("stream:9000", []), "http": ("web:8080", ["--ask", estate.ASKED])}[kind]
    hold = ["/work/probe", "hold", "--to", to, "--connections", str(CONNECTIONS), *more]
    command = node.command("caller", hold, node.workdir("caller"))
    # The client's own launcher is none of the processes that are looked at.
    each = per_connection(bench, f"ours-{kind}-{turn}", command, node.processes)
    for child in (*node.launchers, node.up):
        bench.stop(child)
    return idle, each


def measure(bench):
    values = {kind: {"ringfence": [], "envoy": [], "haproxy": []} for kind in ("tcp", "http")}
    idle = {"ringfence": [], "envoy": [], "haproxy": []}
    parts = {}
    count = min(bench.args.rounds, 3)
    for turn in range(count):
        for kind, found in values.items():
            processes, each = ours(bench, kind, turn)
            found["ringfence"].append(each)
        idle["ringfence"].append(sum(size for _, size in processes.values()) / 1e6)
        for name, size in processes.values():
            parts.setdefault(name, []).append(size / 1e6)
    peers.nginx(bench)
    bench.start("sink-hold", [bench.args.probe, "sink", "--hold", "--at", f"127.0.0.1:{peers.STREAM_PORT}"], "listening")
    for turn in range(count):
        for kind in ("tcp", "http"):
            for name, make in (("envoy", peers.envoy), ("haproxy", peers.haproxy)):
                port = 9300 + 10 * turn + (kind == "tcp") * 2 + (name == "envoy")
                if kind == "tcp" and name == "envoy":
                    continue
                more = {"tcp": True, "server": peers.STREAM_PORT} if kind == "tcp" else {}
                peer = make(bench, port, **more)
                time.sleep(1)
                if kind == "http":
                    idle[name].append(total(peer.processes()) / 1e6)
                ask = ["--ask", estate.ASKED] if kind == "http" else []
                hold = [bench.args.probe, "hold", "--to", f"127.0.0.1:{port}", "--connections", str(CONNECTIONS), *ask]
                values[kind][name].append(per_connection(bench, f"{name}-{kind}-{turn}", hold, peer.processes))
                bench.stop(peer.child)
    bench.figure(
        "idle node with two services", "MB", idle, goals={None: NODE_GOAL / 1e6},
        note=", ".join(f"{len(of) // count} × {name} {sum(of) / len(of):.2f} MB" for name, of in sorted(parts.items())),
    )
    for kind, all_values in values.items():
        found = {name: each for name, each in all_values.items() if each}
        bench.figure(f"idle {kind} connection", "bytes", found, goals={None: CONNECTION_GOAL})


def role(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as line:
        words = line.read().split(b"\0")
    return words[1].decode() if len(words) > 1 and words[1] else words[0].decode().rsplit("/", 1)[-1]
