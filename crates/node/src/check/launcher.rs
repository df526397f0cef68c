//! Whether launchers of other users can be told from impostors: the group that `crate::vouch` goes by.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ringfence_compartment::probe::Finding;
use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::vouch::{LauncherGroup, SET_GROUP_ID};

const ID: &str = "launcher-group";
/// The file that this process runs, whatever lies at its path by now.
const OWN: &str = "/proc/self/exe";

/// What matters of the binary's file.
#[derive(Clone, Copy, Debug)]
struct Binary {
    uid: u32,
    gid: u32,
    mode: u32,
    nosuid: bool,
}

/// `None` for an ordinary user: a node of theirs runs nobody else's workloads.
pub(super) fn look() -> Option<Finding> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let found = fs::metadata(OWN).and_then(|file| {
        let flags = statvfs(OWN)?.f_flag;
        Ok(Binary {
            uid: file.uid(),
            gid: file.gid(),
            mode: file.mode(),
            nosuid: flags.contains(StatVfsMountFlags::NOSUID),
        })
    });
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("ringfence"));
    Some(match found {
        // Users who are not in these files are not looked for: asking for them may need the network.
        Ok(binary) => {
            let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
            judge(binary, &path, &read("/etc/group"), &read("/etc/passwd"))
        }
        Err(error) => Finding::warn(
            ID,
            format!("the file of this binary cannot be examined: {error}"),
            "mount /proc",
        ),
    })
}

fn judge(binary: Binary, path: &Path, groups: &str, users: &str) -> Finding {
    let shown = path.display();
    let Binary { uid, gid, mode, .. } = binary;
    let make = format!(
        "`groupadd --system ringfence-launcher`, `chgrp ringfence-launcher {shown}`, `chmod 2755 {shown}`, and restart the node"
    );
    if mode & SET_GROUP_ID != SET_GROUP_ID {
        return Finding::info(
            ID,
            format!(
                "{shown} is not set-group-id, so `attest` with `exe` or `sha256` is refused to launchers of users other than \
                 root; if that is needed: {make}"
            ),
        );
    }
    let warn = |why: String, hint: String| {
        let text = format!("{shown} is set-group-id, and does not prove launchers: {why}");
        Finding::warn(ID, text, hint)
    };
    if LauncherGroup::of(uid, gid, mode).is_none() {
        return warn(
            format!(
                "it belongs to uid {uid} and gid {gid}, mode {:o}",
                mode & 0o7777
            ),
            format!("`chown root {shown}`, {make}"),
        );
    }
    if binary.nosuid {
        return warn(
            "its file system is mounted `nosuid`".to_owned(),
            "install it elsewhere, such as /usr/local/bin, and restart the node from there"
                .to_owned(),
        );
    }
    let members = members(gid, groups, users);
    if !members.is_empty() {
        return warn(
            format!(
                "group {gid} has members, who can lend it to programs of their own: {}",
                members.join(", ")
            ),
            format!("take a group without members: {make}"),
        );
    }
    Finding::ok(
        ID,
        format!(
            "{shown} proves launchers of other users: set-group-id to group {gid}, which has no members"
        ),
    )
}

/// Who has group `gid`, as `/etc/group` and `/etc/passwd` say.
fn members(gid: u32, groups: &str, users: &str) -> Vec<String> {
    let gid = gid.to_string();
    let fields = |line: &str| -> Vec<String> { line.split(':').map(str::to_owned).collect() };
    let named = groups
        .lines()
        .map(fields)
        .filter(|group| group.get(2) == Some(&gid))
        .filter_map(|group| group.get(3).cloned())
        .flat_map(|list| fields(&list.replace(',', ":")));
    let primary = users
        .lines()
        .map(fields)
        .filter(|user| user.get(3) == Some(&gid))
        .filter_map(|user| user.first().cloned());
    let mut all: Vec<String> = named.chain(primary).collect();
    all.retain(|name| !name.trim().is_empty());
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use ringfence_compartment::probe::Outcome;

    use super::*;

    const GOOD: Binary = Binary {
        uid: 0,
        gid: 990,
        mode: 0o102_755,
        nosuid: false,
    };
    const GROUPS: &str = "root:x:0:\nringfence-launcher:x:990:\nusers:x:100:eve,bob\n";
    const USERS: &str = "root:x:0:0:::/bin/sh\neve:x:1001:1001:::/bin/sh\n";

    fn judged(binary: Binary, groups: &str, users: &str) -> (Outcome, String) {
        let found = judge(binary, Path::new("/usr/local/bin/ringfence"), groups, users);
        let said = format!("{} {}", found.text, found.hint.unwrap_or_default());
        (found.outcome, said)
    }

    #[test]
    fn only_a_file_of_root_with_a_group_of_nobody_is_well() {
        assert_eq!(judged(GOOD, GROUPS, USERS).0, Outcome::Ok);
        let plain = Binary {
            mode: 0o100_755,
            ..GOOD
        };
        let (outcome, said) = judged(plain, GROUPS, USERS);
        assert_eq!(outcome, Outcome::Info);
        assert!(
            said.contains("chmod 2755 /usr/local/bin/ringfence"),
            "{said}"
        );
        for (binary, why) in [
            (Binary { uid: 1001, ..GOOD }, "belongs to uid 1001"),
            (Binary { gid: 0, ..GOOD }, "gid 0"),
            (
                Binary {
                    mode: 0o102_775,
                    ..GOOD
                },
                "mode 2775",
            ),
            (
                Binary {
                    nosuid: true,
                    ..GOOD
                },
                "nosuid",
            ),
            (Binary { gid: 100, ..GOOD }, "bob, eve"),
        ] {
            let (outcome, said) = judged(binary, GROUPS, USERS);
            assert!(
                outcome == Outcome::Warn && said.contains(why),
                "{why}: {said}"
            );
        }
        let own_group = "eve:x:1001:990:::/bin/sh\n";
        let (outcome, said) = judged(GOOD, GROUPS, own_group);
        assert!(outcome == Outcome::Warn && said.contains(": eve"), "{said}");
    }
}
