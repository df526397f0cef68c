"""What is measured, a module each. `measure(bench)` does it and leaves its figures in `bench`."""

from . import ask, cut, decision, http1, http2, instructions, log, memory, seal, start, tcp, unlogged

SUITES = {
    "decision": decision, "http1": http1, "http2": http2, "tcp": tcp, "memory": memory, "start": start, "cut": cut,
    "instructions": instructions,
    # Before those that leave a file system with many files removed, which ext4 looks at for minutes whenever it makes one.
    "unlogged": unlogged,
    "log": log, "seal": seal, "ask": ask,
}
