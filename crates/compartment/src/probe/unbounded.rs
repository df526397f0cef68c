//! What no wall here bounds, and what no record here tells. Never claimed, so always said.

use super::Finding;
use crate::launch;

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

/// What is not bounded or not recorded in compartments of this user on this machine, beside memory: that is the node's to
/// bound.
pub fn unbounded() -> Vec<Finding> {
    let root = rustix::process::geteuid().is_root();
    let mut found: Vec<_> = launch::unbounded(root)
        .into_iter()
        .map(|(id, words)| Finding::info(id, words))
        .collect();
    if let Some(bytes) = udp_buffer() {
        found.push(Finding::info(
            "udp-buffers",
            format!(
                "buffers of sockets other than TCP have the machine's default size, net.core.rmem_default ({bytes} bytes a socket)"
            ),
        ));
    }
    found.extend(ALWAYS.iter().map(|(id, words)| Finding::info(id, *words)));
    found
}

fn udp_buffer() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/net/core/rmem_default").ok()?;
    text.trim().parse().ok()
}
