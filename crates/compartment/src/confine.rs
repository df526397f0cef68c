//! The enforcer's own walls: it reads hostile bytes, so it holds no privilege.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::thread::CapabilitySet;

use crate::landlock::{Grant, restrict};
use crate::{privileges, seccomp, sys};

/// What the enforcer may read: enough to resolve host names and to load the libraries that do it.
const READABLE: &[&str] = &[
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/share/zoneinfo",
    "/run/systemd/resolve",
    "/run/nscd",
    "/dev/urandom",
];

/// Why a process could not confine itself. It must not go on.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Threads would stay outside the walls.
    #[error("the enforcer confines itself before it starts threads, but has {0}")]
    Threads(usize),
    /// One wall could not be built.
    #[error("{wall} could not be set up for the enforcer: {cause}")]
    Wall {
        /// Which.
        wall: &'static str,
        /// Why.
        cause: String,
    },
}

/// What stands around the enforcer after [`confine_enforcer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// It runs as a user of its own, who owns nothing else.
    pub own_user: bool,
}

/// Takes everything from this process that a data plane does not need, for good: another user when `run_as` is given
/// (root only), all capabilities, writing anywhere but beneath the directories `writable`, attaching to others,
/// namespaces, mounts, programs. It ends with its parent.
///
/// To be called while there is one thread. Descriptors that are open already keep working, so whatever the walls
/// close off (the log, the control channel) is opened before.
pub fn confine_enforcer(
    run_as: Option<u32>,
    writable: &[BorrowedFd<'_>],
) -> Result<Confinement, ConfineError> {
    let threads = sys::thread_count().map_err(wall("the check for threads"))?;
    if threads != 1 {
        return Err(ConfineError::Threads(threads));
    }
    let parent = rustix::process::getppid();
    // Landlock wants paths that can be opened after the change of user: descriptors name them whatever their mode.
    let held: Vec<_> = writable
        .iter()
        .map(|directory| PathBuf::from(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd())))
        .collect();
    let mut grants: Vec<_> = READABLE
        .iter()
        .map(|path| Grant {
            path: Path::new(path),
            writable: false,
            optional: true,
        })
        .collect();
    let null = Path::new("/dev/null");
    grants.extend(
        held.iter()
            .map(PathBuf::as_path)
            .chain([null])
            .map(|path| Grant {
                path,
                writable: true,
                optional: false,
            }),
    );

    if let Some(uid) = run_as {
        rustix::thread::set_thread_groups(&[])
            .map_err(io::Error::from)
            .map_err(wall("dropping groups"))?;
        restrict(&grants, false).map_err(|cause| ConfineError::Wall {
            wall: "Landlock",
            cause,
        })?;
        privileges::become_user(uid, uid).map_err(wall("the change of user"))?;
    } else {
        restrict(&grants, false).map_err(|cause| ConfineError::Wall {
            wall: "Landlock",
            cause,
        })?;
    }
    privileges::drop_all_but(CapabilitySet::empty()).map_err(wall("dropping capabilities"))?;
    privileges::close_to_others().map_err(wall("closing it to debuggers"))?;
    privileges::die_with_parent().map_err(wall("the parent-death signal"))?;
    if rustix::process::getppid() != parent {
        return Err(ConfineError::Wall {
            wall: "the parent-death signal",
            cause: "the node has ended".to_owned(),
        });
    }
    sys::install_filter(&seccomp::enforcer_program()).map_err(wall("seccomp"))?;
    Ok(Confinement {
        own_user: run_as.is_some(),
    })
}

fn wall(wall: &'static str) -> impl Fn(io::Error) -> ConfineError {
    move |cause| ConfineError::Wall {
        wall,
        cause: cause.to_string(),
    }
}
