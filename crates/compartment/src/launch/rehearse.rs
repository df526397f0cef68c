//! `ringfence run --dry-run`: what a run would come to, without any of it.
//!
//! The node is asked, since only it decides claims; it grants nothing and gives no number away. The rest is looked at
//! from here by the launcher's own rules: no process is made, no namespace, no claim on the work directory. Whether the
//! kernel would build each wall is not tried: that is `probe`'s part.

use std::path::PathBuf;

use ringfence_model::InstanceId;

use super::foresee::View;
use super::start::{ids_inside, no_user_of_its_own, own_ids};
use super::{LaunchRequest, environment, events, hints, node, prepare};
use crate::error::Refusal;
use crate::link::{Bounds, Grant, Rehearsal};
use crate::root::{Access, Plan};

/// What would be run.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// As the node would grant it.
    pub claim: Rehearsal,
    /// The program's path inside.
    pub program: PathBuf,
    /// The file that is, on the host, links followed.
    pub file: PathBuf,
    /// How many arguments it would get.
    pub arguments: usize,
    /// User and group inside.
    pub inside: (u32, u32),
    /// Whom the host would see.
    pub outside: Outside,
    /// The directory that would be `/work`; `None`: an empty one of its own.
    pub workdir: Option<PathBuf>,
    /// Trees of the host that would be shown.
    pub trees: Vec<ShownTree>,
    /// The walls that would stand, in words.
    pub walls: Vec<String>,
    /// What would not be bounded or not be recorded, in words.
    pub unbounded: Vec<String>,
    /// What probably keeps this user from namespaces here, and what to do about it. Only trying tells.
    pub doubt: Option<&'static str>,
}

/// Who a workload is on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// A user that no other living workload has; which one is decided at the start.
    OfItsOwn,
    /// The user and group that run it.
    Caller(u32, u32),
}

/// A tree of the host, as the workload would see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTree {
    /// Where on the host.
    pub source: PathBuf,
    /// Where inside.
    pub target: PathBuf,
    /// Whether it may be written.
    pub writable: bool,
}

/// Says what [`run`](super::run) would start, or why it would refuse, with the code it would exit with.
///
/// To be called as [`run`](super::run) is: the node is shown the same process, with the same descriptors.
pub fn rehearse(request: &LaunchRequest) -> Result<Rehearsed, Refusal> {
    let signals = prepare()?.signals;
    hints::preconditions()?;
    let environment = environment::build(request)?;
    let Some((command, arguments)) = request.command.split_first() else {
        return Err(Refusal::new("no program is named", "give one after --"));
    };
    let (claim, shown) = node::rehearse(request, &environment.path, &signals)?;
    let own = own_ids();
    let root = own.0 == 0;
    if root && !claim.own_user {
        return Err(no_user_of_its_own());
    }
    let plan = Plan::rehearse(&imagined(&claim), request.workdir.as_deref())?;
    let view = View {
        plan: &plan,
        stranger: root,
    };
    let workdir = request.workdir.as_deref();
    let found = (view.locate(command, &environment.path))
        .map_err(|missing| missing.refusal(|path| events::on_host(path, workdir)))?;
    if claim.pinned {
        found.insist(shown.as_ref())?;
    }
    // What a process that is not there would be scored cannot be known; it is said when it is.
    let said = hints::Said::of(root, &claim.enclosure, true);
    let trees = plan.trees.into_iter().map(|tree| ShownTree {
        source: tree.source,
        target: tree.target,
        writable: tree.access == Access::Write,
    });
    Ok(Rehearsed {
        program: found.inside,
        file: found.file,
        arguments: arguments.len(),
        inside: ids_inside(own, request.user),
        outside: if root {
            Outside::OfItsOwn
        } else {
            Outside::Caller(own.0, own.1)
        },
        workdir: request.workdir.clone(),
        trees: trees.collect(),
        walls: said.walls,
        unbounded: said.unbounded,
        doubt: hints::sysctl_in_the_way(),
        claim,
    })
}

/// A grant with which nothing can be started, for what is decided by one.
fn imagined(claim: &Rehearsal) -> Grant {
    Grant {
        instance: InstanceId("none".into()),
        workload: claim.workload.clone(),
        address: claim.address,
        fqdn: claim.fqdn.clone(),
        outer_id: None,
        filesystem: claim.filesystem.clone(),
        forbidden: claim.forbidden.clone(),
        generation: claim.generation,
        pinned: false,
        bounds: Bounds::default(),
        quarantined: claim.quarantined,
        encloses: false,
    }
}
