//! Process 1 of a compartment is a copy of the launcher, whose command line names directories of the host and holds
//! the values of `--env`. It has none of its own accord: init overwrites it.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "command-lines",
    tries: "paths of the node in the command line of any process that can be seen",
    wall: "process namespace; init forgets the launcher's arguments",
    control: Control::Caller,
    record: Record::Nothing("reading a command line is allowed; it says nothing"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    // In its own they stand, since it is told of the ground there.
    let own = std::process::id().to_string();
    let state = ground.state.display().to_string();
    let all = match std::fs::read_dir("/proc") {
        Ok(all) => all,
        Err(cause) => return Verdict::Held(cause.to_string()),
    };
    let numbered = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let lines = all.flatten().filter(|entry| {
        let name = entry.file_name();
        numbered(&name) && name != own.as_str()
    });
    let found = lines
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .find(|line| line.contains(&state));
    match found {
        Some(line) => Verdict::Through(line),
        None => Verdict::Held("no command line names it".into()),
    }
}
