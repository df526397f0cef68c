"""A launcher of another user that means ill: speaks the link's protocol, and more than it."""
import array, ctypes, json, os, select, socket, struct, sys, time

libc = ctypes.CDLL(None, use_errno=True)
settings = json.loads(sys.argv[1])
VERSION, PORT, MARK = settings["version"], settings["port"], settings["mark"]
V4, V6 = settings["v4"], settings["v6"]
SO_MARK, IP_TRANSPARENT, IPV6_TRANSPARENT = 36, 19, 75
os.chdir(settings["directory"])
kept = []


def keep(what):
    kept.append(what)
    return what


def connect():
    node = keep(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    node.connect("run.sock")
    node.settimeout(30)
    return node


def number(it):
    return it if isinstance(it, int) else it.fileno()


def put(channel, message, beside=()):
    said = message if isinstance(message, bytes) else json.dumps(message).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", map(number, beside)))]
    return channel.sendmsg([said], rights if beside else [])


def hear(channel):
    try:
        said = channel.recv(1 << 17)
    except (TimeoutError, ConnectionResetError) as error:
        return {"none": type(error).__name__}
    return json.loads(said) if said else {"end": True}


def request(name="theirs", **more):
    return {"say": "claim", "version": VERSION, "name": name, "command": "x", "resume": None, **more}


def claim(name="theirs", beside=(), **more):
    node = connect()
    put(node, request(name, **more), beside)
    return node, hear(node)


def link(name="theirs"):
    node, granted = claim(name)
    assert granted["say"] == "granted", granted
    _, beside, _, _ = node.recvmsg(1 << 16, socket.CMSG_SPACE(4))
    channel = keep(socket.socket(fileno=array.array("i", beside[0][2])[0]))
    channel.settimeout(30)
    return node, channel, granted["instance"]


def hand(channel, kinds, beside):
    put(channel, {"say": "sockets", "sockets": kinds}, beside)


def made(kind):
    """A socket as it should be, in a network where this user may do everything."""
    v6 = kind.endswith("6")
    family = socket.AF_INET6 if v6 else socket.AF_INET
    if kind.startswith("answer"):
        it = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP)
        it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    elif "udp" in kind:
        it = socket.socket(family, socket.SOCK_DGRAM)
    else:
        it = socket.socket(family, socket.SOCK_STREAM)
    it.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK)
    if v6 and not kind.startswith("answer"):
        it.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind.startswith("inbound"):
        return keep(it)
    it.setsockopt(socket.IPPROTO_IPV6 if v6 else socket.SOL_IP, IPV6_TRANSPARENT if v6 else IP_TRANSPARENT, 1)
    it.bind((V6 if v6 else V4, 0 if kind.startswith("answer") else PORT))
    if kind.startswith("tcp"):
        it.listen()
    return keep(it)


KINDS = ["tcp-door4", "tcp-door6", "udp-door4", "udp-door6", "answer4", "answer6"]
ARM = {"say": "arm", "walls": [], "unbounded": [], "version": "0"}


def armed(name="theirs"):
    node, channel, instance = link(name)
    doors = [made(kind) for kind in KINDS]
    hand(channel, KINDS, doors)
    put(channel, ARM)
    said = hear(channel)
    assert said.get("say") == "armed", said
    return node, channel, doors


def one(make, kind="tcp-door4"):
    """Hands over one thing that is no such door."""
    def scenario():
        _, channel, _ = link()
        hand(channel, [kind], [make()])
        return hear(channel)
    return scenario


def pidfd():
    return os.pidfd_open(os.getpid())


def epoll():
    # One of io_uring cannot be sent at all (EINVAL).
    return keep(select.epoll())


def connected():
    listener = keep(socket.create_server(("127.0.0.1", 0)))
    return keep(socket.create_connection(listener.getsockname()))


def inbound_connected():
    it = made("inbound4")
    listener = keep(socket.create_server(("127.0.0.1", 0)))
    it.connect(listener.getsockname())
    return it


def lingering():
    it = inbound_connected()
    it.setblocking(False)
    try:
        while True:
            it.send(bytes(65536))
    except BlockingIOError:
        pass
    it.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60000))
    return it


def elsewhere():
    it = socket.socket()
    it.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK)
    it.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
    it.bind((V4, PORT + 1))
    it.listen()
    return keep(it)


def cycle():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for _ in range(30):
        put(a, b"x", [a, b])
        put(b, b"x", [a, b])
    return keep(a)


def lingering_last():
    # Ours is closed first, so that theirs is the one that would wait.
    _, channel, _ = link()
    it = lingering()
    hand(channel, ["inbound4"], [it])
    kept.remove(it)
    it.close()
    return hear(channel)


def count(announced, came):
    def scenario():
        _, channel, _ = link()
        hand(channel, ["tcp-door4"] * announced, [made("inbound4") for _ in range(came)])
        return hear(channel)
    return scenario


def cut(descriptors, length=10):
    def scenario():
        _, channel, _ = link()
        it = made("inbound4")
        put(channel, b"[" + b" " * length + b"]", [it] * descriptors)
        return hear(channel)
    return scenario


def said(*messages):
    def scenario():
        _, channel, _ = link()
        for message in messages:
            try:
                put(channel, message)
            except (BrokenPipeError, ConnectionResetError):
                break
        return hear(channel)
    return scenario


def armed_then(*steps):
    def scenario():
        _, channel, doors = armed()
        for step in steps:
            try:
                step(channel, doors)
            except (BrokenPipeError, ConnectionResetError):
                break
        heard = hear(channel)
        while heard.get("say") in ("need", "recorded"):
            heard = hear(channel)
        return heard
    return scenario


def shared_namespace():
    armed()
    _, channel, _ = link()
    kinds = [kind for kind in KINDS if kind.startswith("inbound")] or ["inbound4"]
    # The doors are taken here; a door of the other compartment is handed over once more.
    doors = [it for it in kept if isinstance(it, socket.socket) and it.family != socket.AF_UNIX][: len(KINDS)]
    hand(channel, KINDS, doors)
    put(channel, ARM)
    return hear(channel)


def flood():
    """Thousands of descriptors, and nothing is ever read."""
    _, channel, _ = armed()
    it = made("inbound4")
    channel.settimeout(10)
    sent = 0
    try:
        for _ in range(5000):
            put(channel, {"say": "attempts", "attempts": []}, [it] * 64)
            sent += 1
    except (BrokenPipeError, ConnectionResetError, TimeoutError) as error:
        return {"refused": type(error).__name__}
    return {"sent": sent}


def deaf():
    """Asks for answers and never reads one."""
    _, channel, _ = armed()
    channel.settimeout(2)
    for sent in range(1_000_000):
        try:
            put(channel, {"say": "attempts", "attempts": []})
        except (BrokenPipeError, ConnectionResetError) as error:
            return {"refused": type(error).__name__}
        except TimeoutError:
            return {"refused": "full"}
    return {"sent": sent}


def resume_other():
    return claim("agent", resume=settings["other"])[1]


def resume_own_by_another():
    node, channel, instance = link()
    reader, writer = os.pipe()
    if os.fork() == 0:
        answer = claim("theirs", resume=instance)[1]
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    return json.loads(os.read(reader, 65536))


def twice():
    node, granted = claim()
    node.recvmsg(1 << 16, socket.CMSG_SPACE(4))
    put(node, request())
    return hear(node)


def raw(*messages, beside=()):
    def scenario():
        node = connect()
        for message in messages:
            put(node, message, beside)
        return hear(node)
    return scenario


def claim_with_files():
    return claim(beside=[os.open("/etc/passwd", os.O_RDONLY)] * 253)[1]


def crowd():
    nodes = [connect() for _ in range(80)]
    ends = 0
    for node in nodes:
        node.settimeout(1 if ends else 20)
        try:
            ends += node.recv(10) == b""
        except (TimeoutError, ConnectionResetError):
            pass
        if ends >= 16:
            break
    return {"closed": ends >= 16}


ATTEMPT = {"time_ns": 0, "wall": True, "protocol": "x\x1b[2J", "operation": "o\n\x1b]0;t\x07\u202e", "destination": None,
           "reason": "r\x9b31m", "count": 2**64 - 1}

SCENARIOS = {
    # To the node.
    "no-json": raw(b"\xff\x00{"),
    "deep": raw(b"[" * 60000),
    "too-long": raw(b" " * 70000),
    "no-claim": raw({"say": "grant"}),
    "old-version": raw(request(version=1)),
    "odd-version": raw(request(version=-1)),
    "odd-name": raw(request(name="x\x1b[2J\n\u202e" + "y" * 50000)),
    "resume-other": resume_other,
    "resume-own-by-another": resume_own_by_another,
    "claim-twice": twice,
    "claim-with-files": claim_with_files,
    "crowd": crowd,
    # To the enforcer: what is no door.
    "file": one(lambda: os.open("/etc/passwd", os.O_RDONLY)),
    "path": one(lambda: os.open("/", os.O_PATH)),
    "pipe": one(lambda: os.pipe()[0]),
    "memfd": one(lambda: os.memfd_create("x")),
    "pidfd": one(pidfd),
    "epoll": one(epoll),
    "unix": one(lambda: socket.socketpair()[0]),
    "cycle": one(cycle),
    "netlink": one(lambda: keep(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))),
    "host-listening": one(lambda: keep(socket.create_server(("127.0.0.1", 0)))),
    "host-connected": one(connected, "inbound4"),
    "host-udp": one(lambda: keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)), "inbound-udp4"),
    # In a network of its own.
    "unmarked": one(lambda: keep(socket.create_server(("127.0.0.1", 0)))),
    "elsewhere": one(elsewhere),
    "wrong-family": one(lambda: made("tcp-door6")),
    "wrong-type": one(lambda: made("inbound-udp4")),
    "not-listening": one(lambda: made("inbound4")),
    "connected": one(inbound_connected, "inbound4"),
    "lingering": lingering_last,
    "too-few": count(2, 1),
    "too-many": count(1, 2),
    "none": count(1, 0),
    "cut-65": cut(65),
    "cut-253": cut(253),
    "cut-bytes": cut(1, 70000),
    "no-message": said(b"\xff"),
    "unknown-message": said({"say": "stop"}),
    "of-the-node": said({"say": "adopt", "instance": "agent-1-1", "workload": {"kind": "agent", "name": "agent"}, "uid": 0, "pid": 1}),
    "arm-without-doors": said(ARM),
    "armed-twice": armed_then(lambda channel, _: put(channel, ARM)),
    "doors-again": armed_then(lambda channel, doors: hand(channel, KINDS[:1], doors[:1])),
    "stowaways": armed_then(lambda channel, doors: put(channel, {"say": "attempts", "attempts": []}, doors[:1])),
    "hoard": armed_then(*[lambda channel, _: hand(channel, ["inbound4"] * 60, [made("inbound4")] * 60)] * 6),
    "shared-namespace": shared_namespace,
    "flood": flood,
    "deaf": deaf,
    "lies": armed_then(lambda channel, _: put(channel, {"say": "attempts", "attempts": [ATTEMPT]}),
                       lambda channel, _: put(channel, b"end")),
}

print(json.dumps(SCENARIOS[settings["scenario"]]()), flush=True)
