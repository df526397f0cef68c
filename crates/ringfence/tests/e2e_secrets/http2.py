"""Sends a secret in every place where a request over HTTP/2 can carry it, each on a connection of its own, the second time in pieces.

Arguments: the secret, what may be read. Header blocks are written by python3-hpack. Says how many requests had an answer of any kind.
"""

import base64
import json
import socket
import struct
import sys
import time
import urllib.parse

from hpack import Encoder
from hpack.struct import NeverIndexedHeaderTuple

S, TENANT = sys.argv[1], sys.argv[2]
B64 = base64.b64encode(S.encode()).decode()
PCT = "".join("%%%02X" % b for b in S.encode())
QUOTED = urllib.parse.quote(S, safe="")
HEX = S.encode().hex()
BASIC = base64.b64encode(("user:" + S).encode()).decode()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def ask(host, path, more=(), method="GET", body=b"", trailers=(), split=False, raw=None):
    """The bytes of one connection with one request."""
    encoder = Encoder()
    fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", host), *more]
    block = raw or encoder.encode([NeverIndexedHeaderTuple(*field) for field in fields])
    ends = 0 if body or trailers else END_STREAM
    if split:
        middle = len(block) // 2
        head = frame(HEADERS, ends, 1, block[:middle]) + frame(CONTINUATION, END_HEADERS, 1, block[middle:])
    else:
        head = frame(HEADERS, ends | END_HEADERS, 1, block)
    out = PREFACE + frame(SETTINGS, 0, 0) + head
    if body:
        out += frame(DATA, 0 if trailers else END_STREAM, 1, body)
    if trailers:
        out += frame(HEADERS, END_STREAM | END_HEADERS, 1, encoder.encode(list(trailers)))
    return out


def news(path, *more, **options):
    return "news", 8080, ask("news:8080", path, more, **options)


def call(path, *more, **options):
    options = {"method": "POST", "body": b"\0\0\0\0\x02" + b"\x0a\0", **options}
    return "calls", 50051, ask("calls:50051", path, [("content-type", "application/grpc"), ("te", "trailers"), *more], **options)


bearer = ("authorization", f"Bearer {S}")
connections = [
    # Fields, and cookies in crumbs.
    news("/a", bearer), news("/a", ("authorization", f"Basic {BASIC}")), news("/a", ("proxy-authorization", f"Basic {BASIC}")),
    news("/a", ("cookie", f"sid={S}"), ("cookie", f"b={B64}"), ("cookie", HEX)), news("/a", ("x-api-key", S), ("x-mine", HEX)),
    news("/a", (f"x-{HEX}", "1")), news("/a", ("user-agent", S), ("referer", f"http://x/?t={QUOTED}")), news("/a", ("origin", S), ("accept", B64)),
    news("/a", bearer, split=True), news("/a", ("x-long", f"{HEX}" * 200), split=True),
    # Queries.
    news(f"/a?token={QUOTED}"), news(f"/a?token={PCT}&x={B64}"), news(f"/a?{QUOTED}=1"), news(f"/a?{QUOTED}"), news(f"/a?x=%zz{HEX}"),
    news("/a?" + "&".join(f"k{n}={HEX}" for n in range(60))), news("/a?page=2", ("x-tenant", TENANT)),
    # Denied, and by a method that is nobody's.
    news(f"/a?token={QUOTED}", bearer, method="DELETE"), news(f"/a?q={HEX}", ("cookie", S), method="PATCH"),
    # Bodies and trailers.
    news("/items", bearer, method="POST", body=json.dumps({"password": S}).encode()),
    news("/items", method="POST", body=S.encode(), trailers=[("x-trailer", S), (f"x-{HEX}", "1")]),
    # What is broken in many ways.
    news(f"/a?t={HEX}", ("Upper-Case", S)), news(f"/a?t={HEX}", ("connection", HEX)), news(f"/a?t={HEX}", ("x", f"{S}\0")), news(f"/a#{HEX}"),
    news(f"/a?t={HEX}", (":late", S)), news(f"/a?t={HEX}", ("transfer-encoding", HEX)), news(f"/a?t={HEX}", ("content-length", HEX)),
    news("/a/../b?t=" + HEX, bearer), news(f"/a%2fb?t={HEX}", bearer), news(f"/?t={HEX}", bearer, method="CONNECT"),
    news("/a", raw=b"\x40" + bytes([len(HEX)]) + HEX.encode() + b"\x7f\xff\xff\xff\xff\xff"), news("/a", ("host", f"user:{HEX}@web")),
    news("/a", ("te", HEX)), news("/a", bearer, ("content-length", "5"), method="POST", body=S.encode()),
    ("news", 8080, PREFACE + frame(SETTINGS, 0, 0, S.encode())), ("news", 8080, PREFACE + frame(SETTINGS, 0, 0) + frame(GOAWAY, 0, 0, b"\0" * 8 + S.encode())),
    ("news", 8080, PREFACE + frame(SETTINGS, 0, 0) + frame(PING, 0, 0, S.encode()[:8]) + frame(99, 0, 0, S.encode())),
    # Calls: allowed, refused, to what is none.
    call("/shop.v1.Orders/Place", bearer), call("/shop.v1.Orders/Place", ("x-token-bin", B64), ("grpc-timeout", "1S")), call("/shop.v1.Admin/Drop", bearer, ("cookie", S)),
    call("/shop.v1.Orders/Place", body=b"\0\0\0\0" + bytes([len(S)]) + S.encode()), call(f"/shop.v1.Orders/Place?t={HEX}", bearer), call("/none", bearer),
]
answered = 0
for number, (host, port, data) in enumerate(connections * 2):
    with socket.create_connection((host, port), timeout=5) as sock:
        sock.settimeout(3)
        try:
            step = len(data) if number < len(connections) else max(1, len(data) // 7)
            for at in range(0, len(data), step):
                sock.sendall(data[at:at + step])
                time.sleep(0.002 if step < len(data) else 0)
            heard, ended = b"", False
            while not ended and (piece := sock.recv(65536)):
                heard += piece
                while len(heard) >= 9 and len(heard) >= 9 + int.from_bytes(heard[:3], "big"):
                    kind, stream = heard[3], int.from_bytes(heard[5:9], "big")
                    ended = ended or kind in (RST, GOAWAY) or (stream == 1 and heard[4] & END_STREAM != 0)
                    heard = heard[9 + int.from_bytes(heard[:3], "big"):]
            answered += ended
        except OSError:
            pass
print("answered", answered, "of", 2 * len(connections), flush=True)
