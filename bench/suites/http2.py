"""HTTP/2 with prior knowledge through a compartment, small answers: beside nothing in between, Envoy, and HAProxy

As `http1`, with HTTP/2 on both sides of every proxy and `h2load` as the client: one connection with 64 requests under way, and 64
connections with one each.
"""

import os
import re

from harness import estate, machine, peers
from harness.rounds import Wrong

from . import http1

PORT = 8081


def h2load(seconds, connections, streams, log):
    return [
        "h2load", f"-D{seconds}", f"-c{connections}", f"-m{streams}", "-t1", "--warm-up-time=0", f"--log-file={log}",
        f"http://SERVER{estate.ASKED}",
    ]


def read(said, log):
    counted = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", said)
    took = re.search(r"finished in ([\d.]+)(us|ms|s)", said)
    if not counted or not took or int(counted.group(4)) or int(counted.group(5)):
        raise Wrong(f"h2load: {said[-600:]}")
    if not re.search(r"status codes: \d+ 2xx, 0 3xx, 0 4xx, 0 5xx", said):
        raise Wrong(f"h2load: {said[-600:]}")
    # Start, status and delay (in microseconds) of each request.
    with open(log, encoding="ascii") as lines:
        delays = sorted(int(line.split()[2]) for line in lines)
    return {
        "requests": int(counted.group(3)),
        "seconds": float(took.group(1)) * http1.UNITS[took.group(2)] / 1e9,
        "p50": delays[len(delays) // 2] * 1e3,
        "p99": delays[min(len(delays) - 1, len(delays) * 99 // 100)] * 1e3,
    }


def measure(bench):
    peers.nginx(bench, f"{PORT} http2", "nginx-h2")
    ours = http1.Ours(bench, "http2-node", "web2", f"{PORT} http2", "http2")
    contenders = [
        ours,
        http1.Theirs(bench, peers.Direct(PORT)),
        http1.Theirs(bench, peers.envoy(bench, 9401, server=PORT, http2=True)),
        http1.Theirs(bench, peers.haproxy(bench, 9402, server=PORT, http2=True)),
    ]

    def load(contender, connections, streams):
        # Where the client can write, and we can read.
        place = ours.workdir if contender is ours else bench.directory
        log = os.path.join(place, "h2load.log")
        if os.path.exists(log):
            os.remove(log)
        seen = "/work/h2load.log" if contender is ours else log
        command = h2load(bench.args.seconds, connections, streams, seen)
        return http1.load(contender, command, lambda said: read(said, log), connections * streams)

    for contender in contenders:
        if contender.name != "direct":
            http1.refuses(contender, "--http2-prior-knowledge")
        load(contender, 8, 1)
    for title, connections, streams in (("1 connection, 64 streams", 1, 64), ("64 connections", 64, 1)):
        found = bench.turns({
            each.name: lambda each=each: load(each, connections, streams) for each in contenders
        })
        http1.figures(bench, title, found, False)
