"""A node of Ringfence with the estate of the benchmark, and workloads on it."""

import os
import shutil
import subprocess
import time

from . import estate, machine
from .rounds import Wrong, run


class Node:
    """`ringfence up`, alone on its core as the peers are on theirs, with one worker thread like them; or `anywhere`, with as
    many threads as there are cores."""

    def __init__(self, bench, name="node", anywhere=False, binary=None):
        self.bench = bench
        self.core = machine.ANYWHERE if anywhere else machine.MEASURED
        self.clients = machine.ANYWHERE if anywhere else machine.OTHERS
        self.binary = binary or bench.args.binary
        self.config, self.state = bench.folder(name, "estate"), os.path.join(bench.folder(name), "state")
        with open(os.path.join(self.config, "estate.yaml"), "w", encoding="utf-8") as file:
            file.write(estate.ESTATE)
        command = [self.binary, "up", "--config", self.config, "--state", self.state, "--node", "bench"]
        self.name, self.launchers = name, []
        self.up = bench.start(name, command, "ringfence is up", core=self.core)

    def command(self, workload, command, workdir=None):
        words = [self.binary, "run", workload, "--state", self.state]
        if workdir:
            words += ["--workdir", workdir]
        return [*words, "--", *command]

    def workdir(self, name, **files):
        """A directory that one workload sees as /work, with these files in it."""
        path = self.bench.folder(self.name, "work", name)
        for file, text in files.items():
            with open(os.path.join(path, file.replace("__", ".")), "w", encoding="utf-8") as out:
                out.write(text)
        shutil.copy(self.bench.args.probe, os.path.join(path, "probe"))
        os.chmod(path, 0o777)
        return path

    def serve(self, workload, command, workdir, ready):
        """Starts a service. Its launcher is part of what is measured and stands where the node does; the program itself
        does not."""
        command = self.command(workload, machine.pinned(self.clients, command), workdir)
        child = self.bench.start(f"{self.name}-{workload}", command, ready, core=self.core)
        self.launchers.append(child)
        return child

    def client(self, command, workdir, workload="caller"):
        return run(self.command(workload, command, workdir), core=self.clients)

    def processes(self):
        """All of ours that are at work for this node: itself, its enforcer, and what stands round each service."""
        ours = os.path.realpath(self.binary)
        found = {pid for root in (self.up, *self.launchers) for pid in machine.tree(root.pid)}
        return sorted(pid for pid in found if machine.program(pid) == ours)

    def operations(self, since, protocol="http"):
        """Allowed operations in the flow log from `since` (seconds of the Unix epoch) on."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since)) + f".{int(since % 1 * 1e9):09d}Z"
        said = subprocess.Popen(
            [self.binary, "observe", "--state", self.state, "--kind", "operation", "--protocol", protocol, "--verdict", "allow",
             "--since", moment, "-o", "json"], stdout=subprocess.PIPE,
        )
        count = sum(block.count(b"\n") for block in iter(lambda: said.stdout.read(1 << 20), b""))
        if said.wait() != 0:
            raise Wrong("the flow log cannot be read")
        return count
