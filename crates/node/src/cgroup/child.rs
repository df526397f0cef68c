//! The process that a compartment comes from, as its launcher names it before there is anything in it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use ringfence_compartment::OOM_SCORE;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

/// A child of a launcher. Held by a descriptor, so its id is its own while it lives.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: u32,
    descriptor: OwnedFd,
}

impl Child {
    /// Process `pid`, if process `launcher` is its parent.
    pub(super) fn of(pid: u32, launcher: u32) -> io::Result<Self> {
        let number_of = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let held = number_of.ok_or_else(|| io::Error::other("it has no number"))?;
        let descriptor = rustix::process::pidfd_open(held, PidfdFlags::empty())?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        if number(&status, "PPid:") != Some(launcher) {
            return Err(io::Error::other("it is no child of the launcher's"));
        }
        let child = Self { pid, descriptor };
        child.check_alive()?;
        Ok(child)
    }

    pub(super) fn check_alive(&self) -> io::Result<()> {
        let mut waiting = [PollFd::new(&self.descriptor, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match rustix::event::poll(&mut waiting, Some(&now))? {
            0 => Ok(()),
            _ => Err(io::Error::other("it ended meanwhile")),
        }
    }

    /// The kernel ends what comes from it before others, when memory is short. Its launcher does this itself where it
    /// can; one with a group of its own (set-group-id) cannot.
    pub(super) fn raise_score(&self) -> io::Result<()> {
        let path = format!("/proc/{}/oom_score_adj", self.pid);
        let now = fs::read_to_string(&path)?.trim().parse::<i32>();
        match now {
            Ok(now) if now >= OOM_SCORE => Ok(()),
            _ => fs::write(path, OOM_SCORE.to_string()),
        }
    }
}

fn number(text: &str, key: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_a_living_child_of_the_launcher_is_taken() {
        let mut sleeper = Command::new("sleep")
            .arg("60")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let own = std::process::id();
        let child = Child::of(sleeper.id(), own).unwrap();
        assert_eq!(child.pid, sleeper.id());
        for (pid, parent) in [(sleeper.id(), 1), (own, own), (1, own)] {
            let refused = Child::of(pid, parent).unwrap_err();
            assert!(refused.to_string().contains("no child"), "{refused}");
        }
        for none in [0, u32::MAX] {
            Child::of(none, own).unwrap_err();
        }
        child.raise_score().unwrap();
        let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", sleeper.id())).unwrap();
        assert_eq!(score.trim(), OOM_SCORE.to_string());
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        child.check_alive().unwrap_err();
    }
}
