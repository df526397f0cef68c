//! A launcher of another user that means ill, against a node of root: whatever it says and hands over, only it is
//! refused, that is on record, nothing stays of it, and nobody else notices.
//!
//! Needs root, to be both root and somebody else; says so and passes otherwise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::{Duration, Instant};

use e2e_support::{PYTHON, Puppet, STRANGER, THEIRS, curl, options, web};
use ringfence_compartment::address::{DOOR_PORT, DOOR_V4, DOOR_V6, MARK};
use ringfence_compartment::{link::LINK_VERSION, sockets};
use ringfence_testbed::{Caller, Node};
use serde_json::{Value, json};

const HOSTILE: &str = include_str!("e2e_support/hostile.py");

/// What is tried, whether in a network of its own, and what must stand in the answer, and in a record (empty: none).
const SCENARIOS: &[(&str, bool, &str, &str)] = &[
    ("no-json", false, "could not be read", "could not be read"),
    ("deep", false, "could not be read", "could not be read"),
    ("too-long", false, "could not be read", "could not be read"),
    ("no-claim", false, "could not be read", "could not be read"),
    (
        "old-version",
        false,
        "version 1 of the link",
        "version 1 of the link",
    ),
    (
        "odd-version",
        false,
        "could not be read",
        "could not be read",
    ),
    ("odd-name", false, "refused", "claim refused"),
    (
        "resume-other",
        false,
        "not yours to resume",
        "not yours to resume",
    ),
    (
        "resume-own-by-another",
        false,
        "not yours to resume",
        "not yours to resume",
    ),
    ("claim-twice", false, "end", "workload stopped"),
    ("claim-with-files", false, "granted", "workload started"),
    ("crowd", false, "true", ""),
    ("file", false, "1 sockets were announced and 0 came", ""),
    ("path", false, "0 came", ""),
    ("pipe", false, "0 came", ""),
    ("memfd", false, "0 came", ""),
    ("pidfd", false, "0 came", ""),
    ("epoll", false, "0 came", ""),
    ("unix", false, "0 came", ""),
    ("cycle", false, "0 came", ""),
    ("netlink", false, "0 came", ""),
    ("host-listening", false, "belongs to the host's network", ""),
    ("host-connected", false, "belongs to the host's network", ""),
    ("host-udp", false, "belongs to the host's network", ""),
    ("unmarked", true, "mark is 0", ""),
    ("elsewhere", true, "it is bound to", ""),
    ("wrong-family", true, "family is", ""),
    ("wrong-type", true, "type is", ""),
    ("not-listening", true, "listening is 0", ""),
    ("connected", true, "it is bound to", ""),
    ("lingering", true, "it is bound to", ""),
    ("too-few", true, "2 sockets were announced and 1 came", ""),
    ("too-many", true, "1 sockets were announced and 2 came", ""),
    ("none", true, "1 sockets were announced and 0 came", ""),
    ("cut-65", true, "end", "could not be read"),
    ("cut-253", true, "end", "could not be read"),
    ("cut-bytes", true, "end", "could not be read"),
    ("no-message", true, "end", "could not be read"),
    ("unknown-message", true, "end", "could not be read"),
    ("of-the-node", true, "end", "could not be read"),
    ("arm-without-doors", true, "was not handed over", ""),
    ("armed-twice", true, "end", "asked to be armed twice"),
    ("doors-again", true, "a second TcpDoor4", ""),
    (
        "stowaways",
        true,
        "end",
        "descriptors came with a message that has none",
    ),
    ("hoard", true, "unused inbound sockets", ""),
    (
        "shared-namespace",
        true,
        "its sockets are those of theirs-",
        "",
    ),
    (
        "flood",
        true,
        "refused",
        "descriptors came with a message that has none",
    ),
    ("deaf", true, "full", "workload stopped"),
    ("lies", true, "end", "could not be read"),
];

fn settings(node: &Node, more: Value) -> Value {
    let directory = sockets::socket_dir(node.state()).unwrap();
    let mut settings = json!({
        "directory": directory, "version": LINK_VERSION, "port": DOOR_PORT, "mark": MARK,
        "v4": DOOR_V4.to_string(), "v6": DOOR_V6.to_string(),
    });
    let (all, more) = (settings.as_object_mut().unwrap(), more.as_object().unwrap());
    all.extend(more.clone());
    settings
}

/// Runs a program as the other user.
fn theirs(node: &Node, apart: bool, program: &str, settings: &Value) -> String {
    let mut words = vec![
        "setpriv",
        "--reuid",
        STRANGER,
        "--regid",
        STRANGER,
        "--clear-groups",
        "--",
    ];
    if apart {
        words.extend(["unshare", "--user", "--map-root-user", "--net", "sh", "-c"]);
        words.push(r#"ip link set lo up; exec "$0" "$@""#);
    }
    let settings = settings.to_string();
    words.extend([PYTHON, "-c", program, &settings]);
    node.host().run_as_root(words).unwrap().ok().stdout
}

/// Descriptors, threads and children of the enforcer; porters of the node.
fn footprint(node: &Node) -> (usize, usize, usize) {
    let enforcer = node.enforcer().unwrap();
    let count = |what: &str| {
        let list = format!("ls /proc/{enforcer}/{what} | wc -l");
        let output = node.host().run_as_root(["sh", "-c", &list]).unwrap().ok();
        output.stdout.trim().parse().unwrap()
    };
    let processes = node.host().processes().unwrap();
    let porters = processes
        .iter()
        .filter(|(_, words)| words.contains("ringfence porter"));
    (count("fd"), count("task"), porters.count())
}

/// Sockets that the enforcer holds ready for the service come and go. One descriptor left by each scenario is more.
const STOCK: usize = 40;

fn running(node: &Node) -> usize {
    let workloads = &node.status().unwrap().1["workloads"];
    let workloads = workloads.as_array().unwrap().iter();
    workloads.filter(|it| it["name"] == "theirs").count()
}

/// Waits until nothing is left of a hostile launcher.
fn settled(node: &Node, before: (usize, usize, usize), what: &str) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let now = footprint(node);
        if now.0 <= before.0 + STOCK && now.1 <= before.1 && now.2 <= before.2 && running(node) == 0
        {
            return;
        }
        assert!(
            Instant::now() < end,
            "{what} left something: {before:?}, then {now:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn whatever_a_hostile_launcher_says_or_hands_over_only_it_is_refused() {
    if Caller::own() != Caller::Root {
        eprintln!("skipped: needs root, to be another user as well");
        return;
    }
    let node = options().file("theirs.yaml", THEIRS).start().unwrap();
    let _web = web(&node);
    let mut puppet = Puppet::start(&node);
    let status = node.status().unwrap().1;
    let workloads = status["workloads"].as_array().unwrap();
    let other = &workloads.iter().find(|it| it["name"] == "agent").unwrap()["instance"];
    let ask =
        |puppet: &mut Puppet| puppet.tell(json!(["get", "GET", "/items/1"]))["status"].clone();
    assert_eq!(ask(&mut puppet), 200);
    let (enforcer, before) = (node.enforcer().unwrap(), footprint(&node));

    for (scenario, apart, answer, record) in SCENARIOS {
        let head = node.head().unwrap();
        let settings = settings(&node, json!({ "scenario": scenario, "other": other }));
        eprintln!("{scenario}");
        let said = theirs(&node, *apart, HOSTILE, &settings);
        assert!(said.contains(answer), "{scenario}: {said}");
        // What the launcher is told by the enforcer is on record in the same words.
        let record = if record.is_empty() { answer } else { record };
        if *record != "true" {
            node.wait_for_flow(|flow| {
                let told = [&flow.reason, &flow.operation]
                    .iter()
                    .any(|text| text.contains(record));
                flow.seq >= head && told
            })
            .unwrap_or_else(|late| panic!("{scenario}: {late}"));
        }
        assert_eq!(ask(&mut puppet), 200, "{scenario}");
        settled(&node, before, scenario);
    }
    assert_eq!(node.enforcer().unwrap(), enforcer);
    let (code, status) = node.status().unwrap();
    assert_eq!(code, 0, "{status:#}");
}

/// A file that whoever has to close it never gets rid of.
const UNCLOSABLE: &str = include_str!("e2e_support/unclosable.py");

/// What is done with it.
const SENT: &str = r#"
for _ in range(8):
    claim("nobody", beside=[file])
print(json.dumps(claim(beside=[file])[1]), flush=True)
stuck = []
for _ in range(3):
    _, channel, _ = link()
    hand(channel, ["tcp-door4"], [file])
    print(json.dumps(hear(channel)), flush=True)
print("all sent", flush=True)
sys.stdin.readline()
os.kill(daemon, signal.SIGKILL)
"#;

#[test]
fn a_descriptor_that_cannot_be_closed_holds_up_nobody() {
    if Caller::own() != Caller::Root {
        eprintln!("skipped: needs root, to be another user as well");
        return;
    }
    if std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .is_err()
    {
        eprintln!("skipped: needs FUSE (/dev/fuse)");
        return;
    }
    let node = options().file("theirs.yaml", THEIRS).start().unwrap();
    let _web = web(&node);
    let (enforcer, before) = (node.enforcer().unwrap(), footprint(&node));
    let at = node.host().directory("unclosable").unwrap();
    let settings = settings(&node, json!({ "scenario": "none", "at": at })).to_string();
    let (own, _) = HOSTILE.rsplit_once("\nprint(").unwrap();
    let program = format!("{own}\n{UNCLOSABLE}{SENT}");
    let words = [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        PYTHON,
        "-c",
        &program,
        &settings,
    ];
    let mut hostile = node.host().start_as_root(words).unwrap();
    hostile
        .wait_stdout("unclosable", Duration::from_secs(20))
        .unwrap();
    hostile
        .wait_stdout("all sent", Duration::from_secs(60))
        .unwrap();
    let said = hostile.stdout();
    assert!(said.contains("granted"), "{said}");
    assert_eq!(
        said.matches("1 sockets were announced and 0 came").count(),
        3,
        "{said}"
    );

    // Node and enforcer answer, others are served, and new ones start.
    let (code, status) = node.status().unwrap();
    assert_eq!(code, 0, "{status:#}");
    for _ in 0..8 {
        let (output, _, code) = curl(&node, &["http://web:8080/items/1"]);
        assert_eq!(code, 200, "{output:?}");
    }
    assert_eq!(node.enforcer().unwrap(), enforcer);

    // What was stuck ends with the file system that held it.
    hostile.write(b"end\n").unwrap();
    hostile.wait(Duration::from_secs(20)).unwrap();
    settled(&node, before, "what cannot be closed");
}
