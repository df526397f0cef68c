//! A node as its operator and its launchers meet it: the real binary, the real enforcer, the real sockets.
#![allow(clippy::unwrap_used)]

#[path = "node_cli/place.rs"]
mod place;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use place::{Place, RINGFENCE, kill, linked, other_process, ringfence, say_from_another_process};
use ringfence_compartment::channel;
use ringfence_compartment::link::{FromLauncher, LINK_VERSION, ToLauncher};
use ringfence_model::InstanceId;
use ringfence_node::limits::COMMAND_MAX;
use serde_json::Value;

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: payments }
spec: { protocol: http, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
spec: {}
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: teller }
spec: { attest: { uid: 54321 } }
";

#[test]
fn says_one_line_when_it_serves_and_stops_on_a_signal() {
    for signal in ["-TERM", "-INT"] {
        let place = Place::new(ESTATE);
        let node = place.up();
        let state = fs::canonicalize(place.state()).unwrap();
        assert_eq!(
            node.line,
            format!(
                "ringfence is up: generation 1, 1 service, 2 agents · state {} · next: ringfence run --state {} NAME -- CMD\n",
                state.display(),
                place.state().display()
            )
        );
        let (code, status) = place.status();
        assert_eq!(
            (code, &status["running"], &status["degraded"]),
            (0, &Value::Bool(true), &Value::Array(vec![]))
        );
        let enforcer = node.enforcer();
        node.signal(signal);
        let (code, out, err) = node.end();
        assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
        assert!(!Path::new(&format!("/proc/{enforcer}")).exists());
        let events = place.events();
        assert_eq!(events.first().unwrap().0, "node started");
        assert!(
            events
                .iter()
                .any(|(operation, _)| operation == "node stopped"),
            "{events:?}"
        );
        assert_eq!(place.status().0, 5);
        assert_eq!(place.status().1["running"], false);
    }
}

#[test]
fn a_second_node_on_the_same_state_is_refused_and_told_who_is_there() {
    let place = Place::new(ESTATE);
    let node = place.up();
    let second = Command::new(RINGFENCE)
        .arg("up")
        .arg("--config")
        .arg(place.config())
        .arg("--state")
        .arg(place.state())
        .output()
        .unwrap();
    let err = String::from_utf8(second.stderr).unwrap();
    assert_eq!(
        (second.status.code(), second.stdout.as_slice()),
        (Some(1), &b""[..]),
        "{err}"
    );
    assert!(
        err.contains(&format!("process {}", node.child.id())) && err.contains("help: "),
        "{err}"
    );
    assert_eq!(place.status().0, 0);
}

#[test]
fn a_rejected_reload_keeps_what_is_in_force_until_the_files_are_mended() {
    let place = Place::new(ESTATE);
    let node = place.up();
    place.save(&ESTATE.replace("kind: Agent", "kind: Agnt"));
    let status = place.until("rejected", |status| !status["policy"]["rejected"].is_null());
    assert_eq!(
        (place.status().0, &status["policy"]["generation"]),
        (5, &Value::from(1))
    );
    place.granted("clerk", None);
    fs::remove_dir_all(place.config()).unwrap();
    place.until("gone", |status| {
        status["policy"]["rejected"]["errors"]
            .to_string()
            .contains("exist")
    });
    place.granted("clerk", None);
    fs::create_dir(place.config()).unwrap();
    place.save(&ESTATE.replace("payments", "invoices"));
    place.until("mended", |status| {
        status["policy"]["generation"] == 2 && status["policy"]["rejected"].is_null()
    });
    assert_eq!(place.status().0, 0);
    node.signal("-TERM");
    let (_, _, err) = node.end();
    assert!(
        err.contains("estate.yaml:7:7") && err.contains("generation 1 stays in force"),
        "{err}"
    );
    assert!(
        place
            .events()
            .iter()
            .any(|(operation, _)| operation == "reload rejected")
    );
}

#[test]
fn many_saves_are_few_reloads_and_the_last_one_counts() {
    let place = Place::new(ESTATE);
    let _node = place.up();
    for n in 0..10 {
        place.save(&ESTATE.replace("payments", &format!("payments-{n}")));
        std::thread::sleep(Duration::from_millis(90));
    }
    place.granted("clerk", None);
    place.until("the last", |_| {
        matches!(place.claim("payments-9", None).1, ToLauncher::Granted(_))
    });
    let generation = place.status().1["policy"]["generation"].as_u64().unwrap();
    assert!((2..=4).contains(&generation), "{generation}");
}

#[test]
fn sighup_and_certificate_files_elsewhere_are_picked_up() {
    let place = Place::new(ESTATE);
    let pem = place.temp.path().join("ca.pem");
    let service = format!(
        "{ESTATE}---\napiVersion: ringfence.dev/v1alpha1\nkind: Service\nmetadata: {{ name: db }}\nspec:\n  protocol: tcp\n  \
         port: 5432\n  endpoints: [{{ address: \"db.internal:5432\", tls: {{ ca: {} }} }}]\n  mutualAuth: {{ exempt: test, \
         until: 2999-01-01 }}\n",
        pem.display()
    );
    place.save(&service);
    let node = place.up();
    assert!(node.line.contains("denying everything"), "{}", node.line);
    let (reason, _) = place.refused("clerk", None);
    assert!(reason.contains("no policy is in force"), "{reason}");
    fs::copy("/etc/ssl/certs/ca-certificates.crt", &pem).unwrap();
    node.signal("-HUP");
    place.until("the file", |status| status["policy"]["generation"] == 1);
    // An enforcer that cannot use what it is given leaves what is in force.
    fs::write(
        &pem,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let status = place.until("refused", |status| !status["policy"]["rejected"].is_null());
    assert_eq!(status["policy"]["generation"], 1);
    place.granted("clerk", None);
}

#[test]
fn a_killed_enforcer_is_replaced_within_a_second_and_every_launcher_linked_again() {
    let place = Place::new(ESTATE);
    let node = place.up();
    let (launcher, _) = place.granted("clerk", None);
    let first_link = linked(&launcher);
    let killed = Instant::now();
    kill(node.enforcer());
    let second_link = linked(&launcher);
    assert!(
        killed.elapsed() < Duration::from_secs(1),
        "{:?}",
        killed.elapsed()
    );
    assert!(channel::recv::<Value>(&first_link).unwrap().is_none());
    assert_eq!(
        channel::try_recv::<Value>(&second_link).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    assert_eq!(
        place.until("serving", |status| status["enforcer"]["serving"] == true)["enforcer"]["restarts"],
        1
    );
    // In a loop it takes longer each time, and always comes back.
    for restarts in 2..5 {
        kill(node.enforcer());
        place.until("restarted", |status| {
            status["enforcer"]["restarts"] == restarts
        });
        linked(&launcher);
    }
    node.enforcer();
    node.signal("-TERM");
    assert_eq!(node.end().0, Some(0));
    assert_eq!(
        place
            .events()
            .iter()
            .filter(|(operation, _)| operation == "enforcer ended")
            .count(),
        4
    );
}

#[test]
fn a_start_with_rejected_files_serves_the_last_good_generation_or_nothing() {
    let place = Place::new(ESTATE);
    let node = place.up();
    node.signal("-TERM");
    node.end();
    place.save("kind: Nonsense\n");
    let node = place.up();
    assert!(
        node.line.contains("generation 1, ") && node.line.contains("last good"),
        "{}",
        node.line
    );
    assert_eq!(
        (
            place.status().0,
            place.status().1["policy"]["origin"].clone()
        ),
        (5, "last-good".into())
    );
    place.granted("clerk", None);
    // The same content again: the same number, and all is well.
    place.save(ESTATE);
    place.until("mended", |status| {
        status["policy"]["origin"] == "config" && status["policy"]["generation"] == 1
    });
    assert_eq!(place.status().0, 0);

    let fresh = Place::new("kind: Nonsense\n");
    let node = fresh.up();
    assert!(node.line.contains("denying everything"), "{}", node.line);
    assert_eq!(fresh.status().0, 5);
    fresh.refused("clerk", None);
    fresh.save(ESTATE);
    fresh.until("mended", |status| status["policy"]["generation"] == 1);
    fresh.granted("clerk", None);
}

#[test]
fn instances_are_new_each_time_and_go_with_their_launcher() {
    let place = Place::new(ESTATE);
    let node = place.up();
    let (first, grant) = place.granted("clerk", None);
    linked(&first);
    assert_eq!(grant.fqdn, "clerk.ringfence.internal");
    for kept in [place.state(), place.config()] {
        assert!(
            grant.forbidden.contains(&fs::canonicalize(&kept).unwrap()),
            "{:?}",
            grant.forbidden
        );
    }
    let (second, other) = place.granted("clerk", None);
    assert_ne!(grant.instance, other.instance);
    assert_eq!(grant.address, other.address);
    if let (Some(one), Some(two)) = (grant.outer_id, other.outer_id) {
        assert_ne!(one, two);
    }
    // Said twice: that is no launcher of ours.
    let again = FromLauncher::Claim {
        version: LINK_VERSION,
        name: "clerk".into(),
        command: String::new(),
        resume: None,
    };
    linked(&second);
    channel::send(&second, &again, &[]).unwrap();
    assert!(channel::recv::<ToLauncher>(&second).unwrap().is_none());
    let (reason, hint) = place.refused("clrk", None);
    assert!(
        reason.contains("clrk") && hint.contains("`clerk`"),
        "{reason} {hint}"
    );
    let connected = |status: &Value, instance: &InstanceId| {
        let workloads = status["workloads"].as_array().unwrap();
        workloads
            .iter()
            .any(|workload| workload["instance"] == *instance.0 && workload["connected"] == true)
    };
    let one =
        |status: &Value| connected(status, &grant.instance) && !connected(status, &other.instance);
    place.until("one connected, one cut off", one);
    // A launcher that ends takes its instance along.
    let mut child = other_process(&place, "clerk");
    place.until("three", |status| {
        status["workloads"].as_array().unwrap().len() == 3
    });
    child.kill().unwrap();
    child.wait().unwrap();
    place.until("two", |status| {
        status["workloads"].as_array().unwrap().len() == 2
    });
    node.signal("-TERM");
    node.end();
    let events = place.events();
    assert!(
        events
            .iter()
            .any(|(operation, reason)| operation == "workload stopped"
                && reason.contains("clerk-1-3")),
        "{events:?}"
    );
}

#[test]
fn a_launcher_resumes_its_own_instance_after_the_node_was_killed() {
    let place = Place::new(ESTATE);
    let mut node = place.up();
    let (launcher, grant) = place.granted("clerk", None);
    linked(&launcher);
    node.child.kill().unwrap();
    node.child.wait().unwrap();
    assert!(channel::recv::<ToLauncher>(&launcher).unwrap().is_none());
    drop(node);
    let _node = place.up();
    let (resumed, again) = place.granted("clerk", Some(grant.instance.clone()));
    assert_eq!(
        (again.instance, again.outer_id),
        (grant.instance.clone(), grant.outer_id)
    );
    linked(&resumed);
    // Not by another name, not one that was never given, and not by another process.
    place.refused("payments", Some(grant.instance.clone()));
    place.refused("clerk", Some(InstanceId("clerk-1-99".into())));
    let answer = say_from_another_process(&place, "clerk", Some(&grant.instance.0), None);
    assert!(answer.contains("not yours to resume"), "{answer}");
    let (_, fresh) = place.granted("clerk", None);
    assert!(
        fresh.instance.0.starts_with("clerk-2-"),
        "{}",
        fresh.instance
    );
}

#[test]
fn attest_is_held_to_the_user_that_the_kernel_names() {
    let place = Place::new(ESTATE);
    let _node = place.up();
    place.refused("teller", None);
    if fs::metadata("/proc/self")
        .map(|meta| std::os::unix::fs::MetadataExt::uid(&meta))
        .unwrap()
        != 0
    {
        return; // Only root can become somebody else.
    }
    assert!(say_from_another_process(&place, "teller", None, Some(54321)).contains("granted"));
    let not_mine = say_from_another_process(&place, "clerk", None, Some(54321));
    let unknown = say_from_another_process(&place, "nobody", None, Some(54321));
    assert_eq!(
        not_mine.replace("clerk", "X"),
        unknown.replace("nobody", "X")
    );
    assert!(not_mine.contains("refused"), "{not_mine}");
}

#[test]
fn what_a_launcher_tells_of_its_command_is_cut() {
    let place = Place::new(ESTATE);
    let node = place.up();
    let socket = place.connect();
    let claim = FromLauncher::Claim {
        version: LINK_VERSION,
        name: "clerk".into(),
        command: "é".repeat(COMMAND_MAX + 1),
        resume: None,
    };
    channel::send(&socket, &claim, &[]).unwrap();
    let answer = channel::recv::<ToLauncher>(&socket).unwrap().unwrap();
    assert!(matches!(answer.message, ToLauncher::Granted(_)));
    let shown = "é".repeat(COMMAND_MAX);
    assert_eq!(place.status().1["workloads"][0]["command"], *shown);
    node.signal("-TERM");
    node.end();
    let events = place.events();
    let started = events.iter().find(|(what, _)| what == "workload started");
    let (_, reason) = started.unwrap();
    assert!(reason.contains(&format!(": {shown};")), "{reason}");
}

#[test]
fn wrong_usage_has_the_exit_code_of_its_verb() {
    let code = |args: &[&str]| {
        Command::new(RINGFENCE)
            .args(args)
            .output()
            .unwrap()
            .status
            .code()
            .unwrap()
    };
    assert_eq!(code(&["up"]), 2);
    assert_eq!(code(&["no-such-verb"]), 2);
    assert_eq!(
        code(&[
            "up",
            "--config",
            "/nonexistent",
            "--state",
            "/nonexistent/state/x",
            "--zone",
            "a b"
        ]),
        2
    );
    assert_eq!(code(&["run"]), 125);
    assert_eq!(code(&["run", "clerk"]), 125);
    assert_eq!(
        code(&["run", "clerk", "--no-such-option", "--", "true"]),
        125
    );
    assert_eq!(
        code(&["run", "clerk", "--env", "RINGFENCE_NOT_SET", "--", "true"]),
        125
    );
    assert_eq!(code(&["--help"]), 0);
    assert_eq!(code(&["run", "--help"]), 0);
    assert_eq!(code(&["--version"]), 0);
    assert_eq!(code(&["enforcer", "--log", "/nonexistent"]), 1);
    let place = Place::new(ESTATE);
    fs::remove_dir_all(place.config()).unwrap();
    let missing = ringfence(
        &["up", "--config", "/nonexistent/config", "--state"],
        &place.state(),
    );
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&missing.stderr).contains("ringfence init"),
        "{missing:?}"
    );
}

/// What the files would change, before they are mended into something that loads, or after an error kept them out.
#[test]
fn what_is_in_force_is_compared_with_what_the_files_say() {
    let place = Place::new(ESTATE);
    let _node = place.up();
    let diff = |more: &[&str]| {
        let output = Command::new(RINGFENCE)
            .args(["policy", "diff", "--running", "-o", "json", "--state"])
            .arg(place.state())
            .args(more)
            .env_remove("RINGFENCE_CONFIG")
            .output()
            .unwrap();
        let (out, err) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        (output.status.code(), out, err)
    };
    let (code, out, err) = diff(&["--fail-on", "any"]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    // A test that fails keeps it out, so it stays a difference.
    place.save(&format!(
        "{ESTATE}---\napiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: {{ name: clerk }}\nspec: {{ agent: clerk, initiate: [{{ service: payments, operations: [GET /x] }}], tests: [{{ to: payments, deny: GET /x }}] }}\n"
    ));
    place.until("rejected", |status| !status["policy"]["rejected"].is_null());
    let (code, out, err) = diff(&["--fail-on", "widened"]);
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("1 of its tests do not hold"), "{err}");
    let row: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&row["effect"], &row["from"], &row["operation"]),
        (&"opened".into(), &"clerk".into(), &"GET /x".into())
    );
    // Files of another place do as well.
    let config = place.config();
    let (code, again, err) = diff(&[config.to_str().unwrap()]);
    assert_eq!((code, again), (Some(0), out), "{err}");
}
