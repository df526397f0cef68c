//! Who may be whom: the rules a launcher's claim is held to. No I/O.
//!
//! Everything that `attest` gives must hold. `uid` and `unit` are of the process that asks, as the kernel tells.
//! `exe` and `sha256` are of what it starts, and only a launcher that its user cannot bend is believed to start what it
//! shows: one of root, one of the node's owner (whose node it is), or one that [`crate::vouch`] vouches for.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use ringfence_compartment::link::{LINK_OLDEST, LINK_VERSION};
use ringfence_model::resource::{Attest, Filesystem};
use ringfence_model::{Estate, Limits, Name, Sha256Digest, UnitName, VirtualAddr, WorkloadId};
use serde::{Deserialize, Serialize};

use crate::program::Seen;

/// What a claimed workload is, in the generation that was asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claimed {
    pub(crate) workload: WorkloadId,
    pub(crate) address: VirtualAddr,
    pub(crate) filesystem: Filesystem,
    pub(crate) limits: Limits,
}

/// Who asks, as far as the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimant {
    pub(crate) uid: u32,
    /// The unit it is in, or why none can be named.
    pub(crate) unit: Result<UnitName, String>,
    /// Whether it is our launcher although it is another user's.
    pub(crate) vouched: bool,
}

/// What the claimant is going to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// It did not say.
    NotShown,
    /// Not looked at yet.
    Shown,
    /// What was found, or why nothing can be told.
    Seen(Result<Seen, String>),
}

/// What a claim was held to, and met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checked {
    /// Whether `attest` names the user; else the claimant is owner or root.
    pub(crate) uid: bool,
    pub(crate) exe: Option<PathBuf>,
    pub(crate) sha256: Option<Sha256Digest>,
    pub(crate) unit: Option<UnitName>,
}

impl Checked {
    /// What was seen of the program when it was started.
    pub(crate) fn program(&self) -> Program {
        self.exe.clone().map_or(Program::NotShown, |path| {
            let sha256 = self.sha256;
            Program::Seen(Ok(Seen { path, sha256 }))
        })
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.uid { "uid" } else { "owner or root" })?;
        if let Some(exe) = &self.exe {
            write!(f, ", exe {}", exe.display())?;
        }
        if let Some(sha256) = &self.sha256 {
            write!(f, ", sha256 {sha256}")?;
        }
        if let Some(unit) = &self.unit {
            write!(f, ", unit {unit}")?;
        }
        Ok(())
    }
}

/// What becomes of a claim.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    /// It may be.
    Granted(Box<Claimed>, Checked),
    /// The program must be looked at first, with its contents if `digest`.
    Look {
        /// Whether its digest is asked for.
        digest: bool,
    },
}

/// Why a claim is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// As the launcher is told.
    pub(crate) reason: String,
    /// What to do about it, as the launcher is told.
    pub(crate) hint: String,
    /// More than the launcher may know; for the record alone.
    pub(crate) detail: Option<String>,
}

impl Refusal {
    pub(crate) fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: hint.into(),
            detail: None,
        }
    }

    /// What is recorded of it.
    pub(crate) fn recorded(&self) -> &str {
        self.detail.as_ref().unwrap_or(&self.reason)
    }
}

/// The user whose node this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) u32);

impl Owner {
    /// Root and the owner see names and reasons; others learn only that a claim was refused.
    pub(crate) fn trusts(self, uid: u32) -> bool {
        uid == self.0 || uid == 0
    }
}

/// The node speaks the launcher's version, or says which of the two is to be exchanged.
pub(crate) fn check_version(version: u64) -> Result<(), Refusal> {
    if (u64::from(LINK_OLDEST)..=u64::from(LINK_VERSION)).contains(&version) {
        return Ok(());
    }
    let speaks = match LINK_OLDEST {
        LINK_VERSION => LINK_VERSION.to_string(),
        oldest => format!("{oldest} to {LINK_VERSION}"),
    };
    let fix = if version < u64::from(LINK_OLDEST) {
        "start the workload again, with the `ringfence run` of the node's version"
    } else {
        "replace the node by one of the launcher's version: `ringfence up --takeover`"
    };
    Err(Refusal::new(
        format!("the launcher speaks version {version} of the link, the node {speaks}"),
        fix,
    ))
}

/// Whether `claimant` may be `name`, as `estate` has it.
pub(crate) fn check(
    estate: &Estate,
    addresses: &BTreeMap<Name, VirtualAddr>,
    owner: Owner,
    claimant: &Claimant,
    program: &Program,
    name: &str,
) -> Result<Decision, Refusal> {
    let Some((workload, attest, limits)) = find(estate, name) else {
        return Err(if owner.trusts(claimant.uid) {
            unknown(estate, name)
        } else {
            not_yours(name, owner)
        });
    };
    let nothing = Attest::default();
    let attest = attest.unwrap_or(&nothing);
    let checked = match hold(attest, owner, claimant, program) {
        Ok(Met::All(checked)) => checked,
        Ok(Met::Look { digest }) => return Ok(Decision::Look { digest }),
        Err(Unmet { what, fix }) if owner.trusts(claimant.uid) => {
            return Err(Refusal::new(format!("{workload} {what}"), fix));
        }
        Err(Unmet { what, .. }) => return Err(not_yours(name, owner).because(&workload, &what)),
    };
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
    let claimed = Claimed {
        address: *address,
        filesystem: policy
            .map(|policy| policy.filesystem.clone())
            .unwrap_or_default(),
        limits,
        workload,
    };
    Ok(Decision::Granted(Box::new(claimed), checked))
}

/// How far a claim meets what it is held to.
enum Met {
    All(Checked),
    Look { digest: bool },
}

/// What is not met.
struct Unmet {
    what: String,
    fix: String,
}

impl Unmet {
    fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: fix.into(),
        }
    }
}

/// Holds a claim to `attest`. The cheap questions come first; the program of a stranger is not even looked at.
fn hold(
    attest: &Attest,
    owner: Owner,
    claimant: &Claimant,
    program: &Program,
) -> Result<Met, Unmet> {
    let mut checked = Checked {
        uid: attest.uid.is_some(),
        ..Checked::default()
    };
    match attest.uid {
        Some(wanted) if wanted == claimant.uid => {}
        Some(wanted) => return Err(other_user(wanted, owner, claimant.uid)),
        None if owner.trusts(claimant.uid) => {}
        None => {
            return Err(Unmet::new(
                "names no uid in its attest, so it is for the owner of the node and root",
                "add `uid` to its `attest`",
            ));
        }
    }
    if let Some(wanted) = &attest.unit {
        let fix = format!("start it from {wanted}, with `ExecStart=… ringfence run …`");
        match &claimant.unit {
            Ok(unit) if unit == wanted => checked.unit = Some(unit.clone()),
            Ok(unit) => {
                return Err(Unmet::new(
                    format!("is for unit {wanted}, and you are in {unit}"),
                    fix,
                ));
            }
            Err(why) => {
                return Err(Unmet::new(
                    format!("is for unit {wanted}, and your unit is not known: {why}"),
                    fix,
                ));
            }
        }
    }
    if !attest.pins_program() {
        return Ok(Met::All(checked));
    }
    if !believed(owner, claimant) {
        return Err(Unmet::new(
            format!(
                "is for one program, and a launcher of uid {} is not proven to start what it shows",
                claimant.uid
            ),
            UNPROVEN_FIX,
        ));
    }
    match program {
        Program::NotShown => Err(Unmet::new(
            "is for one program, and yours is not found on the host",
            "give the program's path on the host",
        )),
        Program::Shown => Ok(Met::Look {
            digest: attest.sha256.is_some(),
        }),
        Program::Seen(Err(why)) => Err(Unmet::new(
            format!("is for one program, and yours is not accepted: {why}"),
            "install it as root where only root writes, such as /opt (`chown root`, `chmod go-w`)",
        )),
        Program::Seen(Ok(seen)) => {
            compare(attest, seen)?;
            checked.exe = Some(seen.path.clone());
            checked.sha256 = seen.sha256.filter(|_| attest.sha256.is_some());
            Ok(Met::All(checked))
        }
    }
}

/// How another user's launcher is made one that can be believed.
pub(crate) const UNPROVEN_FIX: &str = "install `ringfence` set-group-id to a group without members (`chgrp GROUP`, `chmod g+s`), \
                                       restart the node, or let root start it";

/// Whether this launcher starts what it shows.
fn believed(owner: Owner, claimant: &Claimant) -> bool {
    owner.trusts(claimant.uid) || claimant.vouched
}

fn compare(attest: &Attest, seen: &Seen) -> Result<(), Unmet> {
    if let Some(wanted) = &attest.exe
        && *wanted != seen.path
    {
        return Err(Unmet::new(
            format!(
                "is for {}, and you start {}",
                wanted.display(),
                seen.path.display()
            ),
            "start that program; if one is a link to the other, name the file itself as `exe`",
        ));
    }
    if let Some(wanted) = &attest.sha256
        && seen.sha256 != Some(*wanted)
    {
        let found = seen
            .sha256
            .map_or_else(|| "not known".to_owned(), |found| found.to_string());
        return Err(Unmet::new(
            format!(
                "is for a program with sha256 {wanted}, and that of {} is {found}",
                seen.path.display()
            ),
            "start it anew; if the program was changed on purpose, write its digest into `sha256`",
        ));
    }
    Ok(())
}

fn find<'a>(estate: &'a Estate, name: &str) -> Option<(WorkloadId, Option<&'a Attest>, Limits)> {
    use ringfence_model::Kind;
    let agents = estate
        .agents
        .iter()
        .map(|it| (Kind::Agent, &it.name, it.attest.as_ref(), it.limits));
    let services = estate
        .services
        .iter()
        .map(|it| (Kind::Service, &it.name, it.attest.as_ref(), it.limits));
    agents
        .chain(services)
        .find(|(_, candidate, _, _)| candidate.as_str() == name)
        .map(|(kind, name, attest, limits)| {
            (
                WorkloadId {
                    kind,
                    name: name.clone(),
                },
                attest,
                limits,
            )
        })
}

/// What a stranger is told, whether the name exists or not.
fn not_yours(name: &str, owner: Owner) -> Refusal {
    Refusal::new(
        format!("you may not run {name:?} on this node"),
        format!(
            "ask uid {}, whose node it is: its log says what does not match",
            owner.0
        ),
    )
}

impl Refusal {
    /// Adds what only the record may hold.
    fn because(mut self, workload: &WorkloadId, what: &str) -> Self {
        self.detail = Some(format!("{}: {workload} {what}", self.reason));
        self
    }
}

fn other_user(wanted: u32, owner: Owner, uid: u32) -> Unmet {
    let fix = if owner.0 == 0 {
        format!("run it as that user, for example `sudo -u '#{wanted}' ringfence run …`")
    } else {
        "`attest.uid` of other users works only on a node of root: start `ringfence up` as root"
            .to_owned()
    };
    Unmet::new(format!("is for uid {wanted}, and you are uid {uid}"), fix)
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
