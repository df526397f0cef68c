//! Every attempt is a record: N tried, N counted, and what was tried works where there is no compartment.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::Duration;

use e2e_support::{PUPPET, PYTHON, Puppet, attempts, start, web, workdir};
use ringfence_model::{FlowRecord, Outcome, RecordKind};
use ringfence_testbed::Node;
use serde_json::json;

/// Counts until `wanted` attempts are there, then looks once more: there must be no more either.
fn exactly(node: &Node, wanted: u64, pick: impl Fn(&FlowRecord) -> bool + Copy) {
    let counted = |node: &Node| Ok(attempts(&node.flows_where(0, pick)?));
    let reached = node.await_that("enough records", |node| {
        Ok((counted(node)? >= wanted).then_some(()))
    });
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(counted(node).unwrap(), wanted, "{reached:?}");
}

#[test]
fn n_tcp_attempts_are_n_records_even_when_folded() {
    let node = start();
    let mut agent = Puppet::start(&node);
    for (host, port, times) in [
        ("100.64.77.1", 22, 7),
        ("10.0.0.1", 443, 900),
        ("fd52:6600::99", 80, 5),
        ("198.18.0.1", 15001, 3),
        ("169.254.169.254", 80, 2),
    ] {
        assert_eq!(
            agent.tell(json!(["tcp", host, port, times]))["reached"],
            0,
            "{host}"
        );
        let to = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        exactly(&node, times, |r| {
            r.kind == RecordKind::Connection
                && r.original_destination == to
                && r.outcome == Outcome::Deny
        });
    }
}

#[test]
fn n_datagrams_are_n_records_whether_the_door_has_room_for_them_or_not() {
    let node = start();
    let mut agent = Puppet::start(&node);
    let mut sent = 0;
    for (host, port, times) in [
        ("100.64.77.1", 5000, 4),
        ("fd52:6600::99", 443, 3),
        ("10.0.0.1", 123, 500),
    ] {
        agent.tell(json!(["udp", host, port, times]));
        sent += times;
        // What does not fit into the door's buffer is counted by the kernel; it comes without its destination.
        exactly(&node, sent, |r| {
            r.protocol == "udp"
                && r.outcome == Outcome::Deny
                && matches!(r.kind, RecordKind::Connection | RecordKind::Wall)
        });
    }
    let named = node
        .flows_where(0, |r| r.original_destination == "10.0.0.1:123")
        .unwrap();
    assert!(attempts(&named) > 0, "{named:?}");
}

#[test]
fn n_requests_are_n_operations_on_one_connection() {
    let node = start();
    let service = web(&node);
    let mut agent = Puppet::start(&node);
    assert_eq!(
        agent.tell(json!(["until_refused", "/items/1", 250]))["served"],
        250
    );
    exactly(&node, 250, |r| {
        r.kind == RecordKind::Operation
            && r.operation == "GET /items/1"
            && r.outcome == Outcome::Allow
    });
    exactly(&node, 1, |r| {
        r.kind == RecordKind::Connection && r.destination == "web"
    });
    assert_eq!(service.process.stdout().matches("GET").count(), 250);
    let flows = node
        .flows_where(0, |r| {
            r.protocol == "http" && r.kind == RecordKind::Operation
        })
        .unwrap();
    assert!(
        flows
            .iter()
            .all(|r| r.connection == flows[0].connection && !r.connection.is_empty())
    );
}

#[test]
fn sockets_that_no_door_sees_are_refused_and_recorded() {
    let node = start();
    let script = r#"
import ctypes, errno, os, socket
def attempt(what, *socket_arguments):
    try:
        socket.socket(*socket_arguments).close()
        print(what, "made")
    except OSError as refused:
        print(what, errno.errorcode[refused.errno])
attempt("packet", socket.AF_PACKET, socket.SOCK_RAW, 3)
attempt("raw", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
attempt("vsock", socket.AF_VSOCK, socket.SOCK_STREAM, 0)
attempt("udplite", socket.AF_INET, socket.SOCK_DGRAM, 136)
attempt("sctp", socket.AF_INET, socket.SOCK_STREAM, 132)
attempt("alg", 38, socket.SOCK_SEQPACKET, 0)
attempt("netfilter", socket.AF_NETLINK, socket.SOCK_RAW, 12)
libc = ctypes.CDLL(None, use_errno=True)
for what, number, arguments in [("unshare", 272, (0x50000000,)), ("bpf", 321, (0, 0, 0)), ("io_uring", 425, (1, 0)), ("mount", 165, (0, 0, 0, 0, 0))]:
    libc.syscall(number, *arguments)
    print(what, errno.errorcode[ctypes.get_errno()])
"#;
    let output = node.run("agent", &[PYTHON, "-c", script]).unwrap().ok();
    assert!(!output.stdout.contains("made"), "{}", output.stdout);
    let lines = output.stdout.lines().count() as u64;
    assert_eq!(lines, 11);
    if cfg!(target_arch = "x86_64") {
        exactly(&node, lines, |r| {
            r.kind == RecordKind::Wall && r.outcome == Outcome::Deny
        });
    }
}

#[test]
fn multicast_is_a_wall_and_a_record() {
    let node = start();
    let mut agent = Puppet::start(&node);
    agent.tell(json!(["udp", "224.0.0.251", 5353, 3]));
    node.wait_for_flow(|r| {
        r.kind == RecordKind::Wall
            && (r.operation.contains("224.0.0.251")
                || r.original_destination.contains("224.0.0.251"))
    })
    .unwrap();
}

#[test]
fn the_same_agent_without_a_compartment_reaches_what_it_was_refused() {
    let node = start();
    for address in ["10.9.9.9/32", "169.254.169.254/32"] {
        node.host()
            .run_as_root(["ip", "addr", "add", address, "dev", "lo"])
            .unwrap()
            .ok();
    }
    let server = r#"
import selectors, socket
selector = selectors.DefaultSelector()
for host in ("10.9.9.9", "169.254.169.254"):
    selector.register(socket.create_server((host, 8080)), selectors.EVENT_READ)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 9999))
    selector.register(sock, selectors.EVENT_READ)
print("on", flush=True)
while True:
    for key, _ in selector.select():
        if key.fileobj.type == socket.SOCK_DGRAM:
            key.fileobj.recv(99)
            print("udp", key.fileobj.getsockname()[0], flush=True)
        else:
            conn, _ = key.fileobj.accept()
            conn.recv(99)
            print("tcp", key.fileobj.getsockname()[0], flush=True)
            conn.sendall(b"here")
            conn.close()
"#;
    let listener = node.host().start_as_root([PYTHON, "-c", server]).unwrap();
    listener.wait_stdout("on", Duration::from_secs(10)).unwrap();
    let commands = [
        json!(["tcp", "10.9.9.9", 8080]),
        json!(["tcp", "169.254.169.254", 8080]),
        json!(["udp", "10.9.9.9", 9999]),
        json!(["udp", "169.254.169.254", 9999]),
    ];
    let mut agent = Puppet::start(&node);
    for command in &commands {
        let answer = agent.tell(command.clone());
        assert_ne!(answer["reached"], 1, "{command}");
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        listener.stdout(),
        "on\n",
        "inside a compartment something arrived"
    );

    let path = workdir(&node, "flat", "puppet.py", PUPPET).join("puppet.py");
    let script = commands
        .iter()
        .map(|command| format!("{command}\n"))
        .collect::<String>();
    let line = format!("printf '%s' '{script}' | {PYTHON} -u {}", path.display());
    let flat = node.host().run(["sh", "-c", &line]).unwrap().ok();
    assert_eq!(
        flat.stdout.matches("\"reached\": 1").count(),
        2,
        "{}",
        flat.stdout
    );
    for arrived in [
        "tcp 10.9.9.9",
        "tcp 169.254.169.254",
        "udp 10.9.9.9",
        "udp 169.254.169.254",
    ] {
        listener
            .wait_stdout(arrived, Duration::from_secs(5))
            .unwrap();
    }
}
