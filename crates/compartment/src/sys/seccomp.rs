//! Installing a filter, and answering what it passes on.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// One instruction of classic BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) jump_true: u8,
    pub(crate) jump_false: u8,
    pub(crate) value: u32,
}

fn install(program: &[Instruction], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `Instruction` has the layout of sock_filter; the kernel copies the program and keeps no pointer.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    })
}

/// Puts every thread of this process under `program`, for ever. Needs no_new_privs.
pub(crate) fn install_filter(program: &[Instruction]) -> io::Result<()> {
    match install(program, libc::SECCOMP_FILTER_FLAG_TSYNC)? {
        0 => Ok(()),
        thread => Err(io::Error::other(format!(
            "thread {thread} has a filter of its own"
        ))),
    }
}

/// Puts this thread under `program`; calls it passes on are read from the descriptor returned (close-on-exec).
pub(crate) fn install_listener(program: &[Instruction]) -> io::Result<OwnedFd> {
    let raw = install(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: fresh, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(raw as RawFd) })
}

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) id: u64,
    pub(crate) number: i64,
    pub(crate) arguments: [u64; 6],
}

/// Takes the next waiting call; `None` when there is none any more (its task was killed meanwhile).
pub(crate) fn next_call(listener: BorrowedFd<'_>) -> io::Result<Option<Waiting>> {
    // SAFETY: all zeroes is a valid (and the required) value.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the ioctl writes one seccomp_notif; its number carries that size.
    let result = check(i64::from(unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_RECV as _,
            &raw mut call,
        )
    }));
    match result {
        Ok(_) => Ok(Some(Waiting {
            id: call.id,
            number: i64::from(call.data.nr),
            arguments: call.data.args,
        })),
        Err(cause)
            if matches!(
                cause.raw_os_error(),
                Some(libc::ENOENT | libc::EINTR | libc::EAGAIN)
            ) =>
        {
            Ok(None)
        }
        Err(cause) => Err(cause),
    }
}

/// Lets a waiting call fail with `errno`. A call whose task is gone is no error.
pub(crate) fn refuse_call(listener: BorrowedFd<'_>, id: u64, errno: i32) -> io::Result<()> {
    let mut answer = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: -errno,
        flags: 0,
    };
    // SAFETY: the ioctl reads one seccomp_notif_resp; its number carries that size.
    let result = check(i64::from(unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND as _,
            &raw mut answer,
        )
    }));
    match result {
        Ok(_) => Ok(()),
        Err(cause) if cause.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        Err(cause) => Err(cause),
    }
}

/// The version of Landlock that the kernel enforces, if any.
pub(crate) fn landlock_version() -> Option<i64> {
    /// `LANDLOCK_CREATE_RULESET_VERSION`.
    const VERSION: u32 = 1;
    // SAFETY: with this flag the kernel takes a null pointer and a zero size, and makes nothing.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            VERSION,
        )
    })
    .ok()
}
