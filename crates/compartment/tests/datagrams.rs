//! Datagrams: answers come from where they were asked, calls come in to any kind of listener, and nothing goes round.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ringfence_compartment::link::Socket;
use rustix::net::RecvFlags;
use support::{Host, INTERPRETER, PATIENCE, Running, User, able};

/// An interpreter inside, with `udp(family)` for a socket that waits five seconds at most.
fn inside(test: impl Fn(&Host, &mut Running)) {
    if !able() {
        return;
    }
    for user in [User::Root, User::Somebody] {
        let host = Host::new();
        let command = host.command(user, &[], &["/usr/bin/python3", "-c", INTERPRETER]);
        let mut running = Running::start(command);
        assert_eq!(running.hear(), "ready");
        running.ask("globals().update(udp=lambda f: (lambda s: (s.settimeout(5), s)[1])(socket.socket(f, 2)))");
        test(&host, &mut running);
        let rejected = &host.notes().rejected;
        assert!(rejected.is_empty(), "{rejected:?}");
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn answers_come_from_the_port_that_was_asked_though_the_workload_listens_on_it() {
    inside(|_, agent| {
        // A service that listens on all addresses asks another one that has the same port.
        agent.ask("globals().update(own=[udp(2), udp(10)]) or (own[0].bind(('', 5000)), own[1].setsockopt(41, 26, 1), own[1].bind(('::', 5000)))");
        for (family, ip) in [(2, "100.64.0.2"), (10, "fd52:6600::2")] {
            let from = SocketAddr::new(ip.parse().unwrap(), 5000);
            let unconnected = format!(
                "(lambda s: (s.sendto(b'q', ('{ip}', 5000)), s.recvfrom(99))[1])(udp({family}))"
            );
            let heard = agent.ask(&unconnected);
            assert!(
                heard.starts_with(&format!("(b'door {from}', ('{ip}', 5000")),
                "{heard}"
            );
            let connected = format!(
                "(lambda s: (s.connect(('{ip}', 5000)), s.send(b'q'), s.recv(99))[2])(udp({family}))"
            );
            assert_eq!(agent.ask(&connected), format!("b'door {from}'"));
            // From the very socket that listens there.
            let own = usize::from(family == 10);
            let itself =
                format!("(own[{own}].sendto(b'q', ('{ip}', 5000)), own[{own}].recvfrom(99))[1][0]");
            assert_eq!(agent.ask(&itself), format!("b'door {from}'"));
        }
    });
}

#[test]
fn an_answer_that_nobody_waits_for_is_no_attempt_of_the_workload() {
    inside(|host, agent| {
        // The kernel says "port unreachable" to the answer; as an unmarked packet that would be refused and told.
        agent.ask("(lambda s: (s.sendto(b'q', ('100.64.0.2', 5000)), s.close()))(udp(2))");
        host.wait_until("the question", |notes| notes.datagrams.len() == 1);
        // Told in order: when the later one is there, the earlier one would be.
        agent.ask("udp(2).sendto(b'm', ('224.0.0.251', 5353))");
        host.wait_until("the multicast", |notes| !notes.attempts.is_empty());
        let notes = host.notes();
        let protocols: Vec<_> = notes.attempts.iter().map(|a| a.protocol.as_str()).collect();
        assert_eq!(protocols, ["udp"], "{:?}", notes.attempts);
    });
}

#[test]
fn what_a_client_sends_in_one_call_arrives_as_the_datagrams_it_is() {
    inside(|host, agent| {
        for (number, (family, ip)) in [(2, "100.64.0.2"), (10, "fd52:6600::2")]
            .into_iter()
            .enumerate()
        {
            // UDP_SEGMENT: 30 datagrams of 1000 bytes and one of 7.
            let ask = format!(
                "(lambda s: (s.setsockopt(17, 103, 1000), s.sendto(b'g' * 30007, ('{ip}', 9)))[1])(udp({family}))"
            );
            assert_eq!(agent.ask(&ask), "30007");
            let expected = 31 * (number + 1);
            host.wait_until("all of them", |notes| notes.datagrams.len() >= expected);
            let notes = host.notes();
            let lengths: Vec<_> = notes.datagrams[31 * number..]
                .iter()
                .map(|(_, bytes)| bytes.len())
                .collect();
            assert_eq!(lengths, [vec![1000; 30], vec![7]].concat());
        }
    });
}

/// Orders sockets for datagrams, as an enforcer does, and takes one of a kind.
fn take(host: &Host, kind: Socket) -> OwnedFd {
    let is_kind = |notes: &support::Notes| notes.inbound.iter().position(|(k, _)| *k == kind);
    if is_kind(&host.notes()).is_none() {
        host.need_all([0, 0, 40, 40]);
        host.wait_until("sockets for datagrams", |notes| is_kind(notes).is_some());
    }
    let mut notes = host.notes();
    let index = is_kind(&notes).unwrap();
    notes.inbound.remove(index).1
}

/// Calls in as another workload, sends, and gives what came back, or the error.
fn call(socket: &OwnedFd, to: SocketAddr) -> Result<Vec<u8>, rustix::io::Errno> {
    let from = if to.is_ipv4() {
        address("100.64.0.5:0")
    } else {
        address("[fd52:6600::5]:0")
    };
    rustix::net::bind(socket, &from)?;
    rustix::net::connect(socket, &to)?;
    rustix::net::send(socket, b"call", rustix::net::SendFlags::empty())?;
    let (until, mut heard) = (Instant::now() + PATIENCE, [0; 99]);
    loop {
        match rustix::net::recv(socket, &mut heard, RecvFlags::empty()) {
            Ok((length, _)) => return Ok(heard[..length].to_vec()),
            Err(rustix::io::Errno::AGAIN) => assert!(Instant::now() < until, "{to}: no answer"),
            Err(cause) => return Err(cause),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Prints a line for each call and answers it.
const LISTEN: &str =
    "(lambda m: (l.sendto(b'heard ' + m[1][0].encode(), m[1]), m[0])[1])(l.recvfrom(99))";

#[test]
fn a_call_comes_in_from_the_callers_address_to_any_kind_of_listener() {
    inside(|host, agent| {
        // Where it listens, and where the enforcer finds it.
        for (family, listens, found) in [
            (2, "127.0.0.1", "127.0.0.1"),
            (2, "0.0.0.0", "127.0.0.1"),
            (2, "100.64.0.9", "100.64.0.9"),
            (10, "::", "127.0.0.1"),
            (10, "fd52:6600::9", "fd52:6600::9"),
            (10, "::1", "::1"),
        ] {
            agent.ask(&format!(
                "globals().update(l=udp({family})) or l.bind(('{listens}', 6000))"
            ));
            let to = SocketAddr::new(found.parse().unwrap(), 6000);
            let kind = if to.is_ipv4() {
                Socket::InboundUdp4
            } else {
                Socket::InboundUdp6
            };
            let socket = take(host, kind);
            agent.say(LISTEN);
            let heard = String::from_utf8(call(&socket, to).unwrap()).unwrap();
            assert_eq!(agent.hear(), "b'call'", "{listens}");
            let caller = heard
                .trim_start_matches("heard ")
                .trim_start_matches("::ffff:");
            assert!(["100.64.0.5", "fd52:6600::5"].contains(&caller), "{heard}");
            agent.ask("l.close()");
        }
        let notes = host.notes();
        assert!(notes.datagrams.is_empty(), "{:?}", notes.datagrams);
        assert!(notes.attempts.is_empty(), "{:?}", notes.attempts);
    });
}

#[test]
fn a_call_to_nobody_is_told_so_and_does_not_come_back_as_the_workload() {
    inside(|host, _| {
        for to in ["127.0.0.1:9", "100.64.0.9:9", "[fd52:6600::9]:9", "[::1]:9"] {
            let to = address(to);
            let kind = if to.is_ipv4() {
                Socket::InboundUdp4
            } else {
                Socket::InboundUdp6
            };
            let refused = call(&take(host, kind), to);
            assert_eq!(refused, Err(rustix::io::Errno::CONNREFUSED), "{to}");
        }
        let notes = host.notes();
        assert!(notes.datagrams.is_empty(), "{:?}", notes.datagrams);
        assert!(notes.attempts.is_empty(), "{:?}", notes.attempts);
    });
}
