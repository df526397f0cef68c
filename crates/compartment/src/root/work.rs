//! May this directory be a work directory?

use std::path::{Path, PathBuf};

use crate::error::Refusal;

/// Trees of the system, none of which a workload may be given to write, whole or in part.
const SYSTEM: &[&str] = &[
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run",
    "/sbin", "/sys", "/usr",
];

/// The directory in canonical form, or why it may not be one: not `/`, not a home or what holds one, not part of the
/// system, not overlapping the node's state or configuration (`forbidden`).
pub(super) fn check(directory: &Path, forbidden: &[PathBuf]) -> Result<PathBuf, Refusal> {
    let fix = "give a directory of its own, such as one made by `mkdir`";
    let refuse = |what: String| Err(Refusal::new(what, fix));
    let shown = directory.display();
    let canonical = match std::fs::canonicalize(directory) {
        Ok(canonical) => canonical,
        Err(cause) => {
            return refuse(format!(
                "the work directory {shown} cannot be used: {cause}"
            ));
        }
    };
    if !canonical.is_dir() {
        return refuse(format!("the work directory {shown} is not a directory"));
    }
    if canonical == Path::new("/") {
        return refuse("the work directory may not be /".to_owned());
    }
    for system in SYSTEM {
        if canonical.starts_with(system) {
            return refuse(format!("the work directory {shown} is part of {system}"));
        }
    }
    for home in homes() {
        if home.starts_with(&canonical) {
            return refuse(format!(
                "the work directory {shown} is, or holds, the home {}",
                home.display()
            ));
        }
    }
    for forbidden in forbidden {
        let forbidden = std::fs::canonicalize(forbidden).unwrap_or_else(|_| forbidden.clone());
        if canonical.starts_with(&forbidden) || forbidden.starts_with(&canonical) {
            return refuse(format!(
                "the work directory {shown} overlaps {} of the node",
                forbidden.display()
            ));
        }
    }
    Ok(canonical)
}

/// Homes of this user and of everyone in `/etc/passwd`; not those that are no home of anybody (`/`, `/bin`, …).
fn homes() -> Vec<PathBuf> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .filter_map(|line| line.split(':').nth(5))
        .map(PathBuf::from)
        .chain(std::env::var_os("HOME").map(PathBuf::from))
        .filter(|home| home.is_absolute() && home.components().count() > 1)
        .map(|home| std::fs::canonicalize(&home).unwrap_or(home))
        .collect()
}
