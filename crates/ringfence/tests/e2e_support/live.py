"""Everything that can live between two workloads. A service of each kind says back what it hears and counts it by who said
it; an agent keeps one of each alive, says something on it again and again, and counts what comes back.

One JSON command a line on standard input, one line of JSON for each."""
import asyncio
import collections
import http.client
import http.server
import json
import socket
import ssl
import struct
import sys
import threading
import time

HELLO = b"hello"
BULK = 1 << 20
heard, lock = collections.Counter(), threading.Lock()


def count(peer, length):
    with lock:
        heard[peer.removeprefix("::ffff:")] += length


def whole(sock, length):
    data = bytearray()
    while len(data) < length:
        piece = sock.recv(min(length - len(data), 65536))
        if not piece:
            raise EOFError("ended")
        data += piece
    return bytes(data)


# Services.


def framed(sock, peer):
    """A length and so many bytes; all of them are answered by one word."""
    try:
        while True:
            (length,) = struct.unpack("!I", whole(sock, 4))
            while length:
                piece = sock.recv(min(length, 65536))
                if not piece:
                    return
                length -= len(piece)
                count(peer, len(piece))
            sock.sendall(b"heard")
    except (OSError, EOFError):
        pass


def tcp(port, converse):
    listener = socket.create_server(("0.0.0.0", port), backlog=512)
    while True:
        sock, (peer, _) = listener.accept()
        threading.Thread(target=converse, args=(sock, peer), daemon=True).start()


def cache():
    tcp(6379, framed)


def ledger():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")

    def secured(sock, peer):
        try:
            framed(context.wrap_socket(sock, server_side=True), peer)
        except OSError:
            pass

    tcp(8443, secured)


def echo():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", 7007))
    while True:
        data, who = sock.recvfrom(65535)
        count(who[0], len(data))
        sock.sendto(data, who)


def page():
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self):
            count(self.client_address[0], 1)
            self.send_response(200)
            if self.path != "/events":
                self.send_header("content-length", str(len(HELLO)))
                self.end_headers()
                self.wfile.write(HELLO)
                return
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"5\r\nhello\r\n")
                    time.sleep(0.01)
            except OSError:
                self.close_connection = True

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 512
        daemon_threads = True

    Server(("0.0.0.0", 8081), Handler).serve_forever()


def shop():
    import h2.config, h2.connection, h2.events, h2.exceptions

    def converse(sock, peer):
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        conn.initiate_connection()
        try:
            sock.sendall(conn.data_to_send())
            while data := sock.recv(65536):
                for event in conn.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        conn.send_headers(event.stream_id, [(":status", "200")])
                    elif isinstance(event, h2.events.DataReceived):
                        count(peer, len(event.data))
                        conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                        conn.send_data(event.stream_id, event.data)
                sock.sendall(conn.data_to_send())
        except (OSError, h2.exceptions.ProtocolError):
            pass

    tcp(8080, converse)


def orders():
    from concurrent import futures
    import grpc

    def chat(requests, context):
        peer = context.peer().split(":")[1]
        for request in requests:
            count(peer, len(request))
            yield request

    server = grpc.server(futures.ThreadPoolExecutor(64))
    handlers = {"Chat": grpc.stream_stream_rpc_method_handler(chat)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Orders", handlers),))
    assert server.add_insecure_port("0.0.0.0:9000") == 9000
    server.start()
    server.wait_for_termination()


def talk():
    import websockets

    async def converse(sock, _path):
        try:
            async for message in sock:
                count(sock.remote_address[0], len(message))
                await sock.send(message)
        except websockets.ConnectionClosed:
            pass

    async def main():
        async with websockets.serve(converse, "0.0.0.0", 8080, ping_interval=None):
            await asyncio.Future()

    asyncio.run(main())


# What an agent keeps alive. Each calls `beat` for what has come back, and goes on while that says so.


def one_tcp(host, beat, size=len(HELLO), wrap=lambda sock: sock):
    with wrap(socket.create_connection((host, 6379), timeout=10)) as sock:
        while True:
            sock.sendall(struct.pack("!I", size) + b"x" * size)
            whole(sock, 5)
            if not beat():
                return


def one_bulk(host, beat):
    one_tcp(host, beat, BULK)


def one_idle(host, beat):
    """Says one thing, and then waits for what never comes."""
    with socket.create_connection((host, 6379), timeout=600) as sock:
        sock.sendall(struct.pack("!I", 1) + b"x")
        whole(sock, 5)
        if beat():
            whole(sock, 1)


def one_tls(host, beat):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, 8443), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="ledger") as sock:
            while True:
                sock.sendall(struct.pack("!I", 5) + HELLO)
                whole(sock, 5)
                if not beat():
                    return


def one_udp(host, beat):
    """Is never told that it is over: it goes on asking."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        sock.connect((host, 7007))
        silent = 0
        while silent < 20 or beat.lasts:
            try:
                sock.send(HELLO)
                sock.recv(100)
            except OSError:
                silent += 1
                continue
            if not beat():
                return
    raise EOFError("silence")


def one_http(host, beat):
    conn = http.client.HTTPConnection(host, 8081, timeout=10)
    try:
        conn.connect()
        while True:
            conn.request("GET", "/pulse", headers={"Host": "page:8081"})
            answer = conn.getresponse()
            answer.read()
            if answer.status != 200:
                raise OSError(f"status {answer.status}")
            if not beat():
                return
    finally:
        conn.close()


def one_events(host, beat):
    with socket.create_connection((host, 8081), timeout=10) as sock:
        sock.sendall(b"GET /events HTTP/1.1\r\nHost: page:8081\r\n\r\n")
        text = b""
        while b"hello" not in text:
            piece = sock.recv(4096)
            if not piece or b" 403 " in text:
                raise EOFError("no answer")
            text += piece
        while beat():
            if not sock.recv(4096):
                raise EOFError("ended")


def one_h2(host, beat):
    """Two streams of one connection."""
    import h2.connection, h2.events

    with socket.create_connection((host, 8080), timeout=10) as sock:
        conn = h2.connection.H2Connection()
        conn.initiate_connection()
        fields = [(":method", "POST"), (":path", "/pulse"), (":scheme", "http"), (":authority", "shop:8080")]
        for stream in (1, 3):
            conn.send_headers(stream, fields)
        while True:
            for stream in (1, 3):
                conn.send_data(stream, HELLO)
            due = {1: len(HELLO), 3: len(HELLO)}
            while any(due.values()):
                sock.sendall(conn.data_to_send())
                data = sock.recv(65536)
                if not data:
                    raise EOFError("ended")
                for event in conn.receive_data(data):
                    if isinstance(event, h2.events.DataReceived):
                        due[event.stream_id] -= len(event.data)
                        conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, (h2.events.StreamReset, h2.events.StreamEnded, h2.events.ConnectionTerminated)):
                        raise EOFError(type(event).__name__)
            if not beat():
                return


def one_grpc(host, beat):
    import grpc, queue

    options = [("grpc.default_authority", "orders:9000"), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(f"ipv4:{host}:9000", options=options) as channel:
        asked = queue.Queue()
        answers = channel.stream_stream("/shop.v1.Orders/Chat")(iter(asked.get, None), timeout=600 if beat.lasts else 10)
        try:
            while True:
                asked.put(HELLO)
                next(answers)
                if not beat():
                    return
        finally:
            asked.put(None)


def one_websocket(host, beat):
    import websockets

    async def main():
        async with websockets.connect(
            "ws://talk:8080/pulse", host=host, port=8080, ping_interval=None, compression=None, open_timeout=10, close_timeout=1
        ) as sock:
            while True:
                await sock.send("hello")
                await sock.recv()
                if not beat():
                    return

    asyncio.run(main())


KINDS = {
    "tcp": ("cache", one_tcp), "bulk": ("cache", one_bulk), "idle": ("cache", one_idle), "tls": ("ledger", one_tls),
    "udp": ("echo", one_udp), "http": ("page", one_http), "events": ("page", one_events), "h2": ("shop", one_h2),
    "grpc": ("orders", one_grpc), "websocket": ("talk", one_websocket),
}
addresses, living, storms, over = {}, {}, collections.Counter(), threading.Event()


class Beat:
    def __init__(self, lasts):
        self.lasts, self.beats, self.ended = lasts, 0, None

    def __call__(self):
        self.beats += 1
        time.sleep(0.005 if self.lasts else 0)
        return self.lasts

    def run(self, kind):
        service, one = KINDS[kind]
        try:
            one(addresses[service], self)
            self.ended = "finished"
        except BaseException as error:
            self.ended = f"{type(error).__name__} {error}"[:200]


def started(kinds, lasts):
    beats = {kind: Beat(lasts) for kind in kinds}
    threads = [threading.Thread(target=beat.run, args=(kind,), daemon=True) for kind, beat in beats.items()]
    for thread in threads:
        thread.start()
    return beats, threads


def begin(kinds=None):
    """Opens one of each, and keeps them."""
    for kind in kinds or KINDS:
        service, _ = KINDS[kind]
        if service not in addresses:
            addresses[service] = socket.gethostbyname(service)
    beats, _ = started(kinds or KINDS, True)
    living.update(beats)
    return {}


def report():
    return {kind: {"beats": beat.beats, "ended": beat.ended} for kind, beat in living.items()}


def fresh(kinds=None):
    """Which of them can be opened now, at the addresses that are known."""
    beats, threads = started(kinds or KINDS, False)
    for thread in threads:
        thread.join(30)
    return {kind: beat.beats > 0 for kind, beat in beats.items()}


def storm(threads, kinds=None):
    """Opens one after another, as fast as it goes, until it is told to end."""

    def keep_at_it(kind):
        while not over.is_set():
            beat = Beat(False)
            beat.run(kind)
            with lock:
                storms["tries"] += 1
                storms["reached"] += beat.beats > 0
            time.sleep(0.001)

    for number in range(threads):
        kind = list(kinds or KINDS)[number % len(kinds or KINDS)]
        threading.Thread(target=keep_at_it, args=(kind,), daemon=True).start()
    return {}


def stormed():
    with lock:
        return {"tries": storms["tries"], "reached": storms["reached"]}


def heard_of():
    with lock:
        return dict(heard)


def answered(name, kind, transport):
    """What the door says about a name; nothing of the system's resolver in between."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)
    server = next(line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver"))
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    if transport == "udp":
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(query, (server, 53))
            return sock.recv(4096)
    else:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect((server, 53))
            sock.sendall(struct.pack("!H", len(query)) + query)
            return whole(sock, struct.unpack("!H", whole(sock, 2))[0])


def exists(name, kind, transport):
    answer = answered(name, kind, transport)
    return answer[3] & 15 == 0 and struct.unpack("!H", answer[6:8])[0] == 1


def names(wanted):
    """Which of the names exist, however they are asked for: all ways must agree."""
    told = {}
    for name in wanted:
        ways = set()
        for transport in ("udp", "tcp"):
            for kind in (1, 28):
                try:
                    ways.add(exists(name, kind, transport))
                except (OSError, EOFError):
                    ways.add(False)
        if name in addresses:
            backwards = ".".join(reversed(addresses[name].split("."))) + ".in-addr.arpa"
            ways.add(exists(backwards, 12, "udp"))
        told[name] = ways.pop() if len(ways) == 1 else "it depends"
    return told


def own_address(name):
    """As others know it: `/etc/hosts` has another one."""
    return {"address": socket.inet_ntoa(answered(name, 1, "udp")[-4:])}


if len(sys.argv) > 1:
    threading.Thread(target=globals()[sys.argv[1]], daemon=True).start()
    time.sleep(0.3)
    print("ready", flush=True)
else:
    print("ready", flush=True)
for line in sys.stdin:
    verb, *arguments = json.loads(line)
    print(json.dumps(globals()[verb](*arguments)), flush=True)
