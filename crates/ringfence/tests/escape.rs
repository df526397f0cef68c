//! Every way out that we know, tried from inside a compartment: as an ordinary user, and as user 0 inside one of root's.
//!
//! The techniques are in `crates/testbed/src/escape/techniques`. `ESCAPE=text` tries those whose names contain it.
//! This program is the attacker as well, when it is told so by its first argument: it has a `main` of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use ringfence_testbed::Caller;
use ringfence_testbed::escape::{self, Field, Subject, subjects};

fn main() -> ExitCode {
    if let Some(ended) = escape::play() {
        return ended;
    }
    let callers = [
        ("from_an_ordinary_users_compartment", Caller::Ordinary),
        ("as_user_0_in_roots_compartment", Caller::Root),
    ];
    let trials = subjects().flat_map(|subject| {
        callers.map(|(words, caller)| {
            let name = format!("{}::{words}", subject.name);
            let tried = Caller::available().contains(&caller);
            Trial::test(name, move || all_hold(&subject, caller)).with_ignored_flag(!tried)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn all_hold(subject: &Subject, caller: Caller) -> Result<(), Failed> {
    let only = std::env::var("ESCAPE").unwrap_or_default();
    let attacker = std::env::current_exe()?;
    let binary = env!("CARGO_BIN_EXE_ringfence").as_ref();
    let mut field = Field::new(binary, &attacker, caller)?;
    let wrong = field.try_all(subject, &only);
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n").into()),
    }
}
