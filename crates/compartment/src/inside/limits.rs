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
/// Bytes of a core file: none is written that is smaller than a page. Not 0, which the kernel ignores where
/// `kernel.core_pattern` is a pipe: it would start that program, outside and as root, and feed it the workload's memory.
/// One says "not even that", and seccomp keeps it so.
const CORE_BYTES: u64 = 1;
/// Where the kernel says what becomes of core dumps.
const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";
/// Bytes in POSIX message queues.
pub(super) const QUEUE_BYTES: u64 = 819_200;

/// Bounds this process and all it starts. Nothing raises them again without a capability.
pub(crate) fn apply() -> Result<(), Refusal> {
    for (resource, most) in [
        (Resource::Nproc, PROCESSES),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Memlock, LOCKED_BYTES),
        (Resource::Msgqueue, QUEUE_BYTES),
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

/// Sees to it that neither this process nor what it starts leaves a core dump, or has a program of the host started to
/// take one. To be called outside, where root may raise what a session lowered.
pub(crate) fn no_core_dumps() -> Result<(), Refusal> {
    let limit = Rlimit {
        current: Some(CORE_BYTES),
        maximum: Some(CORE_BYTES),
    };
    match setrlimit(Resource::Core, limit) {
        Ok(()) => Ok(()),
        // The session's bound is zero already, and only root may raise it. That does where cores are files.
        Err(rustix::io::Errno::PERM) => {
            let pattern = std::fs::read_to_string(CORE_PATTERN)
                .or_refuse("the bound on core dumps", "mount /proc on this host")?;
            // A pipe, or (from Linux 6.16 on) a socket.
            if pattern.starts_with(['|', '@']) {
                return Err(Refusal::wall(
                    "the bound on core dumps",
                    &format!(
                        "{CORE_PATTERN} names a program, which a limit of 0 does not hold back, and this session may \
                         not raise its limit to 1"
                    ),
                    "start from a session whose hard limit for core files is not 0 (`ulimit -Hc`; LimitCORE= of a unit)",
                ));
            }
            Ok(())
        }
        Err(cause) => Err(Refusal::wall(
            "the bound on core dumps",
            &cause,
            "start from a session whose limits may be lowered",
        )),
    }
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
