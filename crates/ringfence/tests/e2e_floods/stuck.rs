//! Processes of the node that somebody keeps from ending, by descriptors that cannot be closed.
//!
//! Needs root, to be another user as well, and FUSE; says so and passes otherwise.

use std::time::Duration;

use ringfence_compartment::address::{DOOR_PORT, DOOR_V4, DOOR_V6, MARK};
use ringfence_compartment::{link::LINK_VERSION, sockets};
use ringfence_node::limits::STUCK_PORTERS_PER_USER;
use ringfence_testbed::{Caller, Neighbour, Node};
use serde_json::json;

use crate::ground::{PYTHON, options, unnoticed};

const HOSTILE: &str = include_str!("../e2e_support/hostile.py");
const UNCLOSABLE: &str = include_str!("../e2e_support/unclosable.py");

/// An agent of the user that does so, and one of another.
const AGENTS: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: theirs }
spec: { attest: { uid: 54322 } }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: others }
spec: { attest: { uid: 54323 } }
"#;

const PROGRAM: &str = r#"
def stick():
    """Sends a file to the process of the node that stands before the enforcer, and leaves."""
    node, channel, _ = link()
    hand(channel, ["tcp-door4"], [file])
    said = hear(channel)
    assert "0 came" in said.get("reason", ""), said
    channel.close()
    node.close()
for _ in range(settings["most"]): stick()
# It is told to end when the node has noticed that we left.
time.sleep(2)
node, said = claim()
print("one more", said["say"], json.dumps(hear(node)), flush=True)
sys.stdin.readline()
os.kill(daemon, signal.SIGKILL)
for _ in range(50):
    time.sleep(0.2)
    node, said = claim()
    if hear(node).get("say") == "link": break
    node.close()
else: raise SystemExit("it gets none any more")
print("linked", flush=True)
"#;

/// `ringfence run` of the other user, to its end.
fn others_start(node: &Node) {
    let mut words: Vec<String> = ["setpriv", "--reuid", "54323", "--regid", "54323"]
        .map(str::to_owned)
        .into();
    words.extend(["--clear-groups".to_owned(), "--".to_owned()]);
    words.extend(node.workload("others").words(&["/bin/true"]));
    let started = node.host().run_as_root(words).unwrap();
    assert_eq!(started.code, Some(0), "{started:?}");
}

#[test]
fn a_user_who_keeps_porters_from_ending_gets_no_more_of_them_and_others_do() {
    if Caller::own() != Caller::Root {
        eprintln!("skipped: needs root, to be another user as well");
        return;
    }
    let fuse = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse");
    if fuse.is_err() {
        eprintln!("skipped: needs FUSE (/dev/fuse)");
        return;
    }
    let node = options().file("agents.yaml", AGENTS).start().unwrap();
    let neighbour = Neighbour::start(&node).unwrap();
    others_start(&node);
    let directory = sockets::socket_dir(node.state()).unwrap();
    let settings = json!({
        "directory": directory, "version": LINK_VERSION, "port": DOOR_PORT, "mark": MARK,
        "v4": DOOR_V4.to_string(), "v6": DOOR_V6.to_string(),
        "scenario": "none", "at": node.host().directory("unclosable").unwrap(),
        "most": STUCK_PORTERS_PER_USER,
    });
    let (own, _) = HOSTILE.rsplit_once("\nprint(").unwrap();
    let (program, settings) = (
        format!("{own}\n{UNCLOSABLE}{PROGRAM}"),
        settings.to_string(),
    );
    let words = ["unshare", "--mount", "--pid", "--fork", "--kill-child"];
    let words = words.into_iter().chain([PYTHON, "-c", &program, &settings]);
    let mut hostile = unnoticed(&node, &neighbour, || {
        let hostile = node.host().start_as_root(words).unwrap();
        hostile
            .wait_stdout("one more", Duration::from_secs(60))
            .unwrap();
        // Everybody else is linked as before: another user, and root.
        others_start(&node);
        let started = node.run("attacker", &["/bin/true"]).unwrap();
        assert_eq!(started.code, Some(0), "{started:?}");
        hostile
    });
    let said = hostile.stdout();
    // The node grants it, has no way for it to the enforcer, and says so.
    assert!(said.contains("one more granted {\"end\": true}"), "{said}");
    let words =
        format!("uid 54322 keeps {STUCK_PORTERS_PER_USER} processes of the node from ending");
    let messages = node.messages();
    assert!(messages.contains(&words), "{messages}");
    assert_eq!(node.status().unwrap().0, 0);
    // What was stuck ends with the file system that held it.
    hostile.write(b"end\n").unwrap();
    hostile
        .wait_stdout("linked", Duration::from_secs(60))
        .unwrap();
}
