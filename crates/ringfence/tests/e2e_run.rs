//! `ringfence run` as a wrapper: exit codes, signals, streams, terminal, and what the program sees of the machine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::{Duration, Instant};

use e2e_support::{PYTHON, start, start_as, workdir};
use ringfence_testbed::{Caller, Node};

fn sh(node: &Node, script: &str) -> ringfence_testbed::Output {
    node.run("agent", &["sh", "-c", script]).unwrap()
}

#[test]
fn the_exit_code_is_the_programs_own() {
    let node = start();
    for code in [0, 1, 42, 125, 255] {
        assert_eq!(sh(&node, &format!("exit {code}")).code, Some(code));
    }
    assert_eq!(sh(&node, "kill -9 $$").code, Some(137));
    assert_eq!(sh(&node, "kill -TERM $$").code, Some(143));
}

#[test]
fn what_cannot_be_started_says_why() {
    let node = start();
    let missing = node.run("agent", &["no-such-program"]).unwrap();
    assert_eq!(missing.code, Some(127), "{missing:?}");
    assert!(missing.stderr.contains("no-such-program"), "{missing:?}");

    let path = workdir(&node, "plain", "plain", "not a program\n");
    let plain = node
        .workload("agent")
        .workdir(&path)
        .run(&["/work/plain"])
        .unwrap();
    assert_eq!(plain.code, Some(126), "{plain:?}");

    // A program of the host outside the trees a compartment sees: the message names what to add.
    let outside = workdir(&node, "outside", "tool", "#!/bin/sh\necho hello\n").join("tool");
    node.host()
        .run(["chmod", "755", outside.to_str().unwrap()])
        .unwrap()
        .ok();
    let output = node.run("agent", &[outside.to_str().unwrap()]).unwrap();
    assert_eq!(output.code, Some(127), "{output:?}");
    assert!(
        output.stderr.contains("filesystem")
            && output
                .stderr
                .contains(outside.parent().unwrap().to_str().unwrap()),
        "{output:?}"
    );
}

#[test]
fn a_path_that_policy_adds_is_seen() {
    let node = start();
    let outside = workdir(&node, "outside", "tool", "#!/bin/sh\necho hello\n");
    let tool = outside.join("tool");
    node.host()
        .run(["chmod", "755", tool.to_str().unwrap()])
        .unwrap()
        .ok();
    let policy = e2e_support::POLICY.replace(
        "  tests:",
        &format!(
            "  filesystem: {{ read: [{}] }}\n  tests:",
            outside.display()
        ),
    );
    node.reload("policy.yaml", &policy).unwrap();
    let output = node.run("agent", &[tool.to_str().unwrap()]).unwrap().ok();
    assert_eq!(output.stdout, "hello\n");
    let write = sh(&node, &format!("echo no >{}/new", outside.display()));
    assert_ne!(write.code, Some(0), "{write:?}");
    assert!(!outside.join("new").exists());
}

#[test]
fn refusals_of_ringfence_itself_are_125() {
    let node = start();
    let unknown = node.run("nobody", &["true"]).unwrap();
    assert_eq!(unknown.code, Some(125), "{unknown:?}");
    assert!(unknown.stderr.contains("nobody"), "{unknown:?}");
    let binary = node.binary().to_str().unwrap().to_owned();
    let usage = node
        .host()
        .run([&binary, "run", "agent", "--no-such-option", "--", "true"])
        .unwrap();
    assert_eq!(usage.code, Some(125), "{usage:?}");
    let elsewhere = node.host().path().join("elsewhere");
    let absent = node
        .host()
        .run([
            &binary,
            "run",
            "agent",
            "--state",
            elsewhere.to_str().unwrap(),
            "--",
            "true",
        ])
        .unwrap();
    assert_eq!(absent.code, Some(125), "{absent:?}");
    assert!(
        absent.stderr.contains("up"),
        "names the next command: {absent:?}"
    );
}

#[test]
fn stdin_and_stdout_are_pipes_of_any_length() {
    let node = start();
    let input = (0..2_000_000u32)
        .map(|n| (n % 253) as u8)
        .collect::<Vec<_>>();
    let output = node
        .workload("agent")
        .input(input.clone())
        .run(&["cat"])
        .unwrap()
        .ok();
    assert!(
        output.bytes == input,
        "{} bytes of {}",
        output.bytes.len(),
        input.len()
    );
    let output = sh(&node, "echo to-stderr >&2; echo to-stdout");
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("to-stdout\n", "to-stderr\n")
    );
}

#[test]
fn signals_reach_the_program() {
    let node = start();
    for (signal, name) in [
        ("TERM", "TERM"),
        ("INT", "INT"),
        ("HUP", "HUP"),
        ("USR1", "USR1"),
    ] {
        let script = format!(
            "trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
        );
        let mut running = node
            .workload("agent")
            .spawn(&["sh", "-c", &script])
            .unwrap();
        running.wait_until_it_says("ready").unwrap();
        node.host().signal(signal, running.pid).unwrap();
        let output = running.wait().unwrap();
        assert_eq!(output.code, Some(9), "{signal}: {output:?}");
        assert!(
            output.stdout.contains(&format!("got {name}")),
            "{signal}: {output:?}"
        );
    }
    let mut running = node
        .workload("agent")
        .spawn(&["sh", "-c", "echo ready; exec sleep 60"])
        .unwrap();
    running.wait_until_it_says("ready").unwrap();
    node.host().signal("TERM", running.pid).unwrap();
    assert_eq!(running.wait().unwrap().code, Some(143));
}

#[test]
fn a_terminal_is_a_terminal_of_its_own() {
    let node = start();
    let words = node.workload("agent").words(&[
        "sh",
        "-c",
        "test -t 0 && test -t 1 && test -t 2 && tty && stty size && echo done",
    ]);
    let quoted = words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect::<Vec<_>>()
        .join(" ");
    let script = format!("stty rows 33 cols 101; {quoted}");
    let output = node
        .host()
        .run(["script", "-qec", &script, "/dev/null"])
        .unwrap();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        output.stdout.contains("/dev/pts/")
            && output.stdout.contains("33 101")
            && output.stdout.contains("done"),
        "{output:?}"
    );
}

#[test]
fn the_environment_is_not_inherited() {
    let node = start();
    let mut words = vec![
        "env".to_owned(),
        "API_KEY=hidden".into(),
        "HTTP_PROXY=http://p".into(),
        "LD_PRELOAD=".into(),
        "LC_ALL=C".into(),
    ];
    words.extend(node.workload("agent").env("GIVEN=yes").words(&["env"]));
    let env = node.host().run(&words).unwrap().ok().stdout;
    let names: Vec<_> = env
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    assert!(
        !env.contains("hidden") && !env.contains("PROXY") && !env.contains("LD_PRELOAD"),
        "{env}"
    );
    for expected in [
        ("GIVEN", "yes"),
        ("HOME", "/work"),
        ("LC_ALL", "C"),
        ("TMPDIR", "/tmp"),
    ] {
        assert!(names.contains(&expected), "{expected:?} in {env}");
    }
}

#[test]
fn of_the_machine_little_is_seen() {
    for caller in Caller::available() {
        let node = start_as(caller);
        for path in [
            "/etc/shadow",
            "/etc/ssh",
            "/home",
            "/root",
            "/var/lib/dpkg",
            "/var/log",
            "/boot",
            "/sys/class",
            "/run/ringfence",
        ] {
            let output = sh(&node, &format!("test -e {path} && ls -la {path}"));
            assert_ne!(
                output.code,
                Some(0),
                "{caller:?}: {path} is visible: {}",
                output.stdout
            );
        }
        let processes = sh(&node, "ls /proc | grep -c '^[0-9]'").ok().stdout;
        assert!(processes.trim().parse::<u32>().unwrap() < 8, "{processes}");
        let resolver = sh(&node, "cat /etc/resolv.conf").ok().stdout;
        assert!(resolver.contains("nameserver 198.18.0.53"), "{resolver}");
        for path in ["/usr/bin/new", "/etc/new", "/lib/new", "/opt/new"] {
            assert_ne!(
                sh(&node, &format!("echo x >{path}")).code,
                Some(0),
                "{caller:?}: {path} is writable"
            );
        }
        sh(
            &node,
            "echo x >/tmp/new && echo x >/run/new && echo x >/dev/shm/new && test -w /work",
        )
        .ok();
        let identity = sh(
            &node,
            "id -u; id -un; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status",
        )
        .ok()
        .stdout;
        assert!(
            !identity.starts_with("0\n") && identity.contains("agent"),
            "{identity}"
        );
        for wanted in [
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            assert!(identity.contains(wanted), "{identity}");
        }
    }
}

#[test]
fn the_work_directory_is_shared_with_the_right_owner() {
    use std::os::unix::fs::MetadataExt;
    for caller in Caller::available() {
        let node = start_as(caller);
        let path = workdir(&node, "shared", "in", "from outside\n");
        let script = "cat in && echo from inside >out && mkdir d && touch d/e && stat -c %U in out";
        let output = node
            .workload("agent")
            .workdir(&path)
            .run(&["sh", "-c", script])
            .unwrap()
            .ok();
        assert_eq!(output.stdout, "from outside\nagent\nagent\n", "{caller:?}");
        assert_eq!(
            std::fs::read_to_string(path.join("out")).unwrap(),
            "from inside\n"
        );
        let (directory, file) = (
            std::fs::metadata(&path).unwrap(),
            std::fs::metadata(path.join("d/e")).unwrap(),
        );
        assert_eq!(
            (file.uid(), file.gid()),
            (directory.uid(), directory.gid()),
            "{caller:?}"
        );
    }
}

#[test]
fn whoever_looks_like_root_inside_is_not_root() {
    for caller in Caller::available() {
        let node = start_as(caller);
        let look = |user: &str| {
            let script = "id -u; id -g; id -un; grep -c : /etc/passwd; touch /work/mine && stat -c %u /work/mine; \
                          grep -h -E '^Cap(Prm|Eff|Bnd)' /proc/self/status | sort -u | cut -f2 | sort -u; \
                          touch /proc/sys/net/ipv4/ip_forward /usr/x 2>/dev/null || echo no";
            let launch = node.workload("agent").user(user);
            launch.run(&["sh", "-c", script]).unwrap().ok().stdout
        };
        // The number is the only difference, and names stand for one user each.
        assert_eq!(look("0"), "0\n0\nagent\n2\n0\n0000000000000000\nno\n");
        assert_eq!(
            look("4242:77"),
            "4242\n77\nagent\n3\n4242\n0000000000000000\nno\n"
        );
        assert_eq!(
            look("65534"),
            "65534\n65534\nagent\n2\n65534\n0000000000000000\nno\n"
        );
        // Files of the host belong to whom they did.
        let path = workdir(&node, "looks", "given", "x");
        let launch = node.workload("agent").user("0").workdir(&path);
        launch
            .run(&["sh", "-c", "stat -c %u /work/given; echo made >/work/made"])
            .unwrap()
            .ok();
        let owner = |name: &str| {
            use std::os::unix::fs::MetadataExt;
            std::fs::metadata(path.join(name)).unwrap().uid()
        };
        assert_eq!(owner("made"), owner("given"), "{caller:?}");
        let wrong = node.workload("agent").user("root").run(&["true"]).unwrap();
        assert_eq!(wrong.code, Some(125), "{wrong:?}");
        assert!(wrong.stderr.contains("UID:GID"), "{wrong:?}");
    }
}

#[test]
fn one_work_directory_belongs_to_one_compartment() {
    let node = start();
    let path = workdir(&node, "shared", "in", "x");
    let mut first = node
        .workload("agent")
        .workdir(&path)
        .spawn(&["sh", "-c", "echo ready; sleep 60"])
        .unwrap();
    first.wait_until_it_says("ready").unwrap();
    let second = node.workload("web").workdir(&path).run(&["true"]).unwrap();
    assert_eq!(second.code, Some(125), "{second:?}");
    let state = node
        .workload("web")
        .workdir(node.state())
        .run(&["true"])
        .unwrap();
    assert_eq!(state.code, Some(125), "{state:?}");
    let config = node
        .workload("web")
        .workdir(node.config())
        .run(&["true"])
        .unwrap();
    assert_eq!(config.code, Some(125), "{config:?}");
}

#[test]
fn a_program_with_threads_children_and_a_server_of_its_own_runs() {
    let node = start();
    let script = "import threading,subprocess,socket,multiprocessing\n\
        r=[]\nts=[threading.Thread(target=lambda i=i:r.append(i)) for i in range(20)]\n\
        [t.start() for t in ts]; [t.join() for t in ts]\n\
        assert len(r)==20\nassert subprocess.run(['true']).returncode==0\n\
        with multiprocessing.Pool(2) as p: assert p.map(abs,[-1,-2])==[1,2]\n\
        s=socket.create_server(('127.0.0.1',0)); c=socket.create_connection(s.getsockname()); a,_=s.accept(); a.send(b'x'); assert c.recv(1)==b'x'\n\
        s=socket.create_server(('::1',0),family=socket.AF_INET6); c=socket.create_connection(s.getsockname()[:2])\nprint('all well')";
    let output = node.run("agent", &[PYTHON, "-c", script]).unwrap().ok();
    assert_eq!(output.stdout, "all well\n");
}

#[test]
fn children_that_outlive_the_program_end_with_the_compartment() {
    let node = start();
    let marker = "8123";
    sh(
        &node,
        &format!("setsid sleep {marker} >/dev/null 2>&1 & sleep 0.2"),
    )
    .ok();
    let deadline = Instant::now() + Duration::from_secs(5);
    while node
        .host()
        .processes()
        .unwrap()
        .iter()
        .any(|(_, line)| line.contains(marker))
    {
        assert!(Instant::now() < deadline, "{:?}", node.host().processes());
    }
}

#[test]
fn status_says_what_is_not_bounded_while_a_compartment_runs() {
    let node = start();
    let speaks_of_records = |node: &Node| -> Result<bool, ringfence_testbed::TestbedError> {
        let status = node.status()?.1;
        let notes = status["notes"].as_array().cloned().unwrap_or_default();
        Ok(notes.iter().any(|note| {
            note.as_str()
                .is_some_and(|note| note.contains("are not recorded"))
        }))
    };
    assert!(!speaks_of_records(&node).unwrap());
    let _running = node.workload("agent").spawn(&["sleep", "60"]).unwrap();
    node.await_that("the note about records", |node| {
        Ok(speaks_of_records(node)?.then_some(()))
    })
    .unwrap();
}
