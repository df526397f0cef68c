//! Processes: the bound holds with and without a control group, and a fork bomb costs its own compartment.

use std::process::Command;

use ringfence_testbed::{Caller, Neighbour};

use crate::ground::{node, ready, said, unnoticed};

/// Forks until it may not, in each process that there is, then says how many there are.
const BOMB: &str = r#"
def burst():
    while True:
        try:
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
        except OSError as error:
            return errno.errorcode[error.errno]

first = os.getpid()
error = burst()
if os.getpid() != first:
    # Goes on to the end of the test, whenever another one ends.
    while True:
        time.sleep(0.05)
        burst()
time.sleep(0.5)
print("refused", error, flush=True)
print("processes", sum(name.isdigit() for name in os.listdir("/proc")), flush=True)
print("ready", flush=True)
time.sleep(600)
"#;

#[test]
fn a_fork_bomb_stops_at_the_bound_of_its_compartment_and_ends_with_it() {
    for caller in Caller::available() {
        let node = node(caller);
        let neighbour = Neighbour::start(&node).unwrap();
        let bomb = unnoticed(&node, &neighbour, || {
            let bomb = ready(&node, BOMB);
            // The host goes on making processes.
            for _ in 0..20 {
                assert!(Command::new("true").status().unwrap().success());
            }
            bomb
        });
        assert_eq!(said(&bomb, "refused"), "EAGAIN");
        let processes: u32 = said(&bomb, "processes").parse().unwrap();
        assert!((60..=64).contains(&processes), "{processes} of 64");
        let inside = node
            .host()
            .run(["pgrep", "-c", "-f", "[g]lutton.py"])
            .unwrap();
        assert!(inside.stdout.trim().parse::<u32>().unwrap() >= processes - 1);
        node.host().signal("KILL", bomb.pid).unwrap();
        node.await_that("the end of all of them", |node| {
            let left = node.host().run(["pgrep", "-f", "[g]lutton.py"])?;
            Ok(left.stdout.trim().is_empty().then_some(()))
        })
        .unwrap();
    }
}

#[test]
fn who_is_ended_first_when_memory_is_short_cannot_be_changed_from_inside() {
    for caller in Caller::available() {
        let node = node(caller);
        let glutton = ready(
            &node,
            r#"
print("score", open("/proc/self/oom_score_adj").read().strip(), flush=True)
for place in ("/proc/self/oom_score_adj", "/proc/self/oom_adj"):
    for value in ("-1000", "0", "-17"):
        error = refusal(lambda: open(place, "w").write(value))
        print("lowered" if error is None else "held", flush=True)
print("score now", open("/proc/self/oom_score_adj").read().strip(), flush=True)
print("group", open("/proc/self/cgroup").read().strip().splitlines()[-1], flush=True)
print("ready", flush=True)
time.sleep(600)
"#,
        );
        assert!(
            !glutton.process.stdout().contains("lowered"),
            "{}",
            glutton.process.stdout()
        );
        assert_eq!(said(&glutton, "score now"), "500");
        // Its own group is all it sees.
        assert_eq!(said(&glutton, "group"), "0::/");
        // Those whom it must not take along.
        let score = |pid: u32| {
            let path = format!("/proc/{pid}/oom_score_adj");
            let told = node.host().run_as_root(["cat", &path]).unwrap();
            told.stdout.trim().parse::<i32>().unwrap()
        };
        let own: i32 = std::fs::read_to_string("/proc/self/oom_score_adj")
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        for pid in [node.pid(), node.enforcer().unwrap(), glutton.pid] {
            assert_eq!(score(pid), own);
        }
    }
}
