//! Where the group of a compartment may be made.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ringfence_compartment::link::{Bounds, Enclosure};
use rustix::fs::{Access, AtFlags, CWD};

/// What must be there, or a group bounds nothing.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];
/// Shares the processors fairly between groups, where it can be had.
const SHARES: &str = "cpu";

/// A directory that a group can be made in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) directory: PathBuf,
    /// Least bounds of the groups between it and the launcher, which do not hold for what is made beside them.
    pub(super) memory: Option<u64>,
    pub(super) processes: Option<u64>,
    /// Whether groups in it share the processors.
    pub(super) shares: bool,
}

/// What becomes of controllers that are given to a directory and not passed on by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controllers {
    /// They are passed on from now on.
    SwitchOn,
    /// They would be: nothing is changed.
    Foresee,
}

/// Why there is none, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lacking {
    pub(crate) why: String,
    pub(crate) fix: String,
}

impl Lacking {
    pub(super) fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            fix: fix.into(),
        }
    }
}

const BOOT: &str =
    "boot with systemd.unified_cgroup_hierarchy=1 (and without cgroup_disable=memory)";

impl From<Lacking> for Enclosure {
    fn from(lacking: Lacking) -> Self {
        Self::None {
            why: lacking.why,
            fix: lacking.fix,
        }
    }
}

impl Place {
    /// For a compartment whose launcher is process `pid`.
    pub(crate) fn of_launcher(pid: u32, controllers: Controllers) -> Result<Self, Lacking> {
        let read = |path: &str| {
            fs::read_to_string(path)
                .map_err(|cause| Lacking::new(format!("{path}: {cause}"), "mount /proc"))
        };
        let groups = read(&format!("/proc/{pid}/cgroup"))?;
        let mounts = read("/proc/self/mountinfo")?;
        let own = rustix::process::geteuid().as_raw();
        find(&groups, mounted(&mounts), own, controllers)
    }

    /// The lesser of `bounds` and those that are stepped over.
    pub(super) fn least(&self, bounds: Bounds) -> Bounds {
        let processes = self.processes.unwrap_or(u64::MAX);
        Bounds {
            memory: bounds.memory.min(self.memory.unwrap_or(u64::MAX)),
            processes: bounds
                .processes
                .min(u32::try_from(processes).unwrap_or(u32::MAX)),
        }
    }
}

/// Where version 2 is mounted, from its own root on.
pub(super) fn mounted(mountinfo: &str) -> Option<&Path> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (after.starts_with("cgroup2 ") && root == "/").then(|| Path::new(point))
    })
}

fn find(
    groups: &str,
    mount: Option<&Path>,
    own: u32,
    controllers: Controllers,
) -> Result<Place, Lacking> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let (Some(path), Some(mount)) = (path, mount) else {
        return Err(Lacking::new(
            "this machine has no control groups of version 2",
            BOOT,
        ));
    };
    if !has(mount, "cgroup.controllers", "memory") {
        return Err(Lacking::new(
            "the memory controller is not one of version 2 here",
            BOOT,
        ));
    }
    // systemd writes no such names, and a group that was removed has this behind its path.
    let Some(inner) = path
        .strip_prefix('/')
        .filter(|inner| !inner.starts_with(".."))
    else {
        return Err(Lacking::new(
            "the launcher's control group is not one that the node can see",
            "start node and launcher in the same container",
        ));
    };
    let outermost = !mount.join("cgroup.type").exists();
    if inner.is_empty() && !outermost {
        return Err(Lacking::new(
            "the container that this is has one control group for all its processes",
            "run ringfence on the host, or start the container's programs in a control group below its own",
        ));
    }
    let (mut memory, mut processes) = (None, None);
    let mut below = mount.join(inner);
    let mut first = None;
    loop {
        if below != mount {
            memory = least(memory, bound(&below.join("memory.max")));
            processes = least(processes, bound(&below.join("pids.max")));
            below.pop();
        }
        match suits(&below, mount, own, controllers) {
            Ok(shares) => {
                return Ok(Place {
                    directory: below,
                    memory,
                    processes,
                    shares,
                });
            }
            Err(lacking) => first = first.or(Some(lacking)),
        }
        if below == mount {
            // The nearest one says most about what to do.
            return Err(first.unwrap_or_else(|| Lacking::new("there is no control group", BOOT)));
        }
    }
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A bound that is set; `max` is none.
fn bound(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn has(directory: &Path, file: &str, controller: &str) -> bool {
    fs::read_to_string(directory.join(file))
        .is_ok_and(|text| text.split_whitespace().any(|name| name == controller))
}

/// Whether groups made in `directory` are this user's and nobody else's, and bound what they should. Gives whether they
/// share the processors.
fn suits(
    directory: &Path,
    mount: &Path,
    own: u32,
    controllers: Controllers,
) -> Result<bool, Lacking> {
    let shown = directory.strip_prefix(mount).unwrap_or(directory).display();
    let not_ours = |cause: &dyn std::fmt::Display| {
        let fix = if own == 0 {
            "let root own the control groups above the launcher"
        } else {
            "start node and workloads below your own service manager (`systemd-run --user --scope ringfence run …`), or \
             use a node of root"
        };
        Lacking::new(
            format!("no control group can be made in /{shown}: {cause}"),
            fix,
        )
    };
    held_by(directory, mount, own).map_err(|cause| not_ours(&cause))?;
    for file in ["", "cgroup.procs", "cgroup.subtree_control"] {
        let path = if file.is_empty() {
            directory.to_owned()
        } else {
            directory.join(file)
        };
        rustix::fs::accessat(CWD, &path, Access::WRITE_OK, AtFlags::EACCESS)
            .map_err(|cause| not_ours(&io::Error::from(cause)))?;
    }
    for controller in CONTROLLERS {
        switch_on(directory, controller, controllers).map_err(|cause| {
            Lacking::new(
                format!("the {controller} controller cannot be had in /{shown}: {cause}"),
                "give it the memory and pids controllers (systemd: Delegate=yes on the unit above), and leave no process in it",
            )
        })?;
    }
    // A fair share is more than can be asked of every machine; whether it is had is said.
    Ok(switch_on(directory, SHARES, controllers).is_ok())
}

/// Nobody but this user, and root, may change what is in `directory`. Under a node of root that goes for everything
/// above it as well.
fn held_by(directory: &Path, mount: &Path, own: u32) -> io::Result<()> {
    for above in directory.ancestors() {
        let found = fs::symlink_metadata(above)?;
        if found.uid() != own || found.mode() & 0o022 != 0 {
            return Err(io::Error::other(format!(
                "it belongs to user {}",
                found.uid()
            )));
        }
        if own != 0 || above == mount {
            break;
        }
    }
    Ok(())
}

fn switch_on(directory: &Path, controller: &str, controllers: Controllers) -> io::Result<()> {
    const SWITCHES: &str = "cgroup.subtree_control";
    if has(directory, SWITCHES, controller) {
        return Ok(());
    }
    if !has(directory, "cgroup.controllers", controller) {
        return Err(io::Error::other("it is not given to it"));
    }
    match controllers {
        Controllers::SwitchOn => fs::write(directory.join(SWITCHES), format!("+{controller}")),
        Controllers::Foresee => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kernel would show, in ordinary files.
    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            use std::os::unix::fs::PermissionsExt;
            let tree = Self(tempfile::tempdir().unwrap());
            fs::set_permissions(tree.mount(), PermissionsExt::from_mode(0o755)).unwrap();
            tree.controls("", "cpu memory pids", "memory pids");
            tree
        }

        fn mount(&self) -> &Path {
            self.0.path()
        }

        fn controls(&self, group: &str, given: &str, on: &str) {
            let directory = self.mount().join(group);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("cgroup.controllers"), given).unwrap();
            fs::write(directory.join("cgroup.subtree_control"), on).unwrap();
            fs::write(directory.join("cgroup.procs"), "").unwrap();
        }

        fn bound(&self, group: &str, file: &str, text: &str) {
            fs::write(self.mount().join(group).join(file), text).unwrap();
        }

        fn find(&self, path: &str) -> Result<Place, Lacking> {
            let own = rustix::process::geteuid().as_raw();
            find(
                &format!("1:name=systemd:/x\n0::{path}\n"),
                Some(self.mount()),
                own,
                Controllers::SwitchOn,
            )
        }
    }

    #[test]
    fn a_group_lies_beside_its_launchers_and_takes_its_bounds_along() {
        let tree = Tree::new();
        tree.controls("system.slice", "cpu memory pids", "cpu memory pids");
        tree.controls("system.slice/a.service", "", "");
        tree.bound("system.slice/a.service", "memory.max", "1000000\n");
        tree.bound("system.slice/a.service", "pids.max", "max\n");
        let place = tree.find("/system.slice/a.service").unwrap();
        assert_eq!(place.directory, tree.mount().join("system.slice"));
        assert_eq!(
            (place.memory, place.processes, place.shares),
            (Some(1_000_000), None, true)
        );
        // Beside the group of a group: those in between are stepped over, and bound all the same.
        tree.controls("system.slice/a.service/inner", "", "");
        tree.bound("system.slice/a.service/inner", "memory.max", "2000000\n");
        tree.bound("system.slice/a.service/inner", "pids.max", "7\n");
        let place = tree.find("/system.slice/a.service/inner/leaf").unwrap();
        assert_eq!(place.directory, tree.mount().join("system.slice"));
        assert_eq!((place.memory, place.processes), (Some(1_000_000), Some(7)));
    }

    #[test]
    fn controllers_are_switched_on_where_they_are_given() {
        let tree = Tree::new();
        tree.controls("own", "cpu memory pids", "");
        let place = tree.find("/own/leaf").unwrap();
        assert_eq!(place.directory, tree.mount().join("own"));
        // A kernel adds; a file keeps the last that was written.
        let on = fs::read_to_string(tree.mount().join("own/cgroup.subtree_control")).unwrap();
        assert_eq!(on, "+cpu");
    }

    #[test]
    fn what_others_may_change_is_no_place() {
        use std::os::unix::fs::PermissionsExt;
        let tree = Tree::new();
        tree.controls("slice", "memory pids", "memory pids");
        tree.controls("slice/user", "memory pids", "memory pids");
        let user = tree.mount().join("slice/user");
        fs::set_permissions(&user, PermissionsExt::from_mode(0o775)).unwrap();
        let place = tree.find("/slice/user/leaf").unwrap();
        assert_eq!(place.directory, tree.mount().join("slice"));
        if rustix::process::geteuid().is_root() {
            fs::set_permissions(&user, PermissionsExt::from_mode(0o755)).unwrap();
            std::os::unix::fs::chown(&user, Some(54321), None).unwrap();
            let place = tree.find("/slice/user/leaf").unwrap();
            assert_eq!(place.directory, tree.mount().join("slice"));
            // Nor is what lies below such a one, whoever owns it.
            tree.controls("slice/user/roots", "memory pids", "memory pids");
            let place = tree.find("/slice/user/roots/leaf").unwrap();
            assert_eq!(place.directory, tree.mount().join("slice"));
        }
    }

    #[test]
    fn where_nothing_can_be_bounded_the_reason_is_told() {
        let tree = Tree::new();
        assert!(
            find("0::/x\n", None, 0, Controllers::Foresee)
                .unwrap_err()
                .why
                .contains("no control groups")
        );
        assert!(find("4:memory:/x\n", Some(tree.mount()), 0, Controllers::Foresee).is_err());
        assert!(tree.find("/../other").unwrap_err().why.contains("can see"));
        // The root of a container's view is an inner group of the machine's.
        assert_eq!(tree.find("/").unwrap().directory, tree.mount());
        fs::write(tree.mount().join("cgroup.type"), "domain").unwrap();
        assert!(tree.find("/").unwrap_err().why.contains("container"));
        let bare = Tree::new();
        bare.controls("", "cpu", "");
        assert!(
            bare.find("/x")
                .unwrap_err()
                .fix
                .contains("unified_cgroup_hierarchy")
        );
    }
}
