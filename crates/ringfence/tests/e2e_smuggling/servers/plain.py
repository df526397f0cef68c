"""Python's own http.server, used as its users do: a GET has no body to read, a POST as long a one as it says.

With `behind`, it serves a proxy on loopback, whose requests have a body wherever they say so.
"""
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_to_bytes

PORT, BEHIND = int(sys.argv[1]), sys.argv[2:] == ["behind"]


def shown(data):
    if not data:
        return "-"
    data = data.encode("latin-1", "replace") if isinstance(data, str) else data
    return "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02X}" for b in data)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            whole = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                whole += self.exactly(size)
                self.rfile.readline()
            while line := self.rfile.readline():
                if line in (b"\r\n", b"\n"):
                    return whole
            raise EOFError
        return self.exactly(int(self.headers.get("content-length") or 0))

    def exactly(self, size):
        data = self.rfile.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def answer(self):
        try:
            looks = BEHIND or self.command not in ("GET", "HEAD")
            body = shown(self.body()) if looks else "*"
        except (ValueError, EOFError):
            self.send_error(400)
            return
        route = self.headers.get("x-route") if BEHIND else unquote_to_bytes(self.path.split("?")[0])
        host = self.headers.get("host", "").lower().rsplit(":", 1)[0]
        caller = ", ".join(self.headers.get_all("x-forwarded-client-cert", []))
        with open("PLACE/seen", "a") as file:
            print(self.command, shown(self.path), shown(route), shown(host), shown(caller), body, sep="\t", file=file)
        self.send_response(200)
        self.send_header("content-length", "4")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"seen")

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True


Server(("0.0.0.0", PORT), Handler).serve_forever()
