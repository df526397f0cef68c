//! The process that the compartment comes from, put where the kernel bounds it before there is anything in it.
//!
//! The node does it, for a launcher may belong to a user who would rather not be bounded. What can be done here is the
//! score by which the kernel chooses whom to end when memory is short.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;

use super::node::{answer, broken};
use super::start::FIX;
use crate::channel::{self, Packet};
use crate::error::{OrRefuse, Refusal};
use crate::link::{Enclosure, FromLauncher, ToLauncher};

/// What every workload has, at least, of what the kernel adds to the size of a process (0 to 1000 of the machine's
/// memory) to choose whom to end: workloads go before the node, its enforcer and the rest of the host.
pub const OOM_SCORE: i32 = 500;

/// How a compartment is bounded from outside.
pub(super) struct Enclosed {
    pub(super) enclosure: Enclosure,
    /// Whether its processes have [`OOM_SCORE`].
    pub(super) scored: bool,
    /// `memory.events` of its control group.
    events: Option<File>,
}

impl Enclosed {
    /// Not at all, as for a machine that is probed.
    pub(super) fn nowhere() -> Self {
        Self {
            enclosure: Enclosure::default(),
            scored: false,
            events: None,
        }
    }

    /// The bytes of memory that it may have, if the kernel ended it because it needed more.
    pub(super) fn ran_out_of_memory(&mut self) -> Option<u64> {
        let Enclosure::Group { bounds, .. } = &self.enclosure else {
            return None;
        };
        let events = self.events.as_mut()?;
        let mut text = String::new();
        let read = events
            .rewind()
            .and_then(|()| events.read_to_string(&mut text));
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        let killed = read.is_ok() && kills.is_some_and(|kills| kills.trim() != "0");
        killed.then_some(bounds.memory)
    }
}

/// Shows the node the process that becomes the compartment. Gives the way to a newer enforcer too, should the one of the
/// claim have been replaced meanwhile.
pub(super) fn ask(
    node: &OwnedFd,
    process: i32,
    signals: &OwnedFd,
) -> Result<(Enclosed, Option<OwnedFd>), Refusal> {
    let asked = FromLauncher::Enclose {
        process: process.unsigned_abs(),
    };
    channel::send(node, &asked, &[]).map_err(|cause| broken(&cause))?;
    let mut newer = None;
    loop {
        match answer::<ToLauncher>(node, signals, "the node")? {
            Packet {
                message: ToLauncher::Link,
                mut descriptors,
            } => newer = descriptors.pop(),
            Packet {
                message: ToLauncher::Enclosed(enclosure),
                ..
            } => {
                let events = match &enclosure {
                    Enclosure::Group { directory, .. } => {
                        // Not seen from here, as in a container of the launcher's: then the reason of an end is not.
                        File::open(directory.join("memory.events")).ok()
                    }
                    Enclosure::None { .. } => None,
                };
                let enclosed = Enclosed {
                    enclosure,
                    scored: false,
                    events,
                };
                return Ok((enclosed, newer));
            }
            _ => {
                return Err(broken(
                    &"it answered something else than how the process is bounded",
                ));
            }
        }
    }
}

/// This process's own score, for its children to have a higher one.
pub(super) struct Score {
    /// `None`: the kernel lets nobody but root change it, as in a launcher with a group of its own.
    file: Option<File>,
    own: String,
}

impl Score {
    /// To be called before this process is closed to others: afterwards its score is root's to change.
    pub(super) fn open() -> Self {
        let file = File::options()
            .read(true)
            .write(true)
            .open("/proc/self/oom_score_adj");
        let mut own = String::new();
        let file = file
            .ok()
            .filter(|mut file| file.read_to_string(&mut own).is_ok());
        Self { file, own }
    }

    /// Raises it, for a process that is made now. A score that is as high stays.
    pub(super) fn raise(&mut self) -> Result<(), Refusal> {
        if self.own().is_some_and(|own| own < OOM_SCORE) {
            self.write(&OOM_SCORE.to_string())
        } else {
            Ok(())
        }
    }

    /// As it was.
    pub(super) fn restore(&mut self) -> Result<(), Refusal> {
        if self.own().is_some_and(|own| own < OOM_SCORE) {
            let own = self.own.clone();
            self.write(own.trim())
        } else {
            Ok(())
        }
    }

    fn own(&self) -> Option<i32> {
        self.own.trim().parse().ok()
    }

    fn write(&mut self, text: &str) -> Result<(), Refusal> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let written: io::Result<()> = file.rewind().and_then(|()| file.write_all(text.as_bytes()));
        written.or_refuse("the score for when memory is short", FIX)
    }
}

/// Whether process `pid` has at least [`OOM_SCORE`].
pub(super) fn has_score(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).is_ok_and(|text| {
        text.trim()
            .parse::<i32>()
            .is_ok_and(|score| score >= OOM_SCORE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Bounds;

    #[test]
    fn the_memory_that_was_not_enough_is_what_the_group_had_not_what_was_granted() {
        let mut events = tempfile::tempfile().unwrap();
        events.write_all(b"max 3\noom 1\noom_kill 0\n").unwrap();
        let mut enclosed = Enclosed {
            enclosure: Enclosure::Group {
                directory: "/sys/fs/cgroup/x".into(),
                bounds: Bounds {
                    memory: 1 << 20,
                    processes: 8,
                },
                shares: false,
            },
            scored: true,
            events: Some(events.try_clone().unwrap()),
        };
        assert_eq!(enclosed.ran_out_of_memory(), None);
        events.rewind().unwrap();
        events.write_all(b"max 3\noom 1\noom_kill 2\n").unwrap();
        assert_eq!(enclosed.ran_out_of_memory(), Some(1 << 20));
        assert_eq!(Enclosed::nowhere().ran_out_of_memory(), None);
    }
}
