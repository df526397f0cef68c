//! Packets of JSON with descriptors beside, over a `SOCK_SEQPACKET` Unix socket.
//!
//! Works on blocking and non-blocking sockets alike: a socket that has nothing, or no room, gives
//! [`io::ErrorKind::WouldBlock`]. Descriptors arrive close-on-exec. A packet that was cut, in bytes or in
//! descriptors, closes whatever came along and is an error: nothing is ever half received.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::link::{DESCRIPTORS_MAX, MESSAGE_MAX};

/// One message, with what came along.
#[derive(Debug)]
pub struct Packet<T> {
    /// What was said.
    pub message: T,
    /// At most [`DESCRIPTORS_MAX`], close-on-exec.
    pub descriptors: Vec<OwnedFd>,
}

/// Two connected ends, close-on-exec, blocking.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message. `InvalidInput` when it is larger than a packet may be; `BrokenPipe` when nobody listens.
pub fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    send_bytes(socket, &serde_json::to_vec(message)?, descriptors)
}

/// The same, of a message that is bytes already.
pub(crate) fn send_bytes(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    if bytes.len() > MESSAGE_MAX || descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "a message of {} bytes and {} descriptors is more than one packet may carry",
                bytes.len(),
                descriptors.len()
            ),
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("no room for the descriptors of a packet"));
    }
    loop {
        match rustix::net::sendmsg(
            &socket,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(sent) => {
                return Err(io::Error::other(format!(
                    "a packet of {} bytes was cut to {sent}",
                    bytes.len()
                )));
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
}

/// Receives one message; `None` when the other side is gone.
///
/// `InvalidData` when the packet was cut or is not what was expected: the caller ends the conversation.
pub fn recv<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<Packet<T>>> {
    recv_with(socket, RecvFlags::empty())
}

/// As [`recv`], but never waits: `WouldBlock` when there is nothing, even on a blocking socket.
pub fn try_recv<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<Packet<T>>> {
    recv_with(socket, RecvFlags::DONTWAIT)
}

/// A message that no descriptor came in with.
#[derive(Debug)]
pub struct Bare<T> {
    /// What was said.
    pub message: T,
    /// There were descriptors beside it. They never became this process's, which need not close them.
    pub beside: bool,
}

/// Receives one message and leaves its descriptors to the kernel; `None` when the other side is gone. Never waits.
///
/// Closing a descriptor of others may wait for them, and for as long as they like: the file may be of a file system that
/// one of their processes answers for.
pub fn try_recv_bare<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<Bare<T>>> {
    let mut bytes = vec![0_u8; MESSAGE_MAX];
    let taken = take(socket, RecvFlags::DONTWAIT, &mut bytes, &mut [])?;
    if taken.flags.contains(ReturnFlags::TRUNC) {
        return Err(malformed("a packet arrived cut"));
    }
    let beside = taken.flags.contains(ReturnFlags::CTRUNC);
    Ok(read(&bytes[..taken.length])?.map(|message| Bare { message, beside }))
}

fn recv_with<T: DeserializeOwned>(
    socket: impl AsFd,
    flags: RecvFlags,
) -> io::Result<Option<Packet<T>>> {
    let mut bytes = vec![0_u8; MESSAGE_MAX];
    let taken = take_all(socket, flags, &mut bytes)?;
    if taken.is_cut() {
        return Err(malformed("a packet arrived cut"));
    }
    let descriptors = taken.descriptors;
    Ok(read(&bytes[..taken.length])?.map(|message| Packet {
        message,
        descriptors,
    }))
}

/// What one packet brought.
pub(crate) struct Taken {
    /// Bytes of it in the buffer; none when the other side is gone.
    pub(crate) length: usize,
    pub(crate) descriptors: Vec<OwnedFd>,
    flags: ReturnFlags,
}

impl Taken {
    /// It had more bytes, or more descriptors, than a packet may have.
    pub(crate) fn is_cut(&self) -> bool {
        // The room has padding in which one descriptor more may fit.
        self.descriptors.len() > DESCRIPTORS_MAX
            || self
                .flags
                .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    }
}

/// Takes one packet with its descriptors.
pub(crate) fn take_all(socket: impl AsFd, flags: RecvFlags, bytes: &mut [u8]) -> io::Result<Taken> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    take(socket, flags, bytes, &mut space)
}

fn take(
    socket: impl AsFd,
    flags: RecvFlags,
    bytes: &mut [u8],
    space: &mut [MaybeUninit<u8>],
) -> io::Result<Taken> {
    let mut control = RecvAncillaryBuffer::new(space);
    let received = loop {
        match rustix::net::recvmsg(
            &socket,
            &mut [IoSliceMut::new(bytes)],
            &mut control,
            flags | RecvFlags::CMSG_CLOEXEC,
        ) {
            // Told once when the other side has gone without reading everything: what it said before is still there.
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    Ok(Taken {
        length: received.bytes,
        descriptors,
        flags: received.flags,
    })
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<Option<T>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(bytes)
        .map(Some)
        .map_err(|cause| malformed(&format!("a message could not be read: {cause}")))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn carries_message_and_descriptors_close_on_exec() {
        let (near, far) = pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        send(&near, &"hello", &[file.as_fd(), file.as_fd()]).unwrap();
        let packet = recv::<String>(&far).unwrap().unwrap();
        assert_eq!(packet.message, "hello");
        assert_eq!(packet.descriptors.len(), 2);
        for descriptor in &packet.descriptors {
            let flags = rustix::io::fcntl_getfd(descriptor).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }

    #[test]
    fn leaves_descriptors_where_they_are_when_none_are_wanted() {
        let (near, far) = pair().unwrap();
        let (probe, beside) = pair().unwrap();
        send(&near, &"hello", &[beside.as_fd()]).unwrap();
        send(&near, &"again", &[]).unwrap();
        drop(beside);
        let bare = try_recv_bare::<String>(&far).unwrap().unwrap();
        assert_eq!((bare.message.as_str(), bare.beside), ("hello", true));
        // Had it become ours it would be open still: nothing here closes it.
        assert!(try_recv::<String>(&probe).unwrap().is_none());
        let bare = try_recv_bare::<String>(&far).unwrap().unwrap();
        assert_eq!((bare.message.as_str(), bare.beside), ("again", false));
        drop(near);
        assert!(try_recv_bare::<String>(&far).unwrap().is_none());
    }

    #[test]
    fn tells_the_end_from_nothing_yet() {
        let (near, far) = pair().unwrap();
        let nothing = try_recv::<String>(&far).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        drop(near);
        assert!(try_recv::<String>(&far).unwrap().is_none());
    }

    #[test]
    fn refuses_what_does_not_fit_and_closes_what_came_along() {
        let (near, far) = pair().unwrap();
        assert_eq!(
            send(&near, &"x".repeat(MESSAGE_MAX), &[])
                .unwrap_err()
                .kind(),
            io::ErrorKind::InvalidInput
        );
        // A sender that does not keep to the limits: more bytes than the packet may have, a descriptor beside.
        let (probe, beside) = pair().unwrap();
        let raw = vec![b'x'; MESSAGE_MAX + 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let rights = [beside.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&rights)));
        rustix::net::sendmsg(
            &near,
            &[IoSlice::new(&raw)],
            &mut control,
            SendFlags::empty(),
        )
        .unwrap();
        drop(beside);
        assert_eq!(
            recv::<String>(&far).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        // The descriptor that came with the cut packet was the last copy: its peer sees the end.
        assert!(try_recv::<String>(&probe).unwrap().is_none());
    }

    #[test]
    fn too_many_descriptors_fail_and_leak_nothing() {
        for count in [DESCRIPTORS_MAX + 1, DESCRIPTORS_MAX + 2, 250] {
            let (near, far) = pair().unwrap();
            let (probe, beside) = pair().unwrap();
            let rights = vec![beside.as_fd(); count];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(250))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&rights)));
            let text = [IoSlice::new(b"\"x\"")];
            rustix::net::sendmsg(&near, &text, &mut control, SendFlags::empty()).unwrap();
            drop(rights);
            drop(beside);
            assert_eq!(
                recv::<String>(&far).unwrap_err().kind(),
                io::ErrorKind::InvalidData
            );
            assert!(try_recv::<String>(&probe).unwrap().is_none());
        }
    }

    #[test]
    fn hears_the_last_word_of_one_who_did_not_listen_to_the_end() {
        let (near, far) = pair().unwrap();
        send(&near, &"unread", &[]).unwrap();
        send(&far, &"last word", &[]).unwrap();
        drop(far);
        let packet = recv::<String>(&near).unwrap().unwrap();
        assert_eq!(packet.message, "last word");
        assert!(recv::<String>(&near).unwrap().is_none());
    }

    #[test]
    fn refuses_text_that_is_no_message() {
        let (near, far) = pair().unwrap();
        rustix::net::send(&near, b"not json", SendFlags::empty()).unwrap();
        assert_eq!(
            recv::<String>(&far).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
