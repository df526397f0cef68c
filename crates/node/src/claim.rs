//! Who may be whom: the rules a launcher's claim is held to. No I/O.

use std::collections::BTreeMap;

use ringfence_compartment::link::LINK_VERSION;
use ringfence_model::resource::{Attest, Filesystem};
use ringfence_model::{Estate, Name, VirtualAddr, WorkloadId};

/// What a claimed workload is, in the generation that was asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claimed {
    pub(crate) workload: WorkloadId,
    pub(crate) address: VirtualAddr,
    pub(crate) filesystem: Filesystem,
}

/// Why a claim is refused, as the launcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) hint: String,
}

impl Refusal {
    pub(crate) fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: hint.into(),
        }
    }
}

/// The user whose node this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) u32);

impl Owner {
    /// Root and the owner see names and reasons; others learn only that a claim was refused.
    fn trusts(self, uid: u32) -> bool {
        uid == self.0 || uid == 0
    }
}

/// Both sides must speak the same version.
pub(crate) fn check_version(version: u32) -> Result<(), Refusal> {
    if version == LINK_VERSION {
        return Ok(());
    }
    let older = if version < LINK_VERSION {
        "`ringfence run`"
    } else {
        "`ringfence up`"
    };
    Err(Refusal::new(
        format!("the launcher speaks version {version} of the link, the node {LINK_VERSION}"),
        format!("start the older of the two, {older}, from the newer binary"),
    ))
}

/// Whether the user `uid` may run `name`, as `estate` has it.
pub(crate) fn check(
    estate: &Estate,
    addresses: &BTreeMap<Name, VirtualAddr>,
    owner: Owner,
    uid: u32,
    name: &str,
) -> Result<Claimed, Refusal> {
    let found = find(estate, name);
    let Some((workload, attest)) = found else {
        return Err(if owner.trusts(uid) {
            unknown(estate, name)
        } else {
            not_yours(name)
        });
    };
    match attest {
        Some(attest) if attest.uid == uid => {}
        Some(_) if !owner.trusts(uid) => return Err(not_yours(name)),
        Some(attest) => return Err(other_user(&workload, attest, owner, uid)),
        None if owner.trusts(uid) => {}
        None => return Err(not_yours(name)),
    }
    if estate
        .services
        .iter()
        .any(|service| service.name == workload.name && !service.endpoints.is_empty())
    {
        return Err(Refusal::new(
            format!("{workload} is declared at `endpoints`: it runs outside compartments"),
            "remove its `endpoints` to run it here",
        ));
    }
    let Some(address) = addresses.get(&workload.name) else {
        return Err(Refusal::new(
            format!("{workload} has no address"),
            "send the node SIGHUP to load its policy again",
        ));
    };
    let policy = estate
        .policies
        .iter()
        .find(|policy| policy.subject == workload);
    Ok(Claimed {
        address: *address,
        filesystem: policy
            .map(|policy| policy.filesystem.clone())
            .unwrap_or_default(),
        workload,
    })
}

fn find<'a>(estate: &'a Estate, name: &str) -> Option<(WorkloadId, Option<&'a Attest>)> {
    use ringfence_model::Kind;
    let agents = estate
        .agents
        .iter()
        .map(|agent| (Kind::Agent, &agent.name, agent.attest.as_ref()));
    let services = estate
        .services
        .iter()
        .map(|service| (Kind::Service, &service.name, service.attest.as_ref()));
    agents
        .chain(services)
        .find(|(_, candidate, _)| candidate.as_str() == name)
        .map(|(kind, name, attest)| {
            (
                WorkloadId {
                    kind,
                    name: name.clone(),
                },
                attest,
            )
        })
}

/// What a stranger is told, whether the name exists or not.
fn not_yours(name: &str) -> Refusal {
    Refusal::new(
        format!("you may not run {name:?} on this node"),
        "ask the owner of the node for an `attest` with your uid",
    )
}

fn other_user(workload: &WorkloadId, attest: &Attest, owner: Owner, uid: u32) -> Refusal {
    let hint = if owner.0 == 0 {
        format!(
            "run it as that user, for example `sudo -u '#{}' ringfence run …`",
            attest.uid
        )
    } else {
        "`attest.uid` of other users works only on a node of root: start `ringfence up` as root"
            .to_owned()
    };
    Refusal::new(
        format!(
            "{workload} is for uid {}, and you are uid {uid}",
            attest.uid
        ),
        hint,
    )
}

fn unknown(estate: &Estate, name: &str) -> Refusal {
    let names = estate
        .agents
        .iter()
        .map(|agent| &agent.name)
        .chain(estate.services.iter().map(|service| &service.name));
    let nearest = ringfence_model::suggest::nearest(name, names.map(Name::as_str));
    Refusal::new(
        format!("there is no agent or service {name:?}"),
        match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => {
                "declare it in the configuration directory; it is picked up when saved".to_owned()
            }
        },
    )
}

#[cfg(test)]
mod tests;
