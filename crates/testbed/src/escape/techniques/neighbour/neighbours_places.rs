//! `/tmp`, `/run`, `/dev/shm` and abstract names are where programs meet that know nothing of each other. Each
//! compartment has its own.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "neighbours-places",
    tries: "what the neighbour leaves in /tmp, /run and /dev/shm, and its sockets",
    wall: "mount and network namespaces",
    control: Control::Lacking(
        "only who is in the neighbour's namespaces sees them; not even its host does by these names",
    ),
    record: Record::Nothing("no such name exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let name = &ground.neighbour_socket;
    let files = ["/tmp", "/run", "/dev/shm", "/work"].map(|place| {
        let path = format!("{place}/{name}.secret");
        (path.clone(), Verdict::of(std::fs::read_to_string(path)))
    });
    let socket = Verdict::of(UnixStream::connect(&ground.neighbour_path));
    let spoken =
        SocketAddr::from_abstract_name(name).and_then(|name| UnixStream::connect_addr(&name));
    let sockets = [
        ("socket".to_owned(), socket),
        ("abstract socket".to_owned(), Verdict::of(spoken)),
    ];
    Verdict::any(files.into_iter().chain(sockets))
}
