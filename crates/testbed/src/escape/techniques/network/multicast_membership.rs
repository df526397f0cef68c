//! Joining a group makes the kernel send reports (IGMP, MLD) by itself, without a socket that could be refused.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "multicast-membership",
    tries: "joining groups, and sending to them",
    wall: "firewall rules",
    control: Control::Caller,
    record: Record::DeniedEach(&[
        "igmp to 224.0.0.22",
        "icmpv6 to ff02::16",
        "udp to 239.1.2.3",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let device = net::device_index(&ground.device).unwrap_or(net::LOOPBACK);
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let tried = net::udp(group).and_then(|socket| {
        let mut join = group.octets().to_vec();
        join.extend([0; 4]);
        join.extend(device.to_ne_bytes());
        socket.set(libc::SOL_IP, libc::IP_ADD_MEMBERSHIP, &join)?;
        socket.set(libc::SOL_IP, libc::IP_MULTICAST_IF, &join)?;
        let v6 = net::udp(Ipv6Addr::UNSPECIFIED)?;
        let mut join = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 0x7007)
            .octets()
            .to_vec();
        join.extend(device.to_ne_bytes());
        v6.set(libc::SOL_IPV6, libc::IPV6_ADD_MEMBERSHIP, &join)?;
        // The kernel reports a little later. Sending may be refused at once; then the reports are waited for.
        socket.ask(ground.canary(group)).or_else(|_| socket.hear())
    });
    Verdict::of(tried)
}
