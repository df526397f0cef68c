//! The node speaks with launchers and operators over sockets in its state directory, or under /run. Whoever reaches one
//! may claim a workload or read the log. Inside neither path exists.

use std::path::Path;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "sockets-of-the-node",
    tries: "run.sock, admin.sock and metrics.sock of the node",
    wall: "mount namespace",
    control: Control::Caller,
    record: Record::Nothing("the paths do not exist inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let run = std::fs::read_dir("/run/ringfence")
        .into_iter()
        .flatten()
        .flatten();
    let places = run.map(|entry| entry.path()).chain([ground.state.clone()]);
    let sockets = places
        .flat_map(|place| ["run.sock", "admin.sock", "metrics.sock"].map(|name| place.join(name)));
    Verdict::any(sockets.map(|path| (path.display().to_string(), connect(&path))))
}

fn connect(path: &Path) -> Verdict {
    let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    address.extend(path.as_os_str().as_encoded_bytes());
    address.push(0);
    Verdict::any([libc::SOCK_SEQPACKET, libc::SOCK_STREAM].map(|kind| {
        let tried = net::socket(libc::AF_UNIX, kind, 0).and_then(|s| s.connect_bytes(&address));
        (format!("type {kind}"), Verdict::of(tried))
    }))
}
