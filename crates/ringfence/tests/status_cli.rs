//! `ringfence status`: what it shows, to whom, and when it exits with 5.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;
#[path = "node_cli/place.rs"]
#[allow(
    dead_code,
    reason = "shared with node_cli.rs, which uses the rest of it"
)]
mod place;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e_support::{PYTHON, Puppet, cache, start_as};
use place::{Place, ringfence};
use ringfence_compartment::channel;
use ringfence_compartment::link::{FromLauncher, LINK_VERSION, ToLauncher};
use ringfence_compartment::sockets;
use ringfence_testbed::Caller;
use serde_json::{Value, json};

fn estate() -> String {
    let today = jiff::Zoned::now()
        .with_time_zone(jiff::tz::TimeZone::UTC)
        .date();
    let soon = today.checked_add(jiff::Span::new().days(10)).unwrap();
    format!(
        "\
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: payments }}
spec: {{ protocol: http, port: 8080 }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: ledger }}
spec:
  protocol: tcp
  port: 5432
  endpoints: [{{ address: \"127.0.0.1:5432\" }}]
  mutualAuth: {{ exempt: \"a test\", until: {soon} }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: {{ name: clerk }}
spec: {{}}
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: {{ name: teller }}
spec: {{}}
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: {{ name: clerk }}
spec:
  agent: clerk
  mode: shadow
  until: {soon}
  reviewBy: 2020-02-02
  initiate: [{{ service: payments, operations: [\"GET /\"] }}]
"
    )
}

fn table(place: &Place) -> (Option<i32>, String) {
    let output = ringfence(&["status", "--state"], &place.state());
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

fn line<'t>(table: &'t str, starts: &str) -> &'t str {
    let found = table.lines().find(|line| line.starts_with(starts));
    found.unwrap_or_else(|| panic!("no line starts with {starts:?}:\n{table}"))
}

#[test]
fn shows_who_is_declared_with_mode_and_review_and_who_runs() {
    let place = Place::new(&estate());
    let _node = place.up();
    let (_held, grant) = place.granted("clerk", None);
    let (code, status) = place.status();
    assert_eq!(code, 0, "{status:#}");
    let declared = |name: &str| {
        let all = status["estate"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap().clone()
    };
    let clerk = declared("clerk");
    assert_eq!(
        (
            &clerk["kind"],
            &clerk["instances"],
            &clerk["mode"],
            &clerk["reviewBy"]
        ),
        (
            &json!("agent"),
            &json!(1),
            &json!("shadow"),
            &json!("2020-02-02")
        )
    );
    assert_eq!(clerk["reviewOverdue"], true);
    let soon = clerk["modeUntil"].as_str().unwrap().to_owned();
    assert_eq!(
        (
            &declared("teller")["mode"],
            &declared("teller")["instances"]
        ),
        (&Value::Null, &json!(0))
    );
    assert_eq!(declared("ledger")["endpoints"], true);

    assert_eq!(status["enforcer"]["state"], "running");
    assert_eq!(status["policy"]["digest"].as_str().unwrap().len(), 64);
    for time in [
        &status["policy"]["since"],
        &status["enforcer"]["since"],
        &status["since"],
    ] {
        time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
    let log = &status["log"];
    for size in ["bytes", "free", "reserved", "head"] {
        assert!(log[size].as_u64().unwrap() > 0, "{size}: {log}");
    }
    let (code, shown) = table(&place);
    assert_eq!(code, Some(0), "{shown}");
    let words = |starts: &str| {
        line(&shown, starts)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        words("agent clerk"),
        format!("agent clerk 1 instance shadow until {soon} 2020-02-02, overdue")
    );
    assert_eq!(
        words("agent teller"),
        "agent teller not running no policy -"
    );
    assert_eq!(
        words("service ledger"),
        "service ledger at endpoints no policy -"
    );
    assert!(
        line(&shown, grant.instance.0.as_ref()).contains("not armed"),
        "{shown}"
    );
    assert!(line(&shown, "log").contains("free on the disk"), "{shown}");
    assert!(
        line(&shown, "note").contains("the review of policy clerk was due on 2020-02-02"),
        "{shown}"
    );
}

#[test]
fn shows_walls_doors_and_live_connections_of_what_runs() {
    for caller in Caller::available() {
        let node = start_as(caller);
        let _cache = cache(&node);
        let mut agent = Puppet::start(&node);
        for name in ["one", "two"] {
            agent.tell(json!(["open_tcp", name, "cache", 6379]));
            agent.tell(json!(["say", name, "hello"]));
        }
        let of = |status: &Value, name: &str| {
            let all = status["workloads"].as_array().unwrap();
            all.iter().find(|one| one["name"] == name).unwrap().clone()
        };
        let status = node
            .await_that("two connections", |node| {
                let (_, status) = node.status()?;
                let live = of(&status, "agent")["connections"] == 2;
                Ok((live && of(&status, "cache")["connections"] == 2).then_some(status))
            })
            .unwrap();
        assert_eq!(status["enforcer"]["connections"], 2);
        let agent = of(&status, "agent");
        assert_eq!(
            (&agent["armed"], &agent["version"]),
            (&json!(true), &json!(env!("CARGO_PKG_VERSION")))
        );
        let walls = agent["walls"].to_string();
        for wall in [
            "namespaces",
            "firewall",
            "seccomp",
            "landlock",
            "no capability",
        ] {
            assert!(walls.contains(wall), "{wall}: {walls}");
        }
        assert!(agent["unbounded"].to_string().contains("memory"), "{agent}");
        let (uid, inside) = (agent["uid"].as_u64(), agent["compartmentUid"].as_u64());
        match caller {
            Caller::Root => assert!(uid == Some(0) && inside >= Some(2_000_000_000), "{agent}"),
            Caller::Ordinary => assert_eq!(uid, inside, "{agent}"),
        }
        let shown = node.verb("status", &[]).unwrap().ok().stdout;
        assert!(
            line(&shown, "walls of all instances: ").contains("seccomp"),
            "{shown}"
        );
    }
}

#[test]
fn what_a_launcher_calls_itself_moves_no_cursor() {
    let place = Place::new(&estate());
    let _node = place.up();
    let socket = place.connect();
    let claim = FromLauncher::Claim {
        version: LINK_VERSION,
        name: "clerk".to_owned(),
        command: "\u{1b}[2Jevil\u{202e}\r\nwalls of all instances: none".to_owned(),
        resume: None,
    };
    channel::send(&socket, &claim, &[]).unwrap();
    let answer = channel::recv::<ToLauncher>(&socket)
        .unwrap()
        .unwrap()
        .message;
    assert!(matches!(answer, ToLauncher::Granted(_)), "{answer:?}");
    let (_, shown) = table(&place);
    assert!(shown.contains("evil"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\r']), "{shown:?}");
    assert!(
        !shown.lines().any(|line| line.starts_with("walls of all")),
        "{shown}"
    );
    let json = ringfence(&["status", "-o", "json", "--state"], &place.state()).stdout;
    assert_eq!(
        json.iter().filter(|byte| byte.is_ascii_control()).count(),
        1,
        "its line feed"
    );
    let status: Value = serde_json::from_slice(&json).unwrap();
    assert!(
        status["workloads"][0]["command"]
            .as_str()
            .unwrap()
            .contains("\u{1b}[2Jevil")
    );
}

/// Speaks the operators' language, in Python so that it shares nothing with ours.
const ASK: &str = "\
import os, socket, sys
os.chdir(sys.argv[1])
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect('admin.sock')
s.send(b'{\"ask\": \"status\"}')
print(s.recv(65536).decode())
";

#[test]
fn only_root_and_the_owner_may_ask() {
    if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) != 0 {
        // Only root can become somebody else to try.
        return;
    }
    let place = Place::new(&estate());
    let _node = place.up();
    let directory = sockets::socket_dir(&place.state()).unwrap();
    let ask = |uid: u32| {
        let mut python = Command::new(PYTHON);
        python
            .args(["-c", ASK])
            .arg(&directory)
            .current_dir("/")
            .uid(uid)
            .gid(uid);
        let output = python.output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    assert!(ask(0).contains("done"));
    assert!(
        ask(54321).contains("PermissionError"),
        "the mode of the socket"
    );
    // And behind it: a socket whose mode somebody has changed still knows who asks.
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(directory.join(sockets::ADMIN_SOCKET), open).unwrap();
    let answer = ask(54321);
    assert!(
        answer.contains("refused") && answer.contains("only root and the owner"),
        "{answer}"
    );
    assert!(ask(0).contains("done"));
}

#[test]
fn exits_with_5_for_each_reason_and_says_what_to_do() {
    let place = Place::new(&estate());
    let output = ringfence(&["status", "--state"], &place.state());
    assert_eq!(output.status.code(), Some(5), "no node: {output:?}");

    let node = place.up();
    assert_eq!(table(&place).0, Some(0));
    let degraded = |wanted: &str| {
        let deadline = Instant::now() + place::PATIENCE;
        loop {
            let began = Instant::now();
            let (code, shown) = table(&place);
            assert!(
                began.elapsed() < Duration::from_secs(7),
                "{:?}",
                began.elapsed()
            );
            let said = shown.lines().any(|line| {
                line.starts_with("degraded") && line.contains(wanted) && line.contains(" · ")
            });
            if said {
                assert_eq!(code, Some(5), "{shown}");
                return;
            }
            assert!(Instant::now() < deadline, "{wanted}: {shown}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let well = || {
        place.until("well again", |status| status["degraded"] == json!([]));
        assert_eq!(table(&place).0, Some(0));
    };
    place.save("kind: Nonsense");
    degraded("the configuration is rejected");
    place.save(&estate());
    well();

    // Somebody writes into the log: it is no longer what was recorded, so nothing more is, and nothing may pass.
    let log = place.state().join("log/hot/00000000000000000000.seg");
    let log = std::fs::File::options().append(true).open(log).unwrap();
    let length = log.metadata().unwrap().len();
    (&log).write_all(b"x").unwrap();
    degraded("the flow log takes nothing");
    log.set_len(length).unwrap();
    well();

    let enforcer = node.enforcer();
    let signal = |name: &str| {
        let sent = Command::new("kill")
            .args([name, &enforcer.to_string()])
            .status();
        assert!(sent.unwrap().success());
    };
    signal("-STOP");
    degraded("the enforcer does not answer");
    let (_, status) = place.status();
    assert_eq!(status["enforcer"]["state"], "hung", "{status:#}");
    signal("-CONT");
    well();
}
