//! From a plan to a root, inside the compartment's mount namespace.
//!
//! Every tree of the host is taken as a detached copy first, and restricted while nobody can see it. Then a fresh
//! tmpfs becomes the new root, the copies are attached beneath it, `pivot_root` changes over, and the host's tree is
//! detached for good.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use super::etc::{self, FROM_HOST, Identity};
use super::masks;
use super::plan::{self, Access, Plan, Tree, WORK};
use crate::error::{OrRefuse, Refusal};
use crate::sys;

/// The root itself: names only.
const ROOT: &str = "size=8m,nr_inodes=8192,mode=0755";
/// `/tmp`: bytes and files. The next one gets `ENOSPC`.
const TMP: &str = "size=1g,nr_inodes=262144,mode=1777";
/// `/run`.
const RUN: &str = "size=64m,nr_inodes=16384,mode=0755";
/// `/dev`: nodes only.
const DEV: &str = "size=64k,nr_inodes=256,mode=0755";
/// `/dev/shm`.
const SHM: &str = "size=256m,nr_inodes=16384,mode=1777";
/// Terminals at once. The kernel has 3072 for all but the host's own `/dev/pts`; the next one gets `ENOSPC`.
const TERMINALS_MAX: u32 = 256;
/// `/work`, where no directory of the host was given.
const EMPTY_WORK: &str = "size=1g,nr_inodes=262144,mode=0755";

/// Device nodes shown; all of them harmless and the same for everyone.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// Major number of memory devices, and those of them that are shown, by minor number.
const MEMORY_DEVICES: u32 = 1;
const HARMLESS: &[(u32, &str)] = &[
    (3, "/dev/null"),
    (5, "/dev/zero"),
    (7, "/dev/full"),
    (8, "/dev/random"),
    (9, "/dev/urandom"),
];
/// Where the new root is put together: directories of which every host has one.
const STAGES: &[&str] = &["/tmp", "/mnt", "/run", "/var", "/usr"];

const PROC_FIX: &str = "this host covers parts of its /proc, as containers do: run ringfence outside the container, or \
                        give the container an uncovered /proc (docker, podman: --security-opt \
                        systempaths=unconfined)";
const FIX: &str =
    "report this with the kernel's version (`uname -r`); Linux 5.14 or later is needed";

/// Builds the root and moves this process into it. Nothing of the host's tree can be reached afterwards.
pub(crate) fn build(plan: &Plan, identity: &Identity) -> Result<(), Refusal> {
    // What the host mounts or unmounts later stays outside.
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )
    .or_refuse("the mount namespace", FIX)?;
    let trees = plan.trees.iter().map(take).collect::<Result<Vec<_>, _>>()?;
    let host_etc = take_etc().or_refuse("the built root (/etc)", FIX)?;
    let devices = take_devices().or_refuse(
        "the built root (/dev)",
        "the host's /dev needs null, zero, full, random, urandom and tty",
    )?;

    let stage = stage().or_refuse("the built root", "make /tmp a directory")?;
    let root = tmpfs(ROOT).or_refuse("the built root (tmpfs)", FIX)?;
    attach(&root, CWD, stage).or_refuse("the built root", FIX)?;
    std::env::set_current_dir(stage).or_refuse("the built root", FIX)?;

    own_directories().or_refuse("the built root (/tmp, /run, /dev, /work)", FIX)?;
    device_nodes(devices).or_refuse("the built root (/dev)", FIX)?;
    for (name, target) in &plan.links {
        let name = name.strip_prefix("/").unwrap_or(name);
        std::os::unix::fs::symlink(target, name).or_refuse("the built root (links)", FIX)?;
    }
    small_etc(identity, host_etc).or_refuse("the built root (/etc)", FIX)?;
    fresh_proc()?;
    for (tree, copy) in plan.trees.iter().zip(trees) {
        place(tree, &copy)
            .or_refuse(&format!("the built root ({})", tree.target.display()), FIX)?;
    }

    rustix::process::pivot_root(".", ".").or_refuse("the built root (pivot_root)", FIX)?;
    // The host's tree now lies over the new root, at the same place.
    rustix::mount::unmount(".", UnmountFlags::DETACH).or_refuse("the built root (umount)", FIX)?;
    std::env::set_current_dir("/").or_refuse("the built root", FIX)?;
    sys::restrict_one(c"/", sys::READ_ONLY | sys::NO_SUID | sys::NO_DEV)
        .or_refuse("the built root (read-only)", FIX)?;
    std::env::set_current_dir(WORK).or_refuse(
        "the work directory",
        "let the user who starts the workload enter it",
    )
}

/// A detached copy of a tree of the plan.
fn take(tree: &Tree) -> Result<OwnedFd, Refusal> {
    let wall = format!("the built root ({})", tree.source.display());
    let fix = "take the path out of `filesystem` in the policy, or make it accessible to the user who runs this";
    match &tree.prepared {
        Some(copy) => copy.try_clone().or_refuse(&wall, fix),
        None => {
            let taken = plan::detach_examined(&tree.source, &tree.examined, tree.access);
            taken.map_err(|cause| {
                // The calls themselves may be missing: that is no fault of the path.
                let missing = cause.raw_os_error() == Some(libc::ENOSYS);
                Refusal::wall(&wall, &cause, if missing { FIX } else { fix })
            })
        }
    }
}

fn take_etc() -> io::Result<Vec<(PathBuf, OwnedFd)>> {
    let mut taken = Vec::new();
    let etc = Path::new("/etc");
    let names = FROM_HOST.iter().map(OsString::from);
    // Where none are to be seen, none are shown, as with all the others.
    for name in names.chain(etc::settings_of_java(etc).unwrap_or_default()) {
        let path = etc.join(&name);
        // Links are followed: the host's /etc/localtime, for one, is a link into /usr.
        if let Ok(source) = std::fs::canonicalize(&path)
            && let Ok(copy) = plan::detach(&source, Access::Read)
        {
            taken.push((PathBuf::from("etc").join(name), copy));
        }
    }
    Ok(taken)
}

fn take_devices() -> io::Result<Vec<(&'static str, OwnedFd)>> {
    DEVICES
        .iter()
        .map(|name| {
            let node = rustix::mount::open_tree(
                CWD,
                Path::new("/dev").join(name),
                OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
            )?;
            // The nodes are the host's own. A device is written to all the same; its times and attributes are not.
            sys::restrict_tree(node.as_fd(), sys::READ_ONLY | sys::NO_SUID | sys::NO_EXEC)?;
            Ok((*name, node))
        })
        .collect()
}

fn stage() -> io::Result<&'static str> {
    STAGES
        .iter()
        .copied()
        .find(|path| Path::new(path).is_dir())
        .ok_or_else(|| {
            io::Error::other("this host has none of the directories a new root can be made in")
        })
}

/// A detached tmpfs. Its set-user-id bits and device nodes do nothing.
pub(super) fn tmpfs(options: &str) -> io::Result<OwnedFd> {
    filesystem(
        "tmpfs",
        options,
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
    )
}

fn filesystem(kind: &str, options: &str, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some((key, value)) => rustix::mount::fsconfig_set_string(&context, key, value)?,
            None => rustix::mount::fsconfig_set_flag(&context, option)?,
        }
    }
    rustix::mount::fsconfig_create(&context)?;
    Ok(rustix::mount::fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}

fn attach(mount: &OwnedFd, directory: impl AsFd, path: impl rustix::path::Arg) -> io::Result<()> {
    Ok(rustix::mount::move_mount(
        mount,
        "",
        directory,
        path,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?)
}

/// Directories that belong to the compartment. Paths here are relative to the new root, the working directory.
fn own_directories() -> io::Result<()> {
    for name in ["etc", "proc", "dev", "tmp", "run", "work", "var", "var/lib"] {
        std::fs::create_dir(name)?;
    }
    for (name, options) in [
        ("tmp", TMP),
        ("run", RUN),
        ("work", EMPTY_WORK),
        ("dev", DEV),
    ] {
        attach(&tmpfs(options)?, CWD, name)?;
    }
    std::os::unix::fs::symlink("../tmp", "var/tmp")?;
    std::os::unix::fs::symlink("../run", "var/run")?;
    for name in ["dev/shm", "dev/pts"] {
        std::fs::create_dir(name)?;
    }
    attach(&tmpfs(SHM)?, CWD, "dev/shm")?;
    // No gid= option: the group tty has no number inside.
    let terminals = filesystem(
        "devpts",
        &format!("newinstance,ptmxmode=0666,mode=0620,max={TERMINALS_MAX}"),
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )?;
    attach(&terminals, CWD, "dev/pts")?;
    for (target, link) in [
        ("pts/ptmx", "dev/ptmx"),
        ("/proc/self/fd", "dev/fd"),
        ("/proc/self/fd/0", "dev/stdin"),
        ("/proc/self/fd/1", "dev/stdout"),
        ("/proc/self/fd/2", "dev/stderr"),
    ] {
        std::os::unix::fs::symlink(target, link)?;
    }
    Ok(())
}

fn device_nodes(devices: Vec<(&str, OwnedFd)>) -> io::Result<()> {
    for (name, node) in devices {
        let path = Path::new("dev").join(name);
        std::fs::write(&path, [])?;
        attach(&node, CWD, &path)?;
    }
    // The directory is closed: nothing is added to it, nothing taken away.
    sys::restrict_one(c"dev", sys::READ_ONLY | sys::NO_SUID | sys::NO_EXEC)
}

fn small_etc(identity: &Identity, host: Vec<(PathBuf, OwnedFd)>) -> io::Result<()> {
    etc::write(Path::new("etc"), identity)?;
    for (target, copy) in host {
        let directory = is_directory(&copy)?;
        let point = mount_point(&Path::new("/").join(target), directory)?;
        attach_to(&copy, &point)?;
    }
    Ok(())
}

/// A detached `/proc` of this process namespace.
pub(crate) fn own_proc() -> Result<OwnedFd, Refusal> {
    filesystem(
        "proc",
        "",
        MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
    .or_refuse("a /proc of its own", PROC_FIX)
}

fn fresh_proc() -> Result<(), Refusal> {
    attach(&own_proc()?, CWD, "proc").or_refuse("a /proc of its own", PROC_FIX)?;
    masks::cover(Path::new("proc")).or_refuse("the covers over /proc", FIX)
}

/// Attaches a copy where the plan wants it, making the way there if it is not visible already.
fn place(tree: &Tree, copy: &OwnedFd) -> io::Result<()> {
    let point = mount_point(&tree.target, is_directory(copy)?)?;
    attach_to(copy, &point)
}

fn attach_to(copy: &OwnedFd, point: &OwnedFd) -> io::Result<()> {
    Ok(rustix::mount::move_mount(
        copy,
        "",
        point,
        "",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )?)
}

fn is_directory(copy: &OwnedFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(copy)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory)
}

/// The place at `target` in the new root, created where it is missing. Links on the way are followed within the new
/// root only.
fn mount_point(target: &Path, directory: bool) -> io::Result<OwnedFd> {
    let resolve = |path: &Path| {
        rustix::fs::openat2(
            CWD,
            path,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    };
    let mut at = resolve(Path::new("/"))?;
    let mut walked = PathBuf::from("/");
    let parts: Vec<_> = target
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    for (index, name) in parts.iter().enumerate() {
        walked.push(name);
        at = match resolve(&walked) {
            Ok(found) => found,
            Err(rustix::io::Errno::NOENT) => {
                if directory || index + 1 < parts.len() {
                    rustix::fs::mkdirat(&at, *name, Mode::from_raw_mode(0o755))?;
                } else {
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                    rustix::fs::openat(&at, *name, flags, Mode::from_raw_mode(0o644))?;
                }
                resolve(&walked)?
            }
            Err(cause) => return Err(cause.into()),
        };
    }
    Ok(at)
}

/// Opens the compartment's own terminal multiplexer: returns the master and the path of the slave.
pub(crate) fn open_terminal() -> io::Result<(OwnedFd, CString)> {
    let master = rustix::fs::open(
        "/dev/pts/ptmx",
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
    )?;
    rustix::pty::unlockpt(&master)?;
    let slave = rustix::pty::ptsname(&master, Vec::new())?;
    debug_assert!(master.as_raw_fd() > 2);
    Ok((master, slave))
}

/// The compartment's own name of a device that may be a standard stream; `None`: it may not be one.
pub(crate) fn harmless_device(device: rustix::fs::Dev) -> Option<&'static str> {
    let minor = rustix::fs::minor(device);
    HARMLESS
        .iter()
        .find(|(number, _)| rustix::fs::major(device) == MEMORY_DEVICES && *number == minor)
        .map(|(_, path)| *path)
}
