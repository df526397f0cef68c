//! What a workload does not learn of its host, or change there, though it shares a kernel with it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::process::{Command, Output};

use support::{BOTH, Host, SOMEBODY, User, able, texts};

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
for path in '/dev/null', '/dev/zero':
    try: os.utime(path); print('touched')
    except OSError as e: print(e.errno, os.write(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666), b'xy'))
try: os.utime('/proc/keys'); print('touched')
except OSError as e: print(e.errno)
try: os.open('/proc/keys', os.O_WRONLY); print('opened')
except OSError as e: print(e.errno)",
        );
        // Below /proc nothing is opened to be written, whatever stands in for it.
        assert_eq!(out, "30 2\n30 2\n30\n13\n", "{user:?}");
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

/// A FIFO with a name in the host's tree: its other direction belongs to others.
#[test]
fn a_named_pipe_given_as_a_stream_cannot_be_opened_anew() {
    if !able() {
        return;
    }
    let host = Host::new();
    let path = host.state.path().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    support::open_to_all(&path);
    std::os::unix::fs::chown(&path, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    // With both directions, so that opening one does not wait.
    let fifo = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    for user in BOTH {
        let program = "import os
for flags in os.O_RDONLY, os.O_WRONLY, os.O_RDWR:
    try: os.open('/proc/self/fd/0', flags | os.O_NONBLOCK); print('opened')
    except OSError as e: print(e.errno)";
        let mut command = host.command(user, &[], &["/usr/bin/python3", "-c", program]);
        let output = command.stdin(fifo.try_clone().unwrap()).output().unwrap();
        assert_eq!(texts(&output).0, "13\n13\n13\n", "{user:?}");
    }
}

#[test]
fn init_ends_by_no_signal_from_inside() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        // By number, and by the kernel in the name of a pipe's owner.
        let output = host.run(
            user,
            &[
                "/usr/bin/python3",
                "-c",
                "import fcntl, os, sys, time
read, write = os.pipe()
for signal in range(1, 65):
    for target in 1, -1:
        if target == 1 or signal == 18:
            try: os.kill(target, signal)
            except OSError: pass
    if signal in (32, 33): continue
    fcntl.fcntl(read, fcntl.F_SETOWN, 1)
    fcntl.fcntl(read, 10, signal)
    fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC)
    os.write(write, b'x')
time.sleep(0.05)
sys.exit(7)",
            ],
        );
        assert_eq!(output.status.code(), Some(7), "{user:?} {output:?}");
    }
}

/// A group of an ordinary user stays with its workload: it opens what is shown, and nothing that is not.
#[test]
fn supplementary_groups_open_what_is_shown_and_give_nothing_away() {
    if !able() {
        return;
    }
    let host = Host::new();
    let group = 43_210;
    let (shown, hidden) = (
        host.state.path().join("shown"),
        host.state.path().join("hidden"),
    );
    let work = host.state.path().join("work");
    for directory in [&shown, &hidden, &work] {
        std::fs::create_dir(directory).unwrap();
        support::open_to_all(directory);
        let file = directory.join("file");
        std::fs::write(&file, "content").unwrap();
        std::os::unix::fs::chown(&file, Some(0), Some(group)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o660);
        std::fs::set_permissions(&file, mode).unwrap();
    }
    std::os::unix::fs::chown(&work, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    host.filesystem(ringfence_model::resource::Filesystem {
        read: vec![shown.clone()],
        write: vec![],
        sockets: false,
    });
    let program = format!(
        "import os
def tried(do):
    try: return do()
    except OSError as e: return e.errno
print(tried(lambda: open('{shown}/file').read()), tried(lambda: open('{shown}/file', 'a')))
print(tried(lambda: open('{hidden}/file').read()))
print(tried(lambda: open('/work/file').read()), tried(lambda: os.chown('/work', -1, {group})))
print(tried(lambda: os.setgroups([])), [g for g in os.getgroups() if g != 65534])",
        shown = shown.display(),
        hidden = hidden.display(),
    );
    let options = ["--workdir", work.to_str().unwrap()];
    let command = host.command(
        User::Somebody,
        &options,
        &["/usr/bin/python3", "-c", &program],
    );
    let mut grouped = Command::new(command.get_program());
    let groups = group.to_string();
    grouped.args(command.get_args().flat_map(|word| match word.to_str() {
        Some("--clear-groups") => vec!["--groups".as_ref(), groups.as_ref()],
        _ => vec![word],
    }));
    let output = grouped.stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(
        texts(&output),
        (
            "content 30\n2\ncontent 22\n1 []\n".to_owned(),
            String::new()
        )
    );
}

/// Whoever moves a directory out of the work directory, on the host, does not move the workload out with it.
#[test]
fn a_directory_moved_away_on_the_host_leads_nowhere() {
    if !able() {
        return;
    }
    let host = Host::new();
    let work = host.state.path().join("work");
    std::fs::create_dir_all(work.join("a/b")).unwrap();
    std::fs::write(host.state.path().join("secret"), "secret").unwrap();
    let options = ["--workdir", work.to_str().unwrap()];
    let mut running = support::Running::start(host.command(
        User::Root,
        &options,
        &["/usr/bin/python3", "-c", support::INTERPRETER],
    ));
    assert_eq!(running.hear(), "ready");
    assert_eq!(running.ask("os.chdir('/work/a/b')"), "None");
    assert_eq!(running.ask("len(os.listdir('../..'))"), "1");
    std::fs::rename(work.join("a/b"), host.state.path().join("b")).unwrap();
    for path in ["..", "../..", "../../.."] {
        assert_eq!(running.ask(&format!("os.listdir('{path}')")), "ENOENT");
    }
    assert_eq!(running.ask("open('../secret').read()"), "ENOENT");
}
