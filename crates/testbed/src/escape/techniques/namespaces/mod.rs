//! Namespaces of its own, and the doors into others.

mod clone3;
mod clone_flags;
mod host_name;
mod namespace_of_a_socket;
mod namespaces_of_a_process;
mod setns;
mod unshare;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &clone_flags::TECHNIQUE,
    &clone3::TECHNIQUE,
    &host_name::TECHNIQUE,
    &namespace_of_a_socket::TECHNIQUE,
    &namespaces_of_a_process::TECHNIQUE,
    &setns::TECHNIQUE,
    &unshare::TECHNIQUE,
];

/// Each kind of namespace, and all at once.
const FLAGS: [(&str, usize); 9] = [
    ("user", 0x1000_0000),
    ("mnt", 0x0002_0000),
    ("cgroup", 0x0200_0000),
    ("uts", 0x0400_0000),
    ("ipc", 0x0800_0000),
    ("pid", 0x2000_0000),
    ("net", 0x4000_0000),
    ("time", 0x0000_0080),
    ("every", 0x7e02_0000),
];
