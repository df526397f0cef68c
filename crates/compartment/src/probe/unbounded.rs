//! What no wall here bounds, and what no record here tells. Never claimed, so always said.

use std::path::Path;

use super::Finding;
use crate::launch;

/// Where control groups of version 2 may be.
const GROUPS: &[&str] = &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

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
    let mut found: Vec<_> = launch::unbounded(root)
        .into_iter()
        .map(|(id, words)| match id {
            launch::MEMORY => memory(words),
            _ => Finding::info(id, words),
        })
        .collect();
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
fn memory(words: &str) -> Finding {
    let hint = if bounds_memory() {
        "bound it from outside: `systemd-run --scope -p MemoryMax=2G -p TasksMax=4096 ringfence run NAME -- CMD` (with --user \
         unless root)"
    } else {
        "this machine's control groups cannot bound memory by version 2: boot with systemd.unified_cgroup_hierarchy=1, \
         then start workloads by `systemd-run --scope -p MemoryMax=2G ringfence run NAME -- CMD`"
    };
    Finding::warn(launch::MEMORY, words, hint)
}

fn bounds_memory() -> bool {
    GROUPS.iter().any(|group| {
        let controllers = std::fs::read_to_string(Path::new(group).join("cgroup.controllers"));
        controllers.is_ok_and(|names| names.split_whitespace().any(|name| name == "memory"))
    })
}

fn udp_buffer() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?;
    text.trim().parse().ok()
}
