//! A terminal opened again is another way to it, for as long as one likes: what is typed there can be read, after Ringfence
//! has ended as well.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::escape::giver::GivenTerminal;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "terminal-opened-again",
    tries: "open the caller's terminal by all its names",
    wall: "terminal of its own; own devices",
    control: Control::Caller,
    record: Record::Nothing("what it opens is its own terminal, or not there"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let given = match GivenTerminal::read() {
        Ok(given) => given,
        // Told as an attempt that shows nothing: the control does not succeed then.
        Err(cause) => return Verdict::Held(format!("the terminal given: {cause}")),
    };
    let ready = ["/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/console"];
    let mut names: Vec<PathBuf> = ready.iter().map(PathBuf::from).collect();
    names.push(given.path.clone());
    for who in ["self", "1", "2", "thread-self"] {
        names.extend((0..16).map(|number| format!("/proc/{who}/fd/{number}").into()));
    }
    names.extend((0..64).map(|number| format!("/dev/pts/{number}").into()));
    let its_own = |path: &PathBuf| {
        let found = std::fs::metadata(path)?;
        if (found.dev(), found.rdev()) != (given.device, given.number) {
            return Err(std::io::Error::other("another file"));
        }
        sys::open(path, libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK)
    };
    Verdict::any(
        names
            .iter()
            .map(|path| (path.display().to_string(), Verdict::of(its_own(path)))),
    )
}
