"""Frames as RFC 9113 forbids them, and as it allows them, one connection each: what comes back, case by case.

Header blocks are written and read by python3-hpack, so that no reader of ours is tested against a writer of ours.
Prints one JSON line for each case. Names begin with the section that they are about. What must not reach the service has
`evil` in its path.
"""

import json
import socket
import struct
import sys
import time

from hpack import Decoder, Encoder
from hpack.struct import NeverIndexedHeaderTuple

HOST, PORT = sys.argv[1], int(sys.argv[2])
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
NO, PROTOCOL, INTERNAL, FLOW, TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION, _, CALM = range(12)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
PATIENCE = 30


class Broken(Exception):
    """The connection has ended."""


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", key, value) for key, value in pairs))


class Peer:
    def __init__(self, preface=PREFACE, first=settings(), ready=True):
        self.sock = socket.create_connection((HOST, PORT), timeout=PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.buffer = b""
        self.seen = []
        self.limits = {}
        self.send(preface + first)
        if ready:
            # A connection that stands: theirs is here, ours is acknowledged.
            self.until(lambda f: f[0] == SETTINGS and f[1] & ACK)

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Broken(str(error))

    def read(self):
        while True:
            if len(self.buffer) >= 9:
                length = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + length:
                    kind, flags = self.buffer[3], self.buffer[4]
                    stream = int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
                    payload = self.buffer[9:9 + length]
                    self.buffer = self.buffer[9 + length:]
                    if kind == SETTINGS and not flags & ACK:
                        for at in range(0, length, 6):
                            key, value = struct.unpack(">HI", payload[at:at + 6])
                            self.limits[key] = value
                        self.send(frame(SETTINGS, ACK, 0))
                    self.seen.append((kind, flags, stream, payload))
                    return self.seen[-1]
            try:
                piece = self.sock.recv(65536)
            except OSError as error:
                raise Broken(type(error).__name__)
            if not piece:
                raise Broken("closed")
            self.buffer += piece

    def until(self, wanted):
        while True:
            seen = self.read()
            if wanted(seen):
                return seen

    def block(self, fields):
        return self.encoder.encode([NeverIndexedHeaderTuple(name, value) for name, value in fields])

    def ask(self, stream, path="/", method="GET", more=(), end=True, fields=None):
        fields = fields or [(":method", method), (":scheme", "http"), (":path", path), (":authority", HOST), *more]
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, self.block(fields)))

    def status(self, stream):
        seen = self.until(lambda f: f[2] == stream and f[0] in (HEADERS, RST) or f[0] == GOAWAY)
        if seen[0] != HEADERS:
            return None
        fields = dict(self.decoder.decode(seen[3]))
        if not seen[1] & END_STREAM:
            self.until(lambda f: f[2] == stream and f[1] & END_STREAM and f[0] in (HEADERS, DATA) or f[0] in (RST, GOAWAY))
        return int(fields[":status"])

    # What may come.

    def lives(self, stream):
        """The connection is well: it answers a PING, and a request."""
        self.send(frame(PING, 0, 0, b"whoisit?"))
        self.until(lambda f: f[0] == PING and f[1] & ACK and f[3] == b"whoisit?")
        self.ask(stream, "/good")
        status = self.status(stream)
        return "ok" if status == 200 else f"a good request gets {status}"

    def goes_away(self, *codes):
        """A connection error with one of these codes."""
        try:
            seen = self.until(lambda f: f[0] == GOAWAY)
        except Broken as broken:
            return f"no GOAWAY: {broken}"
        code = int.from_bytes(seen[3][4:8], "big")
        if code not in codes:
            return f"GOAWAY with {code}"
        try:
            while True:
                self.read()
        except Broken:
            return "ok"

    def stream_error(self, stream, *codes):
        """A stream error with one of these codes, or a connection error with it."""
        try:
            seen = self.until(lambda f: f[0] == GOAWAY or f[0] == RST and f[2] == stream)
        except Broken as broken:
            return f"neither RST_STREAM nor GOAWAY: {broken}"
        code = int.from_bytes(seen[3][4:8] if seen[0] == GOAWAY else seen[3], "big")
        return "ok" if code in codes else f"{'GOAWAY' if seen[0] == GOAWAY else 'RST_STREAM'} with {code}"

    def refused(self, stream, after):
        """A malformed request: reset, or answered with 4xx, and its neighbours live on."""
        seen = self.until(lambda f: f[0] == GOAWAY or f[2] == stream and f[0] in (RST, HEADERS))
        if seen[0] == GOAWAY:
            return f"GOAWAY with {int.from_bytes(seen[3][4:8], 'big')}"
        if seen[0] == RST:
            code = int.from_bytes(seen[3], "big")
            if code != PROTOCOL:
                return f"RST_STREAM with {code}"
        else:
            status = int(dict(self.decoder.decode(seen[3]))[":status"])
            if not 400 <= status < 500:
                return f"answered {status}"
        return self.lives(after)


CASES = []


def case(name):
    def add(run):
        CASES.append((name, run))
        return run
    return add


def table(entries):
    for name, run in entries:
        CASES.append((name, run))


# 3.4, 4, 5.5: the connection and its frames.

@case("3.4 another preface")
def _():
    peer = Peer(preface=b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", ready=False)
    try:
        while True:
            if peer.read()[0] == HEADERS:
                return "answered"
    except Broken:
        return "ok"


@case("3.4 no SETTINGS behind the preface")
def _():
    peer = Peer(first=b"", ready=False)
    peer.ask(1, "/evil")
    return peer.goes_away(PROTOCOL)


@case("3.4 preface and first request at once")
def _():
    peer = Peer(ready=False)
    peer.ask(1, "/good")
    return "ok" if peer.status(1) == 200 else "no answer"


@case("3.4 byte by byte")
def _():
    peer = Peer()
    fields = [(":method", "GET"), (":scheme", "http"), (":path", "/good"), (":authority", HOST)]
    for byte in frame(HEADERS, END_HEADERS | END_STREAM, 1, peer.block(fields)):
        peer.send(bytes([byte]))
    return "ok" if peer.status(1) == 200 else "no answer"


def connection_error(data, *codes):
    def run():
        peer = Peer()
        peer.send(data(peer) if callable(data) else data)
        return peer.goes_away(*codes)
    return run


def borne(data):
    def run():
        peer = Peer()
        peer.send(data(peer) if callable(data) else data)
        return peer.lives(1)
    return run


def open_stream(peer, stream=1, path="/slow-evil"):
    """A request whose body is still to come, as bytes."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", HOST)]
    return frame(HEADERS, END_HEADERS, stream, peer.block(fields))


def whole(peer, stream=1, path="/good"):
    fields = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", HOST)]
    return peer.block(fields)


table([
    ("4.1 a frame of an unknown kind", borne(frame(0x77, 0xFF, 0, b"whatever"))),
    ("4.1 flags that PING does not have", borne(frame(PING, 0x16, 0, b"12345678"))),
    ("4.1 the reserved bit", borne(frame(PING, 0, 1 << 31, b"12345678"))),
    ("4.2 SETTINGS longer than a frame may be", connection_error(frame(SETTINGS, 0, 0, bytes(6) * 2731), SIZE)),
    ("4.2 HEADERS longer than a frame may be", connection_error(lambda p: frame(HEADERS, 5, 1, bytes(16385)), SIZE)),
    ("4.2 DATA longer than a frame may be", connection_error(lambda p: open_stream(p) + frame(DATA, 0, 1, bytes(16385)), SIZE)),
    ("4.3 a block that cannot be decoded", connection_error(frame(HEADERS, 5, 1, b"\x82\x84\x86\xff\xff\xff\xff\xff"), COMPRESSION)),
    ("4.3 an index that is in no table", connection_error(frame(HEADERS, 5, 1, b"\xfe"), COMPRESSION)),
    ("4.3 a table larger than was offered", connection_error(frame(HEADERS, 5, 1, b"\x3f\xff\xff\x03\x82"), COMPRESSION)),
    ("4.3 PRIORITY within a block", connection_error(
        lambda p: frame(HEADERS, END_STREAM, 1, whole(p)) + frame(PRIORITY, 0, 1, bytes(5)), PROTOCOL)),
    ("4.3 another stream within a block", connection_error(
        lambda p: frame(HEADERS, END_STREAM, 1, whole(p)) + frame(HEADERS, 5, 3, whole(p)), PROTOCOL)),
    ("5.5 a frame of an unknown kind within a block", connection_error(
        lambda p: frame(HEADERS, END_STREAM, 1, whole(p)) + frame(0x77, 0, 1, b"x"), PROTOCOL)),
    # 5.1: the states of a stream.
    ("5.1 idle: DATA", connection_error(frame(DATA, 1, 1, b"x"), PROTOCOL)),
    ("5.1 idle: RST_STREAM", connection_error(frame(RST, 0, 1, bytes(4)), PROTOCOL)),
    ("5.1 idle: WINDOW_UPDATE", connection_error(frame(WINDOW, 0, 1, struct.pack(">I", 100)), PROTOCOL)),
    ("5.1 idle: CONTINUATION", connection_error(lambda p: frame(CONTINUATION, 4, 1, whole(p)), PROTOCOL)),
    ("5.1.1 an even stream", connection_error(lambda p: frame(HEADERS, 5, 2, whole(p)), PROTOCOL)),
    ("6.1 DATA on the connection", connection_error(frame(DATA, 0, 0, b"x"), PROTOCOL)),
    ("6.1 padding longer than DATA", connection_error(lambda p: open_stream(p) + frame(DATA, PADDED, 1, b"\x06abcde"), PROTOCOL)),
    ("6.2 HEADERS on the connection", connection_error(lambda p: frame(HEADERS, 5, 0, whole(p)), PROTOCOL)),
    ("6.2 padding longer than HEADERS", connection_error(lambda p: frame(HEADERS, 5 | PADDED, 1, b"\xff" + whole(p)), PROTOCOL)),
    ("6.3 PRIORITY on the connection", connection_error(frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL)),
    ("6.4 RST_STREAM on the connection", connection_error(frame(RST, 0, 0, bytes(4)), PROTOCOL)),
    ("6.4 RST_STREAM of another size", connection_error(lambda p: open_stream(p) + frame(RST, 0, 1, bytes(3)), SIZE)),
    ("6.5 SETTINGS on a stream", connection_error(frame(SETTINGS, 0, 1, b""), PROTOCOL)),
    ("6.5 SETTINGS of another size", connection_error(frame(SETTINGS, 0, 0, bytes(3)), SIZE)),
    ("6.5 an acknowledgement with a payload", connection_error(frame(SETTINGS, ACK, 0, bytes(6)), SIZE)),
    ("6.5.2 ENABLE_PUSH of 2", connection_error(settings((2, 2)), PROTOCOL)),
    ("6.5.2 a window that is too large", connection_error(settings((4, 1 << 31)), FLOW)),
    ("6.5.2 a frame size that is too small", connection_error(settings((5, 16383)), PROTOCOL)),
    ("6.5.2 a frame size that is too large", connection_error(settings((5, 1 << 24)), PROTOCOL)),
    ("6.5.2 an unknown setting", borne(settings((0xFF, 7)))),
    ("6.6 PUSH_PROMISE from a client", connection_error(lambda p: frame(PUSH, 4, 1, struct.pack(">I", 2) + whole(p)), PROTOCOL)),
    ("6.7 PING on a stream", connection_error(frame(PING, 0, 1, bytes(8)), PROTOCOL)),
    ("6.7 PING of another size", connection_error(frame(PING, 0, 0, bytes(7)), SIZE)),
    ("6.7 an acknowledgement that nobody waits for", borne(frame(PING, ACK, 0, b"invalid!"))),
    ("6.8 GOAWAY on a stream", connection_error(frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL)),
    ("6.9 WINDOW_UPDATE of nothing", connection_error(frame(WINDOW, 0, 0, bytes(4)), PROTOCOL)),
    ("6.9 WINDOW_UPDATE of another size", connection_error(frame(WINDOW, 0, 0, bytes(3)), SIZE)),
    ("6.9.1 a window of the connection beyond 2^31-1", connection_error(
        frame(WINDOW, 0, 0, struct.pack(">I", 0x7FFFFFFF)) * 2, FLOW)),
    ("6.10 CONTINUATION on the connection", connection_error(
        lambda p: frame(HEADERS, END_STREAM, 1, whole(p)) + frame(CONTINUATION, 4, 0, b""), PROTOCOL)),
    ("6.10 CONTINUATION behind the end of a block", connection_error(
        lambda p: open_stream(p) + frame(CONTINUATION, 4, 1, b""), PROTOCOL)),
    ("6.10 CONTINUATION behind DATA", connection_error(
        lambda p: open_stream(p) + frame(DATA, 0, 1, b"x") + frame(CONTINUATION, 4, 1, b""), PROTOCOL)),
    ("10.5 CONTINUATION without end", connection_error(
        lambda p: frame(HEADERS, END_STREAM, 1, whole(p)) + frame(CONTINUATION, 0, 1, b"") * 2000, CALM, PROTOCOL)),
    ("10.5 PING without end", connection_error(frame(PING, 0, 0, bytes(8)) * 50_000, CALM)),
    ("10.5 SETTINGS without end", connection_error(settings() * 50_000, CALM)),
    ("10.5 empty DATA without end", connection_error(lambda p: open_stream(p) + frame(DATA, 0, 1) * 50_000, CALM)),
    ("10.5 rapid reset", connection_error(
        lambda p: b"".join(open_stream(p, n, "/good") + frame(RST, 0, n, struct.pack(">I", CANCEL)) for n in range(1, 20_001, 2)), CALM)),
])


@case("4.2 a header list without measure")
def _():
    # Each reference is one byte and costs 4 KiB: what is decoded counts, not what is sent.
    peer = Peer()
    name = b"x" * 30
    literal = b"\x40" + bytes([len(name)]) + name + b"\x7f\xc1\x1e" + b"v" * 4000
    peer.send(frame(HEADERS, 5, 1, b"\x82\x86\x84\x41" + bytes([len(HOST)]) + HOST.encode() + literal + b"\xbe" * 4000))
    status = peer.status(1)
    if status not in (None, 431):
        return f"answered {status}"
    return "ok"


@case("5.1 half closed: DATA")
def _():
    peer = Peer()
    peer.ask(1, "/slow")
    peer.send(frame(DATA, 1, 1, b"evil"))
    return peer.stream_error(1, CLOSED)


@case("5.1 half closed: HEADERS")
def _():
    peer = Peer()
    peer.ask(1, "/slow")
    peer.ask(1, "/evil")
    return peer.stream_error(1, CLOSED)


@case("5.1 closed: DATA")
def _():
    peer = Peer()
    peer.send(open_stream(peer) + frame(RST, 0, 1, struct.pack(">I", CANCEL)) + frame(DATA, 1, 1, b"evil"))
    return peer.stream_error(1, CLOSED)


@case("5.1 closed: HEADERS")
def _():
    peer = Peer()
    peer.ask(1, "/good")
    peer.status(1)
    peer.ask(1, "/evil")
    return peer.stream_error(1, CLOSED, PROTOCOL)


@case("5.1.1 a stream below an earlier one")
def _():
    peer = Peer()
    peer.ask(5, "/good")
    peer.status(5)
    peer.ask(3, "/evil")
    return peer.goes_away(PROTOCOL, CLOSED)


@case("5.1.2 more streams than are offered")
def _():
    peer = Peer()
    limit = peer.limits.get(3)
    if not limit:
        return "no limit is offered"
    for number in range(limit + 1):
        peer.send(open_stream(peer, 1 + 2 * number, "/slow"))
    return peer.stream_error(1 + 2 * limit, REFUSED, PROTOCOL)


@case("5.3.1 a stream that depends on itself")
def _():
    peer = Peer()
    peer.send(frame(HEADERS, 5 | WITH_PRIORITY, 1, struct.pack(">IB", 1, 16) + whole(peer, path="/evil")))
    return peer.stream_error(1, PROTOCOL)


@case("6.1 padding is taken off and counted")
def _():
    peer = Peer()
    peer.ask(1, "/echo", "POST", end=False)
    peer.send(frame(DATA, PADDED, 1, b"\x05abc" + bytes(5)) + frame(DATA, 1 | PADDED, 1, b"\x00def"))
    data = b""
    while not data.endswith(b"def"):
        seen = peer.until(lambda f: f[0] in (DATA, RST, GOAWAY))
        if seen[0] != DATA:
            return f"ended by {seen}"
        data += seen[3]
    return "ok" if data == b"abcdef" else repr(data)


@case("6.3 PRIORITY of another size")
def _():
    peer = Peer()
    peer.send(open_stream(peer) + frame(PRIORITY, 0, 1, bytes(4)))
    return peer.stream_error(1, SIZE)


@case("6.9 WINDOW_UPDATE of nothing on a stream")
def _():
    peer = Peer()
    peer.send(open_stream(peer) + frame(WINDOW, 0, 1, bytes(4)))
    return peer.stream_error(1, PROTOCOL)


@case("6.9.1 a window of a stream beyond 2^31-1")
def _():
    peer = Peer()
    peer.send(open_stream(peer) + frame(WINDOW, 0, 1, struct.pack(">I", 0x7FFFFFFF)))
    return peer.stream_error(1, FLOW)


@case("6.9.1 no byte more than the window has")
def _():
    peer = Peer(first=settings((4, 5)))
    peer.ask(1, "/long")
    got = b""
    while len(got) < 5:
        got += peer.until(lambda f: f[0] == DATA)[3]
    peer.send(frame(PING, 0, 0, b"12345678"))
    late = peer.until(lambda f: f[0] in (DATA, PING))
    if late[0] == DATA and late[3]:
        return f"{len(late[3])} bytes more"
    peer.send(frame(WINDOW, 0, 1, struct.pack(">I", 7)))
    while len(got) < 12:
        got += peer.until(lambda f: f[0] == DATA)[3]
    return "ok" if len(got) == 12 else f"{len(got)} bytes"


@case("6.9.2 a window that shrinks below nothing")
def _():
    peer = Peer(first=settings((4, 10)))
    peer.ask(1, "/long")
    got = 0
    while got < 10:
        got += len(peer.until(lambda f: f[0] == DATA)[3])
    peer.send(settings((4, 4)) + frame(WINDOW, 0, 1, struct.pack(">I", 6)) + frame(PING, 0, 0, b"12345678"))
    late = peer.until(lambda f: f[0] == DATA and f[3] or f[0] == PING)
    if late[0] == DATA:
        return f"{len(late[3])} bytes of a window that is empty"
    peer.send(frame(WINDOW, 0, 1, struct.pack(">I", 3)))
    return "ok" if len(peer.until(lambda f: f[0] == DATA and f[3])[3]) == 3 else "not 3 bytes"


@case("6.10 a block in many pieces")
def _():
    peer = Peer()
    block = whole(peer)
    peer.send(frame(HEADERS, END_STREAM, 1, block[:3]) + frame(CONTINUATION, 0, 1, block[3:7]) + frame(CONTINUATION, 4, 1, block[7:]))
    return "ok" if peer.status(1) == 200 else "no answer"


@case("8.1 trailers that do not end the stream")
def _():
    peer = Peer()
    peer.send(open_stream(peer, path="/slow-evil") + frame(DATA, 0, 1, b"x"))
    peer.ask(1, fields=[("x-trailer", "1")], end=False)
    return peer.stream_error(1, PROTOCOL)


# 8.2, 8.3: requests that are malformed.

def malformed(more=(), fields=None, body=None, method="GET", trailers=None):
    def run():
        peer = Peer()
        # One with a body is on its way before all of it is known.
        path = "/evil" if body is None else "/slow-evil"
        peer.ask(1, path, method, more, end=body is None and trailers is None, fields=fields)
        if body is not None:
            peer.send(frame(DATA, 0 if trailers else 1, 1, body))
        if trailers is not None:
            peer.ask(1, fields=trailers)
        return peer.refused(1, 3)
    return run


def pseudo(method="GET", scheme="http", path="/evil", authority=HOST):
    pairs = [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]
    return [(name, value) for name, value in pairs if value is not None]


table([
    ("8.2.1 capitals in a name", malformed([("X-Evil", "1")])),
    ("8.2.1 a space in a name", malformed([("x evil", "1")])),
    ("8.2.1 a colon in a name", malformed([("x:evil", "1")])),
    ("8.2.1 an empty name", malformed([("", "1")])),
    ("8.2.1 a line end in a name", malformed([("x\r\nevil", "1")])),
    ("8.2.1 a line end in a value", malformed([("x-evil", "1\r\nhost: other")])),
    ("8.2.1 a lone line feed in a value", malformed([("x-evil", "1\nx: y")])),
    ("8.2.1 NUL in a value", malformed([("x-evil", "a\0b")])),
    ("8.2.1 whitespace before a value", malformed([("x-evil", " 1")])),
    ("8.2.1 whitespace behind a value", malformed([("x-evil", "1\t")])),
    ("8.2.2 connection", malformed([("connection", "keep-alive")])),
    ("8.2.2 keep-alive", malformed([("keep-alive", "timeout=5")])),
    ("8.2.2 proxy-connection", malformed([("proxy-connection", "close")])),
    ("8.2.2 transfer-encoding", malformed([("transfer-encoding", "chunked")])),
    ("8.2.2 upgrade", malformed([("upgrade", "websocket")])),
    ("8.2.2 te other than trailers", malformed([("te", "trailers, deflate")])),
    ("8.3 an unknown pseudo-header", malformed(fields=[*pseudo(), (":evil", "1")])),
    ("8.3 that of an answer", malformed(fields=[*pseudo(), (":status", "200")])),
    ("8.3 behind another field", malformed(fields=[*pseudo()[:3], ("x", "1"), pseudo()[3]])),
    ("8.3 in trailers", malformed(method="POST", body=b"x", trailers=[(":path", "/evil")])),
    ("8.3.1 no method", malformed(fields=pseudo(method=None))),
    ("8.3.1 no scheme", malformed(fields=pseudo(scheme=None))),
    ("8.3.1 no path", malformed(fields=pseudo(path=None))),
    ("8.3.1 an empty path", malformed(fields=pseudo(path=""))),
    ("8.3.1 a path without its slash", malformed(fields=pseudo(path="evil"))),
    ("8.3.1 a path that is a whole URL", malformed(fields=pseudo(path="http://other/evil"))),
    ("8.3.1 a space in the path", malformed(fields=pseudo(path="/evil HTTP/1.1"))),
    ("8.3.1 a line end in the path", malformed(fields=pseudo(path="/evil HTTP/1.1\r\nhost: other\r\n\r\n"))),
    ("8.3.1 a fragment in the path", malformed(fields=pseudo(path="/evil#x"))),
    ("8.3.1 dot segments", malformed(fields=pseudo(path="/good/../evil"))),
    ("8.3.1 two methods", malformed(fields=[(":method", "GET"), *pseudo()])),
    ("8.3.1 two schemes", malformed(fields=[(":scheme", "http"), *pseudo()])),
    ("8.3.1 two paths", malformed(fields=[*pseudo(), (":path", "/good")])),
    ("8.3.1 two authorities", malformed(fields=[*pseudo(), (":authority", HOST)])),
    ("8.3.1 host that differs from the authority", malformed([("host", "other")])),
    ("8.3.1 userinfo in the authority", malformed(fields=pseudo(authority=f"me@{HOST}"))),
    ("8.3.1 another's authority", malformed(fields=pseudo(authority="other"))),
    ("8.3.1 a scheme that is not its own", malformed(fields=pseudo(scheme="ftp"))),
    ("8.3.1 a space in the method", malformed(fields=pseudo(method="GET /good HTTP/1.1"))),
    ("8.3.1 a method in small letters", malformed(fields=pseudo(method="get"))),
    ("8.5 CONNECT", malformed(fields=[(":method", "CONNECT"), (":authority", f"{HOST}:{PORT}")], body=b"evil")),
    ("8.5 CONNECT with a path", malformed(fields=pseudo(method="CONNECT"))),
    ("8.5 extended CONNECT (RFC 8441)", malformed(fields=[*pseudo(method="CONNECT"), (":protocol", "websocket")])),
    ("8.1.1 less data than content-length", malformed([("content-length", "7")], method="POST", body=b"evil")),
    ("8.1.1 more data than content-length", malformed([("content-length", "3")], method="POST", body=b"evil")),
    ("8.1.1 content-length without data", malformed([("content-length", "1")])),
    ("8.1.1 two content-lengths", malformed([("content-length", "4"), ("content-length", "4")], method="POST", body=b"evil")),
    ("8.1.1 a content-length that is none", malformed([("content-length", "+4")], method="POST", body=b"evil")),
])


@case("8.2.2 te: trailers")
def _():
    peer = Peer()
    peer.ask(1, "/good", more=[("te", "trailers")])
    return "ok" if peer.status(1) == 200 else "refused"


@case("8.3.1 an authority by Host alone")
def _():
    peer = Peer()
    peer.ask(1, fields=[*pseudo(path="/good", authority=None), ("host", HOST)])
    return "ok" if peer.status(1) == 200 else "refused"


@case("8.1 a refused request among living ones")
def _():
    peer = Peer()
    peer.ask(1, "/echo", "POST", end=False)
    peer.ask(3, "/forbidden-evil", "DELETE")
    status = peer.status(3)
    if status != 403:
        return f"answered {status}"
    peer.send(frame(DATA, 1, 1, b"still here"))
    data = b""
    while not data.endswith(b"here"):
        data += peer.until(lambda f: f[0] == DATA and f[2] == 1)[3]
    return peer.lives(5)


failed = 0
for name, run in CASES:
    began = time.monotonic()
    try:
        outcome = run()
    except Broken as broken:
        outcome = f"the connection broke: {broken}"
    except OSError as error:
        outcome = f"{type(error).__name__}: {error}"
    failed += outcome != "ok"
    print(json.dumps({"case": name, "outcome": outcome, "seconds": round(time.monotonic() - began, 2)}), flush=True)
print(json.dumps({"cases": len(CASES), "failed": failed}), flush=True)
