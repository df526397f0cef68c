use std::net::{TcpListener as StdListener, UdpSocket};

use ringfence_compartment::inspect::own_namespace;

use super::*;

#[test]
fn sockets_of_the_host_are_refused() {
    let mut handover = Handover::new(own_namespace().unwrap(), false);
    let pool = Pool::new(false);
    let tcp: OwnedFd = StdListener::bind("127.0.0.1:0").unwrap().into();
    let udp: OwnedFd = UdpSocket::bind("127.0.0.1:0").unwrap().into();
    let cause = handover
        .take(&[Socket::TcpDoor4], vec![tcp], &pool)
        .unwrap_err();
    assert!(
        matches!(cause, Improper::Inspect(InspectError::OfTheHost { .. })),
        "{cause}"
    );
    let cause = handover
        .take(&[Socket::UdpDoor4], vec![udp], &pool)
        .unwrap_err();
    assert!(
        matches!(cause, Improper::Inspect(InspectError::OfTheHost { .. })),
        "{cause}"
    );
}

#[test]
fn what_is_no_socket_is_refused() {
    let mut handover = Handover::new(own_namespace().unwrap(), false);
    let file: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    assert!(
        handover
            .take(&[Socket::Inbound4], vec![file], &Pool::new(false))
            .is_err()
    );
}

#[test]
fn as_many_must_come_as_were_announced() {
    let mut handover = Handover::new(own_namespace().unwrap(), false);
    let cause = handover
        .take(&[Socket::TcpDoor4], Vec::new(), &Pool::new(false))
        .unwrap_err();
    assert!(matches!(
        cause,
        Improper::Count {
            announced: 1,
            came: 0
        }
    ));
}

#[test]
fn arms_only_when_every_door_is_there() {
    let mut handover = Handover::new(own_namespace().unwrap(), false);
    let cause = handover.arm().map(drop).unwrap_err();
    assert!(
        matches!(cause, Improper::Lacking(Socket::TcpDoor4)),
        "{cause}"
    );
}

#[test]
fn a_door_is_handed_over_once() {
    let mut handover = Handover::new(own_namespace().unwrap(), false);
    let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    handover.door(Socket::TcpDoor4, null()).unwrap();
    assert!(matches!(
        handover.door(Socket::TcpDoor4, null()),
        Err(Improper::Second(_))
    ));
    handover.armed = true;
    assert!(matches!(
        handover.door(Socket::TcpDoor6, null()),
        Err(Improper::Second(_))
    ));
}
