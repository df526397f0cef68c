//! Users, installed packages, homes and logs of the host say whose machine it is.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-identity",
    tries: "homes, packages, logs and users of the host",
    wall: "built root",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let paths = [
        "/etc/machine-id",
        "/etc/shadow",
        "/etc/fstab",
        "/etc/ssh",
        "/var/lib/dpkg/status",
        "/var/log",
        "/var/lib",
        "/home",
        "/root",
        "/boot",
        "/srv",
        "/mnt",
    ];
    Verdict::any(paths.map(|path| (path.to_owned(), sys::shows(path))))
}
