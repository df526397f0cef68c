//! The state directory, and the disk it lies on.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use ringfence_compartment::probe::Finding;
use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;

use crate::state::inspect;

/// Bytes below which the flow log will soon take nothing: a busy node writes this in an hour.
const DISK_LOW: u64 = 1024 * 1024 * 1024;
/// Bytes below which it takes nothing any more, or within seconds.
const DISK_FULL: u64 = 16 * 1024 * 1024;
/// Files below which a node may soon be unable to replace its own.
const FILES_LOW: u64 = 1000;
/// Files below which it is.
const FILES_FULL: u64 = 16;
/// Bytes written for trial.
const TRIAL: [u8; 4096] = [0; 4096];

/// `owner`: user of the node that serves it, while one does.
pub(super) fn look(dir: &Path, owner: Option<u32>) -> Vec<Finding> {
    let mut found = vec![directory(dir, owner)];
    if let Some(there) = dir.ancestors().find(|path| path.exists()) {
        found.extend(disk(there));
    }
    found
}

fn directory(dir: &Path, owner: Option<u32>) -> Finding {
    const ID: &str = "state-directory";
    let shown = dir.display();
    let another = "name another place with `--state DIR`";
    match fs::symlink_metadata(dir) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return missing(dir),
        Err(error) => {
            return Finding::fail(
                ID,
                format!("the state directory {shown} cannot be looked at: {error}"),
                format!("check as root or as the owner of the node, or {another}"),
            );
        }
    }
    let me = rustix::process::geteuid().as_raw();
    if let Err(error) = inspect(dir, owner.unwrap_or(me)) {
        return Finding::fail(ID, error.to_string(), error.fix());
    }
    let written = if me == 0 || owner.is_none_or(|owner| owner == me) {
        trial(dir)
    } else {
        return Finding::info(
            ID,
            format!(
                "the state directory {shown} is private; whether it can be written only its owner and root can try"
            ),
        );
    };
    match written {
        Ok(()) => Finding::ok(
            ID,
            format!("the state directory {shown} is private and can be written"),
        ),
        Err(Errno::ROFS) => Finding::fail(
            ID,
            format!("the state directory {shown} is on a read-only file system"),
            format!("mount it for writing (`mount -o remount,rw DIR`), or {another}"),
        ),
        Err(cause) => Finding::fail(
            ID,
            format!("the state directory {shown} cannot be written: {cause}"),
            format!("make room and look at who may write there, or {another}"),
        ),
    }
}

/// A file without a name, written and gone.
fn trial(dir: &Path) -> Result<(), Errno> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file)
            .write_all(&TRIAL)
            .map_err(|cause| Errno::from_io_error(&cause).unwrap_or(Errno::IO)),
        // The file system has no files without names: the permission has to do.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => rustix::fs::access(dir, Access::WRITE_OK),
        Err(cause) => Err(cause),
    }
}

fn missing(dir: &Path) -> Finding {
    const ID: &str = "state-directory";
    let shown = dir.display();
    let Some(parent) = dir.ancestors().skip(1).find(|path| path.is_dir()) else {
        return Finding::fail(
            ID,
            format!("nothing of {shown} exists"),
            "name an absolute path with `--state DIR`",
        );
    };
    match rustix::fs::access(parent, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::ok(
            ID,
            format!("the state directory {shown} does not exist yet, and can be made"),
        ),
        Err(cause) => Finding::fail(
            ID,
            format!(
                "the state directory {shown} does not exist, and cannot be made in {}: {cause}",
                parent.display()
            ),
            "make it (`install -d -m 700 -o USER DIR`), or name another place with `--state DIR`",
        ),
    }
}

fn disk(path: &Path) -> Vec<Finding> {
    let shown = path.display();
    let make_room = format!(
        "make room on the file system of {shown} (`df -h {shown}`), or move the state with `--state DIR`"
    );
    let found = match rustix::fs::statvfs(path) {
        Ok(found) => found,
        Err(cause) => {
            let text = format!("how much room there is at {shown} cannot be asked: {cause}");
            return vec![Finding::warn("disk", text, make_room)];
        }
    };
    // What is left to users: the enforcer is nobody special.
    let bytes = found.f_bavail.saturating_mul(found.f_frsize);
    let text = format!("{} are free at {shown}", size(bytes));
    let mut findings = vec![level("disk", bytes, DISK_LOW, DISK_FULL, text, &make_room)];
    // Some file systems do not count.
    if found.f_files > 0 {
        let files = found.f_favail;
        let text = format!("{files} more files fit at {shown}");
        let hint =
            format!("remove files there (`df -i {shown}`), or move the state with `--state DIR`");
        findings.push(level(
            "disk-files",
            files,
            FILES_LOW,
            FILES_FULL,
            text,
            &hint,
        ));
    }
    findings
}

fn level(id: &str, left: u64, low: u64, full: u64, text: String, hint: &str) -> Finding {
    if left < full {
        Finding::fail(
            id,
            format!("{text}: too little for the flow log, and without it nothing passes"),
            hint,
        )
    } else if left < low {
        Finding::warn(
            id,
            format!("{text}: when that is gone, nothing passes any more"),
            hint,
        )
    } else {
        Finding::ok(id, text)
    }
}

/// A number of bytes, for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut number, mut unit) = (bytes as f64 / 1024.0, 0);
    while number >= 1024.0 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    format!("{number:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use ringfence_compartment::probe::Outcome;

    use super::*;

    #[test]
    fn low_warns_and_full_fails() {
        let of = |left| level("disk", left, DISK_LOW, DISK_FULL, String::new(), "").outcome;
        assert_eq!(of(DISK_LOW), Outcome::Ok);
        assert_eq!(of(DISK_LOW - 1), Outcome::Warn);
        assert_eq!(of(DISK_FULL), Outcome::Warn);
        assert_eq!(of(DISK_FULL - 1), Outcome::Fail);
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(size(0), "0.0 KiB");
        assert_eq!(size(DISK_FULL), "16.0 MiB");
        assert_eq!(size(1_649_267_441_664), "1.5 TiB");
    }
}
