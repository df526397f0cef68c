//! Is this process inside a container, and what does that take away?
//!
//! Only told to people: nothing is decided by it. What works is found by trying (`probe`).

use std::path::Path;

/// Files that container engines leave for those who ask, with the engine's name.
const MARKS: &[(&str, &str)] = &[
    ("/.dockerenv", "docker"),
    ("/run/.containerenv", "podman"),
    ("/run/systemd/container", "systemd-nspawn or another engine"),
    ("/var/run/secrets/kubernetes.io", "kubernetes"),
];
/// Words in a control group's path that only engines write.
const GROUPS: &[(&str, &str)] = &[
    ("kubepods", "kubernetes"),
    ("docker", "docker"),
    ("libpod", "podman"),
    ("containerd", "containerd"),
    ("/lxc", "lxc"),
];
/// An empty directory of the kernel's own, made to be mounted on: it hides nothing.
const MADE_TO_BE_COVERED: &str = "/proc/sys/fs/binfmt_misc";

/// The engine whose container this seems to be.
pub fn engine() -> Option<&'static str> {
    let marked = MARKS
        .iter()
        .find(|(path, _)| Path::new(path).exists())
        .map(|(_, name)| *name);
    marked.or_else(|| {
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        GROUPS
            .iter()
            .find(|(word, _)| groups.contains(word))
            .map(|(_, name)| *name)
    })
}

/// What is mounted over parts of `/proc` here. Where anything is, the kernel gives no user namespace a `/proc` of its
/// own: it would show what was hidden.
pub fn covers_of_proc() -> Vec<String> {
    covers(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn covers(mountinfo: &str) -> Vec<String> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .filter(|point| point.starts_with("/proc/") && *point != MADE_TO_BE_COVERED)
        .map(str::to_owned)
        .collect()
}

/// Whether somebody else's seccomp filter is around this process already.
pub fn is_filtered() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .filter_map(|line| line.strip_prefix("Seccomp:"))
        .any(|mode| mode.trim() == "2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_hides_parts_of_proc() {
        let host = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
                    30 22 0:30 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n";
        assert!(covers(host).is_empty());
        let container = "22 27 0:21 / /proc rw - proc proc rw\n\
                         31 22 0:5 /null /proc/kcore rw - tmpfs tmpfs rw\n\
                         32 22 0:21 /sys /proc/sys ro - proc proc rw\n";
        assert_eq!(covers(container), ["/proc/kcore", "/proc/sys"]);
    }
}
