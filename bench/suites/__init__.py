"""What is measured, a module each. `measure(bench)` does it and leaves its figures in `bench`."""

from . import ask, cut, decision, http1, http2, instructions, log, memory, seal, start, tcp, unlogged

SUITES = {
    "decision": decision, "http1": http1, "http2": http2, "tcp": tcp, "memory": memory, "start": start, "cut": cut,
    "instructions": instructions,
    "log": log, "seal": seal, "ask": ask, "unlogged": unlogged,
}
