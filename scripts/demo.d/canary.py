"""The independent observer: listens wherever an escape could arrive, and writes down what did.

Runs outside every compartment, in the simulated host's network, with the right to open raw sockets. It knows nothing
of Ringfence. Usage: canary.py OUT [--in-place-of-services]
"""

import json
import re
import selectors
import socket
import sys

TRACE = re.compile(rb"trace-\d{6}-\w+")
TCP = [("10.20.0.1", port) for port in (22, 80, 443, 5432, 6379, 8080, 15001)]
TCP += [("fd20::1", 8080), *((f"fd20::{n}", 8080) for n in (11, 12, 13, 14)), ("169.254.169.254", 80)]
TCP += [(host, port) for host in ("127.0.0.1", "::1") for port in (80, 8080, 15001)] + [("10.20.0.53", 53)]
SERVICES = [(f"10.20.0.{n}", 8080) for n in (11, 12, 13, 14)]
UDP = [("10.20.0.1", 9999), ("10.20.0.12", 443), ("fd20::1", 9999), ("169.254.169.254", 80), ("10.20.0.53", 53)]
UNIX = ["@bank-canary", "/run/bank-canary.sock"]
PACKETS = 3  # ETH_P_ALL


def asked(query):
    """The name a DNS query asks for."""
    labels, at = [], 12
    while at < len(query) and query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode(errors="replace"))
        at += 1 + query[at]
    return ".".join(labels)


class Canary:
    def __init__(self, out):
        self.out = out
        self.selector = selectors.DefaultSelector()

    def watch(self, sock, where, act):
        sock.setblocking(False)
        self.selector.register(sock, selectors.EVENT_READ, (where, act))

    def note(self, where, data):
        found = TRACE.findall(data)
        self.out.write(json.dumps({"where": where, "trace": found[0].decode() if found else None}) + "\n")

    def accept(self, sock, where):
        conn, _ = sock.accept()
        self.note(where, b"")
        self.watch(conn, where, self.read)

    def read(self, sock, where):
        try:
            data = sock.recv(4096)
        except OSError:
            data = b""
        if data:
            self.note(where, data)
            if data.startswith((b"GET", b"POST")):
                sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.selector.unregister(sock)
        sock.close()

    def datagram(self, sock, where):
        data, sender = sock.recvfrom(65535)
        if where.endswith(":53"):
            self.out.write(json.dumps({"where": where, "trace": f"{sock.getsockname()[0]} {asked(data)}"}) + "\n")
            sock.sendto(data[:2] + b"\x81\x80" + data[4:], sender)
        else:
            self.note(where, data)

    def packet(self, sock, where):
        data = sock.recv(65535)
        self.note(where, data)

    def run(self):
        while True:
            for key, _ in self.selector.select():
                where, act = key.data
                act(key.fileobj, where)


def main():
    with open(sys.argv[1], "w", encoding="utf-8", buffering=1) as out:
        canary = Canary(out)
        for host, port in TCP + (SERVICES if "--in-place-of-services" in sys.argv else []):
            sock = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
            canary.watch(sock, f"tcp {host}:{port}", canary.accept)
        for host, port in UDP:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((host, port))
            canary.watch(sock, f"udp {host}:{port}", canary.datagram)
        for name in UNIX:
            for kind, act in ((socket.SOCK_STREAM, canary.accept), (socket.SOCK_DGRAM, canary.datagram)):
                sock = socket.socket(socket.AF_UNIX, kind)
                suffix = "-datagram" if kind == socket.SOCK_DGRAM else ""
                sock.bind("\0" + name[1:] + suffix if name.startswith("@") else name + suffix)
                if kind == socket.SOCK_STREAM:
                    sock.listen()
                canary.watch(sock, f"unix {name}{suffix}", act)
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(PACKETS))
        sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        canary.watch(sniffer, "packet", canary.packet)
        print("watching", flush=True)
        canary.run()


if __name__ == "__main__":
    main()
