//! Rules of one's own are laid over those that are there. They can only take away.

use std::os::fd::AsRawFd;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "own-landlock",
    tries: "its own Landlock rules that grant the canary's file",
    wall: "Landlock",
    control: Control::Caller,
    record: Record::Nothing("what files refuse is not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    // Handles reading of files, and grants it everywhere.
    let handled = [1_u64 << 2, 0, 0];
    let rules = sys::call(
        libc::SYS_landlock_create_ruleset,
        &[sys::at(&handled), 8, 0],
    );
    let granted = std::fs::File::open("/").and_then(|root| {
        let rules = rules? as usize;
        let mut rule = [0_u8; 12];
        rule[0] = 1 << 2;
        rule[8..].copy_from_slice(&root.as_raw_fd().to_le_bytes());
        let beneath = 1;
        sys::call(
            libc::SYS_landlock_add_rule,
            &[rules, beneath, sys::at(&rule), 0],
        )?;
        sys::no_new_privileges();
        sys::call(libc::SYS_landlock_restrict_self, &[rules, 0])
    });
    let read = std::fs::read_to_string(&ground.file);
    match (granted, read) {
        (_, Ok(secret)) => Verdict::Through(secret),
        (granted, Err(cause)) => Verdict::Held(format!("rules {granted:?}, file {cause}")),
    }
}
