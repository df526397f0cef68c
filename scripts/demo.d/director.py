"""Directs the demonstration: two acts in simulated hosts, then the claims, each checked.

Exits 0 when every claim holds, 1 when one is false. See `scripts/demo --help`.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import judge

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BANK = os.path.join(ROOT, "examples", "bank")
PYTHON = "/usr/bin/python3"
CLEAR_SECONDS = 5
COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if COLOUR else text


def heading(text):
    print(f"\n{paint('1', text)}", flush=True)


def play(act, run, settings):
    """One act in namespaces of its own. Whatever happens to it, nothing of it survives."""
    os.makedirs(run)
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    # The flat act is always in a user namespace: what the attacker runs there as root is not root of the machine.
    if act == "flat" or not settings["root"]:
        command += ["--user", "--map-root-user"]
    command += [PYTHON, "-B", os.path.join(HERE, "stage.py"), act, json.dumps({**settings, "run": run})]
    # In a session of its own: Ctrl-C is for the director, which ends the act whole.
    done = subprocess.run(command, stdin=subprocess.DEVNULL, start_new_session=True, check=False)
    if done.returncode != 0:
        if not os.path.exists(os.path.join(run, "canary.log")):
            print(
                "demo: the simulated host could not be made. It needs user namespaces"
                " (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone,"
                " kernel.apparmor_restrict_unprivileged_userns).",
                file=sys.stderr,
            )
        sys.exit(1)
    return judge.Act(run)


def interrupted(number, _):
    """Ends the demonstration; what the second of two signals would do is under way already."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    print(f"\ndemo: stopped by {signal.Signals(number).name}", file=sys.stderr)
    sys.exit(128 + number)


def clear(run):
    """Removes the run directory. Processes of an act that was cut short may write there for a moment longer."""
    deadline = time.monotonic() + CLEAR_SECONDS
    while os.path.exists(run):
        shutil.rmtree(run, ignore_errors=True)
        if time.monotonic() > deadline:
            print(f"demo: {run} could not be removed whole", file=sys.stderr)
            return
        time.sleep(0.05)


def edit(estate, name, *changes):
    """Changes a file of the estate; a change that does not apply is an error of ours."""
    path = os.path.join(estate, name)
    with open(path, encoding="utf-8") as source:
        text = source.read()
    for old, new in changes:
        if old not in text:
            sys.exit(f"demo: {name} no longer holds {old!r}")
        text = text.replace(old, new)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)


def open_payments(estate):
    """Sabotage: a policy that lets the agent pay. The demonstration has to notice."""
    grant = '      operations: ["POST /events"]\n'
    also = grant + '    - service: payments\n      operations: ["POST /v1/payments", "GET /"]\n'
    deny = '    - { to: payments, deny: "POST /v1/payments" }\n'
    edit(estate, "customer-service.yaml", (grant, also), (deny, ""))
    rule = '    - agent: treasury\n      operations: ["POST /v1/payments"]\n'
    mine = rule + '    - agent: customer-service\n      operations: ["POST /v1/payments", "GET /"]\n'
    edit(estate, "services.yaml", (rule, mine))


def claims(flat, fenced, records, missing):
    """(what is claimed, whether it holds, what was seen)."""
    arrived = sorted(fenced.arrived() & {a["trace"] for a in fenced.attempts})
    packets = [entry for entry in fenced.canary if entry["where"] == "packet"]
    others = [a for a in fenced.attempts if a["via"] not in judge.OWN_AFFAIR]
    allowed = [r for r in records.all if r["source"] == "customer-service" and r["outcome"] == "allow"]
    yield "flat: the honest work was done", not flat.honest(), flat.honest()
    yield "flat: 847 fraudulent payments arrived", len(flat.payments) == 847, len(flat.payments)
    yield "flat: they are worth £1,900,000", flat.pounds == 1_900_000, f"£{flat.pounds:,}"
    yield "Ringfence: the honest work was done, before the attack and after it", not fenced.honest(), fenced.honest()
    yield "Ringfence: the attacker tried at least as much again", len(fenced.attempts) >= len(flat.attempts), (
        len(flat.attempts),
        len(fenced.attempts),
    )
    yield "Ringfence: 847 payments were tried", sum(a["technique"] == "fraudulent payments" for a in fenced.attempts) == 847, None
    yield "Ringfence: 0 payments arrived", not fenced.payments, len(fenced.payments)
    yield "Ringfence: nothing the attacker tried arrived anywhere", not arrived, arrived[:5]
    yield "Ringfence: no canary was touched", not fenced.canary, fenced.canary[:5]
    yield "Ringfence: not one packet on the host's network", not packets, len(packets)
    yield "Ringfence: no system call led out", not fenced.granted(), [a["to"] for a in fenced.granted()]
    yield f"Ringfence: each of {len(others):,} attempts is in the flow log", not missing, missing[:8]
    yield "Ringfence: the honest work is in the flow log too", len(allowed) > 0, len(allowed)
    yield "Ringfence: the node was healthy and stopped cleanly", (
        fenced.outcome["status_exit"] == 0 and fenced.outcome["node_exit"] == 0
    ), fenced.outcome
    yield "Ringfence: no process was left behind", not fenced.outcome["left"], fenced.outcome["left"]


def show(flat, fenced, records, missing):
    """The table, and the claims below it. True when all hold."""
    rows = judge.table(flat, fenced, missing)
    heading("What was tried, and what arrived")
    print(f"  {'':<32}{'flat network':>20}{'inside Ringfence':>22}{'':>4}")
    print(f"  {'technique':<32}{'tried':>10}{'arrived':>10}{'tried':>11}{'arrived':>11}{'recorded':>11}")
    for technique, tried_flat, hit_flat, tried, hit, recorded in rows:
        flat_cell = paint("31", f"{hit_flat:>10,}") if hit_flat else f"{hit_flat:>10,}"
        cell = paint("31", f"{hit:>11,}") if hit else paint("32", f"{hit:>11,}")
        told = f"{recorded:>11,}" if recorded is not None else f"{'own affair':>11}"
        print(f"  {technique:<32}{tried_flat:>10,}{flat_cell}{tried:>11,}{cell}{told}")
    on_others = [row for row in rows if row[5] is not None]
    tried, hit = sum(row[3] for row in on_others), sum(row[4] for row in on_others)
    recorded, own = sum(row[5] for row in on_others), sum(row[3] for row in rows if row[5] is None)
    allowed = [
        r for r in records.all
        if r["source"] == "customer-service" and r["kind"] == "operation" and r["protocol"] == "http" and r["outcome"] == "allow"
    ]  # fmt: skip
    print()
    print(f"  tried {tried:,} · blocked {tried - hit:,} · recorded {recorded:,}        honest requests allowed {len(allowed):,}")
    print(f"  own affair ({own}): the agent's own loopback, and Unix sockets that do not exist where it is")

    heading("Claims")
    good = True
    for claim, holds, seen in claims(flat, fenced, records, missing):
        mark = paint("32", "holds") if holds else paint("31;1", "FALSE")
        print(f"  {mark}  {claim}" + ("" if holds or seen is None else f"\n         seen: {seen}"))
        good = good and holds
    return good


def main():
    # A terminal that cannot show a pound sign gets a question mark.
    sys.stdout.reconfigure(errors="replace")
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--built", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--sabotage", choices=["policy", "compartment", "records"])
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # One that is ignored (nohup, a job in the background) stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupted)

    started = time.monotonic()
    run = tempfile.mkdtemp(prefix="ringfence-demo-", dir="/var/tmp")
    try:
        # A copy that both root and an ordinary user can execute, whatever the mode of the build directory.
        binary = shutil.copy(options.binary, os.path.join(run, "ringfence"))
        estate = shutil.copytree(os.path.join(BANK, "estate"), os.path.join(run, "estate"))
        if options.sabotage == "policy":
            open_payments(estate)
        settings = {
            "bank": BANK,
            "scripts": HERE,
            "binary": binary,
            "estate": estate,
            "root": os.geteuid() == 0,
            "uid": os.geteuid(),
            "gid": os.getegid(),
            "knowledge": None,
            "sabotage": options.sabotage,
        }
        print(
            "\nA bank: four services, and an agent that answers customers' mail. One message is poisoned: it turns the agent"
            "\ninto an attacker. The same programs play twice; what arrived is judged by the services and by canaries."
        )
        heading("Act 1: a flat network")
        flat = play("flat", os.path.join(run, "flat"), settings)
        lost = paint("31;1", f"{len(flat.payments)} fraudulent payments, £{flat.pounds:,}")
        print(f"  the attacker found payments and sent {lost}, in {flat.outcome['seconds']:.1f} s", flush=True)

        heading("Act 2: the same processes inside Ringfence")
        settings["knowledge"] = os.path.join(flat.agent, "learned.json")
        fenced = play("ringfence", os.path.join(run, "ringfence-act"), settings)
        kept = paint("32;1" if not fenced.payments else "31;1", f"{len(fenced.payments)} payments, £{fenced.pounds:,}")
        print(f"  the attacker came back with a map of the network: {kept}, in {fenced.outcome['seconds']:.1f} s")

        records = judge.lines(os.path.join(fenced.run, "records.jsonl"))
        if options.sabotage == "records":
            # One record of a payment attempt is withheld.
            del records[next(i for i, r in enumerate(records) if r.get("originalDestination") == "10.20.0.12:8080")]
        records = judge.Records(records)
        good = show(flat, fenced, records, judge.unrecorded(fenced.attempts, records))
    finally:
        if options.keep:
            print(f"\n  everything is in {run}")
        else:
            clear(run)
    took = f"{time.monotonic() - started:.0f} s"
    print(f"\n  the two acts took {took}" + (f"; installing and building took {options.built} s" if options.built > 2 else ""))
    if not good:
        print(paint("31;1", "  a claim is false: Ringfence did not do what it says"), file=sys.stderr)
        sys.exit(1)
    tool = shlex.quote(min(options.binary, os.path.relpath(options.binary), key=len))
    print(f"  next: {tool} init my-estate && {tool} up --config my-estate      (README.md walks through it)")


if __name__ == "__main__":
    main()
