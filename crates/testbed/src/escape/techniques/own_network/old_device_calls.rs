//! The calls of old: bridges, tunnels, bonds, wireless, the address cache. Each has its own check, or had none.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "old-device-calls",
    tries: "device calls of every age",
    wall: "capabilities",
    control: Control::Apart,
    record: Record::Nothing("the kernel refuses for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let calls = [
        ("SIOCSIFADDR", 0x8916),
        ("SIOCADDRT", 0x890b),
        ("SIOCDELRT", 0x890c),
        ("SIOCSIFMTU", 0x8922),
        ("SIOCSARP", 0x8955),
        ("SIOCBRADDBR", 0x89a0),
        ("SIOCADDTUNNEL", 0x89f1),
        ("SIOCBONDENSLAVE", 0x8990),
        ("SIOCSIFNAME", 0x8923),
    ];
    Verdict::any(calls.map(|(name, number)| {
        // The device's name first, then what each makes of it: an address of IPv4, a size.
        let mut request = [0_u8; 128];
        request[..2].copy_from_slice(b"lo");
        request[16..24].copy_from_slice(&[2, 0, 0, 0, 10, 9, 9, 9]);
        let tried = net::socket(libc::AF_INET, libc::SOCK_DGRAM, 0).and_then(|socket| {
            sys::call(
                libc::SYS_ioctl,
                &[socket.0, number, sys::at_mut(&mut request)],
            )
        });
        (name.to_owned(), Verdict::of(tried))
    }))
}
