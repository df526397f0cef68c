//! Whether a launcher of another user is our program, and not something that speaks like it.
//!
//! A user's process is the user's: a preloaded library, a debugger, or another program altogether can say at `run.sock`
//! whatever it likes. Only the kernel can vouch for a program against the user who runs it, and does so for one that is
//! set-group-id: it gives it a group that the user does not have, with the preloading off and closed to debuggers from
//! the first instruction; when one is attached already, it gives no group. So where the operator made our binary
//! set-group-id, to a group without members, that group on the other end of a connection is the proof.

use std::fs;
use std::os::unix::fs::MetadataExt;

use ringfence_compartment::sockets::Peer;

/// The bit, and the right to execute without which it means something else.
pub(crate) const SET_GROUP_ID: u32 = 0o2010;

/// The group that our own binary is set-group-id to, if the operator made it so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LauncherGroup(Option<u32>);

impl LauncherGroup {
    /// As the file of this process says. One that others may change vouches for nobody.
    pub(crate) fn of_this_binary() -> Self {
        let found = fs::metadata("/proc/self/exe").ok();
        Self(found.and_then(|file| Self::of(file.uid(), file.gid(), file.mode())))
    }

    /// The group that a file with this owner, group and mode vouches with.
    pub(crate) fn of(uid: u32, gid: u32, mode: u32) -> Option<u32> {
        let set = mode & SET_GROUP_ID == SET_GROUP_ID;
        (set && uid == 0 && gid != 0 && mode & 0o022 == 0).then_some(gid)
    }

    /// Whether launchers of other users can be told from impostors at all.
    pub(crate) fn exists(self) -> bool {
        self.0.is_some()
    }

    /// Whether the peer, process `pid`, got the group by executing our binary. The caller makes sure that the process
    /// still lives afterwards.
    pub(crate) fn vouches_for(self, peer: Peer, pid: u32) -> bool {
        self.0.is_some_and(|group| {
            peer.gid == group
                && fs::read_to_string(format!("/proc/{pid}/status"))
                    .is_ok_and(|status| is_lent(&status, group))
        })
    }
}

/// Whether the process with this `/proc/PID/status` has `group` from nowhere but a file, and nobody steers it.
fn is_lent(status: &str, group: u32) -> bool {
    let ids = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let ids = line.split_whitespace().map(str::parse::<u32>);
        ids.collect::<Result<Vec<_>, _>>().ok()
    };
    let own = ids("Gid:").and_then(|ids| ids.first().copied());
    let others = ids("Groups:");
    own.is_some_and(|own| own != group)
        && others.is_some_and(|others| !others.contains(&group))
        && ids("TracerPid:").as_deref() == Some(&[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_root_made_so_vouches() {
        assert_eq!(LauncherGroup::of(0, 990, 0o102_755), Some(990));
        for (uid, gid, mode) in [
            (0, 990, 0o100_755),
            // Mandatory locking, once: the bit without the group's right to execute.
            (0, 990, 0o102_745),
            (0, 0, 0o102_755),
            (1001, 990, 0o102_755),
            (0, 990, 0o102_775),
            (0, 990, 0o102_757),
        ] {
            assert_eq!(
                LauncherGroup::of(uid, gid, mode),
                None,
                "{uid} {gid} {mode:o}"
            );
        }
    }

    #[test]
    fn a_member_of_the_group_or_one_who_is_traced_is_not_vouched_for() {
        let status = |gids: &str, groups: &str, tracer: &str| {
            format!(
                "Name:\tx\nTracerPid:\t{tracer}\nUid:\t1\t1\t1\t1\nGid:\t{gids}\nGroups:\t{groups}\n"
            )
        };
        assert!(is_lent(&status("1001\t990\t990\t990", "27 1001", "0"), 990));
        assert!(is_lent(&status("1001\t1001\t1001\t1001", "", "0"), 990));
        assert!(!is_lent(&status("990\t990\t990\t990", "1001", "0"), 990));
        assert!(!is_lent(&status("1001\t990\t990\t990", "27 990", "0"), 990));
        assert!(!is_lent(&status("1001\t990\t990\t990", "27", "77"), 990));
        assert!(!is_lent("Gid:\t1\t2\t2\t2\n", 2));
        assert!(!is_lent("", 2));
    }

    #[test]
    fn nobody_is_vouched_for_without_a_group() {
        let peer = Peer {
            pid: 1,
            uid: 1001,
            gid: 990,
        };
        assert!(!LauncherGroup::default().vouches_for(peer, std::process::id()));
    }
}
