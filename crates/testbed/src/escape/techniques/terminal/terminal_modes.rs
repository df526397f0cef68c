//! Modes belong to the terminal and stay: without echo a shell's user does not see what he types, without signals his Ctrl-C
//! does nothing.

use std::os::fd::BorrowedFd;

use rustix::termios::{InputModes, LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::did;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "terminal-modes",
    tries: "leave the caller's terminal without echo and signals",
    wall: "terminal of its own",
    control: Control::Caller,
    record: Record::Nothing("it may set the modes of its own terminal"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let streams: [BorrowedFd<'_>; 3] = [
        std::os::fd::AsFd::as_fd(&input),
        std::os::fd::AsFd::as_fd(&output),
        std::os::fd::AsFd::as_fd(&errors),
    ];
    did(streams.map(|stream| {
        let mut modes = tcgetattr(stream)?;
        modes.local_modes -= LocalModes::ECHO | LocalModes::ISIG;
        modes.input_modes |= InputModes::IGNCR;
        Ok(tcsetattr(stream, OptionalActions::Now, &modes)?)
    }))
}
