//! Why this host will not let a compartment be built, and what to do about it.

use std::io;

use ringfence_model::Memory;

use crate::error::Refusal;
use crate::link::Enclosure;
use crate::{container, landlock};

/// What can be known before anything is tried.
pub(super) fn preconditions() -> Result<(), Refusal> {
    if landlock::version().is_none() {
        return Err(Refusal::wall(
            "Landlock",
            &"this kernel does not enforce it",
            landlock::FIX,
        ));
    }
    Ok(())
}

fn sysctl_is(name: &str, value: &str) -> bool {
    std::fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|found| found.trim() == value)
}

/// A switch of this host that keeps users from namespaces, and what to do about it. `None` for root, whom it does not
/// bind.
pub(crate) fn sysctl_in_the_way() -> Option<&'static str> {
    if rustix::process::geteuid().is_root() {
        None
    } else if sysctl_is("kernel/unprivileged_userns_clone", "0") {
        Some(
            "this host forbids user namespaces to users: set the sysctl kernel.unprivileged_userns_clone=1, or run the \
             node and `ringfence run` as root",
        )
    } else if sysctl_is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        Some(
            "AppArmor restricts user namespaces on this host: set the sysctl \
             kernel.apparmor_restrict_unprivileged_userns=0, give ringfence a profile with `userns,`, or run as root",
        )
    } else {
        None
    }
}

/// Why the clone into new namespaces failed.
pub(crate) fn clone_refused(cause: &io::Error) -> Refusal {
    let full = cause.raw_os_error() == Some(libc::ENOSPC);
    let fix = if let Some(fix) = sysctl_in_the_way() {
        fix
    } else if full || sysctl_is("user/max_user_namespaces", "0") {
        "this host's bound on namespaces is reached: raise the sysctls user.max_user_namespaces and \
         user.max_net_namespaces (`sysctl -w user.max_user_namespaces=15000`)"
    } else if cause.raw_os_error() == Some(libc::EINVAL) {
        "the kernel lacks a namespace: CONFIG_USER_NS, NET_NS, PID_NS, IPC_NS, UTS_NS and CGROUPS are needed"
    } else if cause.raw_os_error() == Some(libc::EPERM) && container::engine().is_some() {
        "the container that ringfence runs in forbids new namespaces: run ringfence outside of it, or give the \
         container what they need (docker, podman: --security-opt seccomp=unconfined --security-opt \
         systempaths=unconfined)"
    } else if cause.raw_os_error() == Some(libc::EPERM) {
        "something above this process forbids new namespaces (a container's seccomp filter, a chroot): run ringfence \
         outside of it"
    } else {
        "free some memory or processes, then try again"
    };
    Refusal::wall("the namespaces", cause, fix)
}

/// What is told about a compartment, in words, for status.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// What stands around it.
    pub(super) walls: Vec<String>,
    /// What is not bounded, or not recorded.
    pub(super) unbounded: Vec<String>,
}

impl Said {
    /// About one whose workload has a user of its own on the host or not, which is bounded by `enclosure` and is ended
    /// before others when memory is short, or not.
    pub(super) fn of(own_user: bool, enclosure: &Enclosure, scored: bool) -> Self {
        let mut walls = walls();
        let mut open = Vec::new();
        match enclosure {
            Enclosure::Group { bounds, shares, .. } => walls.push(format!(
                "control group: {} of memory, {} processes{}",
                Memory(bounds.memory),
                bounds.processes,
                if *shares {
                    ", a fair share of the processors"
                } else {
                    ""
                }
            )),
            Enclosure::None { why, .. } => open.push(format!("memory is not bounded: {why}")),
        }
        if !scored {
            open.push("others may be ended before it when memory is short".to_owned());
        }
        let known = unbounded(own_user).into_iter();
        open.extend(known.map(|(_, words)| words.to_owned()));
        Self {
            walls,
            unbounded: open,
        }
    }
}

fn walls() -> Vec<String> {
    let mut walls: Vec<String> = [
        "namespaces: user, network, mount, pid, ipc, uts, cgroup",
        "firewall: everything to the doors, the rest dropped and logged",
        "built root, read-only but for its own directories",
        "no capability, no new privileges",
        "seccomp: refused calls answered and recorded",
        "limits: processes, files, locked memory, tmpfs, socket buffers",
    ]
    .map(str::to_owned)
    .to_vec();
    if let Some(version) = landlock::version() {
        walls.push(format!("landlock (version {version})"));
    }
    walls
}

/// What is not bounded or not recorded on this kernel: a name for each, and words.
pub(crate) fn unbounded(root: bool) -> Vec<(&'static str, &'static str)> {
    let mut unbounded = vec![
        (
            "file-records",
            "file accesses that are refused are not recorded",
        ),
        (
            "foreign-calls",
            "calls of foreign architectures kill the caller and are not recorded",
        ),
    ];
    if !landlock::scopes() {
        unbounded.push((
            "landlock-scopes",
            "landlock does not scope signals and abstract sockets (Linux 6.12 does)",
        ));
    }
    if !root {
        unbounded.push((
            "shared-user",
            "launcher, enforcer and workload share one user of the host",
        ));
    }
    unbounded
}
