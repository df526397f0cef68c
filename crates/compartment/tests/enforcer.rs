//! What the enforcer uses: its own walls, and the eye it has for descriptors that are not what they claim to be.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::process::Command;

use ringfence_compartment::inspect::{self, InspectError};
use ringfence_compartment::link::Socket;
use ringfence_compartment::spawn::spawn_enforcer;
use ringfence_compartment::{channel, doors};
use support::{Host, INTERPRETER, Running, SOMEBODY, User, able};

fn confined(user: User, run_as: Option<u32>) -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().unwrap();
    support::open_to_all(directory.path());
    let exe = std::env::current_exe().unwrap();
    let built = exe
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/confined");
    let program = directory.path().join("confined");
    support::copy_program(&built, &program);
    let log = directory.path().join("log");
    std::fs::create_dir(&log).unwrap();
    let owner = run_as.or((user == User::Somebody).then_some(SOMEBODY));
    std::os::unix::fs::chown(&log, owner, owner).unwrap();
    let mut command = match user {
        User::Root => Command::new(&program),
        User::Somebody => {
            let id = SOMEBODY.to_string();
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
                .arg(&program);
            command
        }
    };
    command.arg(&log).args(run_as.map(|uid| uid.to_string()));
    let output = command.output().unwrap();
    let (out, err) = support::texts(&output);
    assert!(output.status.success(), "{out}{err}");
    out.lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(what, came)| (what.to_owned(), came.to_owned()))
        .collect()
}

#[test]
fn the_enforcer_keeps_nothing_it_does_not_need() {
    if !able() {
        return;
    }
    for (user, run_as) in [
        (User::Root, Some(1_999_999_999)),
        (User::Somebody, None),
        (User::Root, None),
    ] {
        let found = confined(user, run_as);
        let of = |what: &str| found[what].as_str();
        for may in [
            "write where it may",
            "read /etc/passwd",
            "thread",
            "connect",
        ] {
            assert_eq!(of(may), "yes", "{user:?} {run_as:?} {may}: {found:?}");
        }
        for may_not in [
            "write elsewhere",
            "read /proc/self/status",
            "list /",
            "execute",
            "enter a namespace",
        ] {
            assert!(
                ["1", "13"].contains(&of(may_not)),
                "{user:?} {run_as:?} {may_not}: {found:?}"
            );
        }
        assert_ne!(of("raw socket"), "yes");
        assert_eq!(of("netfilter socket"), "97", "seccomp stands");
        assert_eq!(of("capabilities"), "0");
        if let Some(uid) = run_as {
            assert_eq!(of("uid"), uid.to_string());
            assert_eq!(of("become root"), "1");
        }
    }
    assert!(!std::path::Path::new("/tmp/rf-confined-probe").exists());
}

#[test]
fn confining_refuses_a_process_with_threads() {
    let directory = std::fs::File::open("/").unwrap();
    let refused = ringfence_compartment::confine::confine_enforcer(
        None,
        &[std::os::fd::AsFd::as_fd(&directory)],
    );
    assert!(matches!(
        refused,
        Err(ringfence_compartment::confine::ConfineError::Threads(_))
    ));
}

#[test]
fn sockets_of_the_host_and_impostors_are_seen() {
    let host = inspect::own_namespace().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(matches!(
        inspect::check(Socket::TcpDoor4, &listener, host),
        Err(InspectError::OfTheHost { .. })
    ));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(
        inspect::check(Socket::TcpDoor4, &file, host),
        Err(InspectError::Unreadable { .. })
    ));
    if !able() {
        return;
    }
    // Real doors, under wrong names.
    let node = Host::new();
    let mut agent = Running::start(node.command(
        User::Somebody,
        &[],
        &["/usr/bin/python3", "-c", INTERPRETER],
    ));
    assert_eq!(agent.hear(), "ready");
    let notes = node.notes();
    let (kind, inbound) = &notes.inbound[0];
    let cookie = inspect::check(*kind, inbound, host).unwrap();
    assert_ne!(cookie, host);
    assert_eq!(inspect::namespace(inbound).unwrap(), cookie);
    for wrong in [
        Socket::TcpDoor4,
        Socket::TcpDoor6,
        Socket::UdpDoor4,
        Socket::UdpDoor6,
        Socket::Answer4,
        Socket::Answer6,
        Socket::Inbound6,
        Socket::InboundUdp4,
        Socket::InboundUdp6,
    ] {
        let refused = inspect::check(wrong, inbound, host);
        assert!(
            matches!(refused, Err(InspectError::Different { .. })),
            "{wrong:?}: {refused:?}"
        );
    }
    // One that would hand over several datagrams as one.
    drop(notes);
    node.need_all([0, 0, 1, 0]);
    let is_udp = |(kind, _): &(Socket, OwnedFd)| *kind == Socket::InboundUdp4;
    node.wait_until("a socket for datagrams", |notes| {
        notes.inbound.iter().any(is_udp)
    });
    let notes = node.notes();
    let (_, datagrams) = notes.inbound.iter().find(|one| is_udp(one)).unwrap();
    assert!(inspect::check(Socket::InboundUdp4, datagrams, host).is_ok());
    join_datagrams(datagrams);
    let refused = inspect::check(Socket::InboundUdp4, datagrams, host).unwrap_err();
    assert!(refused.to_string().contains("joins datagrams"), "{refused}");
    // Bound, it is no longer what is handed over.
    let (kind, inbound) = &notes.inbound[0];
    rustix::net::bind(
        inbound,
        &"100.64.0.5:0".parse::<std::net::SocketAddr>().unwrap(),
    )
    .unwrap();
    assert!(inspect::check(*kind, inbound, host).is_err());
}

#[test]
fn an_unmarked_socket_is_no_door() {
    // Made here, in the host's namespace: told apart from one of another by asking about another host.
    let (near, _far) = channel::pair().unwrap();
    let elsewhere = inspect::namespace(&near).unwrap();
    let socket: OwnedFd = std::net::TcpListener::bind("127.0.0.1:0").unwrap().into();
    assert_eq!(inspect::namespace(&socket).unwrap(), elsewhere);
    assert!(inspect::check(Socket::Inbound4, &socket, elsewhere).is_err());
    assert_eq!(doors::INBOUND_AT_START, 16);
}

#[test]
fn the_enforcers_process_gets_its_channel_and_ends_with_it() {
    let (near, far) = channel::pair().unwrap();
    let program = "import socket, os
s = socket.socket(fileno=3); s.send(b'\"%d\"' % os.getppid()); print(sorted(os.listdir('/proc/self/fd'))); s.recv(9)";
    let enforcer = spawn_enforcer(
        "/usr/bin/python3".as_ref(),
        &["-c".into(), program.into()],
        far,
    )
    .unwrap();
    let parent = channel::recv::<String>(&near).unwrap().unwrap().message;
    assert_eq!(parent, std::process::id().to_string());
    assert!(enforcer.pid() > 0);
    drop(near);
    assert!(enforcer.wait().unwrap().success());
    // One that will not end by itself.
    let (_near, far) = channel::pair().unwrap();
    let enforcer = spawn_enforcer("/bin/sleep".as_ref(), &["60".into()], far).unwrap();
    enforcer.kill().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&enforcer.wait().unwrap()),
        Some(9)
    );
    let (_near, far) = channel::pair().unwrap();
    assert!(spawn_enforcer("/no/such/enforcer".as_ref(), &[], far).is_err());
}

/// Sets `UDP_GRO`.
fn join_datagrams(socket: &OwnedFd) {
    let on: libc::c_int = 1;
    // SAFETY: the pointer and length describe `on`, which outlives the call.
    let set = unsafe {
        libc::setsockopt(
            std::os::fd::AsRawFd::as_raw_fd(socket),
            libc::SOL_UDP,
            libc::UDP_GRO,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    assert_eq!(set, 0);
}
