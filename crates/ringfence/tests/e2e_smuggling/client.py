"""Sends the cases as they are, one connection each, and says what came back.

    client.py LIMIT CASES NAME=HOST:PORT...

LIMIT is what a peer may be silent, in seconds.

After each case, a marker on a connection of its own: what a server saw between two markers belongs to one case.
"""
import json
import socket
import sys
import time

LIMIT = float(sys.argv[1])


def converse(address, steps):
    heard = b""
    try:
        with socket.create_connection(address, timeout=LIMIT) as peer:
            for step, value in steps:
                if step == "send":
                    peer.sendall(value)
                while step == "await" and value not in heard:
                    data = peer.recv(65536)
                    if not data:
                        return heard + b"<EARLY END>"
                    heard += data
            peer.shutdown(socket.SHUT_WR)
            while data := peer.recv(65536):
                heard += data
    except TimeoutError:
        return heard + b"<NO END>"
    except OSError:
        return heard + b"<RESET>"
    return heard


def marker(name, case):
    return f"GET /marker/{case} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()


def ready(name, address):
    deadline = time.monotonic() + 20
    while b" 200 " not in converse(address, [("send", marker(name, "start"))]):
        if time.monotonic() > deadline:
            sys.exit(f"{name} does not serve")
        time.sleep(0.05)


def main():
    with open(sys.argv[2]) as file:
        cases = json.load(file)
    servers = []
    for word in sys.argv[3:]:
        name, _, address = word.partition("=")
        host, _, port = address.rpartition(":")
        servers.append((name, (host, int(port))))
    for name, address in servers:
        ready(name, address)
        for case in cases:
            steps = [(step, bytes.fromhex(text).replace(b"{host}", name.encode())) for step, text in case["steps"]]
            heard = converse(address, steps)
            print(json.dumps({"server": name, "case": case["name"], "heard": heard.hex()}), flush=True)
            converse(address, [("send", marker(name, case["name"]))])


main()
