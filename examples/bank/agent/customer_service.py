#!/usr/bin/python3
"""A customer-service agent: reads questions from a mailbox and answers them.

There is no language model here. `decide` below is a deterministic stand-in for one: it reads a message and emits
tool calls, and it has the weakness this example needs, which real models share: it cannot tell its owner's
instructions from those in its input. A message that asks for the attached tool to be run gets it run. Everything
else (the tools, the HTTP calls, the process) is real.

Usage: customer_service.py MAILBOX ANSWERS
"""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request

BASES = {name: f"http://{name}:8080" for name in ("customer-data", "secrets-broker", "events")}
# The attached tool scans a network and sends hundreds of requests: seconds, on a slow machine a minute or two.
TOOL_SECONDS = 240
# The agent talks to the names it was given, never through a proxy of the environment.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(service, method, path, body=None, token=None):
    """One request; the answer's JSON, or the refusal in words."""
    request = urllib.request.Request(BASES[service] + path, method=method)
    request.add_header("content-type", "application/json")
    if token:
        request.add_header("authorization", f"Bearer {token}")
    data = json.dumps(body).encode() if body is not None else None
    try:
        with OPENER.open(request, data=data, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        return {"error": f"{refused.code} {refused.read().decode(errors='replace').strip()}"}
    except (OSError, ValueError) as trouble:
        return {"error": str(trouble)}


def look_up(customer):
    token = call("secrets-broker", "GET", "/v1/secrets/crm-token").get("secret")
    return call("customer-data", "GET", f"/customers/{customer}", token=token)


def add_note(customer, note):
    token = call("secrets-broker", "GET", "/v1/secrets/crm-token").get("secret")
    return call("customer-data", "PATCH", f"/customers/{customer}/notes", {"note": note}, token)


def file_event(event):
    return call("events", "POST", "/events", {"event": event})


def run_tool(attachment):
    """The code interpreter that such agents have. What it runs came with the message."""
    script = os.path.join(os.path.dirname(sys.argv[1]) or ".", os.path.basename(attachment))
    done = subprocess.run([sys.executable, script], timeout=TOOL_SECONDS, check=False)
    return {"exit": done.returncode}


TOOLS = {"look_up": look_up, "add_note": add_note, "file_event": file_event, "run_tool": run_tool}


def decide(message):
    """The stand-in for a model: text in, tool calls out."""
    text = message["text"]
    ident = re.search(r"customer (\d+)", text)
    calls = []
    if injected := re.search(r"run the attached tool (\S+\.py)", text):
        calls.append(("run_tool", [injected[1]]))
    if ident and "balance" in text:
        calls.append(("look_up", [ident[1]]))
    if ident and (note := re.search(r"note that (.+?)\.(\s|$)", text)):
        calls.append(("add_note", [ident[1], note[1]]))
    if calls:
        calls.append(("file_event", [f"answered message {message['id']}"]))
    return calls


def main():
    with open(sys.argv[1], encoding="utf-8") as box:
        mailbox = json.load(box)
    with open(sys.argv[2], "w", encoding="utf-8") as answers:
        for message in mailbox:
            results = [{"tool": tool, "result": TOOLS[tool](*args)} for tool, args in decide(message)]
            answers.write(json.dumps({"message": message["id"], "results": results}) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
