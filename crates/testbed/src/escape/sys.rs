//! System calls as an attacker makes them: by number, with any argument.

#![allow(unsafe_code)]

use std::io;

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
