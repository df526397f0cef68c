//! Who sees a neighbour's processes sees its files and sockets through `/proc`. In the control, root of the host
//! does.

use std::io::Read;
use std::os::unix::net::UnixStream;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "neighbours-root",
    tries: "files and sockets of the neighbour, through the root of every process that is seen",
    wall: "process namespace, own /proc",
    control: Control::Root,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let secret = format!("work/{}.secret", ground.neighbour_socket);
    let path = ground
        .neighbour_path
        .strip_prefix("/")
        .unwrap_or(&ground.neighbour_path);
    let roots = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    Verdict::any(roots.map(|process| {
        let root = process.path().join("root");
        let read = std::fs::read_to_string(root.join(&secret));
        // Its answer is waited for: what it felt is told before that.
        let speak = || {
            let mut heard = String::new();
            let mut neighbour = UnixStream::connect(root.join(path))?;
            neighbour.read_to_string(&mut heard).map(|_| heard)
        };
        let reached = read.or_else(|_| speak());
        (root.display().to_string(), Verdict::of(reached))
    }))
}
