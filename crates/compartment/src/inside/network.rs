//! The network of a compartment: loopback, rules, and nothing that could be sent past them.

use std::io;
use std::os::fd::OwnedFd;

use ringfence_model::VirtualAddr;

use super::talk::FromInit;
use crate::error::{OrRefuse, Refusal};
use crate::link::Socket;
use crate::{doors, netlink};

/// Largest receive and send buffer of one TCP connection inside, in bytes (minimum, start, maximum).
const TCP_BUFFERS: &str = "4096 65536 262144";
/// Connections inside that wait in TIME_WAIT; older ones are dropped early.
const TCP_TIME_WAIT: &str = "16384";

/// Settings of this network namespace. (ICMP sockets need none: `ping_group_range` of a new one is empty.) Later ones may rely on earlier ones.
const SETTINGS: &[(&str, &str)] = &[
    // A host may hand its own settings on to new namespaces: IPv6 must be there for its doors to be there.
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/lo/disable_ipv6", "0"),
    ("net/ipv4/ip_forward", "0"),
    ("net/ipv4/conf/all/route_localnet", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/lo/rp_filter", "0"),
    // A service listens where its resource says, without a capability.
    ("net/ipv4/ip_unprivileged_port_start", "0"),
    ("net/ipv4/tcp_rmem", TCP_BUFFERS),
    ("net/ipv4/tcp_wmem", TCP_BUFFERS),
    ("net/ipv4/tcp_max_tw_buckets", TCP_TIME_WAIT),
    // Each accepted connection keeps the door's mark, not the packet's.
    ("net/ipv4/tcp_fwmark_accept", "0"),
    // What the kernel itself answers to a packet of ours is ours: without it, "nobody listens" never comes back to an
    // inbound datagram. A workload's packets carry no mark, so nothing it causes gets one.
    ("net/ipv4/fwmark_reflect", "1"),
    ("net/ipv6/fwmark_reflect", "1"),
];

/// What init hands to the launcher.
pub(super) struct Network {
    pub(super) sockets: Vec<(Socket, OwnedFd)>,
    pub(super) log: OwnedFd,
}

impl Network {
    /// The message that goes with the descriptors.
    pub(super) fn message(&self) -> FromInit {
        FromInit::Doors(self.sockets.iter().map(|(socket, _)| *socket).collect())
    }
}

/// Builds it. Needs `CAP_NET_ADMIN` and `CAP_NET_BIND_SERVICE` of this namespace's owner.
pub(super) fn build(own: &VirtualAddr) -> Result<Network, Refusal> {
    settings()?;
    loopback(own)?;
    // Bound before the rules exist: from the first packet on, what is refused is told.
    let log = log()?;
    firewall()?;
    let sockets = doors()?;
    Ok(Network { sockets, log })
}

/// Puts the switches of this network where they belong.
pub(crate) fn settings() -> Result<(), Refusal> {
    SETTINGS
        .iter()
        .try_for_each(|(name, value)| set(name, value))
}

/// Leads every address back inside.
pub(crate) fn loopback(own: &VirtualAddr) -> Result<(), Refusal> {
    netlink::link::everything_to_loopback(own).or_refuse(
        "the network namespace (loopback device, routes)",
        "if this kernel restricts unprivileged user namespaces by AppArmor, set the sysctl \
         kernel.apparmor_restrict_unprivileged_userns=0, or run the node and `ringfence run` as root",
    )
}

/// What the firewall refuses is read from here.
pub(crate) fn log() -> Result<OwnedFd, Refusal> {
    netlink::log::bind().or_refuse(
        "the firewall's log",
        "load the kernel module nfnetlink_log (CONFIG_NETFILTER_NETLINK_LOG): modprobe nfnetlink_log",
    )
}

/// Loads the rules.
pub(crate) fn firewall() -> Result<(), Refusal> {
    netlink::nft::load().or_refuse(
        "the firewall",
        "load the kernel modules of nftables with tproxy and log: modprobe -a nf_tables nft_tproxy nft_log \
         nf_tproxy_ipv4 nf_tproxy_ipv6",
    )
}

/// Makes every socket that is handed over at the start.
pub(crate) fn doors() -> Result<Vec<(Socket, OwnedFd)>, Refusal> {
    let mut sockets = doors::open_doors().or_refuse(
        "the doors",
        "the kernel needs IPv4 and IPv6 (no ipv6.disable=1 on its command line) and transparent sockets",
    )?;
    for socket in [Socket::Inbound4, Socket::Inbound6] {
        for _ in 0..doors::INBOUND_AT_START {
            let made = doors::make(socket)
                .or_refuse("the inbound sockets", "raise the limit of open files")?;
            sockets.push((socket, made));
        }
    }
    Ok(sockets)
}

fn set(name: &str, value: &str) -> Result<(), Refusal> {
    let path = format!("/proc/sys/{name}");
    match std::fs::write(&path, value) {
        Ok(()) => Ok(()),
        // Not every kernel has every switch; one that is not there cannot be in the wrong position.
        Err(cause)
            if cause.kind() == io::ErrorKind::NotFound && !name.contains("ip_unprivileged") =>
        {
            Ok(())
        }
        Err(cause) => Err(Refusal::wall(
            &format!("the network setting {name}"),
            &cause,
            "a container that mounts /proc/sys read-only, or AppArmor's restriction of user namespaces, stands in \
             the way: run ringfence outside the container, or set kernel.apparmor_restrict_unprivileged_userns=0",
        )),
    }
}
