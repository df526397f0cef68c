//! Those that are slow on purpose: heads that never end, answers that nobody reads, services that drip, connections closed
//! on one side only, a workload that is stopped while it holds what it has.

use ringfence_testbed::Neighbour;

use crate::ground::{MILL, PIPE, enforcer, node, ready, seconds, start, unnoticed};

/// Lets `program` do its worst for a while, then says by how much the enforcer grew, in bytes.
fn grown_by(program: &str, services: &[(&str, &str)]) -> u64 {
    let node = node();
    let _services: Vec<_> = services
        .iter()
        .map(|(name, program)| ready(&node, name, program))
        .collect();
    let neighbour = Neighbour::start(&node).unwrap();
    let before = enforcer(&node);
    let _attacker = unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", program);
        attacker.wait_until_it_says("ready").unwrap();
        seconds(3);
        attacker
    });
    enforcer(&node).resident.saturating_sub(before.resident)
}

#[test]
fn heads_that_trickle_and_never_end() {
    // All of `HEAD_MAX` but a little, then byte by byte.
    let program = r#"
socks = []
for _ in range(600):
    sock = socket.create_connection(at("mill", 8080))
    sock.sendall(b"GET / HTTP/1.1\r\nhost: mill\r\nx-a: " + b"y" * 60000)
    socks.append(sock)
def work(i, n):
    socks[n % len(socks)].send(b"y")
    time.sleep(0.0005)
go(1, work)
"#;
    let grown = grown_by(program, &[("mill", MILL)]);
    assert!(grown < 600 * (96 << 10), "{grown} bytes more");
}

#[test]
fn answers_without_end_that_nobody_reads() {
    let program = r#"
socks = []
for _ in range(400):
    sock = socket.create_connection(at("mill", 8080))
    sock.sendall(b"GET /endless HTTP/1.1\r\nhost: mill\r\n\r\n")
    socks.append(sock)
print("ready", flush=True)
time.sleep(1000)
"#;
    // No more than `BUFFER_MAX`, both ways, and what a connection takes.
    let grown = grown_by(program, &[("mill", MILL)]);
    assert!(grown < 400 * (160 << 10), "{grown} bytes more");
}

/// A service that sends a byte at a time, for ever, to whoever asks.
const DRIP: &str = r#"
def serve(sock):
    try:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n")
        while True:
            sock.sendall(b"x")
            time.sleep(0.005)
    except OSError: pass
listener = socket.create_server(("0.0.0.0", 8080), backlog=1024)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

#[test]
fn a_service_that_drips_at_its_callers() {
    let program = r#"
socks = []
for _ in range(100):
    sock = socket.create_connection(at("mill", 8080))
    sock.sendall(b"GET / HTTP/1.1\r\nhost: mill\r\n\r\n")
    socks.append(sock)
def work(i, n): socks[n % len(socks)].recv(65536)
go(4, work)
"#;
    let grown = grown_by(program, &[("mill", DRIP)]);
    assert!(grown < 100 * (128 << 10), "{grown} bytes more");
}

#[test]
fn connections_closed_on_one_side_and_left() {
    let program = r#"
socks = []
for n in range(600):
    sock = socket.create_connection(at("pipe", 7000))
    sock.sendall(b"x")
    sock.shutdown(socket.SHUT_WR)
    socks.append(sock)
print("ready", flush=True)
time.sleep(1000)
"#;
    // The service closes its own side only when it is made to: it never reads the end.
    let grown = grown_by(program, &[("pipe", crate::ground::HOLDER)]);
    assert!(grown < 600 * (32 << 10), "{grown} bytes more");
}

#[test]
fn a_workload_that_is_stopped_while_its_connections_are_full() {
    let node = node();
    let _mill = ready(&node, "mill", MILL);
    let _pipe = ready(&node, "pipe", PIPE);
    let neighbour = Neighbour::start(&node).unwrap();
    let program = r#"
socks = []
for _ in range(200):
    sock = socket.create_connection(at("mill", 8080))
    sock.sendall(b"GET /endless HTTP/1.1\r\nhost: mill\r\n\r\n")
    socks.append(sock)
def work(i, n): socks[n % len(socks)].recv(65536)
go(2, work)
"#;
    unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", program);
        attacker.wait_until_it_says("ready").unwrap();
        // All of the compartment, as a debugger or a freezer would: the launcher passes it on.
        node.host().signal("TSTP", attacker.pid).unwrap();
        seconds(3);
        node.host().signal("CONT", attacker.pid).unwrap();
        seconds(1);
        attacker
    });
}
