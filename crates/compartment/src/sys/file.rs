//! Leases: the kernel's word on who has a file open.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// Which signal tells the holder that a lease is broken (`fcntl(2)`).
const F_SETSIG: libc::c_int = 10;

/// Takes a read lease on a file that was opened for reading only, and gives it back at once.
///
/// `EAGAIN`: somebody has it open for writing. `EACCES`: neither ours nor ours to ask about.
pub(crate) fn try_read_lease(file: BorrowedFd<'_>) -> io::Result<()> {
    let set = |command, value: libc::c_int| {
        // SAFETY: the descriptor is borrowed and alive, and these commands take an integer.
        check(libc::c_long::from(unsafe {
            libc::fcntl(file.as_raw_fd(), command, value)
        }))
    };
    // Whoever opens it for writing right now breaks the lease, which is told by SIGIO, which ends programs. SIGURG does not.
    set(F_SETSIG, libc::SIGURG)?;
    set(libc::F_SETLEASE, libc::F_RDLCK)?;
    set(libc::F_SETLEASE, libc::F_UNLCK)?;
    Ok(())
}
