//! Text that a workload, or another user, chose and that an operator is shown: names asked for, request lines, names of
//! files, names and commands of claims. Whichever verb prints it, in whichever form, no terminal obeys it, no line is forged
//! and JSON stays JSON.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use e2e_support::{PYTHON, start_as, web, workdir};
use ringfence_compartment::{link::LINK_VERSION, sockets};
use ringfence_model::text::misleads;
use ringfence_testbed::{Caller, Node, Output};

/// Clears the screen, sets a title, an 8-bit control, a direction override, an invisible blank, and a forged line.
const NASTY: &str =
    "\\x1b[2J\\x1b]0;owned\\x07\\x9b31m\\xe2\\x80\\xae\\xe2\\x80\\x8b\\nringfence: all is well";

const AGENT: &str = r#"
import os, socket, struct
nasty = b"NASTY"
# A name in one label, as no library would send it.
label = nasty[:60]
query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + bytes([len(label)]) + label + b"\0" + struct.pack(">HH", 1, 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(5)
    resolver = open("/etc/resolv.conf").read().split("nameserver ")[1].split()[0]
    s.sendto(query, (resolver, 53))
    s.recv(512)
for line in (b"GET /" + nasty + b" HTTP/1.1", nasty + b" / HTTP/1.1", b"GET /%1b%5b2J%e2%80%ae HTTP/1.1"):
    with socket.create_connection(("web", 8080), timeout=10) as s:
        s.sendall(line + b"\r\nHost: " + nasty.replace(b"\n", b"") + b"\r\n\r\n")
        while s.recv(4096): pass
os.mkfifo(b"/work/" + nasty.replace(b"/", b""))
print("done")
"#;

/// Claims what nobody has, in words that nobody should see.
const CLAIMANT: &str = r#"
import json, os, socket, sys
directory, version = sys.argv[1:]
os.chdir(directory)
nasty = b"NASTY".decode(errors="replace")
for name in (nasty, "agent"):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect("run.sock")
    s.send(json.dumps({"say": "claim", "version": int(version), "name": name, "command": nasty, "resume": None}).encode())
    print(json.loads(s.recv(65536))["say"], flush=True)
sys.stdin.readline()
"#;

fn is_harmless(what: &str, output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let bad: Vec<char> = text
            .chars()
            .filter(|c| misleads(*c) && *c != '\n')
            .collect();
        assert!(bad.is_empty(), "{what}: {bad:?} in {text}");
        let forged = text.lines().any(|line| line == "ringfence: all is well");
        assert!(!forged, "{what}: {text}");
    }
    // Bytes that are no UTF-8 could be controls of one byte.
    assert_eq!(output.stdout.as_bytes(), output.bytes, "{what}");
}

fn is_json(what: &str, output: &Output) {
    assert!(!output.stdout.is_empty(), "{what}: {output:?}");
    for line in output.stdout.lines() {
        serde_json::from_str::<serde_json::Value>(line)
            .unwrap_or_else(|error| panic!("{what}: {error}: {line}"));
    }
}

fn everything_printed_is_harmless(node: &Node) {
    let verbs: [(&str, &[&str]); 7] = [
        ("observe", &[]),
        ("observe", &["--color", "never", "-o", "table"]),
        ("observe", &["-o", "json"]),
        ("observe", &["--verdict", "deny"]),
        ("status", &[]),
        ("status", &["-o", "json"]),
        ("check", &[]),
    ];
    for (verb, options) in verbs {
        let what = format!("{verb} {options:?}");
        let output = node.verb(verb, options).unwrap();
        is_harmless(&what, &output);
        if options.contains(&"json") {
            is_json(&what, &output);
        }
    }
}

#[test]
fn no_terminal_obeys_what_others_chose() {
    for caller in Caller::available() {
        let node = start_as(caller);
        let _web = web(&node);
        let path = workdir(
            &node,
            "work-agent",
            "agent.py",
            &AGENT.replace("NASTY", NASTY),
        );
        let agent = |words: &[&str]| node.workload("agent").workdir(&path).run(words).unwrap();
        let output = agent(&[PYTHON, "agent.py"]).ok();
        assert_eq!(output.stdout, "done\n");
        // What it left keeps the next one from starting, and is named.
        let refused = agent(&["true"]);
        assert_eq!(refused.code, Some(125), "{refused:?}");
        assert!(refused.stderr.contains("FIFO"), "{refused:?}");
        is_harmless("run", &refused);
        let foreseen = node.workload("agent").workdir(&path);
        let mut words = foreseen.words(&["true"]);
        words.insert(2, "--dry-run".to_owned());
        let foreseen = node.host().run(words).unwrap();
        assert!(foreseen.stderr.contains("FIFO"), "{foreseen:?}");
        is_harmless("run --dry-run", &foreseen);

        let directory = sockets::socket_dir(node.state()).unwrap();
        let (directory, version) = (directory.display().to_string(), LINK_VERSION.to_string());
        let program = CLAIMANT.replace("NASTY", NASTY);
        let words = [PYTHON, "-c", &program, &directory, &version];
        let claimant = node.host().start(words).unwrap();
        claimant
            .wait_stdout("granted", std::time::Duration::from_secs(20))
            .unwrap();
        // The control: what was chosen did arrive, in the log, as it was.
        let arrived = node.flows().unwrap();
        for text in ["\u{1b}[2J", "\u{202e}"] {
            let told = |flow: &ringfence_model::FlowRecord| {
                [&flow.operation, &flow.reason]
                    .iter()
                    .any(|it| it.contains(text))
            };
            assert!(arrived.iter().any(told), "{text:?} is in no record");
        }
        everything_printed_is_harmless(&node);
        let said = node.messages();
        assert!(!said.contains(|c| misleads(c) && c != '\n'), "{said}");
    }
}
