//! The program, as the host has it: shown to the node, which may hold the claim to it, before anything is built.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags};

use super::LaunchRequest;
use crate::root::WORK;

/// The file that `request` is going to start, opened for nothing but being shown. `None` when the host has none.
///
/// It is looked for as it will be inside, where trees of the host are at the same place and the work directory at
/// `/work`. Should something else be found inside, it is not started; see `inside::program`.
pub(super) fn program(request: &LaunchRequest, path: &OsStr) -> Option<OwnedFd> {
    let command: &OsString = request.command.first()?;
    let workdir = request.workdir.as_deref();
    if command.as_bytes().contains(&b'/') {
        return executable(&on_host(Path::new(command), workdir)?);
    }
    std::env::split_paths(path)
        .filter_map(|directory| on_host(&directory.join(command), workdir))
        .find_map(|candidate| executable(&candidate))
}

/// Where on the host a path inside is.
fn on_host(inside: &Path, workdir: Option<&Path>) -> Option<PathBuf> {
    // Programs start in the work directory.
    match Path::new(WORK).join(inside).strip_prefix(WORK) {
        Ok(below) => Some(workdir?.join(below)),
        Err(_) => Some(inside.to_owned()),
    }
}

fn executable(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode);
    if kind != FileType::RegularFile {
        return None;
    }
    rustix::fs::accessat(rustix::fs::CWD, path, Access::EXEC_OK, AtFlags::EACCESS).ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn found(command: &str, workdir: Option<&Path>) -> Option<u64> {
        let request = LaunchRequest {
            state: "/".into(),
            name: "a".to_owned(),
            command: vec![command.into()],
            workdir: workdir.map(Path::to_owned),
            user: None,
            env: Vec::new(),
        };
        let file = program(&request, OsStr::new("/nowhere:/usr/bin:/bin"))?;
        Some(rustix::fs::fstat(&file).unwrap().st_ino)
    }

    #[test]
    fn is_found_where_the_compartment_will_find_it() {
        let inode = |path: &str| std::fs::metadata(path).unwrap().ino();
        assert_eq!(found("sh", None), Some(inode("/usr/bin/sh")));
        assert_eq!(found("/bin/sh", None), Some(inode("/bin/sh")));
        assert_eq!(found("/etc/passwd", None), None);
        assert_eq!(found("/usr", None), None);
        assert_eq!(found("no-such-program", None), None);

        let work = tempfile::tempdir().unwrap();
        let agent = work.path().join("agent");
        std::fs::write(&agent, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&agent, PermissionsExt::from_mode(0o755)).unwrap();
        let there = Some(inode(agent.to_str().unwrap()));
        for command in ["./agent", "/work/agent"] {
            assert_eq!(found(command, Some(work.path())), there, "{command}");
            assert_eq!(found(command, None), None, "{command}");
        }
    }
}
