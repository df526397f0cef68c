//! Attributes of whole mount trees.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// Read-only.
pub(crate) const READ_ONLY: u64 = 0x1;
/// Set-user-id and file capabilities do nothing.
pub(crate) const NO_SUID: u64 = 0x2;
/// Device nodes do nothing.
pub(crate) const NO_DEV: u64 = 0x4;
/// Nothing can be executed.
pub(crate) const NO_EXEC: u64 = 0x8;
const ID_MAP: u64 = 0x0010_0000;

#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn apply(directory: i32, path: &CStr, flags: i32, attributes: &MountAttributes) -> io::Result<()> {
    // SAFETY: the path is a C string, the structure has the size stated; the kernel only reads both.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory,
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<MountAttributes>(),
        )
    })?;
    Ok(())
}

/// Sets attributes on a mount given by descriptor and on everything mounted beneath it, and cuts all of it off from
/// what the host mounts there later: a copy of a shared mount would get that too, without these attributes.
pub(crate) fn restrict_tree(mount: BorrowedFd<'_>, set: u64) -> io::Result<()> {
    let attributes = MountAttributes {
        set,
        clear: 0,
        propagation: libc::MS_PRIVATE,
        user_namespace: 0,
    };
    apply(
        mount.as_raw_fd(),
        c"",
        libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
        &attributes,
    )
}

/// Sets attributes on the mount at `path`, and on it alone.
pub(crate) fn restrict_one(path: &CStr, set: u64) -> io::Result<()> {
    let attributes = MountAttributes {
        set,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    apply(libc::AT_FDCWD, path, 0, &attributes)
}

/// Maps ids of a detached mount tree through a user namespace: what is stored as the inner id appears as the outer.
pub(crate) fn map_ids(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = MountAttributes {
        set: ID_MAP,
        clear: 0,
        propagation: 0,
        user_namespace: user_namespace.as_raw_fd() as u64,
    };
    apply(
        mount.as_raw_fd(),
        c"",
        libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
        &attributes,
    )
}
