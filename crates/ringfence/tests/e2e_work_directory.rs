//! One work directory, one compartment: whoever starts the second, by whatever path, from whichever node, in the same
//! instant; and a work directory that somebody exchanges for a link during the start.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e_support::{PYTHON, options, start_as};
use ringfence_testbed::{Caller, Node, Running};

/// Notes that it has the directory, and fails where another has it at the same time.
const SOLE: &str = r#"
import os, sys, time
try:
    os.mkdir("/work/taken")
except FileExistsError:
    print("two at a time", flush=True)
time.sleep(0.3)
os.rmdir("/work/taken")
"#;

fn start(node: &Node, path: &Path) -> Running {
    let launch = node.workload("agent").workdir(path);
    launch.spawn(&[PYTHON, "-c", SOLE]).unwrap()
}

#[test]
fn of_two_that_start_in_the_same_instant_one_has_the_directory() {
    for caller in Caller::available() {
        let node = start_as(caller);
        let path = node.host().directory("shared").unwrap();
        let inner = node.host().directory("shared/inner").unwrap();
        let link = node.host().path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for second in [&path, &link, &inner] {
            for _ in 0..4 {
                let mut both = [start(&node, &path), start(&node, second)];
                let ended = both.each_mut().map(|it| it.wait().unwrap());
                let ran = ended.iter().filter(|it| it.code == Some(0)).count();
                // Each may have been seen by the other before it could look: then both are refused.
                assert!(ran <= 1, "{caller:?} {second:?}: {ended:?}");
                for it in &ended {
                    assert!(!it.stdout.contains("two at a time"), "{ended:?}");
                    let why = ["is in use by", "lies in", "holds the work"];
                    let told = why.iter().any(|why| it.stderr.contains(why));
                    assert!(it.code == Some(0) || told, "{ended:?}");
                }
            }
        }
        // The control: one after the other both run.
        for _ in 0..2 {
            assert_eq!(start(&node, &path).wait().unwrap().code, Some(0));
        }
    }
}

/// A second node of the same host: the claim is the host's, not a node's.
#[test]
fn two_nodes_do_not_give_out_one_directory_twice() {
    for caller in Caller::available() {
        let node = options().caller(caller).start().unwrap();
        let path = node.host().directory("shared").unwrap();
        let state = node.host().path().join("state-2").display().to_string();
        let config = node.config().display().to_string();
        let binary = node.binary().display().to_string();
        let up = [&binary, "up", "--config", &config, "--state", &state];
        let second = node.host().start(up).unwrap();
        second
            .wait_stdout("ringfence is up", Duration::from_secs(30))
            .unwrap();
        let work = path.display().to_string();
        let there = |program: &[&str]| {
            let mut words = vec![
                &*binary,
                "run",
                "agent",
                "--state",
                &state,
                "--workdir",
                &work,
                "--",
            ];
            words.extend(program);
            node.host().run(words).unwrap()
        };
        let launch = node.workload("agent").workdir(&path).open_stdin();
        let mut here = launch.spawn(&["sh", "-c", "echo runs; read end"]).unwrap();
        here.wait_until_it_says("runs").unwrap();
        let refused = there(&["true"]);
        assert!(
            refused.code == Some(125) && refused.stderr.contains("is in use by"),
            "{refused:?}"
        );
        here.process.close_stdin();
        here.wait().unwrap();
        let free = there(&["true"]);
        assert_eq!(free.code, Some(0), "{free:?}");
    }
}

/// Exchanges the directory for a link to the secret and back, as fast as it can.
fn exchange(work: &Path, secret: &Path, stop: &AtomicBool) -> u64 {
    let (aside, link) = (work.with_extension("aside"), work.with_extension("link"));
    let _from_before = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(secret, &link).unwrap();
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        std::fs::rename(work, &aside).unwrap();
        std::fs::rename(&link, work).unwrap();
        std::fs::rename(work, &link).unwrap();
        std::fs::rename(&aside, work).unwrap();
        rounds += 1;
        // A start is refused where the directory is not there: leave it there most of the time.
        std::thread::sleep(Duration::from_micros(300));
    }
    rounds
}

/// Ends the exchanging, also when the test fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_work_directory_exchanged_for_a_link_during_the_start_shows_nothing_else() {
    for caller in Caller::available() {
        let node = start_as(caller);
        let work = node.host().directory("work").unwrap();
        // What no link leads to either: one that is there when the start begins is followed, and its target checked.
        let secret = node.state();
        let stop = AtomicBool::new(false);
        let (mut ran, mut refused) = (0, 0);
        let rounds = std::thread::scope(|scope| {
            let exchanging = scope.spawn(|| exchange(&work, secret, &stop));
            let ends = Ending(&stop);
            for round in 0..40 {
                let launch = node.workload("agent").workdir(&work);
                let output = launch.run(&["ls", "-A", "/work"]).unwrap();
                assert_eq!(output.stdout, "", "{caller:?}, round {round}: {output:?}");
                match output.code {
                    Some(125) => refused += 1,
                    _ => ran += 1,
                }
            }
            drop(ends);
            exchanging.join().unwrap()
        });
        assert!(
            ran > 0 && rounds > 40,
            "{caller:?}: {ran} ran, {refused} refused, {rounds} exchanges"
        );
    }
}
