//! Attempts to get out of a compartment, each with a stand-in in which it succeeds.
//!
//! A technique is one small file under `techniques/SUBJECT/`: what is tried, by which wall it is held, where the same
//! code succeeds, and what the log must say of it. The attacker is a part that
//! the test program plays ([`play`]), so that it runs inside a compartment as well as outside of one. [`Field`] is
//! a node with an attacked outside: a canary on the host, a neighbour in a compartment. A breach is what the attacker
//! can show, what the canary or the neighbour felt, or the canary's secret in the attacker's output.
//!
//! To add one: copy a file of the subject, list it in the subject's `mod.rs`, run
//! `ESCAPE=its-name cargo nextest run -p ringfence --test escape`.

mod attacker;
mod canary;
mod children;
mod dns;
mod field;
mod filter;
mod friends;
mod giver;
mod ground;
mod net;
mod senses;
pub mod sys;
mod techniques;

pub use attacker::play;
pub use field::Field;
pub use ground::Ground;
pub use techniques::{Subject, subjects};

/// What technique files use.
pub(crate) mod prelude {
    pub(crate) use super::{Control, Ground, Record, Start, Technique, Verdict, sys};
}

/// One way out, tried.
#[derive(Debug)]
pub struct Technique {
    /// Its file's name, with hyphens.
    pub name: &'static str,
    /// What is tried, in words.
    pub tries: &'static str,
    /// The wall that holds it.
    pub wall: &'static str,
    /// Where the same code succeeds.
    pub control: Control,
    /// What the log must hold after it.
    pub record: Record,
    /// How the attacker is started.
    pub start: Start,
    /// Tries it.
    pub attempt: fn(&Ground) -> Verdict,
}

/// What came of an attempt, as the attacker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It worked; with what shows that.
    Through(String),
    /// It did not; with what the kernel said.
    Held(String),
}

impl Verdict {
    /// Through with the evidence, or held with the error.
    pub fn of<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>) -> Self {
        match result {
            Ok(evidence) => Self::Through(format!("{evidence:?}")),
            Err(cause) => Self::Held(cause.to_string()),
        }
    }

    /// For a call whose arguments the kernel finds wrong: held where it denies the call, or does not have it; through
    /// where it got as far as to look at them.
    pub fn past(result: std::io::Result<i64>) -> Self {
        const WALLS: [i32; 3] = [libc::EPERM, libc::EACCES, libc::ENOSYS];
        match result {
            Err(cause) if sys::is(&cause, &WALLS) => Self::Held(cause.to_string()),
            answer => Self::Through(format!("{answer:?}")),
        }
    }

    /// The first that is through; else all that held.
    pub fn any(verdicts: impl IntoIterator<Item = (String, Self)>) -> Self {
        let mut held = Vec::new();
        for (what, verdict) in verdicts {
            match verdict {
                Self::Through(evidence) => return Self::Through(format!("{what}: {evidence}")),
                Self::Held(why) => held.push(format!("{what}: {why}")),
            }
        }
        Self::Held(held.join("; "))
    }
}

/// The stand-in without the wall. The technique must succeed there: otherwise the test could not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// A plain process of the same user on the simulated host.
    Caller,
    /// Root of the simulated host.
    Root,
    /// The same, where that is root of the machine as well: in a user namespace of its own it would not succeed either.
    /// Tests that an ordinary user runs pass this control over.
    Superuser,
    /// Root of namespaces made for this one attempt, on the simulated host: for what would spoil it.
    Apart,
    /// Root of the simulated host, where the kernel has what is tried; where it has not, it says so.
    Built,
    /// None here; why. The attempt is held outside as well, which is tried.
    Lacking(&'static str),
}

/// What the log must hold after an attempt in a compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A denied record whose JSON contains this.
    Denied(&'static str),
    /// Each of these, in records of their own or in one.
    DeniedEach(&'static [&'static str]),
    /// Nothing; why.
    Nothing(&'static str),
}

/// How the attacker is started, inside and outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With pipes, and nothing else.
    Plain,
    /// From a terminal of the host, in its session, as a shell starts programs.
    Terminal,
    /// With sockets of a cooperating process of the host for streams: a Unix socket by which it sends descriptors, a
    /// connection of TCP, datagrams of UDP.
    Sockets,
    /// With descriptors of the host that a careless caller left open: files, directories, sockets, processes, namespaces.
    Inherited,
}
