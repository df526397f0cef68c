//! Which virtual addresses a name has: given once, kept for ever.
//!
//! The n-th name gets `100.64.0.0 + n` and `fd52:6600::n`. A name that vanishes keeps its pair, so that no later name
//! is ever found where another used to be. No packet with such an address leaves a compartment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ringfence_model::resource::EndpointHost;
use ringfence_model::{Diagnostic, Diagnostics, Estate, Name, VirtualAddr};
use serde::{Deserialize, Serialize};

use crate::NodeError;
use crate::persist::{self, Durability};

/// Name of the file in the state directory.
const FILE: &str = "addresses.json";
/// 100.64.0.0/10.
const V4_BASE: u32 = u32::from_be_bytes([100, 64, 0, 0]);
/// Addresses in 100.64.0.0/10.
const V4_COUNT: u32 = 1 << 22;
/// fd52:6600::/32.
const V6_BASE: u128 = 0xfd52_6600 << 96;

/// All addresses ever given in this state directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    addresses: BTreeMap<Name, VirtualAddr>,
}

impl Addresses {
    /// Those of the state directory `dir`; none yet when it has no file of them.
    pub fn load(dir: &Path) -> Result<Self, NodeError> {
        let fix = "put back a copy, or move it away to give all names new addresses";
        let read: Self = persist::read_json(dir, FILE, fix)?.unwrap_or_default();
        let mut seen = BTreeSet::new();
        for (name, address) in &read.addresses {
            let sound = number(address.v4).is_some_and(|n| pair(n) == *address && seen.insert(n));
            if !sound {
                return Err(NodeError::Damaged {
                    file: dir.join(FILE),
                    what: format!(
                        "the addresses of {name} are not a pair of this node, or are given twice"
                    ),
                    fix: fix.to_owned(),
                });
            }
        }
        Ok(read)
    }

    /// Writes them down so that they survive the machine.
    pub(crate) fn store(&self, dir: &Path) -> std::io::Result<()> {
        persist::replace_json(dir, FILE, self, Durability::Machine)
    }

    /// Gives every workload of `estate` that has no addresses yet the next free ones.
    ///
    /// An address that an endpoint of the estate names literally is not given; one that was given before is an
    /// error at that endpoint, since it would name two things.
    pub fn allocate(&mut self, estate: &Estate) -> Result<(), Diagnostics> {
        let taken: BTreeSet<u32> = self
            .addresses
            .values()
            .filter_map(|address| number(address.v4))
            .collect();
        let mut avoid = taken.clone();
        let mut clashes = Vec::new();
        for endpoint in estate
            .services
            .iter()
            .flat_map(|service| &service.endpoints)
        {
            let EndpointHost::Ip(ip) = endpoint.host else {
                continue;
            };
            let Some(n) = number_of(ip) else { continue };
            avoid.insert(n);
            if taken.contains(&n) {
                clashes.push(Diagnostic {
                    at: Some(endpoint.at.clone()),
                    message: format!("{ip} is the virtual address of a workload of this node"),
                    text: None,
                    help: Some(
                        "name the endpoint by another address, or by a host name".to_owned(),
                    ),
                    also: None,
                });
            }
        }
        if !clashes.is_empty() {
            return Err(Diagnostics(clashes));
        }
        let mut free =
            (1..V4_COUNT).filter(|n| !matches!(n & 0xff, 0 | 0xff) && !avoid.contains(n));
        for name in names(estate) {
            if self.addresses.contains_key(name) {
                continue;
            }
            let Some(n) = free.next() else {
                return Err(Diagnostics(vec![Diagnostic {
                    at: None,
                    message: format!("there is no virtual address left for {name}"),
                    text: None,
                    help: Some(format!(
                        "use a fresh state directory: every name ever used keeps its address in {FILE}"
                    )),
                    also: None,
                }]));
            };
            self.addresses.insert(name.clone(), pair(n));
        }
        Ok(())
    }

    /// The pairs of the workloads of `estate`, which must have been allocated.
    pub fn of(&self, estate: &Estate) -> BTreeMap<Name, VirtualAddr> {
        names(estate)
            .filter_map(|name| Some((name.clone(), *self.addresses.get(name)?)))
            .collect()
    }
}

fn names(estate: &Estate) -> impl Iterator<Item = &Name> {
    estate
        .services
        .iter()
        .map(|service| &service.name)
        .chain(estate.agents.iter().map(|agent| &agent.name))
}

fn pair(n: u32) -> VirtualAddr {
    VirtualAddr {
        v4: Ipv4Addr::from(V4_BASE + n),
        v6: Ipv6Addr::from(V6_BASE + u128::from(n)),
    }
}

fn number(v4: Ipv4Addr) -> Option<u32> {
    u32::from(v4)
        .checked_sub(V4_BASE)
        .filter(|n| (1..V4_COUNT).contains(n))
}

fn number_of(ip: IpAddr) -> Option<u32> {
    match ip.to_canonical() {
        IpAddr::V4(v4) => number(v4),
        IpAddr::V6(v6) => {
            let n = u128::from(v6).checked_sub(V6_BASE)?;
            u32::try_from(n).ok().filter(|n| (1..V4_COUNT).contains(n))
        }
    }
}

#[cfg(test)]
mod tests;
