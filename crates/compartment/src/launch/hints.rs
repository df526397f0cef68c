//! Why this host will not let a compartment be built, and what to do about it.

use std::io;

use crate::error::Refusal;
use crate::landlock;

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

/// Why the clone into new namespaces failed.
pub(super) fn clone_refused(cause: &io::Error) -> Refusal {
    let read = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/{name}")).map(|text| text.trim().to_owned())
    };
    let is = |name: &str, value: &str| read(name).is_ok_and(|found| found == value);
    let fix = if is("kernel/unprivileged_userns_clone", "0") {
        "this host forbids user namespaces to users: set the sysctl kernel.unprivileged_userns_clone=1, or run the node \
         and `ringfence run` as root"
    } else if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        "AppArmor restricts user namespaces on this host: set the sysctl \
         kernel.apparmor_restrict_unprivileged_userns=0, give ringfence a profile with `userns,`, or run as root"
    } else if cause.raw_os_error() == Some(libc::ENOSPC) || is("user/max_user_namespaces", "0") {
        "this host's bound on namespaces is reached: raise the sysctls user.max_user_namespaces and \
         user.max_net_namespaces"
    } else if cause.raw_os_error() == Some(libc::EINVAL) {
        "the kernel lacks a namespace: CONFIG_USER_NS, NET_NS, PID_NS, IPC_NS, UTS_NS and CGROUPS are needed"
    } else if cause.raw_os_error() == Some(libc::EPERM) {
        "something above this process forbids new namespaces (a container's seccomp filter, a chroot): run ringfence \
         outside of it"
    } else {
        "free some memory or processes, then try again"
    };
    Refusal::wall("the namespaces", cause, fix)
}

/// What stands around every workload, in words, for status.
pub(super) fn walls() -> Vec<String> {
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

/// What is not bounded or not recorded here, in words, for status.
pub(super) fn unbounded(root: bool) -> Vec<String> {
    let mut unbounded = vec![
        "memory is not bounded: no cgroup of its own".to_owned(),
        "file accesses that are refused are not recorded".to_owned(),
        "calls of foreign architectures kill the caller and are not recorded".to_owned(),
    ];
    if !landlock::scopes() {
        unbounded.push(
            "landlock does not scope signals and abstract sockets (Linux 6.12 does)".to_owned(),
        );
    }
    if !root {
        unbounded.push("launcher, enforcer and workload share one user of the host".to_owned());
    }
    unbounded
}
