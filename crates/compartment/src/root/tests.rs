//! Work directories: who may have which.

use std::path::Path;

use super::claim::Claim;
use super::plan::{self, Access, Examined};
use super::{scan, work};

fn claim(directory: &Path) -> Result<Claim, crate::error::Refusal> {
    Claim::take(directory, &Examined::at(directory).unwrap())
}

fn refuse_sockets(tree: &Path) -> Result<(), crate::error::Refusal> {
    scan::refuse_sockets(tree, &Examined::at(tree).unwrap())
}

/// Whoever may write above a directory may exchange it for a link between the checks and the mount.
#[test]
fn what_is_shown_is_what_was_examined() {
    let root = tempfile::tempdir().unwrap();
    let root = std::fs::canonicalize(root.path()).unwrap();
    let (work, aside, secret) = (root.join("work"), root.join("aside"), root.join("secret"));
    std::fs::create_dir(&work).unwrap();
    std::fs::create_dir(&secret).unwrap();
    let examined = Examined::at(&work).unwrap();
    let exchanged = |what: &str| {
        plan::detach_examined(&work, &examined, Access::Write)
            .map(|_| ())
            .expect_err(what)
            .to_string()
    };

    std::fs::rename(&work, &aside).unwrap();
    std::os::unix::fs::symlink(&secret, &work).unwrap();
    assert!(Examined::at(&work).is_err());
    assert!(Examined::at(&work.join("below")).is_err());
    exchanged("a link");

    std::fs::remove_file(&work).unwrap();
    std::fs::rename(&secret, &work).unwrap();
    let cause = exchanged("another directory");
    assert!(cause.contains("something else"), "{cause}");
    // What was examined is still what was examined: a socket in what lies there now is not looked for.
    assert!(scan::refuse_sockets(&work, &examined).is_ok());
    assert_eq!(
        examined.identity(),
        Examined::at(&aside).unwrap().identity()
    );
}

/// A copy of a shared mount stays a peer of it unless it is cut off: what the host mounts there later would appear
/// inside, with its set-user-id programs and devices.
#[test]
fn what_the_host_mounts_later_stays_outside() {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    use std::os::unix::fs::MetadataExt;

    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root, to mount");
        return;
    }
    let (work, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let places = [&work, &elsewhere].map(|dir| std::fs::canonicalize(dir.path()).unwrap());
    // The mounts go with the thread.
    let seen = std::thread::spawn(move || {
        // SAFETY: a mount namespace of this thread's own; descriptors stay shared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        mount_change(
            "/",
            MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
        )
        .unwrap();
        let tmpfs = |at: &Path| mount("none", at, "tmpfs", MountFlags::empty(), None).unwrap();
        let [work, elsewhere] = places;
        tmpfs(&work);
        mount_change(&work, MountPropagationFlags::SHARED).unwrap();
        std::fs::create_dir(work.join("sub")).unwrap();
        let copy = plan::detach(&work, Access::Write).unwrap();
        // Only what is attached somewhere is reached by propagation at all.
        let flags = rustix::mount::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&copy, "", rustix::fs::CWD, &elsewhere, flags).unwrap();
        tmpfs(&work.join("sub"));
        let device = |path: &Path| std::fs::metadata(path).unwrap().dev();
        (
            device(&elsewhere.join("sub")),
            device(&work),
            device(&work.join("sub")),
        )
    })
    .join()
    .unwrap();
    assert_eq!(seen.0, seen.1, "the copy shows its own directory");
    assert_ne!(seen.0, seen.2, "and not what was mounted over the original");
}

#[test]
fn overlapping_claims_refuse_each_other_whoever_came_first() {
    let root = tempfile::tempdir().unwrap();
    let outer = root.path().join("outer");
    let inner = outer.join("a/inner");
    let beside = root.path().join("beside");
    for directory in [&inner, &beside] {
        std::fs::create_dir_all(directory).unwrap();
    }
    let held = claim(&outer).unwrap();
    assert!(claim(&outer).unwrap_err().what.contains("in use"));
    assert!(claim(&inner).unwrap_err().what.contains("lies in"));
    let other = claim(&beside).unwrap();
    drop(held);
    let held = claim(&inner).unwrap();
    assert!(claim(&outer).unwrap_err().what.contains("holds"));
    drop(held);
    drop(other);
    assert!(claim(&outer).is_ok());
}

/// By a bind mount a directory has a second path, which does not lie in what the first one lies in.
#[test]
fn claims_and_walls_see_through_mounts() {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};

    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root, to mount");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let root = std::fs::canonicalize(root.path()).unwrap();
    // The mounts go with the thread.
    let looked = std::thread::spawn(move || {
        // SAFETY: a mount namespace of this thread's own; descriptors stay shared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        mount_change(
            "/",
            MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
        )
        .unwrap();
        let made = |path: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let (outer, inner) = (made("outer"), made("outer/a/inner"));
        let (again, other, beneath) = (made("again"), made("other"), made("other/beneath"));
        mount_bind(&inner, &again).unwrap();
        mount_bind(&inner, &beneath).unwrap();
        let conflict = |held: &Path, wanted: &Path| {
            let _held = claim(held).unwrap();
            claim(wanted)
                .map(drop)
                .expect_err("a claim that overlaps")
                .what
        };
        for (held, wanted, why) in [
            (&again, &inner, "in use"),
            (&inner, &again, "in use"),
            (&outer, &again, "lies in"),
            (&again, &outer, "holds"),
            // What is mounted beneath a work directory is shown with it.
            (&other, &again, "in use"),
            (&outer, &other, "lies in"),
            (&other, &outer, "holds"),
        ] {
            let what = conflict(held, wanted);
            assert!(what.contains(why), "{held:?} and {wanted:?}: {what}");
        }
        // Through a mount of itself a directory lies twice in the same one, and is in nobody's way.
        let (loops, in_it) = (made("loop"), made("loop/again"));
        made("loop/work");
        mount_bind(&loops, &in_it).unwrap();
        claim(&in_it.join("work")).unwrap();
        let elsewhere = made("elsewhere");
        mount("none", &elsewhere, "tmpfs", MountFlags::empty(), None).unwrap();
        let _apart = (claim(&elsewhere).unwrap(), claim(&outer).unwrap());
    });
    looked.join().unwrap();
}

#[test]
fn a_claim_follows_the_directory_not_its_name() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("d");
    std::fs::create_dir(&directory).unwrap();
    let _held = claim(&directory).unwrap();
    let renamed = root.path().join("e");
    std::fs::rename(&directory, &renamed).unwrap();
    assert!(claim(&renamed).is_err());
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
    assert!(refuse_sockets(root.path()).is_ok());
    let fifo = deep.join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(
        refuse_sockets(root.path())
            .unwrap_err()
            .what
            .contains("fifo")
    );
    assert!(refuse_sockets(&fifo).is_err());
}
