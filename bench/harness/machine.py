"""The machine it runs on: its cores, what it is, and what processes cost on it."""

import os
import platform
import subprocess

# Where the thing that is measured runs, and where everything else does. With one core both are the same.
CORES = sorted(os.sched_getaffinity(0))
MEASURED = CORES[-1]
OTHERS = CORES[0]
# Where the scheduler is to choose.
ANYWHERE = ",".join(str(core) for core in CORES)


def settle():
    """What a fresh network namespace lacks."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/run"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def pinned(core, command):
    return ["taskset", "-c", str(core), *command]


def described():
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    return {
        "cores": len(CORES),
        "cpu": model,
        "kernel": platform.release(),
        "load_at_start": os.getloadavg()[0],
        "pinned": {"measured": MEASURED, "clients and servers": OTHERS},
        "instructions": "counted" if counts_instructions() else "not counted: no hardware counters here",
    }


def counts_instructions():
    try:
        tried = subprocess.run(
            ["perf", "stat", "-x", ",", "-e", "instructions", "true"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return False
    return tried.returncode == 0 and "not supported" not in tried.stderr


def tree(pid):
    """A process and all that descend from it."""
    found, left = [], [pid]
    while left:
        at = left.pop()
        found.append(at)
        try:
            for task in os.listdir(f"/proc/{at}/task"):
                with open(f"/proc/{at}/task/{task}/children", encoding="ascii") as children:
                    left += [int(child) for child in children.read().split()]
        except OSError:
            pass
    return found


def program(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def cpu_ns(pids):
    """Time on a processor of all threads of `pids`, in nanoseconds. Threads that have ended are not in it."""
    total = 0
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as stat:
                    total += int(stat.read().split()[0])
        except OSError:
            pass
    return total


def anonymous_bytes(pid):
    """Memory that is the process's own: no file is behind it."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
