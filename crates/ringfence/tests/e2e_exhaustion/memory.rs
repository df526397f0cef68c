//! Memory, all of it together, by the control group that the node makes for each compartment.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ringfence_testbed::{Caller, Neighbour, Node};

use crate::ground::{node, ready, start, unnoticed};

/// More than the 96 MiB that a glutton may have, in each way that memory can be taken.
const WAYS: [(&str, &str); 5] = [
    (
        "a process",
        "kept = [bytearray(b'x' * (1 << 20)) for _ in range(400)]",
    ),
    (
        // Each less than a half of it; ended together.
        "many processes",
        "for _ in range(12):\n    if os.fork() == 0:\n        kept = bytearray(b'x' * (40 << 20))\n        time.sleep(60)\ntime.sleep(60)",
    ),
    (
        "files in /tmp",
        "with open('/tmp/big', 'wb') as file:\n    for _ in range(400):\n        file.write(b'x' * (1 << 20))",
    ),
    (
        "files in no directory",
        "kept = os.memfd_create('big')\nfor _ in range(400):\n    os.write(kept, b'x' * (1 << 20))",
    ),
    (
        "shared memory that nobody maps",
        "for _ in range(400):\n    key = libc.shmget(0, 1 << 20, 0o600)\n    at = libc.shmat\n    at.restype = ctypes.c_void_p\n    place = at(key, None, 0)\n    ctypes.memset(place, 1, 1 << 20)\n    libc.shmdt(ctypes.c_void_p(place))",
    ),
];

/// Groups of this node, wherever they are.
fn groups(node: &Node) -> Vec<PathBuf> {
    fn look(directory: &Path, prefix: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                found.push(path);
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                look(&path, prefix, found);
            }
        }
    }
    let state = fs::metadata(node.state()).unwrap();
    let prefix = format!("ringfence-{:x}-{:x}-", state.dev(), state.ino());
    let mut found = Vec::new();
    look(Path::new("/sys/fs/cgroup"), &prefix, &mut found);
    found
}

fn of_glutton(node: &Node) -> PathBuf {
    let found = groups(node).into_iter();
    let mut found = found.filter(|path| path.to_string_lossy().contains("-glutton-"));
    let group = found.next().unwrap();
    assert_eq!(found.next(), None);
    group
}

fn gone(node: &Node, group: &Path) {
    node.await_that("the end of a control group", |_| {
        Ok((!group.exists()).then_some(()))
    })
    .unwrap();
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs control groups of version 2: `make test-vm`"]
fn who_takes_more_memory_than_it_may_is_ended_whole_and_nobody_else_notices() {
    for caller in Caller::available() {
        let node = node(caller);
        let neighbour = Neighbour::start(&node).unwrap();
        for (way, program) in WAYS {
            let before = node.head().unwrap();
            let ended = unnoticed(&node, &neighbour, || start(&node, program).wait().unwrap());
            assert_eq!(
                ended.code,
                Some(137),
                "{way}: {}{}",
                ended.stdout,
                ended.stderr
            );
            let told = "the workload needed more memory than its 96 MiB, and was ended";
            assert!(ended.stderr.contains(told), "{way}: {}", ended.stderr);
            node.wait_for_flow(|record| {
                record.seq >= before
                    && record.operation == "memory bound reached"
                    && record.source == "glutton"
                    && record.reason.contains("needed more memory")
            })
            .unwrap();
            node.await_that("the end of the group", |node| {
                let left = groups(node);
                let left = left
                    .iter()
                    .any(|path| path.to_string_lossy().contains("-glutton-"));
                Ok((!left).then_some(()))
            })
            .unwrap();
        }
    }
}

#[test]
#[ignore = "needs control groups of version 2: `make test-vm`"]
fn everything_inside_is_in_a_group_with_the_bounds_of_its_resource() {
    for caller in Caller::available() {
        let node = node(caller);
        let program =
            "if os.fork() == 0:\n    os.setsid()\nprint('ready', flush=True)\ntime.sleep(60)";
        let glutton = ready(&node, program);
        let group = of_glutton(&node);
        for (file, bound) in [
            ("memory.max", (96 << 20).to_string()),
            ("memory.swap.max", "0".to_owned()),
            ("memory.oom.group", "1".to_owned()),
            ("pids.max", "64".to_owned()),
        ] {
            if file != "memory.swap.max" || group.join(file).exists() {
                assert_eq!(text(&group.join(file)), bound, "{file}");
            }
        }
        // Process 1, the program, and its child; not the launcher, nor its keeper.
        let inside = text(&group.join("cgroup.procs"));
        assert_eq!(inside.lines().count(), 3, "{inside}");
        let (_, status) = node.status().unwrap();
        let shown = status.to_string();
        assert!(
            shown.contains("control group: 96 MiB of memory, 64 processes"),
            "{shown}"
        );
        assert!(!shown.contains("memory is not bounded"), "{shown}");
        let check = node.verb("check", &["--pre"]).unwrap();
        assert!(
            check
                .stdout
                .contains("bounded by a control group of its own"),
            "{}",
            check.stdout
        );
        node.host().signal("KILL", glutton.pid).unwrap();
        gone(&node, &group);
    }
}

#[test]
#[ignore = "needs control groups of version 2: `make test-vm`"]
fn whoever_is_killed_no_group_stays() {
    for caller in Caller::available() {
        let mut node = node(caller);
        let sleeper = "print('ready', flush=True)\ntime.sleep(600)";
        // The launcher.
        let glutton = ready(&node, sleeper);
        let group = of_glutton(&node);
        node.host().signal("KILL", glutton.pid).unwrap();
        gone(&node, &group);
        drop(glutton);
        // The node: the workload lives on in its group, and the next node knows of it.
        let mut glutton = ready(&node, sleeper);
        let group = of_glutton(&node);
        node.kill().unwrap();
        node.up().unwrap();
        assert_eq!(of_glutton(&node), group);
        assert!(glutton.process.is_running().unwrap());
        node.host().signal("KILL", glutton.pid).unwrap();
        gone(&node, &group);
        drop(glutton);
        // Both, and the node's table of instances is lost as well.
        let glutton = ready(&node, sleeper);
        let group = of_glutton(&node);
        node.kill().unwrap();
        node.host().signal("KILL", glutton.pid).unwrap();
        drop(glutton);
        fs::write(node.state().join("instances.json"), "{").unwrap();
        assert!(group.exists());
        node.up().unwrap();
        gone(&node, &group);
    }
}

#[test]
#[ignore = "needs control groups of version 2: `make test-vm`"]
fn a_bound_of_a_group_that_is_stepped_over_holds_as_well() {
    let Some(caller) = Caller::available()
        .into_iter()
        .find(|it| *it == Caller::Root)
    else {
        return;
    };
    let node = node(caller);
    // As a service manager would: the launcher in a group with a bound of its own.
    let unit = PathBuf::from(format!(
        "/sys/fs/cgroup/ringfence-test-{}",
        std::process::id()
    ));
    fs::create_dir(&unit).unwrap();
    fs::write(unit.join("memory.max"), (48_u64 << 20).to_string()).unwrap();
    let launch = node.workload("glutton");
    let words = launch.words(&[crate::ground::PYTHON, "-c", "import time; time.sleep(60)"]);
    let move_in = format!(
        "echo $$ > {}/cgroup.procs; exec \"$0\" \"$@\"",
        unit.display()
    );
    let mut line = vec!["sh".to_owned(), "-c".to_owned(), move_in];
    line.extend(words);
    let pid_file = node.host().directory("pids").unwrap().join("glutton");
    let mut running = node
        .host()
        .as_caller(Some(&pid_file), line)
        .spawn()
        .unwrap();
    let group = node
        .await_that("the glutton's group", |node| Ok(groups(node).pop()))
        .unwrap();
    assert_eq!(group.parent(), unit.parent());
    assert_eq!(text(&group.join("memory.max")), (48_u64 << 20).to_string());
    let launcher: u32 = text(&pid_file).parse().unwrap();
    node.host().signal("KILL", launcher).unwrap();
    running.wait().unwrap();
    gone(&node, &group);
    node.await_that(
        "the end of the launcher",
        |_| Ok(fs::remove_dir(&unit).ok()),
    )
    .unwrap();
}
