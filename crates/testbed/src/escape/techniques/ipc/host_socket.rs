//! Buses, container engines and key agents listen on sockets with a path, and a path that is seen can be connected
//! through any read-only mount. The canary's socket stands for them all.

use std::io::Read;
use std::os::unix::net::UnixStream;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-socket",
    tries: "a socket of the host, by its path",
    wall: "built root",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let file = ground.socket.display();
    let paths = [format!("{file}"), format!("/proc/self/root{file}")];
    Verdict::any(paths.map(|path| {
        let mut heard = String::new();
        let tried =
            UnixStream::connect(&path).and_then(|mut canary| canary.read_to_string(&mut heard));
        (path, Verdict::of(tried.map(|_| heard)))
    }))
}
