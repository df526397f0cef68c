//! Parts of a fresh `/proc` that say or do more than a workload needs.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::mount::{MoveMountFlags, OpenTreeFlags};

use crate::sys;

/// Covered by an empty, read-only directory.
const EMPTY: &[&str] = &[
    "acpi",
    "scsi",
    "bus",
    "asound",
    "driver",
    "tty",
    "fs",
    "dynamic_debug",
];
/// Covered by the null device.
const NULL: &[&str] = &[
    "kcore",
    "keys",
    "key-users",
    "kmsg",
    "kallsyms",
    "timer_list",
    "sched_debug",
    "latency_stats",
    "sysrq-trigger",
    "modules",
    "vmallocinfo",
    "config.gz",
    // What the host was booted with: loaders put secrets there.
    "cmdline",
    // Its disks, memory and devices, and how busy each is from moment to moment: keys typed and blocks read show.
    "interrupts",
    "softirqs",
    "diskstats",
    "partitions",
    "swaps",
    "mdstat",
    "iomem",
    "ioports",
    "consoles",
    "mtrr",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "pagetypeinfo",
    "slabinfo",
];
/// Shown, but not writable, whatever the owner's rights.
///
/// A write to `pressure` makes the kernel watch all of the host.
const READ_ONLY: &[&str] = &["sys", "irq", "sysvipc", "pressure"];

/// Covers what has to be covered in the `/proc` mounted at `proc`.
pub(super) fn cover(proc: &Path) -> io::Result<()> {
    for name in READ_ONLY {
        let path = proc.join(name);
        if path.exists() {
            let tree = clone(&path)?;
            sys::restrict_tree(
                tree.as_fd(),
                sys::READ_ONLY | sys::NO_SUID | sys::NO_DEV | sys::NO_EXEC,
            )?;
            attach(&tree, &path)?;
        }
    }
    for name in NULL {
        let path = proc.join(name);
        if path.exists() {
            let null = clone(Path::new("/dev/null"))?;
            sys::restrict_tree(null.as_fd(), sys::READ_ONLY | sys::NO_SUID | sys::NO_EXEC)?;
            attach(&null, &path)?;
        }
    }
    for name in EMPTY {
        let path = proc.join(name);
        if path.exists() {
            let empty = super::build::tmpfs("size=4k,nr_inodes=1,mode=0555")?;
            sys::restrict_tree(
                empty.as_fd(),
                sys::READ_ONLY | sys::NO_SUID | sys::NO_DEV | sys::NO_EXEC,
            )?;
            attach(&empty, &path)?;
        }
    }
    Ok(())
}

fn clone(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::mount::open_tree(
        rustix::fs::CWD,
        path,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?)
}

fn attach(tree: &OwnedFd, path: &Path) -> io::Result<()> {
    Ok(rustix::mount::move_mount(
        tree,
        "",
        rustix::fs::CWD,
        path,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?)
}
