//! Kernel memory behind sockets that nobody reads.

use ringfence_testbed::{Caller, Neighbour};

use crate::ground::{hoard, node, said, unnoticed};

/// 400 connections with itself, over TCP, filled until they take no more and never read.
const UNREAD: &str = r#"
listener = socket.create_server(("127.0.0.1", 7000), backlog=512)
kept = []
for _ in range(400):
    near = socket.create_connection(("127.0.0.1", 7000))
    far = listener.accept()[0]
    # Both ways, with as much room as may be asked for.
    for end in near, far:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
        end.setblocking(False)
    kept += [near, far]
total = 0
for end in kept:
    try:
        while True:
            total += end.send(b"x" * 65536)
    except BlockingIOError:
        pass
print("held", total, flush=True)
print("ready", flush=True)
time.sleep(600)
"#;

/// Pages of kernel memory behind TCP sockets, and the mark from which all of them suffer: of the whole machine.
fn tcp_pages() -> (u64, u64) {
    let sockets = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = sockets
        .lines()
        .find(|line| line.starts_with("TCP:"))
        .unwrap();
    let mut words = line.split(' ');
    words.find(|word| *word == "mem").unwrap();
    let used = words.next().unwrap().parse().unwrap();
    let marks = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").unwrap();
    (
        used,
        marks.split_whitespace().nth(1).unwrap().parse().unwrap(),
    )
}

#[test]
fn unread_connections_stop_long_before_the_memory_for_tcp_of_the_host() {
    for caller in Caller::available() {
        let node = node(caller);
        let neighbour = Neighbour::start(&node).unwrap();
        let (before, _) = tcp_pages();
        let unread = unnoticed(&node, &neighbour, || hoard(&node, UNREAD));
        let held: u64 = said(&unread, "held").parse().unwrap();
        let (after, mark) = tcp_pages();
        let taken = after.saturating_sub(before);
        println!("{held} bytes are held in {taken} pages; the mark is {mark}");
        // 800 ends of 256 KiB for sending and for receiving, and what the kernel counts beside the bytes.
        assert!(held < 800 * 2 * 256 * 1024, "{held}");
        assert!(taken < mark / 2, "{taken} pages of {mark}");
    }
}
