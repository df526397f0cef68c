//! The enforcer dies, the node dies, the launcher dies; signals come: what becomes of the workload.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use ringfence_compartment::launch::{RETRY, RETRY_REFUSED};
use support::{Again, BOTH, Host, INTERPRETER, Mood, PATIENCE, Running, User, able, texts};

fn agent(host: &Host, user: User) -> Running {
    let command = host.command(user, &[], &["/usr/bin/python3", "-c", INTERPRETER]);
    let mut running = Running::start(command);
    assert_eq!(running.hear(), "ready");
    running
}

/// Process id of the launcher itself: `unshare` and `setpriv` have become it.
fn pid(running: &Running) -> i32 {
    running.child.id() as i32
}

fn signal(pid: i32, name: &str) {
    let done = Command::new("kill")
        .args([&format!("-{name}"), "--", &pid.to_string()])
        .status()
        .unwrap();
    assert!(done.success());
}

/// Processes whose parent is `pid`, and theirs.
fn descendants(pid: i32) -> Vec<i32> {
    let mut found = Vec::new();
    let children =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
    {
        found.push(child);
        found.extend(descendants(child));
    }
    found
}

fn namespace(pid: i32) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/net"))
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

#[test]
fn a_dead_enforcer_means_reset_recorded_and_never_replayed() {
    if !able() {
        return;
    }
    for user in BOTH {
        let host = Host::new();
        let mut agent = agent(&host, user);
        assert_eq!(agent.ask("tcp('8.8.8.8', 80)"), "'door 8.8.8.8:80'");
        host.kill_enforcer();
        let before = host.notes().connections.len();
        // Ten payments into the void: each is refused by a reset, none waits.
        let start = Instant::now();
        for _ in 0..10 {
            let heard = agent.ask("tcp('8.8.8.8', 80, b'PAY 1900\\n')");
            assert!(
                ["'ECONNRESET'", "'EPIPE'"].contains(&heard.as_str()),
                "{heard}"
            );
        }
        assert!(start.elapsed() < Duration::from_secs(3), "no attempt hangs");
        agent.ask("tcp('2606:4700::1111', 443)");
        agent.ask("socket.socket(2, 2).sendto(b'q', ('1.2.3.4', 53))");
        std::thread::sleep(Duration::from_millis(100));
        host.start_enforcer();
        host.wait_until("the new enforcer", |notes| notes.armed == 2);
        assert_eq!(
            agent.ask("tcp('9.9.9.9', 80)"),
            "'door 9.9.9.9:80'",
            "without a restart"
        );
        host.wait_until("the spooled attempts", |notes| {
            let away = notes
                .attempts
                .iter()
                .filter(|a| !a.wall && a.reason == "enforcer away");
            away.map(|a| a.count).sum::<u64>() == 12
        });
        let notes = host.notes();
        let payments = |to: &str| {
            notes
                .attempts
                .iter()
                .filter(|a| a.destination.is_some_and(|d| d.to_string() == to))
                .map(|a| a.count)
                .sum::<u64>()
        };
        assert_eq!(payments("8.8.8.8:80"), 10);
        assert_eq!(payments("[2606:4700::1111]:443"), 1);
        assert_eq!(payments("1.2.3.4:53"), 1);
        assert_eq!(
            notes.connections.len(),
            before + 1,
            "nothing accepted earlier was served later"
        );
        assert!(
            notes
                .payloads
                .iter()
                .all(|payload| !payload.starts_with(b"PAY"))
        );
        assert!(notes.datagrams.is_empty());
        assert!(notes.rejected.is_empty(), "{:?}", notes.rejected);
    }
}

#[test]
fn what_waited_in_a_stuck_enforcers_queue_is_not_replayed() {
    if !able() {
        return;
    }
    let host = Host::new();
    host.mood(Mood::Stuck);
    let mut agent = agent(&host, User::Somebody);
    // Accepted by the kernel, sent, and waiting at the door.
    assert_eq!(
        agent.ask(
            "globals().update(s=socket.create_connection(('8.8.8.8', 80))) or s.send(b'PAY 1900')"
        ),
        "8"
    );
    host.mood(Mood::Well);
    // The new link comes before the launcher saw the old one end.
    host.replace_enforcer();
    host.wait_until("the new enforcer", |notes| notes.armed == 2);
    assert_eq!(agent.ask("s.recv(9)"), "ECONNRESET");
    assert_eq!(agent.ask("tcp('9.9.9.9', 1)"), "'door 9.9.9.9:1'");
    assert_eq!(
        host.notes()
            .payloads
            .iter()
            .filter(|p| p.starts_with(b"PAY"))
            .count(),
        0
    );
}

#[test]
fn nothing_starts_while_the_enforcer_is_not_armed() {
    if !able() {
        return;
    }
    let host = Host::new();
    host.mood(Mood::Mute);
    let mut running =
        Running::start(host.command(User::Somebody, &[], &["/bin/sh", "-c", "echo started"]));
    std::thread::sleep(Duration::from_millis(700));
    assert!(running.child.try_wait().unwrap().is_none());
    assert!(!running.lines_waiting(), "the workload has started");
    // It can be stopped meanwhile.
    signal(pid(&running), "TERM");
    assert_eq!(running.wait().code(), Some(128 + 15));
}

#[test]
fn a_killed_launcher_leaves_nothing() {
    if !able() {
        return;
    }
    for user in BOTH {
        let host = Host::new();
        let mut agent = agent(&host, user);
        agent.ask("[os.fork() for _ in range(3)] and None");
        let launcher = pid(&agent);
        let family = descendants(launcher);
        assert!(family.len() >= 3, "init, workload, keeper: {family:?}");
        let init = *family
            .iter()
            .find(|pid| namespace(**pid) != namespace(launcher))
            .unwrap();
        let inside = namespace(init);
        // What stands around the workload holds no more than it needs.
        let held = |pid: i32| capabilities(pid);
        assert_eq!(held(init), 0);
        let keeper = family
            .iter()
            .find(|pid| namespace(**pid) == inside && capabilities(**pid) != 0);
        let keeper = *keeper.expect("the keeper holds CAP_NET_ADMIN");
        assert_eq!(held(keeper), 1 << 12);
        let kill = if user == User::Root { 1 << 5 } else { 0 };
        assert_eq!(held(launcher), kill);
        signal(launcher, "KILL");
        let start = Instant::now();
        let holders = || -> Vec<String> {
            let mut holders: Vec<String> = Vec::new();
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if let Ok(found) = std::fs::read_link(entry.path().join("ns/net"))
                    && found.to_string_lossy() == inside
                {
                    holders.push(name);
                }
            }
            holders
        };
        while !holders().is_empty()
            || family.iter().any(|pid| {
                std::path::Path::new(&format!("/proc/{pid}/exe")).exists() && alive(*pid)
            })
        {
            assert!(
                start.elapsed() < PATIENCE,
                "{user:?}: still there: {:?} of {family:?}",
                holders()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
    }
}

/// Permitted capabilities of a process, as a set of bits.
fn capabilities(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapPrm:\t"));
    u64::from_str_radix(line.unwrap(), 16).unwrap()
}

fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}

#[test]
fn the_end_of_the_first_process_is_the_end_of_all() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let marker = format!("sleep {}", 5000 + user as u32);
        let output = host.run(
            user,
            &[
                "/bin/sh",
                "-c",
                &format!("{marker} & setsid {marker} & exit 3"),
            ],
        );
        assert_eq!(output.status.code(), Some(3));
        let left = Command::new("pgrep")
            .args(["-f", &format!("^{marker}$")])
            .output()
            .unwrap();
        assert!(
            left.stdout.is_empty(),
            "{}",
            String::from_utf8_lossy(&left.stdout)
        );
    }
}

#[test]
fn exit_codes_and_signals_are_mirrored() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        assert_eq!(
            host.run(user, &["/bin/sh", "-c", "kill -9 $$"])
                .status
                .code(),
            Some(137)
        );
        assert_eq!(
            host.run(user, &["/bin/sh", "-c", "kill -TERM $$"])
                .status
                .code(),
            Some(143)
        );
        assert_eq!(host.run(user, &["true"]).status.code(), Some(0));
        assert_eq!(host.run(user, &["false"]).status.code(), Some(1));
    }
}

#[test]
fn signals_reach_the_workload() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        let program = "import signal, os, time
def heard(n, f): os.write(1, b'signal %d\\n' % n)
for n in 1, 2, 3, 10, 12, 14, 15, 18: signal.signal(n, heard)
print('ready', flush=True)
while True:
    time.sleep(1)";
        let mut running =
            Running::start(host.command(user, &[], &["/usr/bin/python3", "-c", program]));
        assert_eq!(running.hear(), "ready");
        for (name, number) in [
            ("HUP", 1),
            ("INT", 2),
            ("QUIT", 3),
            ("USR1", 10),
            ("USR2", 12),
            ("ALRM", 14),
            ("TERM", 15),
            ("CONT", 18),
        ] {
            signal(pid(&running), name);
            assert_eq!(running.hear(), format!("signal {number}"));
        }
        running.say("");
        drop(running);
        // One that handles nothing ends as it would anywhere.
        let mut running = Running::start(host.command(user, &[], &["sleep", "60"]));
        std::thread::sleep(Duration::from_millis(500));
        signal(pid(&running), "INT");
        assert_eq!(running.wait().code(), Some(130));
    }
}

#[test]
fn stopping_stops_everything_inside_and_continuing_continues() {
    if !able() {
        return;
    }
    let host = Host::new();
    let program = "import time
n = 0
while True:
    n += 1; print(n, flush=True); time.sleep(0.02)";
    let mut running =
        Running::start(host.command(User::Somebody, &[], &["/usr/bin/python3", "-c", program]));
    running.hear();
    signal(pid(&running), "TSTP");
    std::thread::sleep(Duration::from_millis(300));
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid(&running))).unwrap();
    assert!(
        state.contains(") T "),
        "the shell sees a stopped job: {state}"
    );
    while running.lines_waiting() {
        running.hear();
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(!running.lines_waiting(), "the workload is stopped too");
    signal(pid(&running), "CONT");
    running.hear();
}

#[test]
fn the_node_comes_back_and_the_workload_is_still_there() {
    if !able() {
        return;
    }
    let host = Host::new();
    let mut agent = agent(&host, User::Root);
    assert_eq!(agent.ask("tcp('8.8.8.8', 80)"), "'door 8.8.8.8:80'");
    host.kill_node();
    let heard = agent.ask("tcp('8.8.8.8', 80)");
    assert_eq!(heard, "'ECONNRESET'");
    host.start_node();
    host.wait_until("the resumed claim", |notes| notes.armed == 2);
    assert_eq!(agent.ask("tcp('8.8.8.8', 80)"), "'door 8.8.8.8:80'");
    assert_eq!(host.resumed(), vec!["crawler-0".to_owned()]);
}

#[test]
fn a_node_that_went_away_is_looked_for_often_and_one_that_refuses_seldom() {
    if !able() {
        return;
    }
    let host = Host::new();
    let mut agent = agent(&host, User::Somebody);
    host.kill_node();
    host.again(Again::HungUp);
    host.start_node();
    let between = host.between_claims(4);
    assert!(between >= RETRY, "{between:?}");
    assert!(between < RETRY_REFUSED / 2, "{between:?}");
    host.again(Again::Refused);
    let between = host.between_claims(2);
    assert!(between >= RETRY_REFUSED, "{between:?}");
    // It is taken back without end.
    host.again(Again::Granted);
    host.wait_until("the resumed claim", |notes| notes.armed == 2);
    assert_eq!(agent.ask("tcp('8.8.8.8', 80)"), "'door 8.8.8.8:80'");
}

#[test]
fn inbound_sockets_are_refilled_while_the_workload_runs() {
    if !able() {
        return;
    }
    let host = Host::new();
    let mut agent = agent(&host, User::Somebody);
    let before = host.notes().inbound.len();
    host.need(40, 30);
    host.wait_until("the keeper's sockets", |notes| {
        notes.inbound.len() == before + 70
    });
    assert!(
        host.notes().rejected.is_empty(),
        "{:?}",
        host.notes().rejected
    );
    assert_eq!(agent.ask("1"), "1");
}

#[test]
fn refusals_exit_with_the_code_of_their_kind_and_name_the_fix() {
    if !able() {
        return;
    }
    let host = Host::new();
    let outside = host.state.path().join("agent.sh");
    std::fs::write(&outside, "#!/bin/sh\necho hi\n").unwrap();
    support::open_to_all(&outside);
    let outside = outside.to_str().unwrap();
    for user in BOTH {
        for (command, code, words) in [
            (vec!["no-such-program"], 127, "was not found"),
            (vec!["/nowhere/at/all"], 127, "was not found"),
            (vec!["/etc/passwd"], 126, "cannot be executed"),
            (vec!["/usr"], 126, "is a directory"),
            (vec![outside], 127, outside),
        ] {
            let output = host.run(user, &command);
            let (out, err) = texts(&output);
            assert_eq!(output.status.code(), Some(code), "{command:?}: {err}");
            assert!(
                err.starts_with("ringfence: ") && err.contains(words) && err.contains("help: "),
                "{err}"
            );
            assert!(out.is_empty());
            if words == outside {
                assert!(
                    err.contains(&format!("filesystem: {{ read: [{outside}] }}")),
                    "{err}"
                );
            }
        }
        let nothing = tempfile::tempdir().unwrap();
        let mut command = host.command(user, &[], &["true"]);
        let _ = &mut command;
        drop(nothing);
    }
    // No node.
    let empty = tempfile::tempdir().unwrap();
    let launcher = host.launcher();
    let output = Command::new(launcher)
        .arg(empty.path())
        .args(["crawler", "--", "true"])
        .output()
        .unwrap();
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(125));
    assert!(err.contains("ringfence up"), "{err}");
    assert_eq!(output.status.signal(), None);
}

#[test]
fn a_missing_interpreter_is_named() {
    if !able() {
        return;
    }
    let host = Host::new();
    let work = host.state.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let interpreter = host.state.path().join("python");
    std::fs::copy("/bin/true", &interpreter).unwrap();
    std::fs::write(work.join("agent"), format!("#!{}\n", interpreter.display())).unwrap();
    support::open_to_all(&work.join("agent"));
    let output = host
        .command(
            User::Root,
            &["--workdir", work.to_str().unwrap()],
            &["./agent"],
        )
        .output()
        .unwrap();
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(127), "{err}");
    assert!(
        err.contains(&format!("read: [{}]", interpreter.display())),
        "{err}"
    );
}
