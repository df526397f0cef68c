//! How much of the host one compartment may take.

use std::fs::File;
use std::io::{self, Write};
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{OrRefuse, Refusal};

/// Open files of one process. The next one gets `EMFILE`. Also descriptors on their way through Unix sockets, which the
/// kernel counts for the user: whoever sends more gets `ETOOMANYREFS`.
pub(super) const OPEN_FILES: u64 = 65_536;
/// The same, in percent of what the session may have. Launchers of the user, its node and their helpers have all of that:
/// otherwise one workload could, with descriptors that it sends and never takes, keep them from handing sockets over.
const OPEN_FILES_SHARE: u64 = 75;
/// Bytes of locked memory of one process.
pub(super) const LOCKED_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of a core file: none is written that is smaller than a page. Not 0, which the kernel ignores where
/// `kernel.core_pattern` is a pipe: it would start that program, outside and as root, and feed it the workload's memory.
/// One says "not even that", and seccomp keeps it so.
const CORE_BYTES: u64 = 1;
/// Queued signals and POSIX timers. The next one gets `EAGAIN`. The kernel counts them for whoever made the user
/// namespace as well: without this bound one compartment takes those of root of the host.
const PENDING_SIGNALS: u64 = 2048;
/// One in so many of the inotify instances and watches that a user of the host has, which are counted in the same way, is
/// the most that one compartment takes. The next one gets `EMFILE` or `ENOSPC`.
const INOTIFY_SHARE: u64 = 8;
/// Bytes in POSIX message queues.
pub(super) const QUEUE_BYTES: u64 = 819_200;

/// Bounds this process and all it starts, with `processes` in the compartment: the next one gets `EAGAIN`. Nothing raises
/// them again without a capability.
pub(crate) fn apply(processes: u32) -> Result<(), Refusal> {
    for (resource, most) in [
        (Resource::Nproc, u64::from(processes)),
        (Resource::Memlock, LOCKED_BYTES),
        (Resource::Msgqueue, QUEUE_BYTES),
        (Resource::Sigpending, PENDING_SIGNALS),
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

/// What the caller's session had, once [`raise_open_files`] was called.
static OF_THE_CALLER: OnceLock<Rlimit> = OnceLock::new();

/// Takes for this process all the open files that its session may have. Also when sending descriptors.
pub fn raise_open_files() -> io::Result<()> {
    let limit = *OF_THE_CALLER.get_or_init(|| getrlimit(Resource::Nofile));
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// Gives this process, and what it starts, the open files of a workload. It has sent its last descriptor.
pub(crate) fn bound_open_files() -> io::Result<()> {
    let limit = *OF_THE_CALLER.get_or_init(|| getrlimit(Resource::Nofile));
    let share = |limit: u64| limit / 100 * OPEN_FILES_SHARE;
    let most = limit.maximum.map_or(OPEN_FILES, share).min(OPEN_FILES);
    let bound = Rlimit {
        current: Some(limit.current.map_or(most, |current| current.min(most))),
        maximum: Some(most),
    };
    Ok(setrlimit(Resource::Nofile, bound)?)
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
            let place = "/proc/sys/kernel/core_pattern";
            let pattern = std::fs::read_to_string(place)
                .or_refuse("the bound on core dumps", "mount /proc on this host")?;
            // A pipe, or (from Linux 6.16 on) a socket.
            if pattern.starts_with(['|', '@']) {
                return Err(Refusal::wall(
                    "the bound on core dumps",
                    &format!(
                        "{place} names a program, which a limit of 0 does not hold back, and this session may \
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

/// Bounds of the user namespace: no further namespaces beneath it, a second lock behind seccomp; and a share of what the
/// kernel counts for a user in all its namespaces together.
///
/// Opened while the host's `/proc` is there; used when the last mount is made, since even a detached mount counts as
/// a namespace.
pub(crate) struct NamespaceSwitches(Vec<(File, u64)>);

impl NamespaceSwitches {
    /// Opens them.
    pub(crate) fn open() -> Result<Self, Refusal> {
        let mut switches = Vec::new();
        for kind in ["user", "mnt", "pid", "ipc", "uts", "net", "cgroup", "time"] {
            let switch = open(&format!("max_{kind}_namespaces"))?;
            switches.extend(switch.map(|switch| (switch, 0)));
        }
        for kind in ["instances", "watches"] {
            let of_all = format!("/proc/sys/fs/inotify/max_user_{kind}");
            let Some(switch) = open(&format!("max_inotify_{kind}"))? else {
                continue;
            };
            let most = std::fs::read_to_string(of_all).map_err(|cause| refusal(&cause))?;
            let most: u64 = most.trim().parse().map_err(|cause| refusal(&cause))?;
            switches.push((switch, (most / INOTIFY_SHARE).max(1)));
        }
        Ok(Self(switches))
    }

    /// No more from now on.
    pub(crate) fn close(self) -> Result<(), Refusal> {
        for (mut switch, most) in self.0 {
            switch
                .write_all(most.to_string().as_bytes())
                .map_err(|cause| refusal(&cause))?;
        }
        Ok(())
    }
}

/// A switch of this user namespace; `None` where the kernel has none.
fn open(name: &str) -> Result<Option<File>, Refusal> {
    match File::options()
        .write(true)
        .open(format!("/proc/sys/user/{name}"))
    {
        Ok(switch) => Ok(Some(switch)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(refusal(&cause)),
    }
}

fn refusal(cause: &dyn std::fmt::Display) -> Refusal {
    Refusal::wall(
        "the bounds of the user namespace",
        cause,
        "run ringfence where /proc/sys may be written from a new user namespace",
    )
}
