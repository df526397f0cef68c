#!/usr/bin/python3
"""Secrets broker: GET /v1/secrets/{name} hands out a short-lived token.

It gives any caller any secret. Who may ask for which one is left to the network, and on a flat one that is nobody's job.
"""

from bank_http import Handler, serve

SECRETS = {"crm-token": "crm-4f1c", "payments-signing-key": "not-for-agents-9e77"}


class SecretsBroker(Handler):
    service = "secrets-broker"

    def handle_request(self, method, path, body):
        if path == "/":
            return 200, {"service": self.service, "operations": ["GET /v1/secrets/{name}"]}
        prefix, _, name = path.rpartition("/")
        if method == "GET" and prefix == "/v1/secrets" and name in SECRETS:
            return 200, {"secret": SECRETS[name]}
        return 404, {"error": "no such thing"}


if __name__ == "__main__":
    serve(SecretsBroker, 8080)
