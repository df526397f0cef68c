//! System calls as an attacker makes them: by number, with any argument.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::Verdict;

pub use super::children::{
    Sleeping, capabilities, clone, clone3, fork, handle_alarm, in_child, run, sleeping_child,
};
pub use super::filter::{
    Instruction, install_filter, load_number, no_new_privileges, skip_unless, verdict,
};

/// Calls the kernel. Arguments beyond those given are zero.
///
/// Safe to call though it may do anything to this process: an attacker may break itself, and nothing of what it says is
/// trusted. Only attackers and canaries call it.
pub fn call(number: i64, arguments: &[usize]) -> io::Result<i64> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: of this process nothing is relied on but what it prints; see above.
    let answer = unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) };
    if answer == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

/// The address of something, as an argument.
pub fn at<T: ?Sized>(value: &T) -> usize {
    std::ptr::from_ref(value).cast::<u8>() as usize
}

/// The same of what the kernel writes to.
pub fn at_mut<T: ?Sized>(value: &mut T) -> usize {
    std::ptr::from_mut(value).cast::<u8>() as usize
}

/// Whether an error is one of these numbers.
pub fn is(cause: &io::Error, numbers: &[i32]) -> bool {
    cause
        .raw_os_error()
        .is_some_and(|number| numbers.contains(&number))
}

/// Copies bytes out of memory that is mapped at `address`.
pub fn peek(address: usize, length: usize) -> Vec<u8> {
    // SAFETY: callers pass mappings that the kernel has just given them.
    unsafe { std::slice::from_raw_parts(address as *const u8, length) }.to_vec()
}

/// Copies bytes into memory that is mapped writable at `address`.
pub fn poke(address: usize, bytes: &[u8]) {
    // SAFETY: callers pass mappings that the kernel has just given them, at least as long.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) }
}

/// A descriptor that a call has just given.
pub(super) fn own(descriptor: i64) -> OwnedFd {
    // SAFETY: callers pass what the kernel has just given them, and keep no other copy of the number.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(descriptor).unwrap_or(-1)) }
}

/// A descriptor by its number, for calls of libraries. Never closed.
pub(super) fn borrow(number: usize) -> BorrowedFd<'static> {
    // SAFETY: attackers ask for any number; the kernel says of one that is not open that it is not.
    unsafe { BorrowedFd::borrow_raw(i32::try_from(number).unwrap_or(i32::MAX)) }
}

/// A path or name as the kernel takes it. One with a zero byte ends there.
pub fn c_path(path: impl AsRef<Path>) -> CString {
    let bytes = path.as_ref().as_os_str().as_encoded_bytes();
    let kept: Vec<u8> = bytes
        .iter()
        .copied()
        .take_while(|byte| *byte != 0)
        .collect();
    CString::new(kept).unwrap_or_default()
}

/// Opens a path with these flags, and any mode. The descriptor, to be passed to [`call`], stays open.
pub fn open(path: impl AsRef<Path>, flags: i32) -> io::Result<usize> {
    let path = c_path(path);
    let here = libc::AT_FDCWD as usize;
    let flags = flags as usize;
    call(
        libc::SYS_openat,
        &[here, at(path.to_bytes_with_nul()), flags, 0o600],
    )
    .map(|descriptor| descriptor as usize)
}

/// Through if a folder lists something, or a file can be read and says something. Does not wait.
pub fn shows(path: impl AsRef<Path>) -> Verdict {
    let path = path.as_ref();
    let looked = match std::fs::read_dir(path) {
        Ok(entries) => Ok(entries.count()),
        Err(cause) if is(&cause, &[libc::ENOTDIR]) => {
            open(path, libc::O_RDONLY | libc::O_NONBLOCK).and_then(|descriptor| {
                // SAFETY: just opened, and nobody else's.
                let mut file = unsafe { std::fs::File::from_raw_fd(descriptor as i32) };
                file.read(&mut [0; 64])
            })
        }
        Err(cause) => Err(cause),
    };
    match looked {
        Ok(0) => Verdict::Held("it is empty".into()),
        Ok(much) => Verdict::Through(format!("{much} of it")),
        Err(cause) => Verdict::Held(cause.to_string()),
    }
}

/// Where the attacker may leave files: its work directory, inside and in a control.
pub fn own_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.parent().map(Path::to_owned).unwrap_or_default()
}
