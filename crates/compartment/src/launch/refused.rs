//! Attempts that the kernel refused: system calls, and packets that no door takes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::now_ns;
use super::spool::Spool;
use crate::link::Attempt;
use crate::netlink::log::{self, Report};
use crate::{seccomp, sys};

/// Why the firewall refused a packet.
const NO_DOOR: &str = "no door takes this protocol, kind of address or header";

/// Reports read before others get their turn.
const TURN: usize = 64;

/// Answers one waiting system call, and notes it first.
pub(super) fn answer_call(listener: &OwnedFd, spool: &mut Spool) -> io::Result<()> {
    let Some(call) = sys::next_call(listener.as_fd())? else {
        return Ok(());
    };
    let refusal = seccomp::judge(call.number, call.arguments);
    spool.push(Attempt {
        time_ns: now_ns(),
        wall: true,
        protocol: "system call".to_owned(),
        operation: refusal.operation,
        destination: None,
        reason: "no workload may call this".to_owned(),
        count: 1,
        last_ns: 0,
    });
    sys::refuse_call(listener.as_fd(), call.id, refusal.errno)
}

/// Notes the packets that the firewall refused since the last call.
pub(super) fn read_log(log: &OwnedFd, spool: &mut Spool) -> io::Result<()> {
    for _ in 0..TURN {
        match log::read(log)? {
            Report::Nothing => break,
            Report::Lost => spool.push(wall(
                "various",
                "packets refused by the firewall".to_owned(),
                None,
                "more packets were refused than the kernel could report; their number is not known",
            )),
            Report::Packets(packets) => {
                for packet in packets {
                    match packet {
                        Some(packet) => spool.push(wall(
                            &packet.protocol.clone(),
                            format!("{} to {}", packet.protocol, packet.destination.ip()),
                            Some(packet.destination),
                            NO_DOOR,
                        )),
                        None => spool.push(wall(
                            "unknown",
                            "a packet that cannot be read".to_owned(),
                            None,
                            NO_DOOR,
                        )),
                    }
                }
            }
        }
    }
    Ok(())
}

fn wall(
    protocol: &str,
    operation: String,
    destination: Option<std::net::SocketAddr>,
    reason: &str,
) -> Attempt {
    Attempt {
        time_ns: now_ns(),
        wall: true,
        protocol: protocol.to_owned(),
        operation,
        destination,
        reason: reason.to_owned(),
        count: 1,
        last_ns: 0,
    }
}
