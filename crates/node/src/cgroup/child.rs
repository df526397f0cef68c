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
    /// Process `pid`, if process `launcher`, one of user `uid`, is its parent and as powerful as it. A child of a user may
    /// be more than that: what `sudo` started, of whose parents one ended. That is not to be bounded and ended for a user.
    pub(super) fn of(pid: u32, launcher: u32, uid: u32) -> io::Result<Self> {
        let number_of = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let held = number_of.ok_or_else(|| io::Error::other("it has no number"))?;
        let descriptor = rustix::process::pidfd_open(held, PidfdFlags::empty())?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        if number(&status, "PPid:") != Some(launcher) {
            return Err(io::Error::other("it is no child of the launcher's"));
        }
        let users = users(&status).ok_or_else(|| io::Error::other("the kernel hides its user"))?;
        // Root gives a compartment a user of its own.
        if uid != 0 && users != [uid; 4] {
            return Err(io::Error::other("it is another user's"));
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

/// Real, effective, saved and file system's.
fn users(status: &str) -> Option<[u32; 4]> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let users: Vec<u32> = line
        .split_whitespace()
        .map_while(|id| id.parse().ok())
        .collect();
    users.try_into().ok()
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
        let user = rustix::process::geteuid().as_raw();
        let child = Child::of(sleeper.id(), own, user).unwrap();
        assert_eq!(child.pid, sleeper.id());
        for (pid, parent) in [(sleeper.id(), 1), (own, own), (1, own)] {
            let refused = Child::of(pid, parent, user).unwrap_err();
            assert!(refused.to_string().contains("no child"), "{refused}");
        }
        for none in [0, u32::MAX] {
            Child::of(none, own, user).unwrap_err();
        }
        // As if the launcher were another's: the child has more than that one.
        let refused = Child::of(sleeper.id(), own, user + 1).unwrap_err();
        assert!(refused.to_string().contains("another user"), "{refused}");
        child.raise_score().unwrap();
        let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", sleeper.id())).unwrap();
        assert_eq!(score.trim(), OOM_SCORE.to_string());
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        child.check_alive().unwrap_err();
    }
}
