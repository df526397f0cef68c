//! What a workload does not learn of its host, or change there, though it shares a kernel with it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::process::{Command, Output};

use support::{Host, SOMEBODY, User, able, texts};

const BOTH: [User; 2] = [User::Root, User::Somebody];

/// Runs `command` after `script` in a mount namespace of its own, where root may change what the host shows.
fn on_a_changed_host(command: Command, script: &str) -> Output {
    let mut changed = Command::new("unshare");
    changed.args(["--mount", "--uts", "/bin/sh", "-c"]);
    changed.arg(format!("{script}; exec \"$0\" \"$@\""));
    changed.arg(command.get_program()).args(command.get_args());
    changed.stdin(std::process::Stdio::null());
    changed.output().unwrap()
}

#[test]
fn the_launchers_command_line_is_not_that_of_init() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let read = "print(open('/proc/1/cmdline', 'rb').read().rstrip(bytes(1)))";
        let command = ["/usr/bin/python3", "-c", read];
        let output = host
            .command(user, &["--env", "TOKEN=hunter2"], &command)
            .output()
            .unwrap();
        assert_eq!(
            texts(&output),
            ("b'init'\n".to_owned(), String::new()),
            "{user:?}"
        );
    }
}

#[test]
fn the_domain_of_the_host_is_not_shown() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let command = host.command(user, &[], &["/bin/cat", "/proc/sys/kernel/domainname"]);
        let domain = "echo example.test >/proc/sys/kernel/domainname";
        let output = on_a_changed_host(command, domain);
        assert_eq!(texts(&output).0, "(none)\n", "{user:?}");
    }
}

#[test]
fn what_proc_tells_of_the_machine_is_covered() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let out = host.python(
            user,
            "import os
for name in 'cmdline', 'interrupts', 'softirqs', 'diskstats', 'partitions', 'swaps', 'iomem', 'ioports', 'consoles':
    if os.path.exists('/proc/' + name): assert not open('/proc/' + name).read(), name
if os.path.exists('/proc/pressure/cpu'):
    assert open('/proc/pressure/cpu').read()
    try: os.open('/proc/pressure/cpu', os.O_RDWR)
    except OSError as e: print(e.errno)
else: print(30)",
        );
        assert_eq!(out, "30\n", "{user:?}");
    }
}

#[test]
fn device_nodes_of_the_host_are_written_to_and_not_changed() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let out = host.python(
            user,
            "import os
for path in '/dev/null', '/dev/zero', '/proc/keys':
    try: os.utime(path); print('touched')
    except OSError as e: print(e.errno, os.write(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666), b'xy'))",
        );
        assert_eq!(out, "30 2\n".repeat(3), "{user:?}");
    }
}

/// Where cores go to a program, the kernel starts it outside, as root, whatever the limit, unless that is exactly 1.
#[test]
fn no_core_dump_is_taken_whatever_a_workload_sets() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let out = host.python(
            user,
            "import ctypes, resource, os
libc = ctypes.CDLL(None)
two = (ctypes.c_long * 2)(0, 0)
for limits in (0, 0), (0, 1), (1, 1): resource.setrlimit(resource.RLIMIT_CORE, limits)
print(libc.syscall(160, 4, two), libc.syscall(302, 0, 4, two, None), libc.syscall(302, os.getpid(), 4, two, two))
print(resource.getrlimit(resource.RLIMIT_CORE))
resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))
print(resource.getrlimit(resource.RLIMIT_STACK)[0])",
        );
        assert_eq!(out, "0 0 0\n(1, 1)\n1048576\n", "{user:?}");
    }
}

#[test]
fn a_session_without_core_dumps_starts_workloads() {
    if !able() {
        return;
    }
    let host = Host::new();
    let resources = rustix::thread::CapabilitySet::SYS_RESOURCE;
    let raised = rustix::thread::capabilities(None).unwrap();
    let raised = match raised.effective.contains(resources) {
        true => "(1, 1)\n",
        false => "(0, 0)\n",
    };
    for (user, limits) in [(User::Root, raised), (User::Somebody, "(0, 0)\n")] {
        let read = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))";
        let command = host.command(user, &[], &["/usr/bin/python3", "-c", read]);
        let output = on_a_changed_host(command, "ulimit -c 0");
        assert_eq!(
            texts(&output),
            (limits.to_owned(), String::new()),
            "{user:?}"
        );
    }
}

/// A program cannot be kept from the pipe where the session's limit is 0 for good: then nothing is started.
#[test]
fn a_session_whose_limit_lets_a_program_take_cores_is_refused() {
    if !able() {
        return;
    }
    let host = Host::new();
    let pattern = host.state.path().join("pattern");
    for (text, code) in [("|/usr/bin/taker %p", 125), ("core", 0)] {
        std::fs::write(&pattern, text).unwrap();
        support::open_to_all(&pattern);
        let script = format!(
            "mount --bind {} /proc/sys/kernel/core_pattern && ulimit -c 0",
            pattern.display()
        );
        // Read where the launcher looks; the kernel's own is left alone.
        let command = host.command(User::Somebody, &[], &["true"]);
        let output = on_a_changed_host(command, &script);
        let (_, err) = texts(&output);
        if err.contains("/proc of its own") {
            // A host with a covered /proc starts nothing anyway.
            assert_eq!(code, 0, "refused before: {err}");
            continue;
        }
        assert_eq!(output.status.code(), Some(code), "{text}: {err}");
        assert_eq!(err.contains("core dumps"), code == 125, "{err}");
    }
}

#[test]
fn a_socket_beneath_usr_local_refuses_the_start() {
    if !able() {
        return;
    }
    let host = Host::new();
    let daemon =
        "mount -t tmpfs none /usr/local && mkdir /usr/local/run && mkfifo /usr/local/run/daemon";
    for user in BOTH {
        let output = on_a_changed_host(host.command(user, &[], &["true"]), daemon);
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(125), "{err}");
        assert!(err.contains("/usr/local/run/daemon"), "{err}");
    }
}

#[test]
fn a_directory_that_the_workload_could_open_to_itself_is_not_passed_over() {
    if !able() {
        return;
    }
    let host = Host::new();
    let work = host.state.path().join("work");
    let closed = work.join("closed");
    std::fs::create_dir_all(&closed).unwrap();
    for path in [&work, &closed] {
        std::os::unix::fs::chown(path, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(&closed, mode).unwrap();
    let options = ["--workdir", work.to_str().unwrap()];
    let start = || {
        let output = host.command(User::Somebody, &options, &["true"]).output();
        let output = output.unwrap();
        (output.status.code(), texts(&output).1)
    };
    let (code, err) = start();
    assert_eq!(code, Some(125), "{err}");
    assert!(err.contains("who could open it"), "{err}");
    // Somebody else's stays closed.
    std::os::unix::fs::chown(&closed, Some(0), Some(0)).unwrap();
    assert_eq!(start().0, Some(0));
}

#[test]
fn names_that_a_workload_made_do_nothing_to_the_operators_terminal() {
    if !able() {
        return;
    }
    let host = Host::new();
    let work = host.state.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let fifo = work.join("\x1b]0;x\x07\nringfence: help: run this");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let options = ["--workdir", work.to_str().unwrap()];
    let output = host.command(User::Root, &options, &["true"]).output();
    let (_, err) = texts(&output.unwrap());
    assert!(err.contains(r"\u{1b}]0;x\u{7}\nringfence"), "{err}");
    assert!(!err.contains(['\x1b', '\x07']), "{err}");
    assert_eq!(err.lines().count(), 2, "{err}");
}

/// Its owner could change the mode of a file by any descriptor, and whoever shares the open file moves its offset.
#[test]
fn a_file_given_to_be_read_is_only_read() {
    if !able() {
        return;
    }
    let host = Host::new();
    let path = host.state.path().join("input");
    std::fs::write(&path, "skipped given").unwrap();
    std::os::unix::fs::chown(&path, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).unwrap();
    let mut shared = std::fs::File::open(&path).unwrap();
    std::io::Seek::seek(&mut shared, std::io::SeekFrom::Start(8)).unwrap();
    let program = "import os
print(os.read(0, 100).decode())
for change in lambda: os.fchmod(0, 0o666), lambda: os.utime(0), lambda: os.setxattr(0, 'user.x', b'y'):
    try: print(change())
    except OSError as e: print(e.errno)";
    let mut command = host.command(User::Somebody, &[], &["/usr/bin/python3", "-c", program]);
    let output = command.stdin(shared.try_clone().unwrap()).output();
    assert_eq!(texts(&output.unwrap()).0, "given\n30\n30\n30\n");
    let offset = std::io::Seek::stream_position(&mut shared).unwrap();
    assert_eq!(offset, 8, "the offset of others is theirs");
}
