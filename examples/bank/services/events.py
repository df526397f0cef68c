#!/usr/bin/python3
"""Events: POST /events files what happened, for whoever reads events.jsonl later."""

from bank_http import Handler, journal, serve


class Events(Handler):
    service = "events"

    def handle_request(self, method, path, body):
        if path == "/":
            return 200, {"service": self.service, "operations": ["POST /events"]}
        if (method, path) != ("POST", "/events"):
            return 404, {"error": "no such thing"}
        journal("events.jsonl", {"event": str(body["event"])})
        return 202, {"filed": True}


if __name__ == "__main__":
    open("events.jsonl", "a", encoding="utf-8").close()
    serve(Events, 8080)
