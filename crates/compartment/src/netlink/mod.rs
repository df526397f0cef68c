//! Netlink: messages in the kernel's layout, and the answers to them. No `ip`, no `nft` is ever run.
//!
//! `message` writes, `link` brings the loopback device up and routes everything to it, `nft` loads the rules, `log`
//! reads what the rules refused.

pub(crate) mod link;
pub(crate) mod log;
mod message;
pub(crate) mod nft;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

pub(crate) use message::Message;

/// Answers are read into a buffer of this many bytes; an acknowledgement has a few dozen.
const ANSWER_BYTES: usize = 64 * 1024;
/// How long the kernel may take to answer. It answers at once unless it loads a module first.
const ANSWER_TIME: Duration = Duration::from_secs(10);

const NLMSG_ERROR: u16 = 2;
/// Bytes of a message header.
const HEADER: usize = 16;

/// A netlink socket of this network namespace, close-on-exec. `None` is the protocol of links and routes.
pub(crate) fn open(protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?)
}

/// Sends `messages` in one go and waits until each of those that asks for it is acknowledged.
///
/// The first refusal is the error, with the kernel's errno.
pub(crate) fn transact(socket: impl AsFd, messages: &[Message]) -> io::Result<()> {
    transact_within(ANSWER_TIME, socket, messages)
}

fn transact_within(time: Duration, socket: impl AsFd, messages: &[Message]) -> io::Result<()> {
    let bytes: Vec<u8> = messages.iter().flat_map(Message::bytes).copied().collect();
    let mut waiting = messages
        .iter()
        .filter(|message| message.wants_answer())
        .count();
    rustix::net::sockopt::set_socket_timeout(
        &socket,
        rustix::net::sockopt::Timeout::Recv,
        Some(time),
    )?;
    let sent = rustix::net::send(&socket, &bytes, SendFlags::empty())?;
    if sent != bytes.len() {
        return Err(io::Error::other(
            "the kernel took only part of a netlink message",
        ));
    }
    let mut buffer = vec![0_u8; ANSWER_BYTES];
    while waiting > 0 {
        let (length, _) = match rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty()) {
            Err(rustix::io::Errno::AGAIN) => {
                let what = format!("the kernel did not answer within {time:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            answer => answer?,
        };
        if length == 0 {
            return Err(io::Error::other("the kernel sent an empty answer"));
        }
        waiting = waiting.saturating_sub(acknowledgements(&buffer[..length])?);
    }
    Ok(())
}

/// How many requests one answer acknowledges.
pub(crate) fn acknowledgements(answer: &[u8]) -> io::Result<usize> {
    let mut count = 0;
    for answer in parts(answer) {
        if answer.kind != NLMSG_ERROR {
            continue;
        }
        let code = answer
            .payload
            .first_chunk::<4>()
            .map(|code| i32::from_ne_bytes(*code))
            .ok_or_else(|| io::Error::other("the kernel sent a short answer"))?;
        if code != 0 {
            // The least number has no opposite; saturating, it stays an error that nobody knows.
            return Err(io::Error::from_raw_os_error(0_i32.saturating_sub(code)));
        }
        count += 1;
    }
    Ok(count)
}

/// One message of several in a buffer.
pub(crate) struct Part<'a> {
    pub(crate) kind: u16,
    pub(crate) payload: &'a [u8],
}

/// Splits a buffer into messages; stops at the first that is not whole.
pub(crate) fn parts(mut bytes: &[u8]) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes(*bytes.get(4..6)?.first_chunk()?);
        let payload = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Part { kind, payload })
    })
}

/// Splits attributes; stops at the first that is not whole. Flags in the type are removed.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..4)?.first_chunk()?) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}
