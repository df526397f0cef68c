//! Whatever a workload sends ends at a door, comes back from there, or is refused and told. Each test is a row of what
//! once was wrong.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ringfence_compartment::address;
use ringfence_compartment::link::Socket;
use support::{BOTH, Host, INTERPRETER, Running, User, able};

/// Runs `test` with a fresh host for each user, and an interpreter inside.
fn inside(test: impl Fn(&Host, &mut Running)) {
    if !able() {
        return;
    }
    for user in BOTH {
        let host = Host::new();
        let command = host.command(user, &[], &["/usr/bin/python3", "-c", INTERPRETER]);
        let mut running = Running::start(command);
        assert_eq!(running.hear(), "ready");
        test(&host, &mut running);
        assert!(
            host.notes().rejected.is_empty(),
            "{:?}",
            host.notes().rejected
        );
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn every_tcp_connection_arrives_at_the_door_with_its_destination() {
    inside(|host, agent| {
        for (ip, port) in [
            ("8.8.8.8", 80),
            ("10.0.0.1", 22),
            ("100.64.0.9", 8080),
            ("169.254.169.254", 80),
            ("255.255.255.254", 1),
            ("198.18.0.53", 53),
            ("2606:4700::1111", 443),
            ("fd52:6600::9", 8080),
            ("fe80::1", 80),
        ] {
            let expected = SocketAddr::new(ip.parse().unwrap(), port);
            if ip.starts_with("fe80") {
                // Needs a scope; the only device is loopback, which has no such neighbours.
                agent.ask(&format!("tcp('{ip}%lo', {port})"));
                continue;
            }
            let heard = agent.ask(&format!("tcp('{ip}', {port})"));
            assert_eq!(heard, format!("'door {expected}'"));
            assert!(host.notes().connections.contains(&expected));
        }
    });
}

#[test]
fn ipv4_mapped_mptcp_and_fast_open_arrive_as_well() {
    inside(|_, agent| {
        assert_eq!(
            agent.ask("tcp('::ffff:9.9.9.9', 443)"),
            "'door 9.9.9.9:443'"
        );
        let mptcp = "(lambda s: (s.settimeout(5), s.connect(('9.9.9.8', 7)), s.recv(99))[2])(socket.socket(2, 1, 262))";
        assert_eq!(agent.ask(mptcp), "b'door 9.9.9.8:7\\n'");
        let fast = "(lambda s: (s.sendto(b'x', 0x20000000, ('9.9.9.7', 7)), s.recv(99))[1])(socket.socket())";
        assert_eq!(agent.ask(fast), "b'door 9.9.9.7:7\\n'");
    });
}

#[test]
fn udp_arrives_whole_and_the_answer_comes_from_where_it_was_sent() {
    inside(|host, agent| {
        for (family, ip) in [(2, "1.2.3.4"), (10, "2001:db8::7")] {
            let ask = format!(
                "(lambda s: (s.settimeout(5), s.sendto(b'q', ('{ip}', 53)), s.recvfrom(99))[2][:2])(socket.socket({family}, 2))"
            );
            let heard = agent.ask(&ask);
            let expected = SocketAddr::new(ip.parse().unwrap(), 53);
            assert!(
                heard.starts_with(&format!("(b'door {expected}', ('{ip}', 53")),
                "{heard}"
            );
        }
        assert_eq!(
            agent.ask("socket.socket(2, 2).sendto(b'z' * 65507, ('1.2.3.4', 9))"),
            "65507"
        );
        let at = address("1.2.3.4:9");
        host.wait_until("the large datagram", |notes| {
            notes
                .datagrams
                .iter()
                .any(|(to, bytes)| *to == at && bytes.len() == 65507)
        });
    });
}

#[test]
fn an_answer_does_not_loop() {
    // The door's own answer was steered back to the door: 21.8 million datagrams from one.
    inside(|host, agent| {
        let ask = "(lambda s: (s.settimeout(5), s.sendto(b'q', ('1.2.3.4', 53)), s.recv(99))[2])(socket.socket(2, 2))";
        agent.ask(ask);
        // From an address that is not loopback's, between ports that are both answered: nothing but the mark stops it.
        let bound = "(lambda s: (s.bind(('10.9.9.9', 53)), s.settimeout(5), s.sendto(b'q', ('1.2.3.4', 53)), s.recv(99))[3])(socket.socket(2, 2))";
        assert_eq!(agent.ask(bound), "b'door 1.2.3.4:53'");
        // Also to an address of its own that nobody listens at, and to the door itself.
        agent.ask("socket.socket(2, 2).sendto(b'q', ('198.18.0.1', 53))");
        agent.ask("socket.socket(2, 2).sendto(b'q', ('198.18.0.1', 15001))");
        std::thread::sleep(Duration::from_secs(1));
        let seen = host.notes().datagrams.len();
        assert!(
            (2..=4).contains(&seen),
            "{seen} datagrams from four: {:?}",
            host.notes().datagrams
        );
    });
}

#[test]
fn the_workload_cannot_mark_its_packets() {
    inside(|host, agent| {
        assert_eq!(
            agent.ask("socket.socket().setsockopt(1, 36, 0x52460001)"),
            "EPERM"
        );
        let cmsg = "socket.socket(2, 2).sendmsg([b'x'], [(1, 36, struct.pack('I', 0x52460001))], 0, ('8.8.8.8', 9))";
        assert_eq!(agent.ask(cmsg), "EPERM");
        assert!(host.notes().datagrams.is_empty());
    });
}

#[test]
fn the_door_cannot_be_reached_stolen_or_impersonated() {
    inside(|host, agent| {
        // A wildcard door answered on loopback, with a false destination.
        for loopback in ["127.0.0.1", "127.9.9.9", "::1"] {
            assert_eq!(
                agent.ask(&format!("tcp('{loopback}', 15001)")),
                "'ECONNREFUSED'"
            );
        }
        // Its own address arrives as what it is; the enforcer denies it.
        assert_eq!(
            agent.ask("tcp('198.18.0.1', 15001)"),
            "'door 198.18.0.1:15001'"
        );
        for (family, kind, ip, port) in [
            (2, 1, "198.18.0.1", 15001),
            (2, 2, "198.18.0.1", 15001),
            (2, 1, "0.0.0.0", 15001),
            (2, 2, "0.0.0.0", 15001),
            (10, 1, "2001:2::1", 15001),
            (10, 2, "2001:2::1", 15001),
            (10, 1, "::", 15001),
        ] {
            for option in [0, 2, 15] {
                // SO_REUSEADDR, SO_REUSEPORT
                let steal = format!(
                    "(lambda s: ({option} and s.setsockopt(1, {option}, 1), s.bind(('{ip}', {port})), s.getsockname())[2])(socket.socket({family}, {kind}))"
                );
                let answer = agent.ask(&steal);
                // No IPv6 address but loopback's can be bound at all.
                let refused =
                    answer == "EADDRINUSE" || (ip == "2001:2::1" && answer == "EADDRNOTAVAIL");
                assert!(refused, "{ip} {port} {option}: {answer}");
            }
        }
        // Ports beside the door's are free there, and get nothing: what is sent to them is the door's.
        agent.ask("globals().update(u=socket.socket(2, 2)) or u.bind(('198.18.0.1', 9)) or u.settimeout(0.2)");
        agent.ask("socket.socket(2, 2).sendto(b'mine', ('198.18.0.1', 9))");
        host.wait_until("what was sent there", |notes| {
            notes
                .datagrams
                .contains(&(address("198.18.0.1:9"), b"mine".to_vec()))
        });
        assert_eq!(agent.ask("u.recv(9)"), "TimeoutError('timed out')");
        // A listener on everything does not get what is the door's.
        agent.ask("globals().update(l=socket.create_server(('0.0.0.0', 80)))");
        assert_eq!(agent.ask("tcp('8.8.8.8', 80)"), "'door 8.8.8.8:80'");
        assert!(host.notes().connections.contains(&address("8.8.8.8:80")));
    });
}

#[test]
fn what_a_workload_says_to_itself_is_its_own() {
    inside(|host, agent| {
        agent.ask("globals().update(a=socket.create_server(('127.0.0.1', 80)), b=socket.create_server(('::1', 81), family=10))");
        assert_eq!(agent.ask("(lambda c: (c.sendall(b'me'), a.accept()[0].recv(9))[1])(socket.create_connection(('127.0.0.1', 80)))"), "b'me'");
        assert_eq!(agent.ask("(lambda c: (c.sendall(b'me'), b.accept()[0].recv(9))[1])(socket.create_connection(('::1', 81)))"), "b'me'");
        // Connected to itself, from an address that is nobody's.
        let same = "(lambda s: (s.bind(('8.8.4.4', 5000)), s.settimeout(3), s.connect(('8.8.4.4', 5000)), s.sendall(b'self'), s.recv(9))[4])(socket.socket())";
        assert_eq!(agent.ask(same), "b'self'");
        assert!(
            host.notes().connections.is_empty(),
            "{:?}",
            host.notes().connections
        );
        assert!(
            host.notes().attempts.is_empty(),
            "{:?}",
            host.notes().attempts
        );
    });
}

#[test]
fn multicast_broadcast_and_other_protocols_are_refused_and_told() {
    inside(|host, agent| {
        for (family, ip) in [(2, "224.0.0.251"), (2, "239.1.2.3"), (10, "ff02::fb%lo")] {
            agent.ask(&format!(
                "socket.socket({family}, 2).sendto(b'm', ('{ip}', 5353))"
            ));
            let bare = ip.split('%').next().unwrap();
            host.wait_until(ip, |notes| {
                notes.attempts.iter().any(|attempt| {
                    attempt.wall
                        && attempt.protocol == "udp"
                        && attempt
                            .destination
                            .is_some_and(|to| to.ip().to_string() == bare && to.port() == 5353)
                })
            });
        }
        agent.ask("(lambda s: (s.setsockopt(1, 6, 1), s.sendto(b'b', ('255.255.255.255', 67))))(socket.socket(2, 2))");
        host.wait_until("broadcast", |notes| {
            notes
                .attempts
                .iter()
                .any(|a| a.destination == Some(address("255.255.255.255:67")))
        });
        // Joining a group makes the kernel speak for it.
        agent.ask("socket.socket(2, 2).setsockopt(0, 35, socket.inet_aton('239.9.9.9') + socket.inet_aton('127.0.0.1'))");
        host.wait_until("igmp", |notes| {
            notes.attempts.iter().any(|a| a.protocol == "igmp")
        });
        assert!(
            host.notes().datagrams.is_empty(),
            "{:?}",
            host.notes().datagrams
        );
    });
}

#[test]
fn what_the_kernel_would_lose_on_the_way_to_a_door_is_refused_and_told() {
    inside(|host, agent| {
        // A route of its own (RFC 8754): the kernel steered it to the door, then dropped it for its routing header.
        agent.ask("globals().update(route=bytes([0, 4, 4, 1, 1, 0, 0, 0]) + socket.inet_pton(10, '2001:db8::2') + socket.inet_pton(10, '2001:db8::1'))");
        let udp = "(lambda s: (s.setsockopt(41, 57, route), s.sendto(b'r', ('2001:db8::9', 778))))(socket.socket(10, 2))";
        assert_eq!(agent.ask(udp), "EPERM");
        let tcp = "(lambda s: (s.setsockopt(41, 57, route), s.settimeout(0.1), s.connect(('2001:db8::9', 779))))(socket.socket(10))";
        assert_eq!(agent.ask(tcp), "TimeoutError('timed out')");
        // Options of IPv4; here the route is to be recorded, which is the one way that needs no right on any kernel.
        let recorded = "(lambda s: (s.setsockopt(0, 4, bytes([7, 11, 4]) + bytes(9)), s.sendto(b'o', ('8.8.4.4', 780))))(socket.socket(2, 2))";
        assert_eq!(agent.ask(recorded), "EPERM");
        // A signature for which the door has no key.
        let signed = "(lambda s: (s.setsockopt(6, 14, struct.pack('=HH4s120xBBHI80s', 2, 0, bytes([8, 8, 4, 5]), 0, 0, 3, 0, b'key')), s.settimeout(0.1), s.connect(('8.8.4.5', 781))))(socket.socket())";
        assert_eq!(agent.ask(signed), "TimeoutError('timed out')");
        for (protocol, to) in [
            ("udp", "[2001:db8::1]:778"),
            ("tcp", "[2001:db8::1]:779"),
            ("udp", "8.8.4.4:780"),
            ("tcp", "8.8.4.5:781"),
        ] {
            host.wait_until(to, |notes| {
                notes.attempts.iter().any(|attempt| {
                    attempt.wall
                        && attempt.protocol == protocol
                        && attempt.destination == Some(address(to))
                })
            });
        }
        // No checksum: not allowed over IPv6 (RFC 8200), so the door said nothing of it.
        let unsummed = "(lambda s: (s.setsockopt(17, 101, 1), s.sendto(b'n', ('2001:db8::7', 782))))(socket.socket(10, 2))";
        agent.ask(unsummed);
        let expected = (address("[2001:db8::7]:782"), b"n".to_vec());
        host.wait_until("the datagram without a checksum", |notes| {
            notes.datagrams.contains(&expected)
        });
        assert_eq!(host.notes().datagrams, [expected]);
        assert!(host.notes().connections.is_empty());
    });
}

#[test]
fn port_exhaustion_does_not_lock_the_door_out() {
    inside(|_, agent| {
        let take = "globals().update(held=[(lambda s: (s.bind(('0.0.0.0', 0)), s)[1])(socket.socket(2, 2)) for _ in range(3000)]) or len(held)";
        assert!(agent.ask(take).contains("EMFILE") || agent.ask("len(held)") == "3000");
        agent.ask("globals().update(held=[])");
        let ask = "(lambda s: (s.settimeout(5), s.sendto(b'q', ('1.2.3.4', 53)), s.recv(99))[2])(socket.socket(2, 2))";
        assert_eq!(agent.ask(ask), "b'door 1.2.3.4:53'");
    });
}

#[test]
fn what_a_full_door_loses_is_counted() {
    if !able() {
        return;
    }
    let host = Host::new();
    host.mood(support::Mood::Stuck);
    let command = host.command(
        User::Somebody,
        &[],
        &["/usr/bin/python3", "-c", INTERPRETER],
    );
    let mut agent = Running::start(command);
    assert_eq!(agent.hear(), "ready");
    // Its own listener overflows too; that is not an attempt.
    agent.ask("globals().update(l=socket.create_server(('127.0.0.1', 9), backlog=1))");
    let own = "[(lambda s: (s.setblocking(False), s.connect_ex(('127.0.0.1', 9)), s))(socket.socket()) for _ in range(20)] and 1";
    agent.ask(&format!("globals().update(own={own}) or 1"));
    let many = "globals().update(many=[(lambda s: (s.setblocking(False), s.connect_ex(('9.9.9.9', 9)), s)[2])(socket.socket()) for _ in range(400)]) or len(many)";
    assert_eq!(agent.ask(many), "400");
    agent.ask(
        "[socket.socket(2, 2).sendto(b'u' * 60000, ('9.9.9.9', 9)) for _ in range(100)] and 1",
    );
    // The stuck enforcer reads nothing: its messages are taken when it is replaced.
    host.kill_enforcer();
    host.mood(support::Mood::Well);
    host.start_enforcer();
    for protocol in ["tcp", "udp"] {
        host.wait_until(protocol, |notes| {
            notes
                .attempts
                .iter()
                .any(|a| a.operation == "lost at a full door" && a.protocol == protocol)
        });
    }
    // Each of the 400 was either lost, or taken and reset; and each of the 100.
    let sum = |protocol: &str| -> u64 {
        let notes = host.notes();
        notes
            .attempts
            .iter()
            .filter(|a| a.protocol == protocol)
            .map(|a| a.count)
            .sum()
    };
    host.wait_until("all of them", |_| true);
    assert!(sum("tcp") >= 400, "{}", sum("tcp"));
    assert_eq!(sum("udp"), 100);
}

#[test]
fn a_full_packet_log_is_told() {
    inside(|host, agent| {
        let launcher = agent.child.id().to_string();
        let signal = |name: &str| {
            let done = std::process::Command::new("kill")
                .args([name, &launcher])
                .status();
            assert!(done.unwrap().success());
        };
        // Nobody reads the log meanwhile.
        signal("-STOP");
        let flood = "[socket.socket(2, 2).sendto(b'm', ('224.0.0.251', 5353)) if 0 else flood() for _ in range(20000)] and 1";
        agent.say("globals().update(f=socket.socket(2, 2), flood=lambda: exec('try: f.sendto(b\"m\", (\"224.0.0.251\", 5353))\\nexcept OSError: pass'))");
        agent.hear();
        assert_eq!(agent.ask(flood), "1");
        signal("-CONT");
        host.wait_until("that reports were lost", |notes| {
            notes
                .attempts
                .iter()
                .any(|attempt| attempt.reason.contains("number is not known"))
        });
        host.wait_until("those that were not", |notes| {
            let told = notes
                .attempts
                .iter()
                .filter(|attempt| attempt.protocol == "udp");
            told.map(|attempt| attempt.count).sum::<u64>() > 100
        });
    });
}

#[test]
fn a_call_comes_in_from_the_callers_address_to_any_kind_of_listener() {
    inside(|host, agent| {
        agent.ask("globals().update(v4=socket.create_server(('127.0.0.1', 80)), v6=socket.create_server(('::1', 81), family=10), any=socket.create_server(('0.0.0.0', 82)))");
        let take = |kind| -> OwnedFd {
            let mut notes = host.notes();
            let index = notes
                .inbound
                .iter()
                .position(|(socket, _)| *socket == kind)
                .unwrap();
            notes.inbound.remove(index).1
        };
        for (kind, from, to, listener) in [
            (Socket::Inbound4, "100.64.0.5:0", "127.0.0.1:80", "v4"),
            (Socket::Inbound6, "[fd52:6600::5]:0", "[::1]:81", "v6"),
            (Socket::Inbound4, "100.64.0.5:0", "127.0.0.1:82", "any"),
            (Socket::Inbound4, "100.64.0.5:0", "100.64.0.9:82", "any"),
        ] {
            let socket = take(kind);
            dial(&socket, address(from), address(to));
            let accept =
                format!("(lambda c: (c[0].sendall(b'hello'), c[1][0])[1])({listener}.accept())");
            assert_eq!(agent.ask(&accept), format!("'{}'", address(from).ip()));
            let mut heard = [0; 9];
            let (length, _) =
                rustix::net::recv(&socket, &mut heard, rustix::net::RecvFlags::empty()).unwrap();
            assert_eq!(&heard[..length], b"hello");
        }
        // Nobody listens: refused, and it did not come back in through a door as the agent.
        let socket = take(Socket::Inbound4);
        rustix::net::bind(&socket, &address("100.64.0.5:0")).unwrap();
        let refused = connect(&socket, address("100.64.0.9:9"));
        assert_eq!(refused, Err(rustix::io::Errno::CONNREFUSED));
        assert!(
            host.notes().connections.is_empty(),
            "{:?}",
            host.notes().connections
        );
        assert_eq!(
            rustix::net::sockopt::socket_error(take(Socket::Inbound6)).unwrap(),
            Ok(())
        );
    });
}

fn dial(socket: &OwnedFd, from: SocketAddr, to: SocketAddr) {
    rustix::net::bind(socket, &from).unwrap();
    connect(socket, to).unwrap();
    // Handed over non-blocking; the test waits instead.
    rustix::fs::fcntl_setfl(socket, rustix::fs::OFlags::empty()).unwrap();
}

fn connect(socket: &OwnedFd, to: SocketAddr) -> Result<(), rustix::io::Errno> {
    match rustix::net::connect(socket, &to) {
        Err(rustix::io::Errno::INPROGRESS) => {
            let mut waiting = [rustix::event::PollFd::new(
                socket,
                rustix::event::PollFlags::OUT,
            )];
            let patience = rustix::event::Timespec {
                tv_sec: 5,
                tv_nsec: 0,
            };
            rustix::event::poll(&mut waiting, Some(&patience)).unwrap();
            rustix::net::sockopt::socket_error(socket).unwrap()
        }
        other => other,
    }
}

#[test]
fn the_reserved_addresses_are_as_published() {
    assert_eq!(address::door_v4().to_string(), "198.18.0.1:15001");
    assert_eq!(address::door_v6().to_string(), "[2001:2::1]:15001");
    assert!(address::is_door(address("198.18.0.1:80")));
    assert!(address::is_door(address("[::ffff:198.18.0.1]:80")));
    assert!(!address::is_door(address("198.18.0.53:80")));
}

/// Of connections that the workload makes to itself and ends, from as many ports as there are.
const MANY_ENDS: &str = "
import socket
bound = int(open('/proc/sys/net/ipv4/tcp_max_tw_buckets').read())
l = socket.socket()
l.bind(('127.0.0.1', 0))
l.listen(8)
for _ in range(bound + 300):
    c = socket.create_connection(l.getsockname())
    s, _ = l.accept()
    c.close()
    s.close()
waiting = [line for line in open('/proc/net/sockstat') if line.startswith('TCP:')][0].split()
print(bound, waiting[waiting.index('tw') + 1])
";

#[test]
fn so_many_connections_wait_after_their_end_and_further_ones_do_not() {
    if !able() {
        return;
    }
    let host = Host::new();
    // As `TCP_TIME_WAIT` says; some end their time meanwhile on a machine that is slow.
    let said = host.python(User::Somebody, MANY_ENDS);
    let numbers: Vec<u32> = said
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(numbers[0], 16_384);
    assert!((1..=numbers[0]).contains(&numbers[1]), "{said}");
}
