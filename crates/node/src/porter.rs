//! Porters: a process between each launcher of another user and the enforcer, see [`ringfence_compartment::porter`].

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringfence_compartment::channel;
use ringfence_compartment::spawn::{EnforcerProcess, spawn_enforcer};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::limits::STUCK_PORTERS_PER_USER;

/// One that carries. Killed when dropped.
pub(crate) struct Porter {
    uid: u32,
    process: Option<EnforcerProcess>,
    ending: Ending,
}

/// Those that were killed, with the user whose launcher they were for. A descriptor that a porter was sent may keep it
/// from ending for as long as its sender likes.
type Ending = Arc<Mutex<Vec<(u32, EnforcerProcess)>>>;

/// Starts them, and knows of those that do not end.
pub(crate) struct Porters {
    exe: PathBuf,
    args: Vec<OsString>,
    ending: Ending,
}

impl Porters {
    /// `exe`: the program that knows the verb. `run_as`: the user they become.
    pub(crate) fn new(exe: PathBuf, run_as: Option<u32>) -> Self {
        let mut args: Vec<OsString> = vec!["porter".into()];
        args.extend(
            run_as
                .into_iter()
                .flat_map(|id| ["--run-as".into(), id.to_string().into()]),
        );
        Self {
            exe,
            args,
            ending: Ending::default(),
        }
    }

    /// Puts one between the launcher, a process of `uid`, and the enforcer.
    pub(crate) fn start(
        &self,
        uid: u32,
        launcher: &OwnedFd,
        enforcer: &OwnedFd,
    ) -> io::Result<Porter> {
        let stuck = {
            let mut ending = locked(&self.ending);
            forget_ended(&mut ending);
            ending.iter().filter(|(user, _)| *user == uid).count()
        };
        if stuck >= STUCK_PORTERS_PER_USER {
            return Err(io::Error::other(format!(
                "uid {uid} keeps {stuck} processes of the node from ending, by descriptors that cannot be closed"
            )));
        }
        let (ours, theirs) = channel::pair()?;
        let process = spawn_enforcer(&self.exe, &self.args, theirs)?;
        let porter = Porter {
            uid,
            process: Some(process),
            ending: Arc::clone(&self.ending),
        };
        channel::send(&ours, &"carry", &[launcher.as_fd(), enforcer.as_fd()])?;
        Ok(porter)
    }

    /// Gives back what was held of those that have ended since.
    pub(crate) fn sweep(&self) {
        forget_ended(&mut locked(&self.ending));
    }
}

fn forget_ended(ending: &mut Vec<(u32, EnforcerProcess)>) {
    ending.retain(|(_, process)| !has_ended(process));
}

impl Drop for Porter {
    fn drop(&mut self) {
        let Some(process) = self.process.take() else {
            return;
        };
        if let Err(error) = process.kill() {
            let pid = process.pid();
            crate::say::warn(&format!(
                "a porter (process {pid}) cannot be killed: {error}"
            ));
        }
        locked(&self.ending).push((self.uid, process));
    }
}

fn has_ended(process: &EnforcerProcess) -> bool {
    let pidfd = process.pidfd();
    let mut poll = [PollFd::new(&pidfd, PollFlags::IN)];
    rustix::event::poll(&mut poll, Some(&Timespec::default())) == Ok(1)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
