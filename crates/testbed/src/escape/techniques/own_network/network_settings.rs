//! Settings of the network open what is closed: forwarding, routing of loopback, source routes. They are read-only
//! inside, and need a right.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "network-settings",
    tries: "writing to /proc/sys/net",
    wall: "mount namespace",
    control: Control::Apart,
    record: Record::Nothing("a read-only file is refused by the kernel, which tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let settings = [
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/route_localnet", "1"),
        ("ipv4/conf/all/accept_source_route", "1"),
        ("ipv4/ping_group_range", "0 2147483647"),
        ("ipv4/tcp_fwmark_accept", "1"),
        ("ipv6/conf/all/disable_ipv6", "1"),
        ("ipv6/conf/all/seg6_enabled", "1"),
        ("core/rmem_max", "1073741824"),
    ];
    Verdict::any(settings.map(|(name, value)| {
        let written = std::fs::write(format!("/proc/sys/net/{name}"), value);
        (name.to_owned(), Verdict::of(written))
    }))
}
