//! Control groups (version 2) of compartments: the bound on memory, and a second one on processes.
//!
//! The node makes them, never the launcher: a launcher may belong to a user who would rather have none. A compartment's
//! group lies in a directory that only root may change (under a node of root), so nobody inside and no user outside gets
//! a process out of it or its bounds raised. It lies beside its launcher's group, or above where that belongs to a user:
//! so whatever bounds the groups above stay in force, and those of the groups that are stepped over are taken along.
//!
//! `place` finds that directory, `group` makes, fills and ends a group, `sweep` removes those of compartments that are
//! gone, and `trial` makes one to see whether it can be done.

mod child;
mod group;
mod place;
mod sweep;
mod trial;

use child::Child;
pub(crate) use group::Group;
pub(crate) use place::{Controllers, Lacking, Place};
pub(crate) use sweep::sweep;
pub(crate) use trial::{foresee, trial};

use std::path::Path;

use ringfence_compartment::link::{Bounds, Enclosure};

/// Bounds process `process`, a child of `launcher`, and all that comes from it by a group called `name`, as far as this
/// host can. `uid`: the launcher's user.
pub(crate) fn enclose(
    process: u32,
    (launcher, uid): (u32, u32),
    name: &str,
    bounds: Bounds,
) -> Enclosure {
    let child = match Child::of(process, launcher, uid) {
        Ok(child) => child,
        Err(cause) => {
            return Enclosure::None {
                why: format!("the process that the launcher shows: {cause}"),
                fix: "start `ringfence run` in the pid namespace of `ringfence up`".to_owned(),
            };
        }
    };
    // Where neither this nor the launcher can, the launcher sees and says it.
    let _ = child.raise_score();
    match try_enclose(&child, launcher, name, bounds) {
        Ok(group) => Enclosure::Group {
            directory: group.path().to_owned(),
            bounds: group.bounds,
            shares: group.shares,
        },
        Err(lacking) => lacking.into(),
    }
}

fn try_enclose(child: &Child, launcher: u32, name: &str, bounds: Bounds) -> Result<Group, Lacking> {
    let place = Place::of_launcher(launcher, Controllers::SwitchOn)?;
    let group = Group::make(&place, name, bounds)?;
    match group.take_in(child) {
        Ok(()) => Ok(group),
        Err(cause) => {
            // Empty, so it goes at once; if not, the next start of a node removes it.
            let stays = group.end().err();
            let stays = stays.map_or_else(String::new, |cause| format!("; it stays: {cause}"));
            let path = group.path().display();
            Err(Lacking::new(
                format!("the compartment cannot be put into {path}: {cause}{stays}"),
                "start node and workloads below one service manager, or use a node of root",
            ))
        }
    }
}

/// How the groups of one node begin their names: by its state directory, so that nodes leave each other's alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix(String);

impl Prefix {
    /// Of the node whose state directory has this device and inode.
    pub(crate) fn of((device, inode): (u64, u64)) -> Self {
        Self(format!("ringfence-{device:x}-{inode:x}-"))
    }

    /// The name of the group of `instance`.
    pub(crate) fn name(&self, instance: &str) -> String {
        format!("{}{instance}", self.0)
    }

    /// The instance whose group is at `path`, if it is one of this node.
    pub(crate) fn instance<'a>(&self, path: &'a Path) -> Option<&'a str> {
        path.file_name()?.to_str()?.strip_prefix(&self.0)
    }
}
