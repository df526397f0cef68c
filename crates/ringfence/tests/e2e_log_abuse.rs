//! What somebody with the disk can do to the log while traffic runs: fill it, remove its segment or all of it, cut the segment that is
//! mapped, put another file in its place. Attempts are refused at once, nothing crashes, and it goes on once that is mended. And
//! nobody else writes to it: not a second enforcer, not a second node, not one on a copy.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;
mod e2e_traffic;

use std::path::Path;
use std::time::{Duration, Instant};

use e2e_support::options;
use e2e_traffic::{Recorded, Traffic, seen};
use ringfence_testbed::Node;
use serde_json::Value;

/// For a change to be noticed: the writer looks at its file each 10 ms while it records, at its name each second.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);

/// Runs a script as root of the host. `$0` is the directory of segments, `$1` the one in use.
fn script(node: &Node, script: &str) {
    let hot = node.state().join("log/hot");
    let list = r#"ls "$0" | grep '[.]seg$' | tail -1"#;
    let hot = hot.to_str().unwrap();
    let last = node
        .host()
        .run_as_root(["sh", "-c", list, hot])
        .unwrap()
        .stdout;
    let last = Path::new(hot).join(last.trim());
    let words = ["sh", "-ec", script, hot, last.to_str().unwrap()];
    node.host().run_as_root(words).unwrap().ok();
}

fn trouble(node: &Node) -> Option<String> {
    let (code, status) = node.status().unwrap();
    let trouble = status["log"]["trouble"].as_str().map(str::to_owned);
    if trouble.is_some() {
        assert_eq!(code, 5, "{status}");
    }
    trouble
}

/// Waits until the log takes nothing; what it says.
fn denies(node: &Node) -> String {
    let told = node
        .await_that("the trouble", |node| Ok(trouble(node)))
        .unwrap();
    // Since then nothing passes.
    let before = seen(node).len();
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(seen(node).len(), before, "{told}: requests arrive");
    told
}

/// Waits until requests arrive again.
fn flows_again(node: &Node) {
    let before = seen(node).len();
    let deadline = Instant::now() + Duration::from_secs(15);
    while seen(node).len() < before + 50 {
        let status = node.status().unwrap().1;
        assert!(
            Instant::now() < deadline,
            "it does not recover: {status}\n{}",
            node.messages()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    node.await_that("no trouble", |node| {
        Ok(trouble(node).is_none().then_some(()))
    })
    .unwrap();
}

/// A node whose state has so much room, with traffic.
fn start(size: &str) -> (Node, Traffic) {
    let node = options().state_size(size).start().unwrap();
    let traffic = Traffic::start(&node, 2);
    flows_again(&node);
    (node, traffic)
}

/// What is signed by now cannot be made not to have been.
fn is_signed(node: &Node) {
    node.await_that("a checkpoint", |node| {
        let signed = node.status()?.1["log"]["signed"].as_u64();
        Ok(signed.filter(|signed| *signed > 100))
    })
    .unwrap();
}

/// Ends both. What is in the log, of which every request that arrived has a record.
fn end(mut node: Node, mut traffic: Traffic) -> (Node, Recorded) {
    traffic.end();
    node.stop().unwrap();
    let log = recorded(&node);
    log.has_all(&seen(&node));
    (node, log)
}

/// From inside the host: its state is mounted there.
fn recorded(node: &Node) -> Recorded {
    let output = node.verb("observe", &["-o", "json"]).unwrap().ok();
    Recorded::of(output.stdout.lines())
}

fn verify(node: &Node) -> (Option<i32>, Value, String) {
    let output = node.verb("audit verify", &["-o", "json"]).unwrap();
    let report = serde_json::from_str(&output.stdout).unwrap_or(Value::Null);
    (output.code, report, output.stderr)
}

fn unrecorded(log: &Recorded) -> u64 {
    let told = log
        .events
        .iter()
        .filter(|(what, ..)| what == "unrecorded denials");
    told.map(|(_, _, count)| count).sum()
}

/// It takes records again in the same process, has counted what it refused, and verifies.
fn recovers(node: Node, traffic: Traffic, before: u32) {
    flows_again(&node);
    assert_eq!(node.enforcer().unwrap(), before);
    let (node, log) = end(node, traffic);
    assert!(unrecorded(&log) > 0);
    assert_eq!(verify(&node).0, Some(0), "{:?}", verify(&node));
}

#[test]
fn a_disk_that_is_filled_under_traffic_denies_and_goes_on_in_the_same_process() {
    let (node, traffic) = start("12m");
    let before = node.enforcer().unwrap();
    script(
        &node,
        r#"dd if=/dev/zero of="$0/../../fill" bs=64k 2>/dev/null || true"#,
    );
    // What was set aside beforehand is used up first.
    let deadline = Instant::now() + Duration::from_secs(60);
    while trouble(&node).is_none() {
        assert!(Instant::now() < deadline, "{}", node.status().unwrap().1);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(denies(&node).contains("no room"));
    script(&node, r#"rm "$0/../../fill""#);
    recovers(node, traffic, before);
}

#[test]
fn a_segment_that_is_removed_under_traffic_is_written_again_and_nothing_is_lost() {
    let (node, traffic) = start("48m");
    let before = node.enforcer().unwrap();
    script(&node, r#"rm "$1""#);
    let deadline = Instant::now() + NOTICED_WITHIN;
    // There again, under its name.
    while script_fails(&node, r#"test -s "$1""#) {
        assert!(Instant::now() < deadline, "{:?}", trouble(&node));
        std::thread::sleep(Duration::from_millis(20));
    }
    flows_again(&node);
    assert_eq!(node.enforcer().unwrap(), before);
    let (node, log) = end(node, traffic);
    let again = log.events.iter().filter(|(what, why, _)| {
        what == "flow log repaired" && why.contains("written again from memory")
    });
    assert_eq!(again.count(), 1, "{:?}", log.events);
    assert_eq!(verify(&node).0, Some(0), "{:?}", verify(&node));
}

/// Puts the segments on a disk of their own, an ext4 on a loop device, after a file that fills its first blocks.
const ONTO_A_DISK: &str = r#"
mv "$0" "$0.was"; cd "$0.was/.."; mkdir hot
truncate -s 64m ../disk
mkfs.ext4 -q -b 4096 -N 128 -O ^has_journal,^resize_inode ../disk
mount -o loop,errors=continue ../disk hot
dd if=/dev/zero of=hot/first bs=1M count=4 status=none
cp -a hot.was/. hot/; chown --reference=hot.was hot; chmod --reference=hot.was hot; rm -r hot.was; sync -f hot
"#;

/// Gives the device so many bytes of its file; 0: all.
fn limit(node: &Node, bytes: u64) {
    let python = format!(
        r#"python3 - "$0" <<'END'
import fcntl, struct, subprocess, sys
device = subprocess.check_output(["findmnt", "-no", "SOURCE", sys.argv[1]], text=True).strip()
with open(device, "rb") as loop:
    told = bytearray(fcntl.ioctl(loop, 0x4C05, bytes(232)))
    struct.pack_into("<Q", told, 32, {bytes})
    fcntl.ioctl(loop, 0x4C04, bytes(told))
END"#
    );
    script(node, &python);
}

/// The enforcer may do all that this takes, behind its walls.
#[test]
fn a_disk_that_fails_under_traffic_denies_and_all_is_written_again_by_the_same_process() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a loop device takes root");
        return;
    }
    let mut node = options().state_size("160m").start().unwrap();
    node.stop().unwrap();
    script(&node, ONTO_A_DISK);
    node.up().unwrap();
    let traffic = Traffic::start(&node, 2);
    flows_again(&node);
    is_signed(&node);
    let before = node.enforcer().unwrap();
    // What the file system knows of itself has its room.
    script(&node, r#"sync -f "$0""#);
    limit(&node, 4 << 20);
    assert!(denies(&node).contains("Input/output error"));
    let signed = || node.status().unwrap().1["log"]["signed"].as_u64();
    let (first, wait) = (signed(), Duration::from_millis(2500));
    std::thread::sleep(wait);
    assert_eq!(signed(), first, "signed, and not on the disk");
    limit(&node, 0);
    flows_again(&node);
    assert_eq!(node.enforcer().unwrap(), before);
    assert_eq!(node.status().unwrap().1["log"]["lost"], Value::Null);
    let (node, log) = end(node, traffic);
    let again = log.events.iter().filter(|(what, why, _)| {
        what == "flow log repaired" && why.contains("were written again from memory")
    });
    assert!(again.count() > 0, "{:?}", log.events);
    assert!(unrecorded(&log) > 0);
    // The same from the disk alone.
    let away = r#"cd "$0/.."; umount hot; mount -o loop ../disk hot"#;
    script(&node, away);
    recorded(&node).has_all(&seen(&node));
    assert_eq!(verify(&node).0, Some(0), "{:?}", verify(&node));
}

fn script_fails(node: &Node, test: &str) -> bool {
    let hot = node.state().join("log/hot");
    let words =
        r#"set -- $(ls "$0"/*.seg 2>/dev/null | tail -1); [ -n "$1" ] && "#.to_owned() + test;
    let done = node
        .host()
        .run_as_root(["sh", "-c", &words, hot.to_str().unwrap()]);
    done.unwrap().code != Some(0)
}

#[test]
fn a_mapped_segment_that_is_cut_under_traffic_denies_at_once_and_crashes_nothing() {
    let (mut node, traffic) = start("48m");
    let before = node.enforcer().unwrap();
    is_signed(&node);
    script(&node, r#"truncate -s 4096 "$1""#);
    let cut = Instant::now();
    let told = denies(&node);
    assert!(cut.elapsed() < NOTICED_WITHIN, "{:?}", cut.elapsed());
    assert!(
        told.contains("not as it was left") && told.contains("restart the node"),
        "{told}"
    );
    assert_eq!(node.enforcer().unwrap(), before, "it has crashed");
    // As it says.
    node.stop().unwrap();
    node.up().unwrap();
    flows_again(&node);
    let mut traffic = traffic;
    traffic.end();
    node.stop().unwrap();
    // What somebody cut off is gone, and everybody is told: the log itself, and who verifies it.
    let output = node.verb("observe", &["-o", "json"]).unwrap();
    assert!(output.stderr.contains("are not in"), "{}", output.stderr);
    assert!(output.stdout.contains("damaged"), "{}", output.stdout.len());
    let (code, report, said) = verify(&node);
    assert_eq!(code, Some(6), "{report}");
    assert!(said.contains("missing"), "{said}");
}

#[test]
fn a_log_whose_directory_is_removed_under_traffic_denies_until_the_node_is_restarted() {
    let (mut node, traffic) = start("48m");
    let before = node.enforcer().unwrap();
    is_signed(&node);
    script(&node, r#"rm -r "$0""#);
    denies(&node);
    assert_eq!(node.enforcer().unwrap(), before, "it has crashed");
    node.stop().unwrap();
    node.up().unwrap();
    flows_again(&node);
    let mut traffic = traffic;
    traffic.end();
    node.stop().unwrap();
    // The numbers that were signed are not given again.
    let output = node.verb("observe", &["-o", "json"]).unwrap().ok();
    let first: Value = serde_json::from_str(output.stdout.lines().next().unwrap()).unwrap();
    assert!(first["seq"].as_u64().unwrap() > 0, "{first}");
    assert!(
        output.stdout.contains("someone removed them"),
        "{}",
        output.stderr
    );
    let (code, report, said) = verify(&node);
    assert_eq!(code, Some(6), "{report} {said}");
}

#[test]
fn another_file_in_the_place_of_a_segment_denies_until_it_is_moved_away() {
    let (node, traffic) = start("48m");
    let before = node.enforcer().unwrap();
    script(&node, r#"cp "$1" "$0/copy" && mv "$0/copy" "$1""#);
    let told = denies(&node);
    assert!(told.contains("replaced by another file"), "{told}");
    script(&node, r#"mv "$1" "$0/../moved""#);
    recovers(node, traffic, before);
}

#[test]
fn a_second_writer_is_refused_in_words_and_disturbs_nobody() {
    let mut node = options().start().unwrap();
    let mut traffic = Traffic::start(&node, 1);
    flows_again(&node);
    let before = node.enforcer().unwrap();
    let state = node.state().display().to_string();
    let config = node.config().display().to_string();
    let binary = node.binary().display().to_string();
    // A second enforcer, started by somebody who knows how: descriptor 3 is its channel.
    let enforcer = r#"exec "$0" enforcer --log "$1/log""#;
    let python = "import os, socket, sys\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)\nos.dup2(b.fileno(), 3)\n\
                  os.execv('/bin/sh', ['sh', '-c', sys.argv[1], *sys.argv[2:]])";
    let words = ["/usr/bin/python3", "-c", python, enforcer, &binary, &state];
    let second = node.host().run(words).unwrap();
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second.stderr.contains("has a writer already")
            && second.stderr.contains("stop the node that uses it"),
        "{second:?}"
    );
    // A second node.
    let words = [
        binary.as_str(),
        "up",
        "--config",
        &config,
        "--state",
        &state,
    ];
    let second = node.host().run(words).unwrap();
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("in use"), "{second:?}");
    // A second node whose log is the first one's: it serves nothing.
    let other = node.host().directory("other").unwrap();
    let link = r#"chmod 700 "$1" && ln -s "$0/log" "$1/log" && timeout 4 "$2" up --config "$3" --state "$1""#;
    let other = other.to_str().unwrap();
    let words = ["sh", "-c", link, &state, other, &binary, &config];
    let second = node.host().run(words).unwrap();
    assert!(!second.stdout.contains("is up"), "{second:?}");
    flows_again(&node);
    assert_eq!(node.enforcer().unwrap(), before);
    traffic.end();
    node.stop().unwrap();
    let log = Recorded::read(node.state());
    log.has_all(&seen(&node));
    assert_eq!(verify(&node).0, Some(0), "{:?}", verify(&node));
}

#[test]
fn a_node_on_a_copied_state_leaves_the_first_alone_and_its_future_is_found_to_be_another() {
    let mut node = options().start().unwrap();
    let mut traffic = Traffic::start(&node, 1);
    flows_again(&node);
    let copy = node.host().path().join("copied").display().to_string();
    let (state, config) = (
        node.state().display().to_string(),
        node.config().display().to_string(),
    );
    let binary = node.binary().display().to_string();
    let words = ["sh", "-c", r#"cp -a "$0" "$1""#, &state, &copy];
    node.host().run(words).unwrap().ok();
    let script = r#"exec "$0" up --config "$1" --state "$2""#;
    let beside = node
        .host()
        .start(["sh", "-c", script, &binary, &config, &copy])
        .unwrap();
    beside
        .wait_stdout("ringfence is up", Duration::from_secs(20))
        .unwrap();
    flows_again(&node);
    traffic.end();
    node.stop().unwrap();
    let log = Recorded::read(node.state());
    log.has_all(&seen(&node));
    assert_eq!(verify(&node).0, Some(0), "{:?}", verify(&node));
    drop(beside);
    // Whoever kept the first one's checkpoint is not deceived by the copy.
    let kept = node
        .host()
        .path()
        .join("kept.checkpoint")
        .display()
        .to_string();
    let keep = r#"cp "$0/log/checkpoint" "$1""#;
    node.host()
        .run(["sh", "-c", keep, &state, &kept])
        .unwrap()
        .ok();
    let words = [
        &binary,
        "audit",
        "verify",
        "--state",
        &copy,
        "--checkpoint",
        &kept,
    ];
    let copied = node.host().run(words).unwrap();
    assert_eq!(copied.code, Some(6), "{copied:?}");
    assert!(
        copied.stderr.contains("rolled back") || copied.stderr.contains("forked"),
        "{copied:?}"
    );
}

#[test]
fn a_node_that_starts_while_a_dying_one_holds_the_log_waits_for_it() {
    let mut node = options().start().unwrap();
    node.kill().unwrap();
    let lock = node.state().join("log/hot/lock").display().to_string();
    let script = r#"exec 9<"$0" && flock -x 9 && echo held && sleep 0.7"#;
    let dying = node.host().start(["sh", "-c", script, &lock]).unwrap();
    dying.wait_stdout("held", Duration::from_secs(10)).unwrap();
    let since = Instant::now();
    node.up().unwrap();
    assert!(
        since.elapsed() < Duration::from_secs(4),
        "{:?}",
        since.elapsed()
    );
    assert!(
        node.messages().contains("has a writer already"),
        "{}",
        node.messages()
    );
    assert_eq!(node.status().unwrap().0, 0);
}
