//! Control groups of compartments: noted, and ended with them.

use std::path::Path;

use ringfence_model::InstanceId;

use super::Supervisor;
use crate::cgroup::{self, Group};
use crate::enclosing::Enclosed;

impl Supervisor {
    pub(super) fn enclosed(&mut self, enclosed: Enclosed) {
        let Enclosed {
            instance,
            directory,
        } = enclosed;
        if self.instances.enclosed(&instance, directory.clone()) {
            self.store_instances();
        } else {
            self.ending.push(directory);
        }
    }

    /// What a killed node left, or one whose table of instances was lost.
    pub(crate) fn sweep_groups(&mut self) {
        let instances = &self.instances;
        let lives = |name: &str| instances.get(&InstanceId(name.into())).is_some();
        self.ending = cgroup::sweep(&self.fixed.groups, lives);
    }

    /// Says which of its bounds were reached, and removes it.
    pub(super) fn group_ended(&mut self, path: &Path, id: &InstanceId, subject: &str) {
        let group = Group::at(path);
        let reached = group.reached();
        if reached.memory {
            let reason = format!("{id} was ended: it needed more memory than it may have");
            self.record(
                "memory bound reached",
                reason,
                Some(subject.to_owned()),
                false,
            );
        }
        if reached.processes > 0 {
            let reason = format!(
                "{id} was refused {} more processes than it may have",
                reached.processes
            );
            self.record(
                "process bound reached",
                reason,
                Some(subject.to_owned()),
                false,
            );
        }
        if group.end().is_err() {
            self.ending.push(path.to_owned());
        }
    }

    /// Removes what could not be removed at first: the last processes need a moment to end.
    pub(super) fn end_groups(&mut self) {
        self.ending.retain(|path| Group::at(path).end().is_err());
    }
}
