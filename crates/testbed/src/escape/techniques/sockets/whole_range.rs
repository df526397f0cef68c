//! All families, types and protocols there are, one after the other: what can be made is compared with the list of what
//! may be.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "whole-range",
    tries: "every socket there is",
    wall: "system calls",
    control: Control::Caller,
    // More than are recorded one by one.
    record: Record::DeniedEach(&["socket family 0", "unitemised attempts"]),
    start: Start::Plain,
    attempt,
};

/// Highest family (`AF_MAX`), type (`SOCK_PACKET`) and protocol (`IPPROTO_MPTCP`), and a little more.
const FAMILIES: i32 = 48;
const TYPES: i32 = 12;
const PROTOCOLS: i32 = 264;

fn attempt(_: &Ground) -> Verdict {
    let mut found = Vec::new();
    for family in 0..FAMILIES {
        let protocols = match family {
            libc::AF_INET | libc::AF_INET6 => 0..PROTOCOLS,
            libc::AF_NETLINK => 0..32,
            _ => 0..2,
        };
        for (kind, protocol) in
            (0..TYPES).flat_map(|kind| protocols.clone().map(move |p| (kind, p)))
        {
            if may_be_made(family, kind, protocol) {
                continue;
            }
            let arguments = [family as usize, kind as usize, protocol as usize];
            if let Ok(socket) = sys::call(libc::SYS_socket, &arguments) {
                let _ = sys::call(libc::SYS_close, &[socket as usize]);
                found.push(format!("{family}/{kind}/{protocol}"));
            }
            let mut pair = [0_i32; 2];
            let arguments = [
                arguments[0],
                arguments[1],
                arguments[2],
                sys::at_mut(&mut pair),
            ];
            if sys::call(libc::SYS_socketpair, &arguments).is_ok() {
                for end in pair {
                    let _ = sys::call(libc::SYS_close, &[end as usize]);
                }
                found.push(format!("pair {family}/{kind}/{protocol}"));
            }
        }
    }
    match found.is_empty() {
        true => Verdict::Held("no socket but those that may be made".to_owned()),
        false => Verdict::Through(format!("sockets that may not be made: {}", found.join(" "))),
    }
}

/// The list, as docs/compartment.md has it.
fn may_be_made(family: i32, kind: i32, protocol: i32) -> bool {
    let is_usual = matches!(kind, libc::SOCK_STREAM | libc::SOCK_DGRAM);
    match family {
        libc::AF_UNIX => true,
        libc::AF_INET | libc::AF_INET6 => is_usual && matches!(protocol, 0 | 6 | 17 | 262),
        libc::AF_NETLINK => protocol == libc::NETLINK_ROUTE,
        _ => false,
    }
}
