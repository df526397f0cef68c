#!/usr/bin/python3
"""Asks a model one question, through whatever MODEL_API names. Standard library only.

Inside a compartment the name resolves to the service's address there; the enforcer adds TLS on its way out.
"""

import json
import os
import sys
import urllib.error
import urllib.request

BASE = os.environ.get("MODEL_API", "http://api.anthropic.com")


def main():
    question = " ".join(sys.argv[1:]) or "Say hello in five words."
    body = {
        "model": os.environ.get("MODEL", "claude-sonnet-4-5"),
        "max_tokens": 256,
        "messages": [{"role": "user", "content": question}],
    }
    request = urllib.request.Request(f"{BASE}/v1/messages", data=json.dumps(body).encode(), method="POST")
    request.add_header("content-type", "application/json")
    request.add_header("anthropic-version", "2023-06-01")
    request.add_header("x-api-key", os.environ.get("MODEL_API_KEY", ""))
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            print("".join(part.get("text", "") for part in json.load(answer)["content"]))
    except urllib.error.HTTPError as refused:
        sys.exit(f"ask: {refused.code}: {refused.read().decode(errors='replace').strip()}")
    except OSError as trouble:
        sys.exit(f"ask: {trouble}")


if __name__ == "__main__":
    main()
