"""Runs a program system call by system call, and kills one of its processes before the one that it is told.

Arguments: settings as JSON, then the command. `who`: the party that is killed; `at`: before which of its calls, counted
from 1; `report`: where the calls of that party are written, at the end and at SIGUSR2. With `wait` calls count from
SIGUSR1 on.

Parties: `launcher`, and what it makes: `stand-in`, `builder`, `init`, `keeper`, `workload`; or `node` and `enforcer`.
"""
import ctypes, json, os, signal, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
TRACEME, CONT, SYSCALL, SETOPTIONS, GETEVENTMSG, GET_SYSCALL_INFO = 0, 7, 24, 0x4200, 0x4201, 0x420E
OPTIONS = 1 | 2 | 4 | 8 | 16 | 0x100000  # system calls told apart, fork, vfork, clone, exec; none outlives this
EXEC = 4
WALL = 0x40000000

settings, command = json.loads(sys.argv[1]), sys.argv[2:]
who, at = settings["who"], settings["at"]
counting = not settings.get("wait")
# Whose children are who, in the order in which they are made.
CHILDREN = {
    "launcher": settings.get("helpers", []) + ["stand-in", "builder", "keeper"],
    "builder": ["init"],
    "init": ["workload"],
    "node": ["enforcer"],
}
roles, made, calls, pending, killed = {}, {}, [], {}, False


def begin(*_):
    global counting
    counting = True


def tell(*_):
    with open(settings["report"] + ".new", "w") as report:
        json.dump({"calls": calls, "killed": killed, "code": code}, report)
    os.rename(settings["report"] + ".new", settings["report"])


def go(pid, deliver=0):
    libc.ptrace(CONT if killed else SYSCALL, pid, None, deliver)


def group(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))
    except (OSError, StopIteration):
        return pid


def welcome(parent, child):
    """Gives a new process or thread its part."""
    role = roles.get(parent)
    if group(child) == child:
        of = group(parent)
        number = made[of] = made.get(of, 0) + 1
        known = CHILDREN.get(role, [])
        role = known[number - 1] if number <= len(known) else f"{role}-{number}"
    roles[child] = role
    if child in pending:
        del pending[child]
        go(child)


def entering(pid):
    info = ctypes.create_string_buffer(88)
    if libc.ptrace(GET_SYSCALL_INFO, pid, 88, info) <= 0 or info.raw[0] != 1:
        return None
    return struct.unpack_from("<Q", info.raw, 24)[0]


code = 0
signal.signal(signal.SIGUSR1, begin)
signal.signal(signal.SIGUSR2, tell)
first = os.fork()
if first == 0:
    libc.ptrace(TRACEME, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)
    os.execvp(command[0], command)
os.waitpid(first, WALL)
libc.ptrace(SETOPTIONS, first, None, OPTIONS)
roles[first] = settings["first"]
go(first)
while True:
    try:
        pid, status = os.waitpid(-1, WALL)
    except ChildProcessError:
        break
    if not os.WIFSTOPPED(status):
        if pid == first:
            code = os.waitstatus_to_exitcode(status)
        roles.pop(pid, None)
        continue
    what, event = os.WSTOPSIG(status), status >> 16
    if pid not in roles:
        # Stopped before its maker told of it.
        pending[pid] = True
    elif event == EXEC:
        go(pid)
    elif event:
        message = ctypes.c_ulong()
        libc.ptrace(GETEVENTMSG, pid, None, ctypes.byref(message))
        welcome(pid, message.value)
        go(pid)
    elif what == signal.SIGTRAP | 0x80:
        call = entering(pid) if counting and not killed and roles[pid] == who else None
        if call is not None:
            calls.append(call)
            if len(calls) == at:
                killed = True
                os.kill(group(pid), signal.SIGKILL)
        go(pid)
    elif what == signal.SIGSTOP and not made.get(("began", pid)) and pid != first:
        made["began", pid] = True
        go(pid)
    else:
        go(pid, what)
tell()
sys.exit(code if code >= 0 else 128 - code)
