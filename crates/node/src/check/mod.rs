//! Is this machine fit for a node, and is the node that runs on it well? The body of `ringfence check`.
//!
//! `machine` looks at what the host offers beside its kernel, `state` at the state directory and its disk, `config` at the files, `running` at
//! the node that serves it. What compartments need of the kernel is tried by `ringfence_compartment::probe`.

mod config;
mod launcher;
mod machine;
mod running;
mod state;

use std::path::Path;

use ringfence_compartment::probe::{self, RootIds};
pub use ringfence_compartment::probe::{Finding, Group, Outcome};

use ringfence_model::HostName;

use crate::ids::IdMap;
use crate::limits::{ENFORCER_ID, OUTER_ID_FIRST};
use crate::supervisor::outer_ids_exist;

/// What a machine must offer before a node is started on `state`, everything tried; and whether that node could put the
/// files of `config` in force.
///
/// To be called from a process with one thread: it forks.
pub fn before(state: &Path, config: Option<(&Path, &HostName)>) -> Vec<Group> {
    let mut groups = probe::machine(root_ids());
    let mut rest = machine::look();
    rest.extend(state::look(state, None));
    groups.push(Group::new("this machine", rest));
    if let Some((config, zone)) = config {
        let checks = config::look(config, state, zone);
        groups.push(Group::new("configuration", checks));
    }
    groups.push(not_bounded());
    groups
}

/// The same of the machine, and the node that runs on `state`.
pub fn all(state: &Path) -> Vec<Group> {
    let mut groups = probe::machine(root_ids());
    groups.push(Group::new("this machine", machine::look()));
    groups.push(node(state));
    groups.push(not_bounded());
    groups
}

/// The node that runs on `state`, alone, and its state directory.
pub fn node(state: &Path) -> Group {
    let (owner, node) = running::look(state);
    let mut checks = state::look(state, owner);
    checks.extend(node);
    Group::new("node", checks)
}

fn not_bounded() -> Group {
    let mut found = vec![crate::cgroup::trial()];
    found.extend(probe::unbounded());
    Group::new("not bounded or not recorded here", found)
}

/// The ids that a node of root would use here.
fn root_ids() -> RootIds {
    let root = rustix::process::geteuid().is_root();
    match IdMap::of_this_process() {
        Ok((uids, gids)) if root => RootIds {
            workload: outer_ids_exist(&uids, &gids).then_some(OUTER_ID_FIRST),
            enforcer: (uids.covers(ENFORCER_ID, 1) && gids.covers(ENFORCER_ID, 1))
                .then_some(ENFORCER_ID),
        },
        _ => RootIds::default(),
    }
}
