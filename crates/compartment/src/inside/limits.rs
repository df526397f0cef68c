//! How much of the host one compartment may take.

use std::fs::File;
use std::io::{self, Write};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{OrRefuse, Refusal};

/// Processes and threads in one compartment. The next one gets `EAGAIN`.
pub(super) const PROCESSES: u64 = 4096;
/// Open files of one process. The next one gets `EMFILE`.
pub(super) const OPEN_FILES: u64 = 65_536;
/// Bytes of locked memory of one process.
pub(super) const LOCKED_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes in POSIX message queues.
pub(super) const QUEUE_BYTES: u64 = 819_200;

/// Bounds this process and all it starts. Nothing raises them again without a capability.
pub(crate) fn apply() -> Result<(), Refusal> {
    for (resource, most) in [
        (Resource::Nproc, PROCESSES),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Memlock, LOCKED_BYTES),
        (Resource::Msgqueue, QUEUE_BYTES),
        (Resource::Core, 0),
        // No scheduling above others.
        (Resource::Nice, 0),
        (Resource::Rtprio, 0),
    ] {
        let now = getrlimit(resource);
        let least = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
        setrlimit(
            resource,
            Rlimit {
                current: least(now.current),
                maximum: least(now.maximum),
            },
        )
        .or_refuse(
            "the resource limits",
            "start from a session whose limits may be lowered",
        )?;
    }
    Ok(())
}

/// A second lock behind seccomp: the switches by which this user namespace gets no further namespaces beneath it.
///
/// Opened while the host's `/proc` is there; used when the last mount is made, since even a detached mount counts as
/// a namespace.
pub(crate) struct NamespaceSwitches(Vec<File>);

impl NamespaceSwitches {
    /// Opens them.
    pub(crate) fn open() -> Result<Self, Refusal> {
        let mut switches = Vec::new();
        for kind in ["user", "mnt", "pid", "ipc", "uts", "net", "cgroup", "time"] {
            let path = format!("/proc/sys/user/max_{kind}_namespaces");
            match File::options().write(true).open(path) {
                Ok(switch) => switches.push(switch),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(Self::refusal(&cause)),
            }
        }
        Ok(Self(switches))
    }

    /// No more from now on.
    pub(crate) fn close(self) -> Result<(), Refusal> {
        for mut switch in self.0 {
            switch
                .write_all(b"0")
                .map_err(|cause| Self::refusal(&cause))?;
        }
        Ok(())
    }

    fn refusal(cause: &io::Error) -> Refusal {
        Refusal::wall(
            "the bound on namespaces",
            cause,
            "run ringfence where /proc/sys may be written from a new user namespace",
        )
    }
}
