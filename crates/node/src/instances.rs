//! Who runs here: every launcher that was granted an instance and whose process still lives.
//!
//! The table is kept on disk too, so that launchers of a node that was killed are known to the next one: a resumed
//! instance must be the same process of the same user, not somebody who knows its name.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ringfence_model::{InstanceId, WorkloadId};
use serde::{Deserialize, Serialize};

use crate::claim::{Checked, Refusal};
use crate::limits::{INSTANCES_MAX, INSTANCES_PER_WORKLOAD, OUTER_ID_FIRST, OUTER_IDS};
use crate::persist::{self, Durability};

/// Name of the file in the state directory.
const FILE: &str = "instances.json";

/// A process that will not be mistaken for a later one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: u32,
    /// Clock ticks from boot to its start (`/proc/PID/stat`, field 22).
    pub(crate) started: u64,
    /// The kernel's own number for it, never given twice (Linux 6.9). A tick is long enough to end in and be followed.
    #[serde(default)]
    pub(crate) serial: Option<u64>,
}

/// Where descriptors of processes have inodes of their own; `PID_FS_MAGIC`.
const PIDFS: u64 = 0x5049_4446;

impl ProcessId {
    /// The process that has `pid` now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let number = rustix::process::Pid::from_raw(pid.try_into().ok()?)?;
        let flags = rustix::process::PidfdFlags::empty();
        let serial = rustix::process::pidfd_open(number, flags)
            .ok()
            .and_then(|pidfd| serial(&pidfd));
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the name in parentheses, and may hold anything.
        let after_name = stat.rsplit_once(')')?.1;
        let mut fields = after_name.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self {
            pid,
            started,
            serial,
        })
    }

    /// Whether it is `other`. Where one of them has no serial number, because the kernel has none or an older node wrote
    /// it down, the tick decides.
    fn is(self, other: Self) -> bool {
        let serials = self.serial.zip(other.serial);
        self.pid == other.pid
            && self.started == other.started
            && serials.is_none_or(|(own, others)| own == others)
    }

    fn lives(self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.is(self))
    }
}

/// What this kernel calls the process behind a descriptor for good. Before Linux 6.9 all of them share one inode.
fn serial(pidfd: &OwnedFd) -> Option<u64> {
    let kind = rustix::fs::fstatfs(pidfd).ok()?.f_type;
    let own = u64::try_from(kind).is_ok_and(|kind| kind == PIDFS);
    own.then(|| rustix::fs::fstat(pidfd).ok())?
        .map(|found| found.st_ino)
}

/// One running compartment, as the node knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) workload: WorkloadId,
    pub(crate) uid: u32,
    pub(crate) process: ProcessId,
    pub(crate) outer_id: Option<u32>,
    pub(crate) command: String,
    pub(crate) since: Timestamp,
    /// What its claim was held to.
    #[serde(default)]
    pub(crate) checked: Checked,
    /// Its control group.
    #[serde(default)]
    pub(crate) group: Option<PathBuf>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Instances {
    dir: PathBuf,
    starts: u64,
    given: u64,
    next_outer: u32,
    live: BTreeMap<InstanceId, Instance>,
}

impl Instances {
    /// Takes up those whose launchers outlived the last node. `starts` makes new names unlike all earlier ones.
    ///
    /// A damaged table is only said: it costs the launchers of the last node their instances, not anyone's safety.
    pub(crate) fn open(
        dir: &Path,
        starts: u64,
    ) -> (Self, Vec<(InstanceId, Instance)>, Option<String>) {
        let fix =
            "nothing is needed; launchers that outlived the last node have to be started again";
        let (live, trouble) =
            match persist::read_json::<BTreeMap<InstanceId, Instance>>(dir, FILE, fix) {
                Ok(live) => (live.unwrap_or_default(), None),
                Err(error) => (BTreeMap::new(), Some(format!("{error}\n= help: {fix}"))),
            };
        let mut instances = Self {
            dir: dir.to_owned(),
            starts,
            given: 0,
            next_outer: 0,
            live,
        };
        let gone = instances.sweep(|_| true);
        (instances, gone, trouble)
    }

    /// A new one, with a name that was never given before in this state directory. `kept`: see [`Instances::room_for`].
    pub(crate) fn grant(&mut self, instance: Instance, kept: usize) -> Result<InstanceId, Refusal> {
        self.room_for(&instance.workload, kept)?;
        self.given += 1;
        let id =
            InstanceId(format!("{}-{}-{}", instance.workload.name, self.starts, self.given).into());
        self.live.insert(id.clone(), instance);
        Ok(id)
    }

    /// Whether one more of `workload` may run, if that leaves at least `kept` places to others.
    pub(crate) fn room_for(&self, workload: &WorkloadId, kept: usize) -> Result<(), Refusal> {
        let most = INSTANCES_MAX - kept;
        let alike = self
            .live
            .values()
            .filter(|other| other.workload == *workload)
            .count();
        if alike >= INSTANCES_PER_WORKLOAD || self.live.len() >= most {
            return Err(Refusal::new(
                format!(
                    "{alike} instances of {} and {} in all run already; {INSTANCES_PER_WORKLOAD} and {most} may",
                    workload,
                    self.live.len()
                ),
                "stop some of them; `ringfence status` lists them",
            ));
        }
        Ok(())
    }

    /// An uid and gid that no living compartment has.
    pub(crate) fn outer_id(&mut self) -> Option<u32> {
        let used = self.outer_ids_used();
        for _ in 0..=used.len() {
            let id = OUTER_ID_FIRST + self.next_outer;
            self.next_outer = (self.next_outer + 1) % OUTER_IDS;
            if !used.contains(&id) {
                return Some(id);
            }
        }
        None
    }

    /// Whether [`Instances::outer_id`] would find one.
    pub(crate) fn has_outer_id(&self) -> bool {
        self.outer_ids_used().len() < OUTER_IDS as usize
    }

    fn outer_ids_used(&self) -> BTreeSet<u32> {
        self.live
            .values()
            .filter_map(|instance| instance.outer_id)
            .collect()
    }

    /// The instance `id`, when it is held by this very process, run by this user, for this workload.
    pub(crate) fn resume(
        &self,
        id: &InstanceId,
        name: &str,
        uid: u32,
        process: ProcessId,
    ) -> Result<&Instance, Refusal> {
        self.live
            .get(id)
            .filter(|held| {
                held.workload.name.as_str() == name && held.uid == uid && held.process.is(process)
            })
            .ok_or_else(|| {
                Refusal::new(
                    format!("instance {:?} of {name:?} is not yours to resume", id.0),
                    "start the workload again with `ringfence run`",
                )
            })
    }

    pub(crate) fn get(&self, id: &InstanceId) -> Option<&Instance> {
        self.live.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&InstanceId, &Instance)> {
        self.live.iter()
    }

    /// Notes where its control group is. `false`: it is gone already.
    pub(crate) fn enclosed(&mut self, id: &InstanceId, group: PathBuf) -> bool {
        let instance = self.live.get_mut(id);
        let there = instance.is_some();
        if let Some(instance) = instance {
            instance.group = Some(group);
        }
        there
    }

    pub(crate) fn remove(&mut self, id: &InstanceId) -> Option<Instance> {
        self.live.remove(id)
    }

    /// Takes out those of `candidates` whose process has ended.
    pub(crate) fn sweep(
        &mut self,
        candidates: impl Fn(&InstanceId) -> bool,
    ) -> Vec<(InstanceId, Instance)> {
        let gone: Vec<InstanceId> = self
            .live
            .iter()
            .filter(|(id, instance)| candidates(id) && !instance.process.lives())
            .map(|(id, _)| id.clone())
            .collect();
        gone.into_iter()
            .filter_map(|id| self.live.remove(&id).map(|instance| (id, instance)))
            .collect()
    }

    /// Writes the table down. It has to survive the node, not the machine: that takes the launchers along.
    pub(crate) fn store(&self) -> std::io::Result<()> {
        persist::replace_json(&self.dir, FILE, &self.live, Durability::Process)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use ringfence_model::{Kind, Name};

    use super::*;
    use crate::limits::INSTANCES_KEPT;

    fn instance(name: &str, process: ProcessId, outer_id: Option<u32>) -> Instance {
        Instance {
            workload: WorkloadId {
                kind: Kind::Agent,
                name: Name::new(name).unwrap(),
            },
            uid: 1000,
            process,
            outer_id,
            command: "sleep".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            checked: Checked::default(),
            group: None,
        }
    }

    fn me() -> ProcessId {
        ProcessId::of(std::process::id()).unwrap()
    }

    #[test]
    fn names_are_never_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = BTreeSet::new();
        for starts in 1..4 {
            let (mut instances, _, _) = Instances::open(dir.path(), starts);
            for _ in 0..5 {
                let id = instances.grant(instance("a", me(), None), 0).unwrap();
                assert!(seen.insert(id.clone()), "{id}");
                instances.remove(&id);
            }
        }
    }

    #[test]
    fn only_the_same_living_process_resumes() {
        let dir = tempfile::tempdir().unwrap();
        let (mut instances, _, _) = Instances::open(dir.path(), 1);
        let id = instances.grant(instance("a", me(), None), 0).unwrap();
        instances.store().unwrap();
        let (instances, gone, trouble) = Instances::open(dir.path(), 2);
        assert!(gone.is_empty() && trouble.is_none());
        instances.resume(&id, "a", 1000, me()).unwrap();
        let earlier = ProcessId {
            started: me().started - 1,
            ..me()
        };
        instances.resume(&id, "a", 1000, earlier).unwrap_err();
        // Another process with the same number, started in the same tick, where the kernel tells them apart.
        let successor = ProcessId {
            serial: me().serial.map(|serial| serial + 1),
            ..me()
        };
        assert_eq!(
            instances.resume(&id, "a", 1000, successor).is_err(),
            me().serial.is_some()
        );
        // An older node wrote down no serial number.
        let unnumbered = ProcessId {
            serial: None,
            ..me()
        };
        instances.resume(&id, "a", 1000, unnumbered).unwrap();
        instances.resume(&id, "a", 1001, me()).unwrap_err();
        instances.resume(&id, "b", 1000, me()).unwrap_err();
        instances
            .resume(&InstanceId("a-1-2".into()), "a", 1000, me())
            .unwrap_err();
    }

    #[test]
    fn launchers_that_died_with_the_last_node_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep")
            .arg("60")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (mut instances, _, _) = Instances::open(dir.path(), 1);
        let id = instances
            .grant(instance("a", ProcessId::of(child.id()).unwrap(), None), 0)
            .unwrap();
        let kept = instances.grant(instance("a", me(), None), 0).unwrap();
        instances.store().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let (instances, gone, _) = Instances::open(dir.path(), 2);
        assert_eq!(gone.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&id]);
        assert!(instances.get(&kept).is_some() && instances.get(&id).is_none());
    }

    #[test]
    fn outer_ids_of_the_living_are_not_given_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut instances, _, _) = Instances::open(dir.path(), 1);
        let first = instances.outer_id().unwrap();
        assert_eq!(first, OUTER_ID_FIRST);
        instances
            .grant(instance("a", me(), Some(first)), 0)
            .unwrap();
        instances.store().unwrap();
        // The next node starts counting anew, and steps over it.
        let (mut instances, _, _) = Instances::open(dir.path(), 2);
        assert_eq!(instances.outer_id().unwrap(), first + 1);
    }

    #[test]
    fn of_one_workload_so_many_run_and_of_all_together_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let (mut instances, _, _) = Instances::open(dir.path(), 1);
        let mut fill = |number: usize, kept: usize| {
            let name = format!("a{}", number / INSTANCES_PER_WORKLOAD);
            instances.grant(instance(&name, me(), None), kept)
        };
        // One user's, who is neither root nor the owner, with as many workloads as it takes.
        for number in 0..INSTANCES_MAX - INSTANCES_KEPT {
            fill(number, INSTANCES_KEPT).unwrap();
        }
        let full = fill(INSTANCES_MAX, INSTANCES_KEPT).unwrap_err();
        let (all, most) = (
            format!("and {} in all run", INSTANCES_MAX - INSTANCES_KEPT),
            format!("and {} may", INSTANCES_MAX - INSTANCES_KEPT),
        );
        assert!(
            full.reason.contains(&all) && full.reason.contains(&most),
            "{full:?}"
        );
        // And those who are.
        let of_one = fill(0, 0).unwrap_err();
        let alike = format!("{INSTANCES_PER_WORKLOAD} instances of agent a0");
        assert!(of_one.reason.contains(&alike), "{of_one:?}");
        for number in INSTANCES_MAX - INSTANCES_KEPT..INSTANCES_MAX {
            fill(number, 0).unwrap();
        }
        let full = fill(INSTANCES_MAX, 0).unwrap_err();
        assert!(
            full.reason.contains(&format!("and {INSTANCES_MAX} may")),
            "{full:?}"
        );
        // A rehearsal says the same, and one that ends makes room.
        let fresh = instance("fresh", me(), None);
        instances.room_for(&fresh.workload, 0).unwrap_err();
        let first = instances.iter().next().unwrap().0.clone();
        instances.remove(&first);
        instances.grant(fresh, 0).unwrap();
    }

    #[test]
    fn a_damaged_table_is_said_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        let (instances, _, trouble) = Instances::open(dir.path(), 1);
        assert!(trouble.unwrap().contains(FILE));
        assert_eq!(instances.iter().count(), 0);
    }
}
