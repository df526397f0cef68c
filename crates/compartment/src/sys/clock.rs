//! What the kernel knows about its clock.

use std::io;

use super::check;

/// Whether somebody (NTP, PTP) keeps the clock right.
pub(crate) fn clock_is_kept() -> io::Result<bool> {
    // SAFETY: all zeroes is a valid timex; with `modes` zero nothing is set, and the kernel fills the structure.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: as above; the pointer is valid for the call.
    check(i64::from(unsafe { libc::adjtimex(&raw mut state) }))?;
    Ok(state.status & libc::STA_UNSYNC == 0)
}
