//! What is outside, as far as an attacker can be expected to know it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Port of the canary, TCP and UDP, on every address of the host.
pub(super) const CANARY_PORT: u16 = 7007;
/// Port of `echo`, the service that the attacker may use.
pub(super) const ECHO_PORT: u16 = 7000;
/// Port of `vault`, the neighbour, which it may not.
pub(super) const VAULT_PORT: u16 = 9000;
/// A network of the host, on a device of its own.
pub(super) const HOST_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The same in IPv6.
pub(super) const HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// Where clouds answer with credentials.
pub(super) const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Link-local in IPv6.
pub(super) const LINK_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x7007);
/// The host's device.
pub(super) const DEVICE: &str = "canary0";

/// Places and names of what must not be reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ground {
    /// Port of the canary, TCP and UDP, on every address of the host. It answers with its secret.
    pub port: u16,
    /// An address of the host that is not loopback.
    pub v4: Ipv4Addr,
    /// The same in IPv6.
    pub v6: Ipv6Addr,
    /// The metadata service of clouds, here the canary.
    pub metadata: Ipv4Addr,
    /// A link-local address of the host.
    pub link_local: Ipv6Addr,
    /// The device these are on.
    pub device: String,
    /// The canary's process, in the host's numbers.
    pub pid: i32,
    /// Where its secret lies in its memory, and how long it is.
    pub memory: (usize, usize),
    /// A file with the secret.
    pub file: PathBuf,
    /// A socket of the canary that answers with its secret.
    pub socket: PathBuf,
    /// An abstract socket that does the same; without the NUL.
    pub abstract_socket: String,
    /// A FIFO from which the canary reads.
    pub fifo: PathBuf,
    /// Key of a SysV shared memory with the secret, and of a queue and a semaphore.
    pub sysv_key: i32,
    /// Name of POSIX shared memory with the secret, and of a message queue, with its slash.
    pub posix_name: String,
    /// An abstract socket of the neighbour that answers with the canary's secret.
    pub neighbour_socket: String,
    /// A pathname socket of the neighbour, as it names it.
    pub neighbour_path: PathBuf,
    /// Process id of `ringfence up`, in the host's numbers.
    pub node: u32,
    /// Process id of the enforcer.
    pub enforcer: u32,
    /// State directory of the node.
    pub state: PathBuf,
    /// Configuration directory of the node.
    pub config: PathBuf,
    /// The service that the attacker may use: it echoes.
    pub echo: (String, u16),
    /// The neighbour, which it may not use.
    pub vault: (String, u16),
}

impl Ground {
    /// The canary at an address of the host.
    pub fn canary(&self, address: impl Into<IpAddr>) -> SocketAddr {
        SocketAddr::new(address.into(), self.port)
    }

    /// Processes of the host: the canary, the node, the enforcer.
    pub fn processes(&self) -> impl Iterator<Item = u32> + use<> {
        [self.pid.unsigned_abs(), self.node, self.enforcer].into_iter()
    }

    /// The canary's process as programs of the standard library want it.
    pub fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }
}
