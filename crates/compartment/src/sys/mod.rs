//! System calls that no dependency wraps safely. Each function here is safe to call; the `unsafe` is inside.
//!
//! Start with `socket` (options, datagrams), `process` (clone, credentials, signals), `mount` and `file` (leases).

mod clock;
mod file;
mod mount;
mod process;
mod seccomp;
mod socket;

pub(crate) use clock::*;
pub(crate) use file::*;
pub(crate) use mount::*;
pub(crate) use process::*;
pub(crate) use seccomp::*;
pub(crate) use socket::*;

use std::io;

/// What a system call returned, or its error.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
