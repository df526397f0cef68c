//! Work directories: who may have which.

use std::path::Path;

use super::claim::Claim;
use super::{scan, work};

#[test]
fn overlapping_claims_refuse_each_other_whoever_came_first() {
    let root = tempfile::tempdir().unwrap();
    let outer = root.path().join("outer");
    let inner = outer.join("a/inner");
    let beside = root.path().join("beside");
    for directory in [&inner, &beside] {
        std::fs::create_dir_all(directory).unwrap();
    }
    let held = Claim::take(&outer).unwrap();
    assert!(Claim::take(&outer).unwrap_err().what.contains("in use"));
    assert!(Claim::take(&inner).unwrap_err().what.contains("lies in"));
    let other = Claim::take(&beside).unwrap();
    drop(held);
    let held = Claim::take(&inner).unwrap();
    assert!(Claim::take(&outer).unwrap_err().what.contains("holds"));
    drop(held);
    drop(other);
    assert!(Claim::take(&outer).is_ok());
}

#[test]
fn a_claim_follows_the_directory_not_its_name() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("d");
    std::fs::create_dir(&directory).unwrap();
    let _held = Claim::take(&directory).unwrap();
    let renamed = root.path().join("e");
    std::fs::rename(&directory, &renamed).unwrap();
    assert!(Claim::take(&renamed).is_err());
}

#[test]
fn a_work_directory_is_found_through_links() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("d");
    std::fs::create_dir(&directory).unwrap();
    let link = root.path().join("link");
    std::os::unix::fs::symlink("/etc", &link).unwrap();
    assert!(
        work::check(&link, &[])
            .unwrap_err()
            .what
            .contains("part of /etc")
    );
    let link = root.path().join("other");
    std::os::unix::fs::symlink(&directory, &link).unwrap();
    assert_eq!(
        work::check(&link, &[]).unwrap(),
        std::fs::canonicalize(&directory).unwrap()
    );
    assert!(work::check(&link, &[directory]).is_err());
    assert!(work::check(Path::new("/dev/null"), &[]).is_err());
}

#[test]
fn sockets_and_fifos_are_found_at_any_depth_and_links_are_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let deep = root.path().join("a/b/c");
    std::fs::create_dir_all(&deep).unwrap();
    std::os::unix::fs::symlink("/run", root.path().join("run")).unwrap();
    assert!(scan::refuse_sockets(root.path()).is_ok());
    let fifo = deep.join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(
        scan::refuse_sockets(root.path())
            .unwrap_err()
            .what
            .contains("fifo")
    );
    assert!(scan::refuse_sockets(&fifo).is_err());
}
