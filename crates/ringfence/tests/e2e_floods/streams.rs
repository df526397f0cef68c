//! Floods of HTTP/2: many connections at a time to a service through its door, each of which says as fast as it is taken
//! what costs the one who reads it most.

use ringfence_testbed::{Neighbour, Node, Running};

use crate::ground::{enforcer, node, number, ready, seconds, start, unnoticed};

const CLIENT: &str = include_str!("streams.py");
/// `HELD_PER_COMPARTMENT`.
const HELD: u64 = 64 << 20;

/// Service `loom`: nghttpd, with a file of 10 bytes and one of a MiB.
fn loom(node: &Node) -> Running {
    let work = node.host().directory("work-loom").unwrap();
    for (name, size) in [("small", 10), ("large", 1 << 20)] {
        let file = work.join(name);
        std::fs::write(&file, vec![b'x'; size]).unwrap();
        node.host().own(&file).unwrap();
    }
    let answers = "import socket; socket.create_connection((\"127.0.0.1\", 8080))";
    let script = format!(
        "nghttpd --no-tls 8080 --htdocs . & \
         until /usr/bin/python3 -c '{answers}' 2>/dev/null; do sleep 0.1; done; echo ready; wait"
    );
    let launch = node.workload("loom").workdir(&work);
    let mut running = launch.spawn(&["sh", "-c", &script]).unwrap();
    running.wait_until_it_says("ready").unwrap();
    running
}

/// Lets an attacker do its worst while the neighbour is watched. What ends its connections is on record with `reason`; one
/// that breaks no rule has none, and has gone on all the while. The enforcer has grown by less than `most` bytes.
fn flooded(program: &str, reason: Option<&str>, most: u64) {
    flooded_before(loom, program, reason, most);
}

/// The same, with another service.
fn flooded_before(
    service: impl FnOnce(&Node) -> Running,
    program: &str,
    reason: Option<&str>,
    most: u64,
) {
    let node = node();
    let _loom = service(&node);
    let neighbour = Neighbour::start(&node).unwrap();
    let before = enforcer(&node);
    let attacker = unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", &format!("{CLIENT}\n{program}"));
        attacker.wait_until_it_says("ready").unwrap();
        seconds(4);
        attacker
    });
    assert!(number(&attacker, "done") > 20, "it was never under way");
    // A log that grows faster than it is read is never read to its end.
    drop(attacker);
    if let Some(reason) = reason {
        // It is among the latest of a great many.
        node.await_that("the record", |node| {
            let latest = ["-o", "json", "--last", "50000"];
            let told = node.verb("observe", &latest)?.stdout;
            Ok(told.contains(reason).then_some(()))
        })
        .unwrap();
    }
    let grown = enforcer(&node).resident.saturating_sub(before.resident);
    println!("the enforcer has {grown} bytes more");
    assert!(grown < most, "the enforcer has {grown} bytes more");
}

#[test]
fn continuations_without_end() {
    let program = r#"
block = head()
rest = b"".join(frame(CONTINUATION, 0, 1, field(b"x", b"y" * 4000)) for _ in range(40))
def says(piece): return frame(HEADERS, END_STREAM, 1, block) + rest
attack(32, says)
"#;
    flooded(program, Some("header block without end"), 24 << 20);
}

#[test]
fn streams_that_are_reset_at_once() {
    let program = r#"
block = head()
def says(piece):
    cancel = struct.pack(">I", 8)
    return b"".join(asks(n, block) + frame(RST, 0, n, cancel) for n in streams(piece, 100))
attack(32, says)
"#;
    flooded(program, Some("reset in rapid succession"), 24 << 20);
}

#[test]
fn settings_without_end() {
    // Each moves the windows of a hundred streams.
    let program = r#"
block = head(b"POST")
first = b"".join(asks(n, block, end=False) for n in streams(0, 100))
many = (settings((4, 0)) + settings((4, 65535))) * 200
def says(piece): return first + many if piece == 0 else many
attack(32, says)
"#;
    flooded(program, Some("frames that do nothing"), 24 << 20);
}

#[test]
fn pings_without_end() {
    let program = r#"
many = frame(PING, 0, 0, b"01234567") * 1000
def says(piece): return many
attack(32, says)
"#;
    flooded(program, Some("frames that do nothing"), 24 << 20);
}

#[test]
fn more_streams_than_there_may_be() {
    let program = r#"
block = head(b"POST")
def says(piece): return b"".join(asks(n, block, end=False) for n in streams(piece, 128))
attack(32, says)
"#;
    flooded(program, Some("more streams at a time"), 32 << 20);
}

#[test]
fn windows_that_open_by_a_byte() {
    // Each byte is a frame of its own, from a hundred streams at a time.
    let program = r#"
block = head(path=b"/large")
first = frame(WINDOW, 0, 0, struct.pack(">I", 1 << 30)) + b"".join(asks(n, block) for n in streams(0, 100))
many = b"".join(frame(WINDOW, 0, n, struct.pack(">I", 1)) for n in streams(0, 100))
def says(piece): return first if piece == 0 else many
attack(32, says, first=settings((4, 0)))
"#;
    flooded(program, None, 96 << 20);
}

#[test]
fn small_blocks_that_stand_for_large_lists() {
    let program = r#"
bomb = head(more=field(b"x", b"y" * 4000, kind=b"\x40") + b"\xbe" * 12000)
def says(piece): return b"".join(asks(n, bomb) for n in streams(piece, 4))
attack(32, says)
"#;
    flooded(program, None, 24 << 20);
}

#[test]
fn frames_with_nothing_in_them() {
    let program = r#"
data = frame(DATA, 0, 1) * 400
def says(piece):
    first = asks(1, head(b"POST"), end=False) if piece == 0 else b""
    return first + data + b"".join(frame(HEADERS, END_STREAM | END_HEADERS, n + 2) for n in streams(piece, 50))
attack(32, says)
"#;
    flooded(program, Some("frames that do nothing"), 24 << 20);
}

#[test]
fn header_blocks_as_long_as_they_may_be() {
    // Half of them are allowed, the others refused.
    let program = r#"
more = b"".join(field(b"x-%d" % n, b"y" * 600) for n in range(90))
good, bad = head(more=more), head(b"PUT", more=more)
def says(piece): return b"".join(asks(n, good if n % 4 == 1 else bad) for n in streams(piece, 4))
attack(32, says)
"#;
    flooded(program, None, HELD + (40 << 20));
}

#[test]
fn requests_that_are_refused_as_fast_as_they_come() {
    let program = r#"
block = head(b"PUT")
def says(piece): return b"".join(asks(n, block) for n in streams(piece, 200))
attack(64, says)
"#;
    flooded(program, None, 24 << 20);
}

#[test]
fn streams_that_stay_half_open_and_drip() {
    let program = r#"
block = head(b"POST")
first = b"".join(asks(n, block, end=False) for n in streams(0, 100))
drip = b"".join(frame(DATA, 0, n, b"x") for n in streams(0, 100))
def says(piece): return first if piece == 0 else drip
attack(100, says)
"#;
    flooded(program, None, 96 << 20);
}

#[test]
fn answers_that_nobody_reads() {
    let program = r#"
block, large = head(b"PUT"), head(path=b"/large")
first = frame(WINDOW, 0, 0, struct.pack(">I", 1 << 30)) + b"".join(asks(n, large) for n in streams(0, 50))
def says(piece): return first if piece == 0 else b"".join(asks(n, block) for n in streams(piece, 50))
attack(100, says, first=settings((4, 1 << 30)), reads=False)
"#;
    flooded(program, None, 64 << 20);
}

/// A service in league with the attacker: it says `settings`, reads everything, and answers nothing.
fn accomplice(settings: &str) -> impl FnOnce(&Node) -> Running {
    let program = format!(
        r#"{CLIENT}
def serve(sock):
    try:
        sock.sendall({settings})
        while sock.recv(1 << 20): pass
    except OSError: pass
listener = socket.create_server(("0.0.0.0", 8080), backlog=1024)
print("ready", flush=True)
while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#
    );
    move |node| ready(node, "loom", &program)
}

#[test]
fn heads_that_wait_for_a_service_without_room() {
    // 150 MiB of them, if nobody counted.
    let program = r#"
more = field(b"x", b"y" * 30000)
block = head(more=more)
def says(piece): return asks(2 * piece + 1, block)
attack(40, says)
"#;
    let service = accomplice("settings((3, 0))");
    let reason = "has requests under way that hold";
    flooded_before(service, program, Some(reason), HELD + (40 << 20));
}

#[test]
fn data_that_nobody_takes() {
    // A MiB of it on each connection that has a wide window. The others break theirs, and come again.
    let program = r#"
block = head(b"POST")
def says(piece):
    if piece == 16: return None
    n = 2 * piece + 1
    return asks(n, block, end=False) + b"".join(frame(DATA, 0, n, b"x" * 16000) for _ in range(4))
attack(200, says)
"#;
    let service = accomplice("settings((4, 0))");
    flooded_before(service, program, None, HELD + (60 << 20));
}
