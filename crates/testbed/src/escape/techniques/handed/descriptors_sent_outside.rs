//! The other way round: whoever outside gets a socket that was made inside speaks from there, and holds the compartment's
//! network for as long as it likes.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::{STREAMS, borrow};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "descriptors-sent-outside",
    tries: "send a socket of its own to a process of the host by the stream",
    wall: "sockets are relayed",
    control: Control::Caller,
    record: Record::Nothing("its streams are pipes; nothing is refused"),
    start: Start::Sockets,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let own = match std::net::UdpSocket::bind("127.0.0.1:0") {
        Ok(own) => own,
        Err(cause) => return Verdict::Held(format!("no socket: {cause}")),
    };
    let rights = [own.as_fd()];
    let sent = STREAMS.map(|stream| {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&rights));
        let bytes = [IoSlice::new(b"take this")];
        let sent = rustix::net::sendmsg(borrow(stream), &bytes, &mut control, SendFlags::DONTWAIT);
        format!("stream {stream}: {sent:?}")
    });
    // A socket of another family takes the bytes, and leaves the descriptor: what counts is what arrives.
    Verdict::Held(format!("nothing came: {}", sent.join("; ")))
}
