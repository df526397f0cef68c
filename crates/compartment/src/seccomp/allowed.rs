//! The calls that a workload, and the enforcer, may make: each was looked at, and leads nowhere outside.
//!
//! What stands neither here nor in the table of refusals does not exist for them, so a new call of a new kernel is
//! closed until somebody has looked at it. A call that is refused under some arguments only stands in the table alone.

use libc::c_long;

/// A call by number, and by the name that people know.
pub(super) type Allowed = (c_long, &'static str);

macro_rules! calls {
    ($($number:ident)*) => {
        &[$((libc::$number, stringify!($number))),*]
    };
}

/// Those for which the C library's headers have a name, on every architecture. Names begin with `SYS_`.
const NAMED: &[&[Allowed]] = &[
    // Reading, writing, and where in a file.
    calls! {
        SYS_read SYS_write SYS_pread64 SYS_pwrite64 SYS_readv SYS_writev SYS_preadv SYS_pwritev
        SYS_preadv2 SYS_pwritev2 SYS_lseek SYS_sendfile SYS_splice SYS_tee SYS_vmsplice
        SYS_copy_file_range SYS_readahead SYS_fadvise64 SYS_fallocate SYS_ftruncate SYS_truncate
        SYS_fsync SYS_fdatasync SYS_sync SYS_syncfs
    },
    // Descriptors.
    calls! {
        SYS_close SYS_close_range SYS_dup SYS_dup3 SYS_pipe2 SYS_fcntl SYS_flock SYS_epoll_create1
        SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_pselect6 SYS_ppoll SYS_eventfd2
        SYS_signalfd4 SYS_memfd_create SYS_inotify_init1 SYS_inotify_add_watch SYS_inotify_rm_watch
    },
    // Names, modes and attributes of files: mounts and Landlock decide. Set-id bits are in the table.
    calls! {
        SYS_fstat SYS_newfstatat SYS_statx SYS_statfs SYS_fstatfs SYS_getdents64 SYS_getcwd
        SYS_chdir SYS_fchdir SYS_fchown SYS_fchownat SYS_umask SYS_unlinkat SYS_linkat SYS_symlinkat
        SYS_readlinkat SYS_renameat2 SYS_faccessat SYS_faccessat2 SYS_utimensat SYS_setxattr
        SYS_lsetxattr SYS_fsetxattr SYS_getxattr SYS_lgetxattr SYS_fgetxattr SYS_listxattr
        SYS_llistxattr SYS_flistxattr SYS_removexattr SYS_lremovexattr SYS_fremovexattr
    },
    // Its own memory.
    calls! {
        SYS_brk SYS_mmap SYS_munmap SYS_mremap SYS_mprotect SYS_msync SYS_mincore SYS_mlock
        SYS_mlock2 SYS_munlock SYS_mlockall SYS_munlockall SYS_remap_file_pages SYS_pkey_mprotect
        SYS_pkey_alloc SYS_pkey_free SYS_mbind SYS_set_mempolicy SYS_get_mempolicy
        SYS_set_mempolicy_home_node SYS_membarrier SYS_mseal
    },
    // Its own processes: the process namespace shows no others.
    calls! {
        SYS_execve SYS_execveat SYS_exit SYS_exit_group SYS_wait4 SYS_waitid SYS_kill SYS_tkill
        SYS_tgkill SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo SYS_pidfd_open SYS_pidfd_send_signal
        SYS_process_mrelease SYS_getpid SYS_getppid SYS_gettid SYS_setpgid SYS_getpgid SYS_setsid
        SYS_getsid SYS_set_tid_address SYS_set_robust_list SYS_get_robust_list SYS_rseq SYS_futex
        SYS_futex_waitv SYS_restart_syscall
    },
    // Signals.
    calls! {
        SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigtimedwait
        SYS_rt_sigsuspend SYS_sigaltstack
    },
    // Who it is: one user, one group and no capability are all it can become.
    calls! {
        SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getgroups SYS_setuid SYS_setgid
        SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_getresuid SYS_getresgid
        SYS_setfsuid SYS_setfsgid SYS_setgroups SYS_capget SYS_capset
    },
    // Sockets, once made: the network namespace holds them.
    calls! {
        SYS_connect SYS_accept SYS_accept4 SYS_bind SYS_listen SYS_shutdown SYS_sendto SYS_recvfrom
        SYS_sendmsg SYS_recvmsg SYS_sendmmsg SYS_recvmmsg SYS_getsockname SYS_getpeername
        SYS_getsockopt
    },
    // SysV and POSIX objects of its own namespace.
    calls! {
        SYS_shmget SYS_shmat SYS_shmctl SYS_shmdt SYS_semget SYS_semop SYS_semtimedop SYS_semctl
        SYS_msgget SYS_msgsnd SYS_msgrcv SYS_msgctl SYS_mq_open SYS_mq_unlink SYS_mq_timedsend
        SYS_mq_timedreceive SYS_mq_notify SYS_mq_getsetattr
    },
    // Time, told and waited for; never set.
    calls! {
        SYS_nanosleep SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_gettimeofday
        SYS_times SYS_getitimer SYS_setitimer SYS_timer_create SYS_timer_settime SYS_timer_gettime
        SYS_timer_getoverrun SYS_timer_delete SYS_timerfd_create SYS_timerfd_settime
        SYS_timerfd_gettime
    },
    // Its share of the machine: nothing above what others get, without a capability.
    calls! {
        SYS_sched_yield SYS_sched_setparam SYS_sched_getparam SYS_sched_setscheduler
        SYS_sched_getscheduler SYS_sched_get_priority_max SYS_sched_get_priority_min
        SYS_sched_rr_get_interval SYS_sched_setaffinity SYS_sched_getaffinity SYS_sched_setattr
        SYS_sched_getattr SYS_setpriority SYS_getpriority SYS_ioprio_set SYS_ioprio_get
        SYS_getrusage SYS_getcpu SYS_sysinfo SYS_uname SYS_getrandom
    },
    // Walls of its own, inside ours.
    calls! {
        SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self
    },
    // What newer calls replaced, where old programs still find it.
    #[cfg(target_arch = "x86_64")]
    calls! {
        SYS_stat SYS_lstat SYS_poll SYS_access SYS_pipe SYS_select SYS_dup2 SYS_pause SYS_alarm
        SYS_fork SYS_vfork SYS_getdents SYS_rename SYS_renameat SYS_rmdir SYS_link SYS_unlink
        SYS_symlink SYS_readlink SYS_chown SYS_lchown SYS_getrlimit SYS_getpgrp
        SYS_utime SYS_utimes SYS_futimesat SYS_arch_prctl SYS_time SYS_epoll_create SYS_epoll_wait
        SYS_inotify_init SYS_sync_file_range SYS_signalfd SYS_eventfd
    },
];

/// The others.
const NUMBERED: &[Allowed] = &[
    // The kernel jumps here from probes that the host's root has put on a program, and lets no filter see it; a
    // caller that it did not send is ended.
    #[cfg(target_arch = "x86_64")]
    (335, "uretprobe"),
    #[cfg(target_arch = "x86_64")]
    (336, "uprobe"),
    #[cfg(target_arch = "aarch64")]
    (38, "renameat"),
    #[cfg(target_arch = "aarch64")]
    (84, "sync_file_range"),
    #[cfg(target_arch = "aarch64")]
    (163, "getrlimit"),
    (453, "map_shadow_stack"),
    (454, "futex_wake"),
    (455, "futex_wait"),
    (456, "futex_requeue"),
    (463, "setxattrat"),
    (464, "getxattrat"),
    (465, "listxattrat"),
    (466, "removexattrat"),
    (468, "file_getattr"),
    (469, "file_setattr"),
];

/// All of them.
pub(super) fn allowed() -> impl Iterator<Item = Allowed> {
    let named = NAMED.iter().copied().flatten().copied();
    named.chain(NUMBERED.iter().copied())
}
