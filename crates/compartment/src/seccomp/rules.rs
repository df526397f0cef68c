//! The tables of refused system calls, and the verdict on one call.

use libc::{EAFNOSUPPORT, EBUSY, EINVAL, ENOSYS, EPERM, EPROTONOSUPPORT, c_long};

use super::words::socket_words;

/// Highest system call number these tables were written for (`file_setattr`, Linux 6.17).
pub(super) const KNOWN_END: u32 = 469;
/// `io_pgetevents`, for which the C library has no name.
#[cfg(target_arch = "x86_64")]
const IO_PGETEVENTS: c_long = 333;
/// `io_pgetevents`, for which the C library has no name.
#[cfg(target_arch = "aarch64")]
const IO_PGETEVENTS: c_long = 292;
/// `setrlimit`, for which the C library has no name on every architecture.
#[cfg(target_arch = "x86_64")]
const SETRLIMIT: c_long = 160;
/// `setrlimit`, for which the C library has no name on every architecture.
#[cfg(target_arch = "aarch64")]
const SETRLIMIT: c_long = 164;
/// Set in the number of an x32 call.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;
/// Highest number of an x32 call; there will be no further ones.
#[cfg(target_arch = "x86_64")]
const X32_END: i64 = 547;

/// Under which arguments a call is refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// Whatever they are.
    Always,
    /// Any of these bits is set in the low half of this argument.
    AnyBit(u8, u32),
    /// The low half of this argument is one of these, each with its name.
    OneOf(u8, &'static [(u32, &'static str)]),
    /// The low half of this argument is none of these.
    NoneOf(u8, &'static [u32]),
    /// The low half of the first argument named asks for a new file, and that of the second has any of these bits.
    /// Without the former the kernel ignores the latter, and callers leave there what was there.
    NewFile { flags: u8, mode: u8, bits: u32 },
    /// The low half of the first argument named is this value, and the second one is not null.
    Given {
        argument: u8,
        value: u32,
        pointer: u8,
    },
    /// The low half of the first argument named is this value, and that of the second is one of these two.
    Both {
        first: u8,
        value: u32,
        second: u8,
        values: [u32; 2],
    },
    /// The three arguments of `socket` ask for something other than what [`socket_refusal`] lets pass.
    Socket,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) number: c_long,
    pub(super) name: &'static str,
    pub(super) when: When,
    pub(super) errno: i32,
    /// Not an attempt at anything, but a library asking what the kernel has: answered at once, unrecorded.
    pub(super) quiet: bool,
}

const fn refuse(number: c_long, name: &'static str, when: When, errno: i32) -> Rule {
    Rule {
        number,
        name,
        when,
        errno,
        quiet: false,
    }
}

const fn absent(number: c_long, name: &'static str) -> Rule {
    Rule {
        number,
        name,
        when: When::Always,
        errno: ENOSYS,
        quiet: true,
    }
}

/// Does nothing and succeeds.
const fn keep(number: c_long, name: &'static str, when: When) -> Rule {
    Rule {
        number,
        name,
        when,
        errno: 0,
        quiet: true,
    }
}

/// `CLONE_NEW*`, all but `CLONE_NEWTIME`, which shares its bit with the exit signal and which clone ignores.
const NEW_NAMESPACES: u32 = 0x7e02_0000;
/// Set-user-id and set-group-id.
const SET_ID_BITS: u32 = 0o6000;
/// `O_CREAT`, and the bit of `O_TMPFILE` that is its own: these make `open` look at its mode.
pub(super) const MAKES_FILE: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;
/// To type into, paste into, re-plumb or take over a terminal. And to make a snapshot on btrfs: kernels before 6.7 ask who
/// owns the file that is named, and copy all of the subvolume that it lies in, of which a work directory is a corner.
const REQUESTS: &[(u32, &str)] = &[
    (0x5412, "TIOCSTI"),
    (0x541c, "TIOCLINUX"),
    (0x5423, "TIOCSETD"),
    (0x541d, "TIOCCONS"),
    (0x5000_9401, "BTRFS_IOC_SNAP_CREATE"),
    (0x5000_9417, "BTRFS_IOC_SNAP_CREATE_V2"),
];
/// Cores for itself alone, memory that is compared with that of others, and kernel memory by the gigabyte.
const PROCESS_TRICKS: &[(u32, &str)] = &[
    (62, "PR_SCHED_CORE"),
    (67, "PR_SET_MEMORY_MERGE"),
    (78, "PR_FUTEX_HASH"),
];
/// Memory that is compared with that of others: whoever times its writes learns what they hold. The other two take
/// memory out of the machine's use.
const MEMORY_TRICKS: &[(u32, &str)] = &[
    (12, "MADV_MERGEABLE"),
    (100, "MADV_HWPOISON"),
    (101, "MADV_SOFT_OFFLINE"),
];
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`. Whoever answers for a filter may let calls continue, past the filters before it;
/// the kernel has one such listener per process only as long as our launcher holds ours.
const OWN_LISTENER: u32 = 1 << 3;
/// `PER_LINUX`, `PER_LINUX32`, `UNAME26` with either, no randomisation, and the query.
const PERSONALITIES: &[u32] = &[0, 8, 0x2_0000, 0x2_0008, 0x4_0000, 0xffff_ffff];

/// What nobody of ours ever needs: for workloads and for the enforcer.
pub(super) const COMMON: &[Rule] = &[
    refuse(libc::SYS_socket, "socket", When::Socket, EAFNOSUPPORT),
    refuse(
        libc::SYS_socketpair,
        "socketpair",
        When::Socket,
        EAFNOSUPPORT,
    ),
    // Its flags are behind a pointer, where a filter cannot look. Libraries fall back to clone.
    absent(libc::SYS_clone3, "clone3"),
    refuse(
        libc::SYS_clone,
        "clone",
        When::AnyBit(0, NEW_NAMESPACES),
        EPERM,
    ),
    refuse(libc::SYS_unshare, "unshare", When::Always, EPERM),
    refuse(libc::SYS_setns, "setns", When::Always, EPERM),
    refuse(
        libc::SYS_io_uring_setup,
        "io_uring_setup",
        When::Always,
        ENOSYS,
    ),
    refuse(
        libc::SYS_io_uring_enter,
        "io_uring_enter",
        When::Always,
        ENOSYS,
    ),
    refuse(
        libc::SYS_io_uring_register,
        "io_uring_register",
        When::Always,
        ENOSYS,
    ),
    refuse(libc::SYS_mount, "mount", When::Always, EPERM),
    refuse(libc::SYS_umount2, "umount2", When::Always, EPERM),
    refuse(libc::SYS_pivot_root, "pivot_root", When::Always, EPERM),
    refuse(libc::SYS_chroot, "chroot", When::Always, EPERM),
    refuse(libc::SYS_open_tree, "open_tree", When::Always, ENOSYS),
    refuse(libc::SYS_move_mount, "move_mount", When::Always, ENOSYS),
    refuse(libc::SYS_fsopen, "fsopen", When::Always, ENOSYS),
    refuse(libc::SYS_fsconfig, "fsconfig", When::Always, ENOSYS),
    refuse(libc::SYS_fsmount, "fsmount", When::Always, ENOSYS),
    refuse(libc::SYS_fspick, "fspick", When::Always, ENOSYS),
    refuse(
        libc::SYS_mount_setattr,
        "mount_setattr",
        When::Always,
        ENOSYS,
    ),
    refuse(457, "statmount", When::Always, ENOSYS),
    refuse(458, "listmount", When::Always, ENOSYS),
    refuse(467, "open_tree_attr", When::Always, ENOSYS),
    refuse(libc::SYS_ptrace, "ptrace", When::Always, EPERM),
    refuse(
        libc::SYS_process_vm_readv,
        "process_vm_readv",
        When::Always,
        EPERM,
    ),
    refuse(
        libc::SYS_process_vm_writev,
        "process_vm_writev",
        When::Always,
        EPERM,
    ),
    refuse(libc::SYS_kcmp, "kcmp", When::Always, EPERM),
    refuse(libc::SYS_pidfd_getfd, "pidfd_getfd", When::Always, EPERM),
    refuse(libc::SYS_bpf, "bpf", When::Always, EPERM),
    refuse(
        libc::SYS_perf_event_open,
        "perf_event_open",
        When::Always,
        EPERM,
    ),
    refuse(libc::SYS_userfaultfd, "userfaultfd", When::Always, EPERM),
    refuse(libc::SYS_add_key, "add_key", When::Always, EPERM),
    refuse(libc::SYS_request_key, "request_key", When::Always, EPERM),
    refuse(libc::SYS_keyctl, "keyctl", When::Always, EPERM),
    refuse(libc::SYS_init_module, "init_module", When::Always, EPERM),
    refuse(libc::SYS_finit_module, "finit_module", When::Always, EPERM),
    refuse(
        libc::SYS_delete_module,
        "delete_module",
        When::Always,
        EPERM,
    ),
    refuse(libc::SYS_kexec_load, "kexec_load", When::Always, EPERM),
    refuse(
        libc::SYS_kexec_file_load,
        "kexec_file_load",
        When::Always,
        EPERM,
    ),
    refuse(libc::SYS_reboot, "reboot", When::Always, EPERM),
    refuse(libc::SYS_swapon, "swapon", When::Always, EPERM),
    refuse(libc::SYS_swapoff, "swapoff", When::Always, EPERM),
    refuse(libc::SYS_acct, "acct", When::Always, EPERM),
    refuse(libc::SYS_quotactl, "quotactl", When::Always, EPERM),
    refuse(443, "quotactl_fd", When::Always, EPERM),
    refuse(libc::SYS_syslog, "syslog", When::Always, EPERM),
    refuse(libc::SYS_vhangup, "vhangup", When::Always, EPERM),
    refuse(libc::SYS_settimeofday, "settimeofday", When::Always, EPERM),
    refuse(
        libc::SYS_clock_settime,
        "clock_settime",
        When::Always,
        EPERM,
    ),
    refuse(libc::SYS_sethostname, "sethostname", When::Always, EPERM),
    refuse(
        libc::SYS_setdomainname,
        "setdomainname",
        When::Always,
        EPERM,
    ),
    refuse(
        libc::SYS_fanotify_init,
        "fanotify_init",
        When::Always,
        EPERM,
    ),
    refuse(
        libc::SYS_fanotify_mark,
        "fanotify_mark",
        When::Always,
        EPERM,
    ),
    refuse(
        libc::SYS_name_to_handle_at,
        "name_to_handle_at",
        When::Always,
        EPERM,
    ),
    refuse(
        libc::SYS_open_by_handle_at,
        "open_by_handle_at",
        When::Always,
        EPERM,
    ),
    refuse(libc::SYS_move_pages, "move_pages", When::Always, EPERM),
    refuse(
        libc::SYS_migrate_pages,
        "migrate_pages",
        When::Always,
        EPERM,
    ),
    refuse(libc::SYS_nfsservctl, "nfsservctl", When::Always, ENOSYS),
    refuse(libc::SYS_adjtimex, "adjtimex", When::Always, EPERM),
    refuse(
        libc::SYS_clock_adjtime,
        "clock_adjtime",
        When::Always,
        EPERM,
    ),
    refuse(
        libc::SYS_lookup_dcookie,
        "lookup_dcookie",
        When::Always,
        ENOSYS,
    ),
    // The host has one pool of these for all: the first call can take it whole.
    refuse(libc::SYS_io_setup, "io_setup", When::Always, ENOSYS),
    refuse(libc::SYS_io_destroy, "io_destroy", When::Always, ENOSYS),
    refuse(libc::SYS_io_submit, "io_submit", When::Always, ENOSYS),
    refuse(libc::SYS_io_cancel, "io_cancel", When::Always, ENOSYS),
    refuse(libc::SYS_io_getevents, "io_getevents", When::Always, ENOSYS),
    refuse(IO_PGETEVENTS, "io_pgetevents", When::Always, ENOSYS),
    // Memory that even the host's root cannot look at, and that keeps the machine from hibernating.
    refuse(libc::SYS_memfd_secret, "memfd_secret", When::Always, ENOSYS),
    // What others of the host read lately; older kernels tell it of every file.
    refuse(451, "cachestat", When::Always, ENOSYS),
    // The host's security modules are nobody's business inside.
    refuse(459, "lsm_get_self_attr", When::Always, ENOSYS),
    refuse(460, "lsm_set_self_attr", When::Always, ENOSYS),
    refuse(461, "lsm_list_modules", When::Always, ENOSYS),
    refuse(
        libc::SYS_seccomp,
        "seccomp with a listener",
        When::AnyBit(1, OWN_LISTENER),
        EBUSY,
    ),
    refuse(
        libc::SYS_prctl,
        "prctl",
        When::OneOf(0, PROCESS_TRICKS),
        EINVAL,
    ),
    refuse(
        libc::SYS_madvise,
        "madvise",
        When::OneOf(2, MEMORY_TRICKS),
        EINVAL,
    ),
    refuse(
        libc::SYS_process_madvise,
        "process_madvise",
        When::OneOf(3, MEMORY_TRICKS),
        EINVAL,
    ),
    refuse(
        libc::SYS_personality,
        "personality",
        When::NoneOf(0, PERSONALITIES),
        EPERM,
    ),
    #[cfg(target_arch = "x86_64")]
    refuse(libc::SYS_iopl, "iopl", When::Always, EPERM),
    #[cfg(target_arch = "x86_64")]
    refuse(libc::SYS_ioperm, "ioperm", When::Always, EPERM),
    #[cfg(target_arch = "x86_64")]
    refuse(libc::SYS_modify_ldt, "modify_ldt", When::Always, EPERM),
    #[cfg(target_arch = "x86_64")]
    refuse(libc::SYS_uselib, "uselib", When::Always, ENOSYS),
    // Tells of every file system of the host, by number.
    #[cfg(target_arch = "x86_64")]
    refuse(libc::SYS_ustat, "ustat", When::Always, ENOSYS),
    #[cfg(target_arch = "x86_64")]
    refuse(libc::SYS_sysfs, "sysfs", When::Always, ENOSYS),
    #[cfg(target_arch = "x86_64")]
    refuse(libc::SYS__sysctl, "_sysctl", When::Always, ENOSYS),
    refuse(libc::SYS_ioctl, "ioctl", When::OneOf(1, REQUESTS), EPERM),
];

/// What a workload may not do besides. A file it makes set-user-id would act for its owner on the host.
pub(super) const WORKLOAD: &[Rule] = &[
    // There is no core dump inside, and the limit that makes sure of it stays (`inside/limits.rs`). Programs that
    // want none for their secrets' sake end when they are told no: they are told yes, and it is true.
    keep(
        libc::SYS_prlimit64,
        "prlimit64",
        When::Given {
            argument: 1,
            value: libc::RLIMIT_CORE,
            pointer: 2,
        },
    ),
    keep(
        SETRLIMIT,
        "setrlimit",
        When::OneOf(0, &[(libc::RLIMIT_CORE, "RLIMIT_CORE")]),
    ),
    // A size that a program names is not held to the bounds of the namespace (`tcp_rmem`, `tcp_wmem`) but to the host's
    // `rmem_max` and `wmem_max`, at which a few hundred connections pin gigabytes. It is a wish, so sizes stay as they are.
    keep(
        libc::SYS_setsockopt,
        "setsockopt",
        When::Both {
            first: 1,
            value: libc::SOL_SOCKET as u32,
            second: 2,
            values: [libc::SO_SNDBUF as u32, libc::SO_RCVBUF as u32],
        },
    ),
    refuse(
        libc::SYS_fchmod,
        "fchmod set-id",
        When::AnyBit(1, SET_ID_BITS),
        EPERM,
    ),
    refuse(
        libc::SYS_fchmodat,
        "fchmodat set-id",
        When::AnyBit(2, SET_ID_BITS),
        EPERM,
    ),
    refuse(452, "fchmodat2 set-id", When::AnyBit(2, SET_ID_BITS), EPERM),
    refuse(
        libc::SYS_openat,
        "openat set-id",
        When::NewFile {
            flags: 2,
            mode: 3,
            bits: SET_ID_BITS,
        },
        EPERM,
    ),
    refuse(
        libc::SYS_mknodat,
        "mknodat set-id",
        When::AnyBit(2, SET_ID_BITS),
        EPERM,
    ),
    refuse(
        libc::SYS_mkdirat,
        "mkdirat set-id",
        When::AnyBit(2, SET_ID_BITS),
        EPERM,
    ),
    // Its mode is behind a pointer. Libraries fall back to openat.
    absent(libc::SYS_openat2, "openat2"),
    #[cfg(target_arch = "x86_64")]
    refuse(
        libc::SYS_chmod,
        "chmod set-id",
        When::AnyBit(1, SET_ID_BITS),
        EPERM,
    ),
    #[cfg(target_arch = "x86_64")]
    refuse(
        libc::SYS_open,
        "open set-id",
        When::NewFile {
            flags: 1,
            mode: 2,
            bits: SET_ID_BITS,
        },
        EPERM,
    ),
    #[cfg(target_arch = "x86_64")]
    refuse(
        libc::SYS_creat,
        "creat set-id",
        When::AnyBit(1, SET_ID_BITS),
        EPERM,
    ),
    #[cfg(target_arch = "x86_64")]
    refuse(
        libc::SYS_mknod,
        "mknod set-id",
        When::AnyBit(1, SET_ID_BITS),
        EPERM,
    ),
    #[cfg(target_arch = "x86_64")]
    refuse(
        libc::SYS_mkdir,
        "mkdir set-id",
        When::AnyBit(1, SET_ID_BITS),
        EPERM,
    ),
];

/// What the enforcer may not do besides: it never becomes another program.
pub(super) const ENFORCER: &[Rule] = &[
    refuse(libc::SYS_execve, "execve", When::Always, EPERM),
    refuse(libc::SYS_execveat, "execveat", When::Always, EPERM),
    refuse(
        libc::SYS_fchmod,
        "fchmod set-id",
        When::AnyBit(1, SET_ID_BITS),
        EPERM,
    ),
    refuse(
        libc::SYS_fchmodat,
        "fchmodat set-id",
        When::AnyBit(2, SET_ID_BITS),
        EPERM,
    ),
];

/// A refused call, in words and in the errno it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What was tried: `socket AF_PACKET`, `unshare`.
    pub(crate) operation: String,
    /// What the caller gets.
    pub(crate) errno: i32,
}

/// What a workload's call gets that the filter passed on. A call that no rule refuses is not known to us, and is
/// refused as one the kernel does not have.
pub(crate) fn judge(number: i64, arguments: [u64; 6]) -> Refusal {
    #[cfg(target_arch = "x86_64")]
    if let Some(x32) = number.checked_sub(i64::from(X32))
        && (0..=X32_END).contains(&x32)
    {
        return Refusal {
            operation: format!("x32 call {x32}"),
            errno: ENOSYS,
        };
    }
    let rule = COMMON
        .iter()
        .chain(WORKLOAD)
        .find(|rule| rule.number == number);
    let Some(rule) = rule else {
        return Refusal {
            operation: format!("system call {number}"),
            errno: ENOSYS,
        };
    };
    match rule.when {
        When::Socket => {
            let [family, kind, protocol, ..] = arguments.map(|argument| argument as u32);
            let errno = socket_refusal(family, kind, protocol).unwrap_or(rule.errno);
            Refusal {
                operation: format!("{} {}", rule.name, socket_words(family, kind, protocol)),
                errno,
            }
        }
        When::OneOf(argument, named) => {
            let value = arguments[usize::from(argument)] as u32;
            let found = named.iter().find(|(number, _)| *number == value);
            Refusal {
                operation: match found {
                    Some((_, word)) => format!("{} ({word})", rule.name),
                    None => format!("{} ({value:#x})", rule.name),
                },
                errno: rule.errno,
            }
        }
        _ => Refusal {
            operation: rule.name.to_owned(),
            errno: rule.errno,
        },
    }
}

/// Families, types and protocols a socket may have: Unix of every type; IPv4 and IPv6 streams and datagrams over
/// TCP, UDP or MPTCP; netlink to ask about routes. `None`: it may be made; otherwise the errno it gets.
pub(super) fn socket_refusal(family: u32, kind: u32, protocol: u32) -> Option<i32> {
    match family as i32 {
        libc::AF_UNIX => None,
        libc::AF_INET | libc::AF_INET6 => {
            if !SOCKET_TYPES.contains(&(kind & SOCKET_TYPE_MASK)) {
                Some(EPERM)
            } else if INET_PROTOCOLS.contains(&protocol) {
                None
            } else {
                Some(EPROTONOSUPPORT)
            }
        }
        libc::AF_NETLINK if protocol == 0 => None,
        libc::AF_NETLINK => Some(EPROTONOSUPPORT),
        _ => Some(EAFNOSUPPORT),
    }
}

/// Bits of a socket's type that are the type, not flags.
pub(super) const SOCKET_TYPE_MASK: u32 = 0xf;
/// Stream and datagram.
pub(super) const SOCKET_TYPES: &[u32] = &[1, 2];
/// Default, TCP, UDP, MPTCP.
pub(super) const INET_PROTOCOLS: &[u32] = &[0, 6, 17, 262];
