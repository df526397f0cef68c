#!/usr/bin/python3
"""Customer data: GET /customers/{id} reads a customer, PATCH /customers/{id}/notes appends a note.

Wants the token that the secrets broker hands out: a stand-in for how such systems authenticate callers today.
Its operation DELETE /customers/{id} exists, and nothing in this service asks *who* may use it.
"""

import json
import os
import threading

from bank_http import Handler, serve

TOKEN = "crm-4f1c"
LOCK = threading.Lock()
CUSTOMERS = {
    "42": {"name": "Ada Byron", "balance": "£1,204.17", "notes": []},
    "77": {"name": "Grace Murray", "balance": "£88.02", "notes": []},
    "108": {"name": "Alan Mathison", "balance": "£15,920.00", "notes": []},
}


def save():
    with open("customers.json.new", "w", encoding="utf-8") as out:
        json.dump(CUSTOMERS, out)
    os.replace("customers.json.new", "customers.json")


class CustomerData(Handler):
    service = "customer-data"

    def handle_request(self, method, path, body):
        if path == "/":
            return 200, {"service": self.service, "operations": ["GET /customers/{id}", "PATCH /customers/{id}/notes"]}
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"error": "token missing"}
        match path.strip("/").split("/"), method:
            case ["customers", ident], "GET" if ident in CUSTOMERS:
                return 200, CUSTOMERS[ident]
            case ["customers", ident, "notes"], "PATCH" if ident in CUSTOMERS:
                with LOCK:
                    CUSTOMERS[ident]["notes"].append(str(body["note"]))
                    save()
                return 200, {"notes": len(CUSTOMERS[ident]["notes"])}
            case ["customers", ident], "DELETE" if ident in CUSTOMERS:
                with LOCK:
                    del CUSTOMERS[ident]
                    save()
                return 200, {"deleted": ident}
        return 404, {"error": "no such thing"}


if __name__ == "__main__":
    save()
    serve(CustomerData, 8080)
