"""refuse.py CONDITIONS -- CMD ARGS…: starts a program under a seccomp filter, as a container engine does.

CONDITIONS is a JSON list of refusals: {"call": number, "errno": number, "arguments": [[index, mask, value], …]}. A call
is refused when (argument & mask) == value for each of them (low 32 bits); everything else is allowed.
"""
import ctypes
import json
import os
import struct
import sys

LD, JEQ, AND, RET = 0x20, 0x15, 0x54, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def filters(conditions):
    program = []
    for condition in conditions:
        tests = [(LD, 0, 0, 0), ("number", condition["call"])]
        for index, mask, value in condition.get("arguments", []):
            tests += [(LD, 0, 0, 16 + 8 * index), (AND, 0, 0, mask), ("number", value)]
        tests.append((RET, 0, 0, ERRNO | condition["errno"]))
        for at, step in enumerate(tests):
            if step[0] == "number":
                step = (JEQ, 0, len(tests) - at - 1, step[1])
            program.append(step)
    program.append((RET, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in program)


separator = sys.argv.index("--")
code = filters(json.loads(sys.argv[1]))
buffer = ctypes.create_string_buffer(code)
program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0):
    sys.exit("no filter: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[separator + 1], sys.argv[separator + 1 :])
