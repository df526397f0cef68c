//! Connections that are never at rest: what they cost is the attacker's own turns.

use ringfence_testbed::Neighbour;

use crate::ground::{MILL, PIPE, enforcer, node, number, ready, seconds, start, unnoticed};

/// 1200 connections, each of which has always sent more requests than are answered. All are refused.
const REQUESTS: &str = r#"
socks = {}
poller = select.epoll()
for n in range(1200):
    sock = socket.create_connection(at("mill", 8080))
    sock.setblocking(False)
    socks[sock.fileno()] = sock
    poller.register(sock, select.EPOLLIN | select.EPOLLOUT)
batch = b"POST /secret HTTP/1.1\r\nhost: mill\r\ncontent-length: 0\r\n\r\n" * 50
def work(i, n):
    for fd, event in poller.poll():
        try:
            if event & select.EPOLLIN: socks[fd].recv(1 << 20)
            if event & select.EPOLLOUT: socks[fd].send(batch)
        except OSError: pass
go(1, work)
"#;

#[test]
fn requests_on_many_connections_at_once() {
    let node = node();
    let _mill = ready(&node, "mill", MILL);
    let neighbour = Neighbour::start(&node).unwrap();
    unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", REQUESTS);
        attacker.wait_until_it_says("ready").unwrap();
        seconds(4);
        attacker
    });
}

/// Bodies of chunks of one byte, as many as are taken.
const CHUNKS: &str = r#"
def work(i, n):
    sock = socket.create_connection(at("mill", 8080))
    sock.sendall(b"PUT /a HTTP/1.1\r\nhost: mill\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        sock.sendall(b"1\r\nx\r\n" * 10000)
go(8, work)
"#;

#[test]
fn bodies_that_never_end_in_the_smallest_chunks() {
    let node = node();
    let _mill = ready(&node, "mill", MILL);
    let neighbour = Neighbour::start(&node).unwrap();
    let before = enforcer(&node);
    unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", CHUNKS);
        attacker.wait_until_it_says("ready").unwrap();
        seconds(4);
        attacker
    });
    let grown = enforcer(&node).resident.saturating_sub(before.resident);
    assert!(grown < 16 << 20, "the enforcer has {grown} bytes more");
}

/// Four threads that open 200 connections at once and reset them, again and again.
const RESETS: &str = r#"
to = at("pipe", 7000)
def work(i, n):
    socks = [socket.socket() for _ in range(200)]
    for sock in socks:
        sock.setblocking(False)
        sock.connect_ex(to)
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
go(4, work)
"#;

#[test]
fn connections_that_are_opened_and_reset_at_once() {
    let node = node();
    let _pipe = ready(&node, "pipe", PIPE);
    let neighbour = Neighbour::start(&node).unwrap();
    let before = enforcer(&node);
    let attacker = unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", RESETS);
        attacker.wait_until_it_says("ready").unwrap();
        seconds(4);
        attacker
    });
    assert!(number(&attacker, "done") > 100);
    // What was accepted and not judged yet holds a descriptor: only so many do, however fast the attacker is.
    let more = enforcer(&node)
        .descriptors
        .saturating_sub(before.descriptors);
    assert!(more < 2000, "the enforcer has {more} descriptors more");
}
