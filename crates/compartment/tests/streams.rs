//! Standard streams and terminals: what passes, what is relayed, what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ringfence_compartment::launch::LAST_WORDS;
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use support::{BOTH, Host, PATIENCE, User, able, texts};

#[test]
fn pipes_and_dev_null_can_be_opened_again_by_name() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        // The pipes of this test are root's, and closed to others by name outside as well. Those for output are not
        // for reading what others wrote there.
        let pipes = match user {
            User::Root => {
                "echo out >/dev/stdout; echo err >/dev/stderr; { true </dev/stdout; } 2>/dev/null && echo read"
            }
            User::Somebody => "echo out; echo err >&2",
        };
        let script = &format!("{pipes}; cat /dev/stdin && echo empty");
        let output = host
            .command(user, &[], &["/usr/bin/env", "dash", "-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(texts(&output).0, "out\nempty\n", "{user:?}");
        assert_eq!(texts(&output).1, "err\n", "{user:?}");
    }
}

#[test]
fn pipes_and_files_pass_as_they_are() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let path = host.state.path().join("out");
        let file = File::create(&path).unwrap();
        let mut child = host
            .command(
                user,
                &[],
                &[
                    "/bin/sh",
                    "-c",
                    "cat; echo err >&2; test -p /dev/stdin && echo pipe",
                ],
            )
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"through\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "through\npipe\n");
        assert_eq!(texts(&output).1, "err\n");
    }
}

#[test]
fn large_output_arrives_whole() {
    if !able() {
        return;
    }
    let host = Host::new();
    let output = host.run(
        User::Somebody,
        &["/bin/sh", "-c", "head -c 50000000 /dev/zero"],
    );
    assert_eq!(output.stdout.len(), 50_000_000);
}

#[test]
fn a_socket_is_relayed_and_never_handed_over() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let (mut near, far) = UnixStream::pair().unwrap();
        let output = OwnedFd::from(far.try_clone().unwrap());
        let mut child = host
            .command(user, &[], &["/usr/bin/python3", "-c", "import sys, os, stat
print([stat.S_ISSOCK(os.fstat(i).st_mode) for i in range(3)], sys.stdin.readline().strip(), flush=True)
sys.stdout.write('x' * 300000)"])
            .stdin(OwnedFd::from(far))
            .stdout(output)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        near.write_all(b"question\n").unwrap();
        let mut heard = String::new();
        near.read_to_string(&mut heard).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(
            heard.starts_with("[False, False, False] question\n"),
            "{}",
            &heard[..60.min(heard.len())]
        );
        assert_eq!(
            heard.len(),
            "[False, False, False] question\n".len() + 300_000
        );
    }
}

#[test]
fn last_output_that_nobody_takes_is_given_up_and_that_is_said() {
    if !able() {
        return;
    }
    let host = Host::new();
    let (near, far) = UnixStream::pair().unwrap();
    let mut child = host
        .command(
            User::Somebody,
            &[],
            &["/bin/sh", "-c", "head -c 1000000 /dev/zero & sleep 0.3"],
        )
        .stdout(OwnedFd::from(far))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads from `near`.
    let start = Instant::now();
    let mut said = String::new();
    let mut errors = child.stderr.take().unwrap();
    errors.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(start.elapsed() >= LAST_WORDS, "{:?}", start.elapsed());
    assert!(start.elapsed() < LAST_WORDS + PATIENCE, "{said}");
    assert!(
        said.contains("last output of the workload was not taken"),
        "{said}"
    );
    drop(near);
}

#[test]
fn directories_and_devices_are_refused() {
    if !able() {
        return;
    }
    let host = Host::new();
    for (path, word) in [
        ("/tmp", "directory"),
        ("/dev/vda", "device"),
        ("/dev/kmsg", "device"),
    ] {
        let Ok(stream) = File::open(path) else {
            continue;
        };
        let output = host
            .command(User::Root, &[], &["true"])
            .stdin(stream)
            .output()
            .unwrap();
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(125), "{path}: {err}");
        assert!(err.contains(word), "{err}");
    }
}

#[test]
fn inherited_descriptors_do_not_arrive() {
    if !able() {
        return;
    }
    let host = Host::new();
    // The shell opens descriptor 7 on the host's /etc and passes it on.
    let launch = host.command(User::Root, &[], &["ls", "/proc/self/fd"]);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "exec 7</etc/hostname 9</; exec \"$@\"", "sh"]);
    shell
        .arg(launch.get_program())
        .args(launch.get_args())
        .stdin(Stdio::null());
    let (out, err) = texts(&shell.output().unwrap());
    assert_eq!(
        out.split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2", "3"],
        "{err}"
    );
}

/// A caller with a terminal.
struct Caller {
    keyboard: File,
    child: std::process::Child,
    seen: String,
}

impl Caller {
    fn start(host: &Host, user: User, command: &[&str]) -> Self {
        let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
        let master = rustix::pty::openpt(flags).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        tcsetwinsize(
            &master,
            Winsize {
                ws_row: 33,
                ws_col: 77,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )
        .unwrap();
        let launch = host.command(user, &[], command);
        // A session whose terminal it is, as a shell's job in the foreground.
        let mut session = Command::new("setsid");
        session
            .arg("-c")
            .arg(launch.get_program())
            .args(launch.get_args());
        let copy = || Stdio::from(slave.try_clone().unwrap());
        let child = session
            .stdin(copy())
            .stdout(copy())
            .stderr(copy())
            .spawn()
            .unwrap();
        let flags = rustix::fs::fcntl_getfl(&master).unwrap();
        rustix::fs::fcntl_setfl(&master, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        Self {
            keyboard: File::from(master),
            child,
            seen: String::new(),
        }
    }

    fn read(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.keyboard.read(&mut buffer) {
            if length == 0 {
                break;
            }
            self.seen
                .push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }

    fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.seen.contains(text) {
            assert!(
                start.elapsed() < PATIENCE,
                "never saw {text:?}, but {:?}",
                self.seen
            );
            self.read();
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn end(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            self.read();
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(
                start.elapsed() < PATIENCE,
                "it did not end: {:?}",
                self.seen
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_terminal_is_replaced_by_one_of_its_own() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let mut caller = Caller::start(
            &host,
            user,
            &[
                "/bin/sh",
                "-c",
                "tty; stty size; test -t 0 -a -t 1 -a -t 2 && echo all; read x; echo got-$x; ls /dev/pts",
            ],
        );
        caller.wait_for("/dev/pts/0");
        caller.wait_for("33 77");
        caller.wait_for("all");
        let raw = tcgetattr(caller.keyboard.as_fd()).unwrap();
        assert!(
            !raw.local_modes.contains(LocalModes::ICANON),
            "keys go to the inner terminal"
        );
        caller.keyboard.write_all(b"word\r").unwrap();
        caller.wait_for("got-word");
        assert_eq!(caller.end(), Some(0));
        let after = tcgetattr(caller.keyboard.as_fd()).unwrap();
        assert!(
            after
                .local_modes
                .contains(LocalModes::ICANON | LocalModes::ECHO),
            "given back as it was"
        );
    }
}

#[test]
fn ctrl_c_ends_what_runs_and_the_size_follows() {
    if !able() {
        return;
    }
    let host = Host::new();
    let mut caller = Caller::start(
        &host,
        User::Somebody,
        &[
            "/bin/sh",
            "-c",
            "trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done",
        ],
    );
    caller.wait_for("ready");
    let size = Winsize {
        ws_row: 44,
        ws_col: 55,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(caller.keyboard.as_fd(), size).unwrap();
    caller.wait_for("44 55");
    caller.keyboard.write_all(&[3]).unwrap();
    assert_eq!(caller.end(), Some(130));
}

#[test]
fn nothing_can_be_typed_into_a_terminal_from_inside() {
    if !able() {
        return;
    }
    let host = Host::new();
    let program = "import fcntl, errno
for request in 0x5412, 0x541c, 0x5423, 0x541d, 0x1_0000_5412:
    try: fcntl.ioctl(0, request & 0xffffffff, b'x'); print('typed')
    except OSError as e: print(request, errno.errorcode[e.errno])
print('done')";
    let mut caller = Caller::start(&host, User::Root, &["/usr/bin/python3", "-c", program]);
    caller.wait_for("done");
    assert!(!caller.seen.contains("typed"), "{}", caller.seen);
    assert_eq!(caller.seen.matches("EPERM").count(), 5, "{}", caller.seen);
    caller.end();
    host.wait_until("the attempts", |notes| {
        notes
            .attempts
            .iter()
            .any(|a| a.operation == "ioctl (TIOCSTI)")
    });
}

#[test]
fn only_the_streams_that_are_terminals_become_one() {
    if !able() {
        return;
    }
    let host = Host::new();
    let mut caller = Caller::start(
        &host,
        User::Somebody,
        &[
            "/bin/sh",
            "-c",
            "exec 2>/work/f; test -t 1 && echo out-is; test -t 0 && echo in-is; cat /work/f",
        ],
    );
    caller.wait_for("out-is");
    caller.wait_for("in-is");
    assert_eq!(caller.end(), Some(0));
}
