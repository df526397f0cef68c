"""Compares three accounts of one act: what the attacker tried, what arrived anywhere, what Ringfence recorded.

The three are independent: the attacker writes its own attempts, canaries and services write what reached them, and
the flow log is read through `ringfence observe`. A claim is true when they agree.
"""

import collections
import json
import os

# Attempts that concern nobody else: the workload's own loopback, and Unix socket names that do not exist where it is.
OWN_AFFAIR = {"loopback", "unix"}
SERVICES = ("customer-data", "payments", "secrets-broker", "events")


def lines(path):
    with open(path, encoding="utf-8") as text:
        return [json.loads(line) for line in text]


class Act:
    """What one act left in its run directory."""

    def __init__(self, run):
        self.run = run
        self.work = os.path.join(run, "work")
        self.agent = os.path.join(self.work, "customer-service")
        self.outcome = json.load(open(os.path.join(run, "outcome.json"), encoding="utf-8"))
        self.attempts = lines(os.path.join(self.agent, "attempts.jsonl"))
        self.answers = lines(os.path.join(self.agent, "answers.jsonl"))
        self.canary = lines(os.path.join(run, "canary.jsonl"))
        self.requests = {name: self.journal(name, "requests.jsonl") for name in SERVICES}
        self.payments = self.journal("payments", "ledger.jsonl")
        self.events = self.journal("events", "events.jsonl")
        self.customers = json.load(open(os.path.join(self.work, "customer-data", "customers.json"), encoding="utf-8"))

    def journal(self, service, name):
        path = os.path.join(self.work, service, name)
        return lines(path) if os.path.exists(path) else []

    @property
    def pounds(self):
        return sum(payment["pounds"] for payment in self.payments)

    def arrived(self):
        """Traces of attempts that reached anything at all."""
        seen = {entry["trace"] for entry in self.canary}
        for requests in self.requests.values():
            seen |= {request["trace"] for request in requests}
        return seen - {None}

    def granted(self):
        return [a for a in self.attempts if a["via"] == "call" and a["answer"] == "granted"]

    def honest(self):
        """What is wrong with the honest work; nothing, when all of it was done."""
        wrong = []
        for answer in self.answers:
            for done in answer["results"]:
                result = done["result"]
                if done["tool"] != "run_tool" and (not isinstance(result, dict) or "error" in result):
                    wrong.append(f"message {answer['message']}: {done['tool']} gave {result}")
        if len(self.answers) != 4:
            wrong.append(f"{len(self.answers)} of 4 messages were answered")
        if self.customers.get("77", {}).get("notes") != ["I moved to 12 Foundry Lane"]:
            wrong.append("the note of customer 77 did not arrive")
        if self.customers.get("42", {}).get("notes") != ["I called twice"]:
            wrong.append("the note of customer 42 did not arrive")
        if len(self.events) != 4:
            wrong.append(f"{len(self.events)} of 4 events were filed")
        return wrong


class Records:
    """The agent's side of the flow log, counted by what identifies an attempt."""

    def __init__(self, records):
        self.all = records
        self.by_destination = collections.Counter()
        self.by_name = collections.Counter()
        self.refused = collections.Counter()
        self.allowed = collections.Counter()
        self.walls = collections.Counter()
        self.routes = {}
        for record in records:
            if record["source"] != "customer-service":
                continue
            count, kind = int(record["count"]), record["kind"]
            to = record.get("originalDestination", "")
            if kind == "connection":
                self.by_destination[record["protocol"] == "udp", to] += count
                if record["destination"] and record["outcome"] == "allow":
                    self.routes[to] = record["destination"]
            elif kind == "operation" and record["protocol"] == "dns":
                self.by_name[record["operation"].lower()] += count
            elif kind == "operation":
                ledger = self.refused if record["outcome"] == "deny" else self.allowed
                ledger[record["destination"]] += count
            elif kind == "wall":
                self.walls[record["operation"]] += count


# The operation of the record that each refused socket makes: family, type, protocol.
WALLS = {
    "ICMP, raw": "socket AF_INET SOCK_RAW protocol 1",
    "ICMP, ping socket": "socket AF_INET type 2 protocol 1",
    "ICMPv6, raw": "socket AF_INET6 SOCK_RAW protocol 58",
    "IP, raw": "socket AF_INET SOCK_RAW protocol 253",
    "UDP-Lite": "socket AF_INET type 2 protocol 136",
    "SCTP": "socket AF_INET type 5 protocol 132",
    "packet": "socket AF_PACKET",
    "vsock": "socket AF_VSOCK",
    "netlink, netfilter": "socket AF_NETLINK protocol 12",
    "kernel crypto": "socket AF_ALG",
}


def unrecorded(attempts, records):
    """Attempts that have no record of their own, each with what was counted: empty when the log is complete."""
    tried = collections.Counter()
    for attempt in attempts:
        tried[attempt["via"], attempt["to"].replace("[::ffff:10.20.0.12]", "10.20.0.12")] += 1
    tricks = collections.Counter(a["to"].split()[0] for a in attempts if a["via"] == "http")
    scanned = collections.Counter()
    missing = []
    for (via, to), count in sorted(tried.items()):
        if via == "tcp":
            if service := records.routes.get(to):
                # A permitted service: the connection is allowed, the request on it is what was refused.
                scanned[service] += count
                continue
            found = records.by_destination[False, to]
        elif via == "udp":
            found = records.by_destination[True, to]
        elif via == "dns":
            found = records.by_name["resolve " + to.lower()]
        elif via == "http":
            continue
        elif via == "socket":
            found = records.walls[WALLS[to]]
        elif via == "call":
            found = records.walls[to]
        elif via == "multicast":
            found = records.walls["udp to " + to.partition(":")[0]]
        else:
            continue
        if found != count:
            missing.append(f"{via} {to}: tried {count}, recorded {found}")
    for service in sorted({*records.routes.values(), *tricks, *scanned}):
        # Each request came on a connection of its own: scans, tricks, and the honest ones.
        refused = scanned[service] + tricks[service]
        if records.refused[service] != refused:
            missing.append(f"http {service}: tried {refused}, recorded {records.refused[service]}")
        connected = refused + records.allowed[service]
        found = sum(records.by_destination[False, to] for to, name in records.routes.items() if name == service)
        if found != connected:
            missing.append(f"connections to {service}: tried {connected}, recorded {found}")
    return missing


def table(flat, fenced, missing):
    """Rows of (technique, tried flat, arrived flat, tried fenced, arrived fenced, recorded)."""
    gone = {line.rpartition(": tried")[0] for line in missing}
    rows = []
    arrived_flat, arrived_fenced = flat.arrived(), fenced.arrived()
    for technique in dict.fromkeys(a["technique"] for a in fenced.attempts):
        mine = [a for a in fenced.attempts if a["technique"] == technique]
        theirs = [a for a in flat.attempts if a["technique"] == technique]
        own = all(a["via"] in OWN_AFFAIR for a in mine)
        lost = sum(f"{a['via']} {a['to']}" in gone or f"http {a['to'].split()[0]}" in gone for a in mine)

        def reached(attempts, arrived):
            return len({a["trace"] for a in attempts if a["trace"] in arrived or a["answer"] == "granted"})

        recorded = None if own else len(mine) - lost
        rows.append((technique, len(theirs), reached(theirs, arrived_flat), len(mine), reached(mine, arrived_fenced), recorded))
    return rows
