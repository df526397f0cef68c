#!/usr/bin/python3
"""Payments: POST /v1/payments moves money.

It trusts every caller with an internal address, as services inside a network do. That trust is the hole this
example is about. Each payment is one line of ledger.jsonl.
"""

import ipaddress
import threading

from bank_http import Handler, journal, serve

INTERNAL = [
    ipaddress.ip_network(net)
    for net in ("127.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
]
LOCK = threading.Lock()
# Above this a second person has to sign. The attacker stays below.
SECOND_SIGNATURE_POUNDS = 2_500


class Payments(Handler):
    service = "payments"
    count = 0

    def internal(self):
        address = ipaddress.ip_address(self.client_address[0])
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in net for net in INTERNAL)

    def handle_request(self, method, path, body):
        if path == "/":
            return 200, {"service": self.service, "operations": ["POST /v1/payments"]}
        if (method, path) != ("POST", "/v1/payments"):
            return 404, {"error": "no such thing"}
        if not self.internal():
            return 401, {"error": "callers from outside sign in"}
        pounds = body["pounds"]
        if not isinstance(pounds, int) or not 0 < pounds <= SECOND_SIGNATURE_POUNDS:
            return 422, {"error": "a second signature is needed"}
        with LOCK:
            Payments.count += 1
            number = Payments.count
            journal("ledger.jsonl", {"number": number, "to": str(body["to"]), "pounds": pounds})
        return 201, {"number": number}


if __name__ == "__main__":
    open("ledger.jsonl", "a", encoding="utf-8").close()
    serve(Payments, 8080)
