//! Letting go of every capability, so that nothing gives one back.

use std::io;

use libc::c_ulong;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::sys;

/// Bits that make root an ordinary user, and the locks that keep them.
const SECURE_BITS: c_ulong = (libc::SECBIT_NOROOT
    | libc::SECBIT_NOROOT_LOCKED
    | libc::SECBIT_NO_SETUID_FIXUP
    | libc::SECBIT_NO_SETUID_FIXUP_LOCKED
    | libc::SECBIT_KEEP_CAPS_LOCKED
    | libc::SECBIT_NO_CAP_AMBIENT_RAISE
    | libc::SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED) as c_ulong;

/// Highest capability number ever tried; the kernel tells earlier where its own end is.
const CAPABILITIES_END: c_ulong = 64;

/// Leaves exactly `kept` (usually nothing) permitted and effective, nothing inheritable, ambient or in the
/// bounding set, securebits locked, and no_new_privs set.
pub(crate) fn drop_all_but(kept: CapabilitySet) -> io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    let held = rustix::thread::capabilities(None)?;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        for capability in 0..CAPABILITIES_END {
            match sys::prctl(libc::PR_CAPBSET_DROP, [capability, 0, 0, 0]) {
                Ok(_) => {}
                Err(cause) if cause.raw_os_error() == Some(libc::EINVAL) => break,
                Err(cause) => return Err(cause),
            }
        }
        sys::prctl(libc::PR_SET_SECUREBITS, [SECURE_BITS, 0, 0, 0])?;
    }
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    rustix::thread::set_no_new_privs(true)?;
    let left = rustix::thread::capabilities(None)?;
    if left.effective != kept || left.permitted != kept || !left.inheritable.is_empty() {
        return Err(io::Error::other(
            "capabilities are left after dropping them",
        ));
    }
    Ok(())
}

/// Becomes `uid` and `gid` for good. Supplementary groups are the caller's business.
pub(crate) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let gid = rustix::process::Gid::from_raw(gid);
    let uid = rustix::process::Uid::from_raw(uid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Gives up the group that a set-group-id file gave, for good. The kernel keeps the process closed to debuggers.
///
/// That group says to a node that our program is at the other end; nothing this process does or starts later needs it.
pub fn give_up_group() -> io::Result<()> {
    let own = rustix::process::getgid();
    if rustix::process::getegid() != own {
        rustix::thread::set_thread_res_gid(own, own, own)?;
    }
    Ok(())
}

/// Nobody may attach to this process, read its memory, or make it dump core.
pub(crate) fn close_to_others() -> io::Result<()> {
    sys::prctl(libc::PR_SET_DUMPABLE, [0, 0, 0, 0])?;
    Ok(())
}

/// `SIGKILL` when the parent's thread ends. Any change of credentials undoes it, so it comes after the last.
pub(crate) fn die_with_parent() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}
