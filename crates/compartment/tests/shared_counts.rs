//! What the kernel counts for a user in all namespaces together: one compartment takes a share, and the host has the rest.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::process::Command;

use support::{Host, Running, SOMEBODY, User, able, texts};

/// Takes as much as it gets of both, and says how much that was; then waits.
const GREEDY: &str = "import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def all_of(take):
    taken = 0
    while take() >= 0: taken += 1
    return taken
class Event(ctypes.Structure):
    _fields_ = [('value', ctypes.c_void_p), ('signal', ctypes.c_int), ('notify', ctypes.c_int), ('pad', ctypes.c_int * 12)]
event, timer = Event(None, 10, 0), ctypes.c_int()
def timers(): return libc.syscall(222, 0, ctypes.byref(event), ctypes.byref(timer))
def watches():
    path = '/tmp/%d' % watches.next
    watches.next += 1
    os.close(os.open(path, os.O_CREAT, 0o600))
    return libc.inotify_add_watch(watches.queue, path.encode(), 1)
watches.next, watches.queue = 0, libc.inotify_init()
def terminals(): return libc.open(b'/dev/ptmx', os.O_RDWR | os.O_NOCTTY)
print(all_of(timers), all_of(watches), all_of(terminals), all_of(libc.inotify_init), flush=True)
if len(sys.argv) == 1: sys.stdin.read()
";

/// Takes one of each.
const MODEST: &str = "import ctypes
libc = ctypes.CDLL(None)
timer = ctypes.c_int()
queue = libc.inotify_init()
print(queue >= 0, libc.inotify_add_watch(queue, b'/', 1) >= 0, libc.syscall(222, 0, None, ctypes.byref(timer)) == 0)";

fn limit(name: &str) -> u64 {
    let path = format!("/proc/sys/fs/inotify/max_user_{name}");
    let text = std::fs::read_to_string(path).unwrap();
    text.trim().parse().unwrap()
}

#[test]
fn timers_watches_and_terminals_of_others_are_left_to_them() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in [User::Root, User::Somebody] {
        let mut greedy =
            Running::start(host.command(user, &[], &["/usr/bin/python3", "-c", GREEDY]));
        let taken = greedy.hear();
        let taken: Vec<u64> = taken.split(' ').map(|n| n.parse().unwrap()).collect();
        let [timers, watches, terminals, instances] = taken[..] else {
            panic!("{taken:?}")
        };
        assert!((1..=2048).contains(&timers), "{timers} timers");
        assert!((1..=256).contains(&terminals), "{terminals} terminals");
        // One queue was there for the watches.
        let most = limit("instances") / 8;
        assert!((1..most).contains(&instances), "{instances} instances");
        let most = limit("watches") / 8;
        assert!((1..=most).contains(&watches), "{watches} watches");
        let mut outside = Command::new("setpriv");
        if user == User::Somebody {
            let id = SOMEBODY.to_string();
            outside.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        } else {
            outside.arg("--clear-groups");
        }
        outside.args(["/usr/bin/python3", "-c", MODEST]);
        assert_eq!(
            texts(&outside.output().unwrap()),
            ("True True True\n".to_owned(), String::new()),
            "{user:?}"
        );
    }
}
