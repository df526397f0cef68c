"""One act, played as pid 1 of a simulated host: network, mount and pid namespaces of its own.

When this process ends, everything it started is gone with it. Usage: stage.py flat|ringfence SETTINGS-AS-JSON
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

PYTHON = "/usr/bin/python3"
ADDRESSES = [f"10.20.0.{n}/32" for n in (1, 11, 12, 13, 14, 20, 53)] + ["169.254.169.254/32"]
ADDRESSES6 = [f"fd20::{n}/128" for n in (1, 11, 12, 13, 14)]
SERVICES = {"customer-data": 11, "payments": 12, "secrets-broker": 13, "events": 14}
START_SECONDS = 30
AGENT_SECONDS = 300


def say(text):
    print(f"  {text}", flush=True)


class Stage:
    def __init__(self, settings):
        self.settings = settings
        self.run = settings["run"]
        self.bank = settings["bank"]
        self.children = []
        # In front of every command of the ordinary user, where the stage itself is root of a user namespace.
        self.as_user = []

    def start(self, name, command, ready, cwd=None, env=None):
        """Starts a process, waits until it says `ready` in what it prints."""
        path = os.path.join(self.run, f"{name}.log")
        with open(path, "wb") as out:
            child = subprocess.Popen(
                command, cwd=cwd or self.run, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        self.children.append((name, child))
        deadline = time.monotonic() + START_SECONDS
        while True:
            with open(path, encoding="utf-8", errors="replace") as log:
                said = log.read()
            if ready in said:
                return child
            if child.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"demo: {name} did not start (exit {child.poll()}):\n{said}")
            time.sleep(0.02)

    def network(self):
        """The flat network: every host's address on one loopback device."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/run"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        for addr in ADDRESSES:
            subprocess.run(["ip", "addr", "add", addr, "dev", "lo"], check=True)
        for addr in ADDRESSES6:
            subprocess.run(["ip", "-6", "addr", "add", addr, "dev", "lo", "nodad"], check=True)

    def canary(self, *options):
        out = os.path.join(self.run, "canary.jsonl")
        script = os.path.join(self.settings["scripts"], "canary.py")
        self.start("canary", [PYTHON, "-B", script, out, *options], "watching")

    def folder(self, name, *files):
        """A working directory of its own for one workload, with its program in it."""
        path = os.path.join(self.run, "work", name)
        os.makedirs(path)
        for file in files:
            shutil.copy(os.path.join(self.bank, file), path)
        return path

    def service_folder(self, name):
        return self.folder(name, "services/bank_http.py", f"services/{name.replace('-', '_')}.py")

    def agent_folder(self):
        path = self.folder("customer-service", "agent/customer_service.py")
        os.mkdir(os.path.join(path, "mailbox"))
        for file in ("mailbox.json", "reconcile.py"):
            shutil.copy(os.path.join(self.bank, "agent", file), os.path.join(path, "mailbox"))
        if self.settings["knowledge"]:
            shutil.copy(self.settings["knowledge"], os.path.join(path, "knowledge.json"))
        return path

    def agent(self, command, cwd, env=None):
        say("the agent works through its mailbox; the third message is poisoned")
        started = time.monotonic()
        with open(os.path.join(self.run, "agent.log"), "wb") as out:
            child = subprocess.Popen(
                command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        attempts = os.path.join(self.run, "work", "customer-service", "attempts.jsonl")
        told = time.monotonic()
        while child.poll() is None:
            time.sleep(0.05)
            if time.monotonic() - told > 5:
                told = time.monotonic()
                with open(attempts, "rb") if os.path.exists(attempts) else open(os.devnull, "rb") as so_far:
                    say(f"… {sum(1 for _ in so_far)} attempts so far")
            if time.monotonic() - started > AGENT_SECONDS:
                child.kill()
                sys.exit("demo: the agent did not finish in time")
        if child.returncode != 0:
            with open(os.path.join(self.run, "agent.log"), encoding="utf-8", errors="replace") as log:
                sys.exit(f"demo: the agent ended with {child.returncode}:\n{log.read()}")
        return time.monotonic() - started

    def flat(self):
        """The services and the agent on one network, as networks are."""
        self.network()
        hosts = "127.0.0.1 localhost\n" + "".join(f"10.20.0.{n} {name}\n" for name, n in SERVICES.items())
        with open(os.path.join(self.run, "hosts"), "w", encoding="utf-8") as out:
            out.write(hosts)
        subprocess.run(["mount", "--bind", os.path.join(self.run, "hosts"), "/etc/hosts"], check=True)
        self.canary()
        for name, number in SERVICES.items():
            folder = self.service_folder(name)
            env = {"PATH": "/usr/bin:/bin", "LISTEN": f"10.20.0.{number}", "PYTHONDONTWRITEBYTECODE": "1"}
            self.start(name, [PYTHON, f"{name.replace('-', '_')}.py"], "is serving", folder, env)
        say(f"{len(SERVICES)} services are up on 10.20.0.0/24, and so is the agent: as on most networks, in one room")
        folder = self.agent_folder()
        command = [PYTHON, "customer_service.py", "mailbox/mailbox.json", "answers.jsonl"]
        return {"seconds": self.agent(command, folder, {"PATH": "/usr/bin:/bin", "USER": "agent"})}

    def become_user(self):
        """A user namespace in which the caller is an ordinary user again; one for all of Ringfence's processes."""
        uid, gid = self.settings["uid"] or 1000, self.settings["gid"] or 1000
        anchor = subprocess.Popen(
            ["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}", "sh", "-c", "echo in; exec sleep infinity"],
            stdout=subprocess.PIPE,
        )
        anchor.stdout.readline()
        self.as_user = ["nsenter", "-t", str(anchor.pid), "--user", "--preserve-credentials", "--"]
        self.children.append(("anchor", anchor))

    def ringfence(self):
        """The same processes, each in a compartment."""
        self.network()
        self.canary("--in-place-of-services")
        if not self.settings["root"]:
            self.become_user()
        tool = [*self.as_user, self.settings["binary"]]
        state = ["--state", os.path.join(self.run, "state")]
        estate = self.settings["estate"]
        node = self.start("up", [*tool, "up", "--config", estate, *state, "--node", "bank-host"], "ringfence is up")
        say("ringfence is up with the bank's estate")
        services = []
        for name in SERVICES:
            folder = self.service_folder(name)
            program = [PYTHON, f"{name.replace('-', '_')}.py"]
            command = [*tool, "run", name, *state, "--workdir", folder]
            command += ["--env", "PYTHONDONTWRITEBYTECODE=1", "--", *program]
            services.append(self.start(name, command, "is serving"))
        say(f"{len(SERVICES)} services and the agent run in compartments; each knows the others by name only")
        folder = self.agent_folder()
        command = [PYTHON, "customer_service.py", "mailbox/mailbox.json", "answers.jsonl"]
        if self.settings["sabotage"] == "compartment":
            with open("/etc/hosts", encoding="utf-8") as hosts:
                text = hosts.read() + "".join(f"10.20.0.{n} {name}\n" for name, n in SERVICES.items())
            with open(os.path.join(self.run, "hosts"), "w", encoding="utf-8") as out:
                out.write(text)
            subprocess.run(["mount", "--bind", os.path.join(self.run, "hosts"), "/etc/hosts"], check=True)
            seconds = self.agent(command, folder, {"PATH": "/usr/bin:/bin", "USER": "agent"})
        else:
            run = [*tool, "run", "customer-service", *state, "--workdir", folder, "--", *command]
            seconds = self.agent(run, self.run)
        # What the kernel refused is collected once a second.
        time.sleep(2.5)
        with open(os.path.join(self.run, "records.jsonl"), "wb") as out:
            subprocess.run([*tool, "observe", *state, "-o", "json"], stdout=out, check=True, timeout=60)
        status = subprocess.run([*tool, "status", *state, "-o", "json"], stdout=subprocess.PIPE, check=False, timeout=60)
        say("stopping everything, looking for what is left")
        for child in services:
            child.send_signal(signal.SIGTERM)
        for child in services:
            child.wait(timeout=20)
        node.send_signal(signal.SIGTERM)
        node_exit = node.wait(timeout=20)
        return {
            "seconds": seconds,
            "status_exit": status.returncode,
            "node_exit": node_exit,
            "left": self.left_over(),
        }

    def left_over(self):
        """Processes nobody of this stage knows. Children that have ended are collected first."""
        known = {os.getpid(), *(child.pid for _, child in self.children if child.poll() is None)}
        deadline = time.monotonic() + 5
        while True:
            left = []
            for entry in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                        state = stat.read().rpartition(")")[2].split()[0]
                    with open(f"/proc/{entry}/cmdline", "rb") as line:
                        words = line.read().replace(b"\0", b" ").decode(errors="replace").strip()
                except OSError:
                    continue
                if int(entry) in known:
                    continue
                if state == "Z":
                    # Orphans are ours to collect: we are init here.
                    os.waitpid(int(entry), os.WNOHANG)
                    continue
                left.append(f"{entry} {words}")
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.1)


def main():
    sys.stdout.reconfigure(errors="replace")
    act, settings = sys.argv[1], json.loads(sys.argv[2])
    stage = Stage(settings)
    outcome = stage.flat() if act == "flat" else stage.ringfence()
    with open(os.path.join(stage.run, "outcome.json"), "w", encoding="utf-8") as out:
        json.dump(outcome, out)
    for _, child in stage.children:
        child.kill()


if __name__ == "__main__":
    main()
