"""Rounds: every contender does the same work in each, one after another, in an order that turns."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from . import machine

START_SECONDS = 30


class Wrong(Exception):
    """Something did not do the work that was to be measured."""


class Figure:
    """One quantity of several contenders, round by round.

    `ours` is told as a ratio to each of the others. `goals`: of a peer, at most (or at least, where more is better) so many
    times its value; of None, at most so much itself.
    """

    def __init__(self, suite, name, unit, values, ours="ringfence", better="less", goals=None, note=""):
        self.suite, self.name, self.unit, self.values = suite, name, unit, values
        self.ours, self.better, self.goals, self.note = ours, better, goals or {}, note


class Bench:
    """The run as a whole: its settings, its processes, what it has found."""

    def __init__(self, args):
        self.args = args
        self.suite = ""
        self.figures = []
        self.raw = {}
        self.machine = machine.described()
        self.children = []
        self.directory = tempfile.mkdtemp(prefix="ringfence-bench-")
        # Users that parts of a node run as have to get at what is theirs in it.
        os.chmod(self.directory, 0o755)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: sys.exit(130))

    def folder(self, *names):
        path = os.path.join(self.directory, *names)
        os.makedirs(path, exist_ok=True)
        return path

    def figure(self, name, unit, values, **more):
        self.figures.append(Figure(self.suite, name, unit, values, **more))

    def start(self, name, command, ready=None, core=machine.OTHERS, out=None, stdin=subprocess.DEVNULL, cwd=None):
        """Starts a process that lasts; waits until `ready` (a text that it prints, or a question) says so."""
        said = os.path.join(self.directory, f"{name}.log")
        with open(out or said, "wb") as stdout, open(said + ".err", "wb") as stderr:
            child = subprocess.Popen(
                machine.pinned(core, command), stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd or self.directory
            )
        self.children.append(child)
        self.wait_for(name, ready, child, out or said, said + ".err")
        return child

    @staticmethod
    def wait_for(name, ready, child, *files):
        deadline = time.monotonic() + START_SECONDS
        while True:
            said = ""
            for path in files:
                with open(path, encoding="utf-8", errors="replace") as log:
                    said += log.read()
            if ready is None or (ready() if callable(ready) else ready in said):
                return
            if child.poll() is not None or time.monotonic() > deadline:
                raise Wrong(f"{name} did not start (exit {child.poll()}):\n{said[-2000:]}")
            time.sleep(0.02)

    def stop(self, child):
        if child in self.children:
            self.children.remove(child)
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def end(self):
        for child in reversed(list(self.children)):
            self.stop(child)
        shutil.rmtree(self.directory, ignore_errors=True)

    def turns(self, contenders, count=None):
        """Runs each contender once in every round. Each gives a mapping of quantities; returns those by quantity, then by
        contender, a value a round."""
        names = list(contenders)
        found = {}
        for number in range(count or self.args.rounds):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                for quantity, value in contenders[name]().items():
                    found.setdefault(quantity, {each: [] for each in names})[name].append(value)
        self.raw.setdefault(self.suite, []).append(found)
        return found


def run(command, core=machine.OTHERS, timeout=120, **more):
    """Runs a client to its end. Gives what it printed, and the time it and its children were on a processor, in ns."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(
            machine.pinned(core, command), stdin=subprocess.DEVNULL, stdout=out, stderr=err, **more
        )
        # Neither late, as by asking again and again, nor for ever.
        with open(os.pidfd_open(child.pid), "rb", buffering=0) as ended:
            if not select.select([ended], [], [], timeout)[0]:
                child.kill()
                raise Wrong(f"{command[0]} did not end within {timeout} s")
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        printed, complained = out.read().decode(errors="replace"), err.read().decode(errors="replace")
    if child.returncode != 0:
        raise Wrong(f"{' '.join(command)} ended with {child.returncode}:\n{printed[-500:]}{complained[-1500:]}")
    return printed, int((usage.ru_utime + usage.ru_stime) * 1e9)
