//! Trees that a dynamic user may write: files of the tree's owner appear as files of that user, and back.
//!
//! Only root may map ids of a mount, and only outside the compartment's user namespace. So the launcher makes the
//! mount, detached, and the child only attaches it.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::plan::{self, Access, Examined};
use crate::error::Refusal;
use crate::sys;

/// A detached, restricted copy of `source` in which its owner's ids and `outer` change places.
pub(super) fn mapped(source: &Path, examined: &Examined, outer: u32) -> Result<OwnedFd, Refusal> {
    let refuse = |cause: &dyn std::fmt::Display| {
        Refusal::new(
            format!(
                "{} cannot be made writable for the workload's own user: {cause}",
                source.display()
            ),
            "put it on a file system that maps ids (ext4, xfs, btrfs; tmpfs from Linux 6.3), or run as its owner \
             instead of root",
        )
    };
    let owner = examined.stat().map_err(|cause| refuse(&cause))?;
    let tree =
        plan::detach_examined(source, examined, Access::Write).map_err(|cause| refuse(&cause))?;
    let namespace =
        user_namespace((owner.st_uid, owner.st_gid), outer).map_err(|cause| refuse(&cause))?;
    sys::map_ids(tree.as_fd(), namespace.as_fd()).map_err(|cause| refuse(&cause))?;
    Ok(tree)
}

/// Whether the file system of `directory` can do it; nothing is left mounted.
pub(crate) fn try_on(directory: &Path, outer: u32) -> Result<(), Refusal> {
    let examined = Examined::at(directory).map_err(|cause| {
        Refusal::new(
            format!("{} cannot be examined: {cause}", directory.display()),
            "set TMPDIR to a directory that is there, by a path without links",
        )
    })?;
    mapped(directory, &examined, outer).map(drop)
}

/// A user namespace that maps `owner` inside to `outer` outside, held open by a process that ends at once.
fn user_namespace((uid, gid): (u32, u32), outer: u32) -> std::io::Result<File> {
    let (channel, far) = crate::channel::pair()?;
    match sys::clone_process(libc::CLONE_NEWUSER)? {
        sys::Cloned::Child => {
            // Waits to be ended; a launcher that dies first takes it along, or has closed the channel already.
            drop(channel);
            let _ = crate::privileges::die_with_parent();
            let _ = crate::channel::recv::<()>(&far);
            sys::exit_now(0)
        }
        sys::Cloned::Parent { pid, pidfd } => {
            drop(far);
            let open = || {
                std::fs::write(format!("/proc/{pid}/uid_map"), format!("{uid} {outer} 1\n"))?;
                std::fs::write(format!("/proc/{pid}/gid_map"), format!("{gid} {outer} 1\n"))?;
                File::open(format!("/proc/{pid}/ns/user"))
            };
            let opened = open();
            rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL)?;
            sys::reap(pid)?;
            opened
        }
    }
}
