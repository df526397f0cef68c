//! Which unit of the system's systemd a process is in, as the kernel's control groups tell.
//!
//! systemd gives every unit a control group: `/system.slice/agents.service`. Nobody but root can make one there, or move
//! a process into it. What lies *below* a unit may belong to its user, who calls it what he likes
//! (`/user.slice/user-1001.slice/user@1001.service/evil.service`): so the unit is the first part of the path that is no
//! slice, and every directory above it must be root's alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ringfence_model::UnitName;

/// The unit that process `pid` is in, or why none can be named. The caller makes sure that the process still lives
/// afterwards: until then, its id is its own.
pub(crate) fn of(pid: u32) -> Result<UnitName, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let groups = read(&format!("/proc/{pid}/cgroup"))?;
    let mounts = read("/proc/self/mountinfo")?;
    let (hierarchy, path) = place(&groups).ok_or("it is in no control group of systemd")?;
    let (parents, unit) = split(path)?;
    let mount = hierarchy
        .mounted(&mounts)
        .ok_or("the control groups are not mounted where the node runs")?;
    only_roots(mount, &parents)?;
    Ok(unit)
}

/// Where systemd keeps its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hierarchy {
    /// `name=systemd`, of version 1. Where it exists, it is the one that systemd tracks processes in.
    Named,
    /// Version 2.
    Unified,
}

/// The hierarchy of systemd in `/proc/PID/cgroup`, and the path in it.
fn place(groups: &str) -> Option<(Hierarchy, &str)> {
    let path_of = |wanted: &str| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, controllers) = (parts.next()?, parts.next()?);
            let found = match wanted {
                "" => number == "0" && controllers.is_empty(),
                _ => controllers
                    .split(',')
                    .any(|controller| controller == wanted),
            };
            if found { parts.next() } else { None }
        })
    };
    match path_of("name=systemd") {
        Some(path) => Some((Hierarchy::Named, path)),
        None => path_of("").map(|path| (Hierarchy::Unified, path)),
    }
}

/// The slices above a unit, and the unit.
fn split(path: &str) -> Result<(Vec<&str>, UnitName), String> {
    let none = || format!("its control group {path:?} is none of a unit of the system");
    let mut slices = Vec::new();
    let below = path.strip_prefix('/').ok_or_else(none)?;
    for part in below.split('/') {
        // A group outside of this control group namespace begins with `..`.
        if part.ends_with(".slice") && !part.starts_with('.') {
            slices.push(part);
            continue;
        }
        return Ok((slices, part.parse().map_err(|_| none())?));
    }
    Err(none())
}

impl Hierarchy {
    /// Where it is mounted, whole.
    fn mounted(self, mountinfo: &str) -> Option<&Path> {
        mountinfo.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut before = before.split(' ').skip(3);
            let (root, point) = (before.next()?, before.next()?);
            let mut after = after.split(' ');
            let (kind, _source, options) = (after.next()?, after.next()?, after.next()?);
            let fits = match self {
                Self::Named => {
                    kind == "cgroup" && options.split(',').any(|option| option == "name=systemd")
                }
                Self::Unified => kind == "cgroup2",
            };
            (fits && root == "/").then(|| Path::new(point))
        })
    }
}

/// Every directory from `mount` down to the last of `parents` must be writable by root alone.
fn only_roots(mount: &Path, parents: &[&str]) -> Result<(), String> {
    let mut directory = PathBuf::from(mount);
    for part in std::iter::once("").chain(parents.iter().copied()) {
        if !part.is_empty() {
            directory.push(part);
        }
        let shown = directory.display();
        let found =
            fs::symlink_metadata(&directory).map_err(|error| format!("{shown}: {error}"))?;
        if found.uid() != 0 || found.mode() & 0o022 != 0 {
            return Err(format!("others than root may make units in {shown}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_in_all_three_layouts_of_systemd() {
        let unified = "0::/system.slice/agents.service\n";
        let hybrid = "12:pids:/system.slice/agents.service\n1:name=systemd:/system.slice/agents.service\n\
                      0::/system.slice/agents.service\n";
        let legacy = "9:cpu,cpuacct:/\n1:name=systemd:/system.slice/agents.service\n0::/\n";
        for (text, hierarchy) in [
            (unified, Hierarchy::Unified),
            (hybrid, Hierarchy::Named),
            (legacy, Hierarchy::Named),
        ] {
            let (found, path) = place(text).unwrap();
            assert_eq!(found, hierarchy, "{text}");
            let (slices, unit) = split(path).unwrap();
            assert_eq!(
                (slices, unit.as_str()),
                (vec!["system.slice"], "agents.service")
            );
        }
        assert_eq!(place("3:cpu:/x\n"), None);
        // A controller's group never stands for systemd's.
        assert_eq!(place("4:memory:/system.slice/agents.service\n"), None);
        // Colons belong to the path.
        assert_eq!(
            place("0::/a:b.slice/c\n"),
            Some((Hierarchy::Unified, "/a:b.slice/c"))
        );
    }

    #[test]
    fn what_a_user_named_is_not_taken_for_a_unit_of_the_system() {
        let unit = |path: &str| split(path).map(|(_, unit)| unit.to_string());
        let user = "/user.slice/user-1001.slice/user@1001.service";
        for below in [
            "",
            "/app.slice/agents.service",
            "/agents.service",
            "/system.slice/agents.service",
        ] {
            assert_eq!(
                unit(&format!("{user}{below}")).unwrap(),
                "user@1001.service"
            );
        }
        // A unit may have groups of its own.
        assert_eq!(
            unit("/system.slice/agents.service/one").unwrap(),
            "agents.service"
        );
        assert_eq!(
            unit("/agents.slice/agents-eu.slice/a@1.service").unwrap(),
            "a@1.service"
        );
        for none in [
            "/",
            "",
            "/system.slice",
            "/docker/0123/system.slice/agents.service",
            "/../system.slice/agents.service",
            "/system.slice/../agents.service",
            "/system.slice//agents.service",
            "/system.slice/agents.service (deleted)",
            "/init.scope.d/agents.service",
            "system.slice/agents.service",
        ] {
            unit(none).unwrap_err();
        }
    }

    #[test]
    fn hierarchies_are_found_where_they_are_mounted_whole() {
        let text = "\
30 23 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755\n\
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate\n\
32 30 0:28 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd\n\
33 30 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:15 - cgroup cgroup rw,memory\n";
        let at = |hierarchy: Hierarchy, text| hierarchy.mounted(text).map(Path::to_owned);
        assert_eq!(
            at(Hierarchy::Unified, text),
            Some("/sys/fs/cgroup/unified".into())
        );
        assert_eq!(
            at(Hierarchy::Named, text),
            Some("/sys/fs/cgroup/systemd".into())
        );
        let part = "31 30 0:27 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(at(Hierarchy::Unified, part), None);
    }

    #[test]
    fn a_directory_that_others_may_write_makes_no_units() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let slice = dir.path().join("agents.slice");
        fs::create_dir(&slice).unwrap();
        let closed = fs::metadata(dir.path()).unwrap().uid() == 0;
        let checked = || only_roots(dir.path(), &["agents.slice"]);
        assert_eq!(checked().is_ok(), closed);
        fs::set_permissions(&slice, PermissionsExt::from_mode(0o775)).unwrap();
        checked().unwrap_err();
        fs::set_permissions(&slice, PermissionsExt::from_mode(0o755)).unwrap();
        if closed {
            std::os::unix::fs::chown(&slice, Some(54321), None).unwrap();
            checked().unwrap_err();
        }
    }
}
