//! From names and addresses to workloads, without allocation.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ringfence_model::{HOST_NAME_MAX, OriginalDst};

use crate::snapshot::{Snapshot, Workload, WorkloadIx};

impl Snapshot {
    /// Original destination → workload: virtual address and its declared port, or a declared literal endpoint.
    pub fn route(&self, to: OriginalDst) -> Option<WorkloadIx> {
        if let Some(ix) = self.resolve_address(to.ip()) {
            let (_, port) = self.workload(ix).serves?;
            return (port == to.port()).then_some(ix);
        }
        self.by_endpoint
            .get(&to.socket_addr())
            .map(|&index| self.ix(index))
    }

    /// Name (any case, optional trailing dot) → workload.
    pub fn resolve(&self, name: &str) -> Option<WorkloadIx> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut folded = [0; HOST_NAME_MAX];
        let folded = folded.get_mut(..name.len())?;
        folded.copy_from_slice(name.as_bytes());
        folded.make_ascii_lowercase();
        let folded = std::str::from_utf8(folded).ok()?;
        self.by_host.get(folded).map(|&index| self.ix(index))
    }

    /// Virtual address → workload.
    pub fn resolve_address(&self, ip: IpAddr) -> Option<WorkloadIx> {
        self.by_ip
            .get(&ip.to_canonical())
            .map(|&index| self.ix(index))
    }

    /// Whether `authority` (Host header, without userinfo) names this workload: one of its names or virtual addresses with
    /// its port or none, or a literal endpoint with that endpoint's port or none.
    ///
    /// Case and one trailing dot do not matter. An IPv6 address stands in brackets, without a zone.
    pub fn authority_names(&self, to: WorkloadIx, authority: &str) -> bool {
        let Some(workload) = self.get(to) else {
            return false;
        };
        let Some((host, port)) = split_authority(authority) else {
            return false;
        };
        match host {
            Host::Ip(ip) => {
                (workload.address.contains(ip) && port_fits(workload, port))
                    || workload
                        .endpoints
                        .iter()
                        .filter_map(|e| e.literal())
                        .any(|literal| {
                            literal.ip().to_canonical() == ip
                                && port.is_none_or(|port| port == literal.port())
                        })
            }
            Host::Name(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                port_fits(workload, port)
                    && workload
                        .names
                        .iter()
                        .any(|own| own.as_str().eq_ignore_ascii_case(name))
            }
        }
    }
}

fn port_fits(workload: &Workload, port: Option<u16>) -> bool {
    workload
        .serves
        .is_some_and(|(_, own)| port.is_none_or(|port| port == own))
}

enum Host<'a> {
    Name(&'a str),
    Ip(IpAddr),
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` (RFC 3986, 3.2). A port is 1 to 5 digits.
fn split_authority(authority: &str) -> Option<(Host<'_>, Option<u16>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let ip: Ipv6Addr = inside.parse().ok()?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if after.is_empty() => None,
            None => return None,
        };
        return Some((Host::Ip(IpAddr::V6(ip).to_canonical()), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (authority, None),
    };
    if host.is_empty() {
        return None;
    }
    Some(match host.parse::<IpAddr>() {
        Ok(ip) => (Host::Ip(ip), port),
        Err(_) => (Host::Name(host), port),
    })
}

fn parse_port(text: &str) -> Option<u16> {
    // `u16::from_str` takes a sign, a port has none.
    if text.is_empty() || text.len() > 5 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The address of an endpoint in the one form that [`OriginalDst`] has.
pub(crate) fn endpoint_key(literal: SocketAddr) -> SocketAddr {
    OriginalDst::new(literal).socket_addr()
}
