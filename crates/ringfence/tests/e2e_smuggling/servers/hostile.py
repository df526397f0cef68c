"""A service that answers with whatever bytes the case has, and honestly where nobody asks for a case.

    hostile.py PORT CASES

GET /answer/NAME is answered by the case of that name, everything else by its own path.
"""
import json
import socket
import sys
import threading

with open(sys.argv[2]) as file:
    CASES = {case["name"]: case for case in json.load(file)}


def read_head(peer, before):
    while b"\r\n\r\n" not in before:
        data = peer.recv(65536)
        if not data:
            return None, b""
        before += data
    head, _, rest = before.partition(b"\r\n\r\n")
    return head, rest


def serve(peer):
    rest = b""
    try:
        while True:
            head, rest = read_head(peer, rest)
            if head is None:
                return
            path = head.split(b" ")[1].decode()
            case = CASES.get(path.removeprefix("/answer/"))
            if path.startswith("/answer/") and case:
                peer.sendall(bytes.fromhex(case["bytes"]))
                if case["close"]:
                    return
            else:
                body = path.encode()
                length = b"" if head.startswith(b"HEAD") else b"Content-Length: %d\r\n" % len(body)
                peer.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + (body if length else b""))
    except OSError:
        return
    finally:
        peer.close()


with socket.create_server(("0.0.0.0", int(sys.argv[1]))) as listener:
    print("hostile is serving", flush=True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
