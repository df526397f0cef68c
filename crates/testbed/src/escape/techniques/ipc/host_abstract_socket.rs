//! Abstract sockets have a name and no file, so no mount hides them. They belong to a network namespace.

use std::io::Read;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-abstract-socket",
    tries: "an abstract socket of the host, by its name",
    wall: "network namespace, Landlock",
    control: Control::Caller,
    record: Record::Nothing("no such name exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let mut heard = String::new();
    let tried = SocketAddr::from_abstract_name(&ground.abstract_socket)
        .and_then(|name| UnixStream::connect_addr(&name))
        .and_then(|mut canary| canary.read_to_string(&mut heard));
    Verdict::of(tried.map(|_| heard))
}
