# Behind the prelude of all attackers: connections of HTTP/2 that say what they are told, frame by frame.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", key, value) for key, value in pairs))


def number(value, bits):
    """An integer of HPACK; what its first byte holds besides comes from the caller."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    value -= most
    out = bytearray([most])
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value):
    return number(len(value), 7) + value


def field(name, value, kind=b"\0"):
    """A literal, without the table unless `kind` says otherwise."""
    return kind + text(name) + text(value)


def head(method=b"GET", path=b"/small", more=b""):
    return (field(b":method", method) + field(b":scheme", b"http") + field(b":authority", b"loom")
            + field(b":path", path) + more)


def asks(stream, block, end=True):
    """A request in as few frames as it fits into."""
    first, rest = block[:16384], block[16384:]
    out = [frame(HEADERS, (END_STREAM if end else 0) | (0 if rest else END_HEADERS), stream, first)]
    while rest:
        first, rest = rest[:16384], rest[16384:]
        out.append(frame(CONTINUATION, 0 if rest else END_HEADERS, stream, first))
    return b"".join(out)


def streams(piece, count):
    """The numbers of `count` streams, the next ones for every piece."""
    return range(2 * count * piece + 1, 2 * count * (piece + 1) + 1, 2)


def attack(connections, says, first=settings(), reads=True):
    """Keeps so many connections, each of which says `says(0)`, `says(1)` and so on as fast as it is taken, until one of
    them is None; one that has ended begins anew. Those that do not read are never told anything."""
    poller, living, pieces = select.epoll(), {}, {}

    def piece(which):
        if which not in pieces:
            if len(pieces) > 2000:
                pieces.clear()
            pieces[which] = says(which)
        return pieces[which]

    def begin():
        sock = socket.create_connection(at("loom", 8080))
        sock.setblocking(False)
        living[sock.fileno()] = [sock, memoryview(PREFACE + first), -1]
        poller.register(sock, select.EPOLLOUT | (select.EPOLLIN if reads else 0))

    def work(thread, turn):
        while len(living) < connections:
            begin()
        for fd, event in poller.poll():
            connection = living[fd]
            try:
                if event & select.EPOLLIN and not connection[0].recv(1 << 20):
                    raise OSError
                if event & (select.EPOLLERR | select.EPOLLHUP):
                    raise OSError
                if event & select.EPOLLOUT:
                    connection[1] = connection[1][connection[0].send(connection[1]):]
                    if not connection[1]:
                        connection[2] += 1
                        more = piece(connection[2])
                        connection[1] = memoryview(more or b"")
                        if more is None:
                            poller.modify(fd, select.EPOLLIN)
            except BlockingIOError:
                pass
            except OSError:
                poller.unregister(fd)
                living.pop(fd)[0].close()

    while len(living) < connections:
        begin()
    go(1, work)
