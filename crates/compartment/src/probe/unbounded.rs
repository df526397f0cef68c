//! What no wall here bounds, and what no record here tells. Never claimed, so always said.

use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::Finding;
use crate::launch;

/// Where control groups of version 2 may be mounted.
const MOUNTED: &[&str] = &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Facts of every kernel, beside those that the launcher knows of this one.
const ALWAYS: &[(&str, &str)] = &[
    (
        "socket-option-records",
        "refused socket options (setsockopt of the mark, say) are not recorded",
    ),
    (
        "probing-records",
        "clone3 and openat2 are refused without a record: every library tries them",
    ),
    (
        "interrupted-records",
        "a refused system call that a signal interrupts before the launcher has read it is not recorded",
    ),
    (
        "launcher-kill-records",
        "what a launcher holds in memory (20 ms of attempts; more while the enforcer is away) is lost when it is killed",
    ),
];

/// What is not bounded or not recorded in compartments of this user on this machine.
pub fn unbounded() -> Vec<Finding> {
    let root = rustix::process::geteuid().is_root();
    let group = Group::own();
    let mut found: Vec<_> = launch::unbounded(root)
        .into_iter()
        .map(|(id, words)| match id {
            launch::MEMORY => memory(words, &group),
            _ => Finding::info(id, words),
        })
        .collect();
    found.push(groups(&group));
    if let Some(bytes) = udp_buffer() {
        found.push(Finding::info(
            "udp-buffers",
            format!(
                "UDP buffers inside are bounded by the machine's net.core.rmem_max alone ({bytes} bytes a socket)"
            ),
        ));
    }
    found.extend(ALWAYS.iter().map(|(id, words)| Finding::info(id, *words)));
    found
}

/// The one an operator can do something about.
fn memory(words: &str, group: &Group) -> Finding {
    let hint = if !group.controllers.iter().any(|name| name == "memory") {
        "this machine's control groups cannot bound memory by version 2: boot with systemd.unified_cgroup_hierarchy=1, \
         then start workloads by `systemd-run --scope -p MemoryMax=2G ringfence run NAME -- CMD`"
    } else if Path::new("/run/systemd/system").exists() {
        "bound it from outside: `systemd-run --scope -p MemoryMax=2G -p TasksMax=4096 ringfence run NAME -- CMD` (with \
         --user unless root)"
    } else {
        "bound it from outside: start workloads in a control group of their own, with memory.max and pids.max written \
         into it"
    };
    Finding::warn(launch::MEMORY, words, hint)
}

/// What could bound memory and processes, if a compartment had a group of its own.
fn groups(group: &Group) -> Finding {
    let has = |wanted: &str| group.controllers.iter().any(|name| name == wanted);
    let text = match &group.directory {
        Some(directory) if group.writable && has("memory") && has("pids") => format!(
            "memory and pids are delegated to this user in {}; compartments get no control group of their own yet",
            directory.display()
        ),
        Some(directory) => format!(
            "memory and pids are not delegated to this user in {} ({})",
            directory.display(),
            match group.controllers.as_slice() {
                [] => "no controllers of version 2".to_owned(),
                names if group.writable => format!("only {}", names.join(", ")),
                _ => "it cannot be written".to_owned(),
            }
        ),
        None => "this machine has no control groups of version 2".to_owned(),
    };
    Finding::info("cgroups", text)
}

/// The control group (version 2) this process is in.
struct Group {
    /// `None`: there is none, or it is not visible here.
    directory: Option<PathBuf>,
    controllers: Vec<String>,
    writable: bool,
}

impl Group {
    fn own() -> Self {
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
        let places = MOUNTED
            .iter()
            .filter_map(|place| Some(Path::new(place).join(path?)));
        let directory = places
            .into_iter()
            .find(|place| place.join("cgroup.controllers").exists());
        let controllers = directory
            .as_ref()
            .and_then(|place| std::fs::read_to_string(place.join("cgroup.controllers")).ok())
            .unwrap_or_default();
        let writable = directory.as_ref().is_some_and(|place| {
            rustix::fs::access(place.join("cgroup.procs"), Access::WRITE_OK).is_ok()
                && rustix::fs::access(place, Access::WRITE_OK).is_ok()
        });
        Self {
            directory,
            controllers: controllers.split_whitespace().map(str::to_owned).collect(),
            writable,
        }
    }
}

fn udp_buffer() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?;
    text.trim().parse().ok()
}
