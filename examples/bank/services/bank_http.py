"""What the bank's four services share: a small JSON-over-HTTP server and a journal of every request.

Standard library only. Each service is a process of its own that listens on every address it has (or on the one
named by LISTEN) and keeps its data in its working directory, where whoever runs it can look.
"""

import json
import os
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Turns requests into calls of `handle_request(method, path, body) -> (status, answer)`."""

    protocol_version = "HTTP/1.1"
    service = "service"

    def handle_request(self, method, path, body):
        raise NotImplementedError

    def _serve(self):
        length = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(length) if length else b""
        journal(
            "requests.jsonl",
            {
                "from": self.client_address[0],
                "method": self.command,
                "path": self.path,
                "host": self.headers.get("host"),
                "caller": self.headers.get("x-forwarded-client-cert"),
                "trace": self.headers.get("x-trace"),
            },
        )
        try:
            body = json.loads(raw) if raw else None
            status, answer = self.handle_request(self.command, self.path.partition("?")[0], body)
        except (ValueError, KeyError, TypeError) as wrong:
            status, answer = 400, {"error": f"bad request: {wrong}"}
        payload = json.dumps(answer).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

    def log_message(self, *_):
        """The journal is the log."""


class Server(ThreadingHTTPServer):
    """IPv4 and IPv6 on one socket."""

    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def journal(name, entry):
    """Appends one JSON line. One write, so that lines of several threads do not mix."""
    line = json.dumps({"time": time.time(), **entry}) + "\n"
    with open(name, "a", encoding="utf-8", buffering=len(line) + 1) as out:
        out.write(line)


def serve(handler, port):
    """Serves until killed."""
    listen = os.environ.get("LISTEN", "::")
    if ":" not in listen:
        listen = "::ffff:" + listen
    server = Server((listen, int(os.environ.get("PORT", port))), handler)
    print(f"{handler.service} is serving on port {server.server_address[1]}", file=sys.stderr, flush=True)
    server.serve_forever()
