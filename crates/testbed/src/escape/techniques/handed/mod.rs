//! What whoever started Ringfence had in its hands: sockets for streams, and descriptors left open.

mod connected_anew;
mod descriptors_by_stdin;
mod descriptors_sent_outside;
mod inherited_directory;
mod inherited_file;
mod inherited_listener;
mod inherited_mapping;
mod inherited_namespace;
mod inherited_process;
mod inherited_socket;
mod inherited_writing;
mod listed_descriptors;
mod namespace_of_stdio;
mod peer_of_stdio;
mod sent_elsewhere;
mod stdio_listens;
mod stream_flags;

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use crate::escape::{Technique, sys};

pub(super) const ALL: &[&Technique] = &[
    &connected_anew::TECHNIQUE,
    &descriptors_by_stdin::TECHNIQUE,
    &descriptors_sent_outside::TECHNIQUE,
    &inherited_directory::TECHNIQUE,
    &inherited_file::TECHNIQUE,
    &inherited_listener::TECHNIQUE,
    &inherited_mapping::TECHNIQUE,
    &inherited_namespace::TECHNIQUE,
    &inherited_process::TECHNIQUE,
    &inherited_socket::TECHNIQUE,
    &inherited_writing::TECHNIQUE,
    &listed_descriptors::TECHNIQUE,
    &namespace_of_stdio::TECHNIQUE,
    &peer_of_stdio::TECHNIQUE,
    &sent_elsewhere::TECHNIQUE,
    &stdio_listens::TECHNIQUE,
    &stream_flags::TECHNIQUE,
];

/// The standard streams.
const STREAMS: [usize; 3] = [0, 1, 2];
/// Numbers that are looked at for something inherited.
const NUMBERS: std::ops::Range<usize> = 3..2048;

/// Descriptors beyond the standard streams that this process was started with: it has opened none itself.
fn inherited() -> Vec<usize> {
    let is_open = |number: &usize| {
        let asked = sys::call(libc::SYS_fcntl, &[*number, libc::F_GETFD as usize]);
        asked.is_ok()
    };
    NUMBERS.filter(is_open).collect()
}

/// A descriptor by its number, for calls that want one.
fn borrow(number: usize) -> BorrowedFd<'static> {
    sys::borrow(number)
}

/// Descriptors that come by a socket. Does not wait.
fn rights_by(number: usize) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 256];
    let mut pieces = [io::IoSliceMut::new(&mut bytes)];
    let socket = borrow(number);
    rustix::net::recvmsg(socket, &mut pieces, &mut control, RecvFlags::DONTWAIT)?;
    let mut rights = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            rights.extend(descriptors);
        }
    }
    match rights.is_empty() {
        true => Err(io::Error::other("no descriptor came")),
        false => Ok(rights),
    }
}

/// What a file says, by its descriptor.
fn says(number: usize) -> io::Result<String> {
    let mut bytes = [0_u8; 256];
    let room = bytes.len();
    let length = sys::call(libc::SYS_pread64, &[number, sys::at_mut(&mut bytes), room])?;
    match length {
        0 => Err(io::Error::other("it is empty")),
        length => Ok(String::from_utf8_lossy(&bytes[..length as usize]).into_owned()),
    }
}

/// The secret, by a descriptor of the directory that it is in.
fn secret_in(directory: usize) -> io::Result<String> {
    let name = c"secret";
    let opened = sys::call(
        libc::SYS_openat,
        &[directory, sys::at(name.to_bytes_with_nul()), 0, 0],
    )?;
    says(opened as usize)
}
