//! A launcher of another user under a node of root: it holds the same sockets as the enforcer, and may do to them what
//! it likes. Nobody else may notice.
//!
//! Needs root, to be both root and somebody else; says so and passes otherwise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::{Duration, Instant};

use e2e_support::{PYTHON, STRANGER, THEIRS, curl, options, web};
use ringfence_testbed::{Caller, Node};

/// Connects to where nobody is, by both families, whenever a line comes; says how each ended.
const CALLER: &str = r#"
import socket, sys
print("ready", flush=True)
for line in sys.stdin:
    for family, place in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        for _ in range(3):
            with socket.socket(family) as s:
                s.settimeout(2)
                try:
                    s.connect((place, 80)); s.recv(1); end = "closed"
                except OSError as error:
                    end = type(error).__name__
    print("called", end, flush=True)
"#;

/// What a launcher can do to the sockets it shares: calls on its doors wait from now on, and closing lingers. Takes them
/// from the launcher's process, so that the launcher can stay the real one.
const SPOIL: &str = r#"
import ctypes, fcntl, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
pidfd = os.pidfd_open(pid)
doors = 0
for number in os.listdir(f"/proc/{pid}/fd"):
    try:
        if not os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:"):
            continue
    except OSError:
        continue
    held = libc.syscall(438, pidfd, int(number), 0)
    if held < 0:
        continue
    flags = fcntl.fcntl(held, fcntl.F_GETFL)
    s = socket.socket(fileno=held)
    if s.family not in (socket.AF_INET, socket.AF_INET6):
        continue
    fcntl.fcntl(held, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60000))
    doors += 1
print(doors)
"#;

fn host(node: &Node, words: &[&str]) -> String {
    node.host().run_as_root(words).unwrap().ok().stdout
}

fn door_threads(node: &Node) -> usize {
    let enforcer = node.enforcer().unwrap();
    let list = format!("cat /proc/{enforcer}/task/*/comm");
    let names = host(node, &["sh", "-c", &list]);
    names.lines().filter(|name| *name == "door").count()
}

#[test]
fn a_launcher_of_another_user_that_spoils_its_sockets_holds_up_nobody() {
    if Caller::own() != Caller::Root {
        eprintln!("skipped: needs root, to be another user as well");
        return;
    }
    let node = options().file("theirs.yaml", THEIRS).start().unwrap();
    let _web = web(&node);
    let run = node.workload("theirs").words(&[PYTHON, "-uc", CALLER]);
    let mut words = vec![
        "setpriv",
        "--reuid",
        STRANGER,
        "--regid",
        STRANGER,
        "--clear-groups",
        "--",
    ];
    words.extend(run.iter().map(String::as_str));
    let mut theirs = node.host().start_as_root(words).unwrap();
    theirs
        .wait_stdout("ready", Duration::from_secs(30))
        .unwrap();
    // Root's own doors are served by the runtime, those of others apart.
    assert_eq!(door_threads(&node), 2);

    let (_, status) = node.status().unwrap();
    let workloads = status["workloads"].as_array().unwrap();
    let launcher = workloads.iter().find(|it| it["name"] == "theirs").unwrap()["pid"].to_string();
    let spoiled: u32 = host(&node, &["/usr/bin/python3", "-c", SPOIL, &launcher])
        .trim()
        .parse()
        .unwrap();
    assert!(spoiled >= 4, "{spoiled} sockets");
    theirs.write(b"call\n").unwrap();
    theirs
        .wait_stdout("called", Duration::from_secs(60))
        .unwrap();

    // Every worker that one of those doors could hold up would be held up by now.
    for _ in 0..8 {
        let (output, _, code) = curl(&node, &["http://web:8080/items/1"]);
        assert_eq!(code, 200, "{output:?}");
    }
    let (code, status) = node.status().unwrap();
    assert_eq!(code, 0, "{status:#}");

    // And nothing of it stays when its launcher goes.
    host(&node, &["kill", "-9", &launcher]);
    let end = Instant::now() + Duration::from_secs(30);
    while door_threads(&node) > 0 {
        assert!(Instant::now() < end, "a door is never closed");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A launcher that hands over something else than doors: says what the enforcer answered.
const IMPOSTOR: &str = r#"
import array, json, os, socket, sys
directory, version, what, address, port, mark = sys.argv[1:]
os.chdir(directory)
node = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
node.connect("run.sock")
node.send(json.dumps({"say": "claim", "version": int(version), "name": "theirs", "command": "x", "resume": None}).encode())
assert json.loads(node.recv(65536))["say"] == "granted"
_, beside, _, _ = node.recvmsg(65536, socket.CMSG_SPACE(4))
link = socket.socket(fileno=array.array("i", beside[0][2])[0])

def door():
    made = socket.socket()
    if what in ("twice", "reuse"):
        made.setsockopt(socket.SOL_SOCKET, 36, int(mark))
        made.setsockopt(socket.SOL_IP, 19, 1)
        made.bind((address, int(port)))
        if what == "reuse":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.listen()
    return made

if what == "file":
    given = [os.open("/etc/passwd", os.O_RDONLY)]
else:
    given = [door()] * (2 if what == "twice" else 1)
rights = array.array("i", [it if isinstance(it, int) else it.fileno() for it in given])
said = json.dumps({"say": "sockets", "sockets": ["tcp-door4"] * len(rights)}).encode()
link.sendmsg([said], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
print(link.recv(65536).decode())
"#;

#[test]
fn what_another_user_hands_over_is_a_door_of_a_place_of_its_own_or_refused() {
    use ringfence_compartment::address::{DOOR_PORT, DOOR_V4, MARK};
    use ringfence_compartment::{link::LINK_VERSION, sockets};
    if Caller::own() != Caller::Root {
        eprintln!("skipped: needs root, to be another user as well");
        return;
    }
    let node = options().file("theirs.yaml", THEIRS).start().unwrap();
    let directory = sockets::socket_dir(node.state())
        .unwrap()
        .display()
        .to_string();
    let (version, port, mark) = (
        LINK_VERSION.to_string(),
        DOOR_PORT.to_string(),
        MARK.to_string(),
    );
    let address = DOOR_V4.to_string();
    for (what, apart, why) in [
        ("host", false, "belongs to the host's network"),
        ("file", false, "1 sockets were announced and 0 came"),
        // In a network namespace of its own, where that user may do everything.
        ("plain", true, "mark is 0"),
        ("reuse", true, "port reuse is 1"),
        ("twice", true, "a second TcpDoor4"),
    ] {
        let mut words = vec![
            "setpriv",
            "--reuid",
            STRANGER,
            "--regid",
            STRANGER,
            "--clear-groups",
            "--",
        ];
        if apart {
            words.extend(["unshare", "--user", "--map-root-user", "--net"]);
        }
        words.extend([
            "/usr/bin/python3",
            "-c",
            IMPOSTOR,
            &directory,
            &version,
            what,
            &address,
            &port,
            &mark,
        ]);
        let answer = host(&node, &words);
        assert!(
            answer.contains("rejected") && answer.contains(why),
            "{what}: {answer}"
        );
        node.wait_for_flow(|flow| {
            flow.operation == "compartment put out" && flow.reason.contains(why)
        })
        .unwrap();
    }
}
