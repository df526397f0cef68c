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
    let bytes = serde_json::to_vec(message)?;
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
            &[IoSlice::new(&bytes)],
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

fn recv_with<T: DeserializeOwned>(
    socket: impl AsFd,
    flags: RecvFlags,
) -> io::Result<Option<Packet<T>>> {
    let mut bytes = vec![0_u8; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match rustix::net::recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            flags | RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    // Taken into ownership first: whatever fails below closes them.
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    // The room has padding in which one descriptor more may fit.
    if descriptors.len() > DESCRIPTORS_MAX
        || received
            .flags
            .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(malformed("a packet arrived cut"));
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    let message = serde_json::from_slice(&bytes[..received.bytes])
        .map_err(|cause| malformed(&format!("a message could not be read: {cause}")))?;
    Ok(Some(Packet {
        message,
        descriptors,
    }))
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
    fn refuses_text_that_is_no_message() {
        let (near, far) = pair().unwrap();
        rustix::net::send(&near, b"not json", SendFlags::empty()).unwrap();
        assert_eq!(
            recv::<String>(&far).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
