//! `/proc` lists what is open, of this process and of process 1, and opens it anew.

use std::path::PathBuf;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "listed-descriptors",
    tries: "descriptors beyond the standard streams, of its own and of those before it",
    wall: "descriptors closed; process 1 closed to others",
    control: Control::Caller,
    record: Record::Nothing("only what is its own is there; nothing is refused"),
    start: Start::Inherited,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let parent = sys::call(libc::SYS_getppid, &[]).unwrap_or(1);
    let places = ["self".to_owned(), "1".to_owned(), parent.to_string()];
    Verdict::any(places.map(|who| (who.clone(), Verdict::of(opened(&who)))))
}

/// Opens what somebody has open, beyond its standard streams, and tells what it is.
fn opened(who: &str) -> std::io::Result<Vec<PathBuf>> {
    let directory = format!("/proc/{who}/fd");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&directory)? {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        // The listing itself is open as well, and leads here.
        let target = std::fs::read_link(&path)?;
        let is_listing = target.starts_with("/proc") && target.ends_with("fd");
        let is_beyond = number.is_some_and(|number: usize| number > 2) && !is_listing;
        // Not everything can be opened anew: a socket cannot.
        if is_beyond && sys::open(&path, libc::O_RDONLY | libc::O_NONBLOCK).is_ok() {
            found.push(target);
        }
    }
    match found.is_empty() {
        true => Err(std::io::Error::other("nothing can be opened")),
        false => Ok(found),
    }
}
