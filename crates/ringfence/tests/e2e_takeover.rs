//! `up --takeover`: an upgrade with agents running. Their processes are unhurt, nothing passes unrecorded, and a node that
//! could not serve leaves the one that does alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e2e_support::{BINARY, PYTHON, Puppet, policy_without_cache, start, start_as, web, workdir};
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::{Caller, Node, NodeOptions, Running};
use serde_json::{Value, json};

/// For a process to say something, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Numbers its requests, and says how each went.
const COUNTER: &str = r#"
import http.client, json, os, socket, sys, threading, time
address = socket.gethostbyname("web")
told = []
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), over.set()), daemon=True).start()
print("ready", address, flush=True)
number = 0
while not over.wait(0.01):
    number += 1
    conn = http.client.HTTPConnection(address, 8080, timeout=20)
    try:
        conn.request("GET", f"/n/{number}", headers={"host": "web"})
        answer = conn.getresponse()
        answer.read()
        said = answer.status
    except (OSError, http.client.HTTPException) as error:
        said = 0
    finally:
        conn.close()
    told.append([number, said, time.monotonic()])
print(json.dumps({"pid": os.getpid(), "told": told}), flush=True)
"#;

fn counter(node: &Node) -> Running {
    let path = workdir(node, "work-counter", "counter.py", COUNTER);
    let launch = node.workload("agent").workdir(&path).open_stdin();
    let mut running = launch.spawn(&[PYTHON, "-u", "counter.py"]).unwrap();
    running.wait_until_it_says("ready").unwrap();
    running
}

/// What the counter tells: how each request went, and the longest time between two that went well.
fn end(mut counter: Running) -> (BTreeMap<u64, u64>, f64) {
    counter.process.write(b"end\n").unwrap();
    counter.wait().unwrap().ok();
    let said = counter.process.stdout();
    let said: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let told = said["told"].as_array().unwrap();
    let well = told.iter().filter(|one| one[1] == 200);
    let times: Vec<f64> = well.map(|one| one[2].as_f64().unwrap()).collect();
    let gap = times
        .windows(2)
        .map(|two| two[1] - two[0])
        .fold(0.0, f64::max);
    let told = told
        .iter()
        .map(|one| (one[0].as_u64().unwrap(), one[1].as_u64().unwrap()));
    (told.collect(), gap)
}

/// What arrived at the service, and the records that allowed it, each by its number.
fn arrived_and_recorded(node: &Node, service: &Running) -> (Vec<u64>, Vec<u64>) {
    let number = |text: &str| text.strip_prefix("GET /n/").and_then(|n| n.parse().ok());
    let out = service.process.stdout();
    let mut arrived: Vec<u64> = out.lines().filter_map(number).collect();
    let flows = node.flows_where(0, |r| {
        r.kind == RecordKind::Operation && r.outcome == Outcome::Allow
    });
    let flows = flows.unwrap();
    let mut recorded: Vec<u64> = flows.iter().filter_map(|r| number(&r.operation)).collect();
    arrived.sort_unstable();
    recorded.sort_unstable();
    (arrived, recorded)
}

/// A copy of the binary with some of its bytes exchanged: another build, as far as the two can tell.
fn patched(place: &Path, name: &str, from: &str, to: &str) -> PathBuf {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(BINARY).unwrap();
    let mut found = 0;
    let mut at = 0;
    while let Some(next) = bytes[at..]
        .windows(from.len())
        .position(|window| window == from.as_bytes())
    {
        at += next;
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        found += 1;
    }
    assert!(found > 0, "{from} is not in the binary");
    let path = place.join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Which file a process of the host runs.
fn program(node: &Node, pid: u32) -> u64 {
    let found = node
        .host()
        .run_as_root(["stat", "-Lc", "%i", &format!("/proc/{pid}/exe")]);
    found.unwrap().ok().stdout.trim().parse().unwrap()
}

fn all_armed(node: &Node, count: usize) {
    node.await_that("every compartment armed", |node| {
        let status = node.status()?.1;
        let all = status["workloads"].as_array().cloned().unwrap_or_default();
        let armed = all.iter().filter(|one| one["armed"] == true).count();
        Ok((armed == count && all.len() == count).then_some(()))
    })
    .unwrap();
}

fn instances(node: &Node) -> Vec<String> {
    let status = node.status().unwrap().1;
    let all = status["workloads"].as_array().unwrap().iter();
    all.map(|one| one["instance"].to_string()).collect()
}

/// A takeover that is refused: its exit code is 1, and this is what it says.
fn refused(node: &Node) -> String {
    let (mut process, _) = node.start_up(&["--takeover"]).unwrap();
    let output = process.wait(PATIENCE).unwrap();
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(1), ""),
        "{output:?}"
    );
    output.stderr
}

#[test]
fn a_new_binary_takes_over_the_doors_of_running_agents() {
    for caller in Caller::available() {
        let mut node = start_as(caller);
        let service = web(&node);
        let (counter, mut puppet) = (counter(&node), Puppet::start(&node));
        let said = counter.process.stdout();
        let address = said.lines().next().unwrap().replace("ready ", "");
        let before = instances(&node);
        let old = node.pid();

        // As a package manager does: another file under the same name.
        let new = patched(node.host().path(), "new", "0.1.0", "0.1.9");
        let installed = node.binary().to_owned();
        let was = fs::metadata(&installed).unwrap().ino();
        fs::rename(&new, &installed).unwrap();
        let is = fs::metadata(&installed).unwrap().ino();
        // The old node's enforcer is of its own build, also when it is started again.
        let killed = node.kill_enforcer().unwrap();
        let restarted = node.await_enforcer_after(killed).unwrap();
        assert_eq!((program(&node, old), program(&node, restarted)), (was, was));

        std::thread::sleep(Duration::from_millis(300));
        let ended = node.take_over().unwrap();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let handed = format!(
            "stopping to hand over to process {} (version 0.1.9)",
            node.pid()
        );
        assert!(ended.stderr.contains(&handed), "{}", ended.stderr);
        all_armed(&node, 3);
        let enforcer = node.enforcer().unwrap();
        assert_eq!(
            (program(&node, node.pid()), program(&node, enforcer)),
            (is, is)
        );
        assert_eq!(node.status().unwrap().1["version"], "0.1.9");
        assert_eq!(instances(&node), before);

        // The same process, under a policy that only the new node has read.
        node.reload("policy.yaml", &policy_without_cache()).unwrap();
        let told = puppet.tell(json!(["get", "GET", "/items/1"]));
        assert_eq!(told["status"], 200, "{caller:?} {told}");
        std::thread::sleep(Duration::from_millis(300));
        let (told, gap) = end(counter);
        assert!(gap < 10.0, "{caller:?}: {gap} s without an answer");
        eprintln!("{caller:?}: longest gap {gap:.3} s");

        // The last one that was answered has arrived: its line may still be on the way to this test.
        let last = told.iter().rfind(|(_, said)| **said == 200).unwrap().0;
        service
            .process
            .wait_stdout(&format!("GET /n/{last}\n"), PATIENCE)
            .unwrap();
        let (arrived, recorded) = arrived_and_recorded(&node, &service);
        assert!(arrived.windows(2).all(|two| two[0] < two[1]), "replayed");
        let unrecorded: Vec<&u64> = arrived
            .iter()
            .filter(|n| recorded.binary_search(n).is_err())
            .collect();
        assert_eq!(unrecorded, Vec::<&u64>::new(), "{caller:?}");
        for (number, said) in &told {
            let came = arrived.binary_search(number).is_ok();
            assert!(
                *said != 200 || came,
                "{number} was answered and did not arrive"
            );
        }
        // What was tried meanwhile was turned away at the door, at once; each try, well or not, is one connection.
        let refused = told.values().filter(|said| **said != 200).count();
        assert!(refused > 0, "{caller:?}");
        let door = format!("{}:8080", address.trim());
        let tries = node.flows_where(0, |r| {
            r.kind == RecordKind::Connection && r.original_destination == door
        });
        let tries = tries.unwrap();
        let turned_away = tries.iter().filter(|r| r.reason.contains("away")).count();
        assert!(turned_away > 0, "{tries:?}");
        assert_eq!(
            e2e_support::attempts(&tries),
            told.len() as u64,
            "{refused} refused, {turned_away} turned away"
        );
        let events = node
            .flows_where(0, |r| r.operation.starts_with("node "))
            .unwrap();
        let reasons: Vec<&str> = events.iter().map(|r| r.reason.as_str()).collect();
        let handed = format!("to hand over to process {} (version 0.1.9)", node.pid());
        let took = format!("version 0.1.9, took over from process {old}");
        assert!(
            reasons.contains(&handed.as_str()) && reasons.contains(&took.as_str()),
            "{reasons:?}"
        );
    }
}

#[test]
fn a_node_that_could_not_serve_leaves_the_running_one_alone() {
    let mut node = start();
    let service = web(&node);
    let counter = counter(&node);
    let before = (node.pid(), node.enforcer().unwrap());

    let second = node.start_up(&[]).unwrap().0.wait(PATIENCE).unwrap();
    assert_eq!(second.code, Some(1));
    assert!(
        second.stderr.contains("--takeover") && second.stderr.contains("process "),
        "{second:?}"
    );
    node.write("policy.yaml", "kind: Nonsense\n").unwrap();
    let said = refused(&node);
    assert!(
        said.contains("left alone") && said.contains("policy.yaml:1"),
        "{said}"
    );
    node.write("policy.yaml", e2e_support::POLICY).unwrap();
    // A binary whose enforcer does not start.
    let good = node.binary().to_owned();
    let broken = patched(
        node.host().path(),
        "broken",
        "/proc/self/exe",
        "/proc/self/eve",
    );
    node.set_binary(broken);
    let said = refused(&node);
    assert!(
        said.contains("an enforcer of this binary does not serve"),
        "{said}"
    );
    node.set_binary(good);
    // A port that somebody else has.
    let taken = node
        .host()
        .start([PYTHON, "-uc", "import socket,sys; s=socket.create_server(('127.0.0.1',9464)); print('has it'); sys.stdin.read()"])
        .unwrap();
    taken.wait_stdout("has it", PATIENCE).unwrap();
    let (mut process, _) = node
        .start_up(&["--takeover", "--metrics", "127.0.0.1:9464"])
        .unwrap();
    let output = process.wait(PATIENCE).unwrap();
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("9464") && output.stderr.contains("left alone"),
        "{output:?}"
    );
    // One that stands still agrees to nothing, now or later.
    node.host().signal("STOP", node.pid()).unwrap();
    let said = refused(&node);
    node.host().signal("CONT", node.pid()).unwrap();
    assert!(
        said.contains("does not answer") && said.contains("kill -9"),
        "{said}"
    );

    node.await_that("all well", |node| Ok((node.status()?.0 == 0).then_some(())))
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((node.pid(), node.enforcer().unwrap()), before);
    let (told, _) = end(counter);
    assert!(told.values().all(|said| *said == 200), "{told:?}");
    let (arrived, recorded) = arrived_and_recorded(&node, &service);
    assert_eq!(arrived, recorded);
    let left = fs::read_dir(node.state()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("rehearsal")),
        "{left:?}"
    );
}

#[test]
fn a_version_that_does_not_know_of_handing_over_is_replaced_as_well() {
    let aside = tempfile::tempdir().unwrap();
    let old = patched(aside.path(), "old", "hand-over", "hand-0ver");
    let mut node = NodeOptions::new(old)
        .file("services.yaml", e2e_support::SERVICES)
        .file("policy.yaml", e2e_support::POLICY)
        .start()
        .unwrap();
    let _web = web(&node);
    let mut puppet = Puppet::start(&node);
    node.set_binary(BINARY.into());
    let ended = node.take_over().unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("stopping on SIGTERM"), "{ended:?}");
    assert!(node.messages().contains("an older version"));
    all_armed(&node, 2);
    assert_eq!(
        puppet.tell(json!(["get", "GET", "/items/1"]))["status"],
        200
    );
}

#[test]
fn a_kill_in_the_middle_denies_until_a_node_is_up() {
    let mut node = start();
    let service = web(&node);
    let mut puppet = Puppet::start(&node);
    let get = |puppet: &mut Puppet| puppet.tell(json!(["get", "GET", "/items/1"]));
    assert_eq!(get(&mut puppet)["status"], 200);

    // The new one, as soon as the old one has agreed.
    let (mut process, pid_file) = node.start_up(&["--takeover"]).unwrap();
    process
        .wait_stderr("taking over from process", PATIENCE)
        .unwrap();
    let pid: u32 = fs::read_to_string(pid_file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    node.host().signal("KILL", pid).unwrap();
    process.wait(PATIENCE).unwrap();
    node.await_that("nobody serves", |node| {
        Ok((node.status()?.1["running"] == false).then_some(()))
    })
    .unwrap();
    let arrived = service.process.stdout();
    assert!(get(&mut puppet)["error"].is_string());
    assert_eq!(service.process.stdout(), arrived);
    node.up().unwrap();
    all_armed(&node, 2);
    assert_eq!(get(&mut puppet)["status"], 200);

    // The old one, at the same moment; its enforcer was dead already.
    let enforcer = node.enforcer().unwrap();
    let old = node.pid();
    let (process, pid_file) = node.start_up(&["--takeover"]).unwrap();
    node.host().signal("KILL", enforcer).unwrap();
    process
        .wait_stderr("taking over from process", PATIENCE)
        .unwrap();
    // It may have ended by itself.
    let _ = node.host().signal("KILL", old);
    node.serves(process, &pid_file).unwrap();
    all_armed(&node, 2);
    assert_eq!(get(&mut puppet)["status"], 200);
    assert_eq!(node.status().unwrap().0, 0);
}

#[test]
fn fifty_compartments_are_taken_over() {
    const COMPARTMENTS: usize = 50;
    let mut node = start();
    let _web = web(&node);
    let mut puppet = Puppet::start(&node);
    let sleepers: Vec<Running> = (0..COMPARTMENTS)
        .map(|_| node.workload("agent").spawn(&["sleep", "600"]).unwrap())
        .collect();
    all_armed(&node, COMPARTMENTS + 2);
    let before = instances(&node);
    let since = Instant::now();
    node.take_over().unwrap();
    all_armed(&node, COMPARTMENTS + 2);
    eprintln!(
        "{COMPARTMENTS} compartments armed again after {:?}",
        since.elapsed()
    );
    assert_eq!(instances(&node), before);
    assert_eq!(
        puppet.tell(json!(["get", "GET", "/items/1"]))["status"],
        200
    );
    drop(sleepers);
}

#[test]
fn one_state_has_one_node_whatever_the_path_to_it() {
    let node = start();
    let state = node.state().display().to_string();
    let host = node.host();
    let bound = host.directory("bound").unwrap().display().to_string();
    host.run_as_root(["mount", "--bind", &state, &bound])
        .unwrap()
        .ok();
    let link = node.host().path().join("link");
    std::os::unix::fs::symlink(node.state(), &link).unwrap();
    let config = node.config().display().to_string();
    let up = |state: &str| {
        let binary = node.binary().display().to_string();
        let words = [
            "timeout", "20", &binary, "up", "--config", &config, "--state", state,
        ];
        host.run(words).unwrap()
    };
    let holder = format!("process {}", node.pid());
    for path in [&state, &bound, &link.display().to_string()] {
        for tidied in [false, true] {
            if tidied {
                // Somebody takes the file for a stale one.
                let _ = fs::remove_file(node.state().join("lock"));
            }
            let output = up(path);
            assert_eq!(output.code, Some(1), "{path} {output:?}");
            assert!(output.stderr.contains("in use"), "{path} {output:?}");
            assert!(
                tidied || output.stderr.contains(&holder),
                "{path} {output:?}"
            );
        }
        fs::write(node.state().join("lock"), format!("{}\n", node.pid())).unwrap();
    }
    assert_eq!(node.status().unwrap().0, 0);
}
