//! What a workload may not do on its host: system calls, privileges, files, limits.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{BOTH, Host, INTERPRETER, Running, SOMEBODY, User, able, texts};

fn inside(test: impl Fn(&Host, &mut Running)) {
    if !able() {
        return;
    }
    for user in BOTH {
        let host = Host::new();
        let command = host.command(user, &[], &["/usr/bin/python3", "-c", INTERPRETER]);
        let mut running = Running::start(command);
        assert_eq!(running.hear(), "ready");
        test(&host, &mut running);
    }
}

/// Calls the kernel by number, past every library.
const CALL: &str = "import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(*a):
    ctypes.set_errno(0)
    r = libc.syscall(*[ctypes.c_long(x) for x in a])
    return errno.errorcode[ctypes.get_errno()] if r == -1 else r
";

fn interpreter_with_calls() -> String {
    format!("{CALL}{INTERPRETER}")
}

fn inside_calling(test: impl Fn(&Host, &mut Running)) {
    if !able() {
        return;
    }
    for user in BOTH {
        let host = Host::new();
        let command = host.command(
            user,
            &[],
            &["/usr/bin/python3", "-c", &interpreter_with_calls()],
        );
        let mut running = Running::start(command);
        assert_eq!(running.hear(), "ready");
        test(&host, &mut running);
    }
}

#[test]
fn other_families_and_raw_sockets_are_refused_and_told() {
    inside(|host, agent| {
        for (arguments, errno, operation) in [
            ("17, 3", "EAFNOSUPPORT", "socket AF_PACKET"),
            ("40, 1", "EAFNOSUPPORT", "socket AF_VSOCK"),
            ("38, 5", "EAFNOSUPPORT", "socket AF_ALG"),
            ("44, 3", "EAFNOSUPPORT", "socket AF_XDP"),
            ("21, 5", "EAFNOSUPPORT", "socket AF_RDS"),
            ("2, 3, 1", "EPERM", "socket AF_INET SOCK_RAW protocol 1"),
            ("10, 3, 58", "EPERM", "socket AF_INET6 SOCK_RAW protocol 58"),
            (
                "2, 2, 1",
                "EPROTONOSUPPORT",
                "socket AF_INET type 2 protocol 1",
            ),
            (
                "2, 2, 136",
                "EPROTONOSUPPORT",
                "socket AF_INET type 2 protocol 136",
            ),
            (
                "2, 1, 132",
                "EPROTONOSUPPORT",
                "socket AF_INET type 1 protocol 132",
            ),
            (
                "16, 3, 12",
                "EPROTONOSUPPORT",
                "socket AF_NETLINK protocol 12",
            ),
        ] {
            assert_eq!(
                agent.ask(&format!("socket.socket({arguments})")),
                errno,
                "{arguments}"
            );
            host.wait_until(operation, |notes| {
                notes.attempts.iter().any(|attempt| {
                    attempt.wall
                        && attempt.protocol == "system call"
                        && attempt.operation == operation
                })
            });
        }
        for allowed in [
            "1, 1",
            "1, 5",
            "2, 1, 6",
            "2, 2, 17",
            "10, 1, 262",
            "16, 3, 0",
        ] {
            assert!(
                agent
                    .ask(&format!("socket.socket({allowed}).close()"))
                    .contains("None"),
                "{allowed}"
            );
        }
        let refused = host.notes().attempts.len();
        assert_eq!(
            refused,
            11,
            "each was told once: {:?}",
            host.notes().attempts
        );
    });
}

#[test]
fn calls_that_change_the_host_are_refused_and_told() {
    inside_calling(|host, agent| {
        for (call, errno, operation) in [
            ("272, 0x10000000", "EPERM", "unshare"),
            ("272, 0x40000000", "EPERM", "unshare"),
            ("308, 0, 0", "EPERM", "setns"),
            ("56, 0x10000011, 0, 0, 0, 0", "EPERM", "clone"),
            ("101, 0", "EPERM", "ptrace"),
            ("165, 0, 0, 0, 0, 0", "EPERM", "mount"),
            ("166, 0, 0", "EPERM", "umount2"),
            ("155, 0, 0", "EPERM", "pivot_root"),
            ("428, 0, 0, 0", "ENOSYS", "open_tree"),
            ("430, 0, 0", "ENOSYS", "fsopen"),
            ("425, 1, 0", "ENOSYS", "io_uring_setup"),
            ("321, 0, 0, 0", "EPERM", "bpf"),
            ("298, 0, 0, 0, 0, 0", "EPERM", "perf_event_open"),
            ("250, 0, 0", "EPERM", "keyctl"),
            ("323, 0", "EPERM", "userfaultfd"),
            ("175, 0, 0, 0", "EPERM", "init_module"),
            ("304, 0, 0, 0", "EPERM", "open_by_handle_at"),
            ("310, 1, 0, 0, 0, 0, 0", "EPERM", "process_vm_readv"),
            ("438, 0, 0, 0", "EPERM", "pidfd_getfd"),
            ("1000", "ENOSYS", "system call 1000"),
            ("0x40000029, 2, 1, 0", "ENOSYS", "x32 call 41"),
        ] {
            assert_eq!(
                agent.ask(&format!("call({call})")),
                format!("'{errno}'"),
                "{operation}"
            );
            host.wait_until(operation, |notes| {
                notes
                    .attempts
                    .iter()
                    .any(|attempt| attempt.operation == operation)
            });
        }
        // Asked for by every library at start; no attempt at anything.
        assert_eq!(agent.ask("call(435, 0, 0)"), "'ENOSYS'");
        assert_eq!(host.attempts("clone3"), 0);
    });
}

#[test]
fn a_flood_of_refused_calls_is_counted_whole() {
    inside(|host, agent| {
        let flood = "[socket.socket(17, 3) if 0 else call17() for _ in range(5000)] and 1";
        agent.say("globals().update(call17=lambda: exec('try: socket.socket(17, 3)\\nexcept OSError: pass'))");
        agent.hear();
        assert_eq!(agent.ask(flood), "1");
        host.wait_until("5000 refused calls", |notes| {
            let alike = notes
                .attempts
                .iter()
                .filter(|a| a.operation == "socket AF_PACKET");
            alike.map(|a| a.count).sum::<u64>() == 5000
        });
        assert!(
            host.notes().attempts.len() < 2500,
            "folded: {}",
            host.notes().attempts.len()
        );
    });
}

#[test]
fn threads_and_children_work() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let out = host.python(
            user,
            "import threading, subprocess, multiprocessing
r = []
t = [threading.Thread(target=lambda i=i: r.append(i)) for i in range(50)]
[x.start() for x in t]; [x.join() for x in t]
print(sum(r), subprocess.run(['sh', '-c', 'echo sub | cat'], capture_output=True).stdout)
with multiprocessing.get_context('fork').Pool(2) as p: print(p.map(abs, [-1, -2]))",
        );
        assert_eq!(out, "1225 b'sub\\n'\n[1, 2]\n");
    }
}

#[test]
fn no_privilege_is_left_and_none_comes_back() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let out = host.python(
            user,
            "s = dict(l[:-1].split(':\\t', 1) for l in open('/proc/self/status') if ':\\t' in l)
print(s['CapInh'], s['CapPrm'], s['CapEff'], s['CapBnd'], s['CapAmb'], s['NoNewPrivs'], s['Seccomp'], s['Groups'].strip())
import os
print(os.getpid() != 1, os.getsid(0) == os.getpid(), sorted(os.listdir('/proc/self/fd')))
print(open('/proc/self/uid_map').read().split()[::2])
for k in 'user', 'net', 'mnt': print(open(f'/proc/sys/user/max_{k}_namespaces').read().strip())",
        );
        let mut lines = out.lines();
        let nothing = "0000000000000000";
        assert_eq!(
            lines.next().unwrap().trim_end(),
            format!("{nothing} {nothing} {nothing} {nothing} {nothing} 1 2")
        );
        // 3 is the directory being listed.
        assert_eq!(lines.next(), Some("True True ['0', '1', '2', '3']"));
        let inside = if user == User::Root { 1000 } else { SOMEBODY };
        assert_eq!(lines.next(), Some(format!("['{inside}', '1']").as_str()));
        for _ in 0..3 {
            assert_eq!(lines.next(), Some("0"));
        }
    }
}

#[test]
fn the_built_root_shows_what_was_agreed_and_nothing_else() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let out = host.python(
            user,
            "import os
print(sorted(n for n in os.listdir('/') if not n.startswith('lib')))
def w(p):
    try:
        open(p, 'w').close(); os.unlink(p); return 'yes'
    except OSError as e: return type(e).__name__ + ' ' + str(e.errno)
print([w(d + '/probe') for d in ['/tmp', '/run', '/dev/shm', '/work', '/var/tmp']])
print({w(d + '/probe') for d in ['', '/etc', '/usr', '/usr/local/bin', '/var', '/dev', '/opt']})
print(os.path.exists('/root'), os.path.exists('/home'), os.path.exists('/sys'), os.path.exists('/proc/1/cwd'))
print(sorted(os.listdir('/dev')))
print(open('/etc/resolv.conf').read().split()[-4:], open('/etc/hostname').read().strip(), os.uname().nodename)
import pwd, getpass; print(pwd.getpwuid(os.getuid()).pw_name, os.environ['HOME'], os.getcwd())
print([os.path.exists(p) and os.stat(p).st_rdev for p in ['/proc/keys', '/proc/timer_list']], os.listdir('/proc/bus'))
print(w('/proc/sys/kernel/hostname'), w('/proc/sysrq-trigger'))
print([(lambda s: s.f_blocks * s.f_frsize >> 20)(os.statvfs(p)) for p in ['/tmp', '/work', '/dev/shm', '/run']])
print(len([p for p in os.listdir('/proc') if p.isdigit()]))
flags = {l.split()[1]: l.split()[3] for l in open('/proc/self/mounts')}
print(all('nosuid' in f for f in flags.values()), all('ro' in flags[p].split(',') for p in ('/', '/usr', '/dev', '/proc/sys')), len(flags) < 80)",
        );
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(
            lines[0],
            "['bin', 'dev', 'etc', 'opt', 'proc', 'run', 'sbin', 'tmp', 'usr', 'var', 'work']"
        );
        assert_eq!(lines[1], "['yes', 'yes', 'yes', 'yes', 'yes']");
        assert!(!lines[2].contains("yes"), "{}", lines[2]);
        assert_eq!(lines[3], "False False False False");
        assert_eq!(
            lines[4],
            "['fd', 'full', 'null', 'ptmx', 'pts', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero']"
        );
        assert_eq!(
            lines[5],
            "['198.18.0.53', 'options', 'timeout:2', 'attempts:2'] crawler crawler"
        );
        assert_eq!(lines[6], "agent /work /work");
        assert_eq!(lines[7], "[259, 259] []");
        assert!(!lines[8].contains("yes"), "{}", lines[8]);
        assert_eq!(lines[9], "[1024, 1024, 256, 64]");
        assert_eq!(lines[10], "2");
        assert_eq!(lines[11], "True True True");
    }
}

#[test]
fn nothing_of_the_launcher_can_be_read_from_inside() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let mut command = host.command(
            user,
            &["--env", "GIVEN=yes"],
            &["/usr/bin/python3", "-c", "import os
print(sorted(os.environ))
for p in ['environ', 'mem', 'root', 'cwd', 'fd', 'maps', 'ns/net']:
    try: os.listdir('/proc/1/' + p) if p in ('root', 'fd', 'cwd') else open('/proc/1/' + p, 'rb').read(1)
    except OSError as e: print(p, e.errno)
    else: print(p, 'READ')
try: os.kill(1, 9); print('signal sent')
except OSError as e: print('kill', e.errno)"],
        );
        command
            .env("SECRET_TOKEN", "x")
            .env("HTTPS_PROXY", "http://p")
            .env("LC_ALL", "C.UTF-8");
        let output = command.output().unwrap();
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{out}{err}");
        let first = out.lines().next().unwrap();
        assert!(
            first.contains("GIVEN") && first.contains("LC_ALL"),
            "{first}"
        );
        assert!(
            !first.contains("SECRET") && !first.contains("PROXY"),
            "{first}"
        );
        assert!(!out.contains("READ"), "{out}");
        assert!(
            out.contains("kill 1"),
            "signals do not leave the workload's domain: {out}"
        );
    }
}

#[test]
fn set_id_bits_cannot_be_made() {
    inside_calling(|host, agent| {
        agent.ask("open('/work/f', 'w').close()");
        for call in [
            "os.chmod('/work/f', 0o4755)",
            "os.chmod('/work/f', 0o2755)",
            "os.fchmod(os.open('/work/f', 2), 0o4755)",
            "os.close(os.open('/work/g', 0o101, 0o4755))",
            "os.mknod('/work/h', 0o104755)",
            "os.mkdir('/work/d', 0o2755)",
        ] {
            assert_eq!(agent.ask(call), "EPERM", "{call}");
        }
        assert_eq!(
            agent.ask("call(452, -100, id(b'') * 0, 0o4755, 0)"),
            "'EPERM'"
        );
        assert_eq!(agent.ask("os.chmod('/work/f', 0o755)"), "None");
        host.wait_until("set-id", |notes| {
            notes
                .attempts
                .iter()
                .filter(|a| a.operation.contains("set-id"))
                .count()
                == 7
        });
    });
}

#[test]
fn bounds_hold() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let out = host.python(
            user,
            "import os, time, resource, socket, errno
n = 0
try:
    while n < 20000:
        p = os.fork()
        if p == 0: time.sleep(60); os._exit(0)
        n += 1
except OSError as e: print('fork', errno.errorcode[e.errno], 3000 < n < 4200)
os.kill
import signal
print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= 65536)
try:
    with open('/tmp/big', 'wb') as f:
        for _ in range(70): f.write(b'x' * (1 << 24))
except OSError as e: print('tmp', errno.errorcode[e.errno])
a, b = socket.socketpair()
l = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(l.getsockname()); s, _ = l.accept()
c.setblocking(False); sent = 0
try:
    while True: sent += c.send(b'z' * 65536)
except BlockingIOError: print('tcp', sent < 1 << 20)",
        );
        assert_eq!(
            out, "fork EAGAIN True\n(1, 1) True\ntmp ENOSPC\ntcp True\n",
            "{user:?}"
        );
    }
}

#[test]
fn a_foreign_architecture_kills() {
    // int 0x80 enters the 32-bit table; the filter ends the process, or the kernel has no such entry.
    inside_calling(|_, agent| {
        let run = "(lambda m, p: (m.write(bytes([0xb8, 41, 0, 0, 0, 0xcd, 0x80, 0xc3])), ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))())[1])(__import__('mmap').mmap(-1, 4096, prot=7), 0)";
        let fork = format!(
            "(lambda p: ({run}, os._exit(0)) if p == 0 else os.waitpid(p, 0)[1] & 127)(os.fork())"
        );
        let signal: i32 = agent.ask(&fork).parse().unwrap();
        assert!(
            [libc_signal::SIGSYS, libc_signal::SIGSEGV].contains(&signal),
            "{signal}"
        );
    });
}

mod libc_signal {
    pub(crate) const SIGSYS: i32 = 31;
    pub(crate) const SIGSEGV: i32 = 11;
}

#[test]
fn an_abstract_socket_of_the_host_is_not_there() {
    inside(|host, agent| {
        let _ = host;
        let name = format!("rf-test-{}", std::process::id());
        let address = <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
        assert_eq!(
            agent.ask(&format!("socket.socket(1).connect('\\0{name}')")),
            "ECONNREFUSED"
        );
    });
}
