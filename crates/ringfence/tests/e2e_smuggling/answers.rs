//! What a hostile service answers: raw bytes to five real readers of answers in an agent's compartment. What is passed on,
//! all of them read alike, and nothing of it is taken for the answer to their next request.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use ringfence_testbed::{Caller, Host, NodeOptions, Output};
use serde_json::{Value, json};

use crate::corpus::{Entry, hex, parse};
use crate::e2e_support::{BINARY, PYTHON, workdir};

const HOSTILE: &str = include_str!("servers/hostile.py");
const READERS: &str = include_str!("readers.py");
const READER_NAMES: [&str; 5] = ["curl", "python", "nginx", "haproxy", "apache"];
/// For all cases with all readers.
const LIMIT: Duration = Duration::from_secs(300);
/// Of the cases, so many at least are heard differently by two readers when nobody stands between.
const DIFFERENT_AT_LEAST: usize = 30;

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: hostile }
spec: { protocol: http, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: reads what it should not }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: agent }
spec:
  agent: agent
  mode: enforce
  initiate:
    - { service: hostile, operations: [\"GET /**\", \"HEAD /**\"] }
";

/// An answer, as a reader heard it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    status: u64,
    body: String,
    /// As far as the reader can tell.
    whole: bool,
}

impl Heard {
    fn parse(told: &Value) -> Self {
        Self {
            status: told[0].as_u64().unwrap(),
            body: told[1].as_str().unwrap().to_owned(),
            whole: told[2].as_bool().unwrap(),
        }
    }

    fn is(&self, status: u64, body: &str) -> bool {
        self.whole && self.status == status && self.body == body
    }

    /// Whether the reader has something it could take for the answer of a service.
    fn is_an_answer(&self) -> bool {
        self.whole && self.status < 500
    }
}

fn entries() -> Vec<Entry> {
    parse(include_str!("answers/all.txt"))
}

fn marked(entry: &Entry, mark: &str) -> bool {
    entry.marks.iter().any(|one| one == mark)
}

/// For both programs.
fn cases(entries: &[Entry]) -> String {
    let case = |entry: &Entry| {
        json!({
            "name": entry.name,
            "bytes": hex(&entry.bytes),
            "close": marked(entry, "close"),
            "method": if marked(entry, "head") { "HEAD" } else { "GET" },
        })
    };
    json!(entries.iter().map(case).collect::<Vec<_>>()).to_string()
}

/// By reader and case: the answer to the case, and the one to the honest request behind it.
fn heard(output: &Output) -> HashMap<(String, String), [Heard; 2]> {
    let lines = output.stdout.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| {
            let told: Value = serde_json::from_str(line).unwrap();
            let word = |name: &str| told[name].as_str().unwrap().to_owned();
            let both = [0, 1].map(|index| Heard::parse(&told["heard"][index]));
            ((word("reader"), word("case")), both)
        })
        .collect()
}

#[test]
fn no_reader_behind_us_is_told_what_another_would_not_hear() {
    let node = NodeOptions::new(BINARY)
        .file("estate.yaml", ESTATE)
        .start()
        .unwrap();
    let entries = entries();
    let place = workdir(&node, "hostile", "hostile.py", HOSTILE);
    std::fs::write(place.join("cases.json"), cases(&entries)).unwrap();
    let mut service = node
        .workload("hostile")
        .workdir(&place)
        .spawn(&[PYTHON, "-u", "hostile.py", "8080", "cases.json"])
        .unwrap();
    service.wait_until_it_says("is serving").unwrap();
    let place = workdir(&node, "readers", "readers.py", READERS);
    std::fs::write(place.join("cases.json"), cases(&entries)).unwrap();
    let words = [
        PYTHON,
        "-u",
        "readers.py",
        "10",
        "hostile:8080",
        "hostile",
        "cases.json",
    ];
    let launch = node.workload("agent").workdir(&place).limit(LIMIT);
    let heard = heard(&launch.run(&words).unwrap().ok());

    let mut report = String::new();
    for entry in &entries {
        for reader in READER_NAMES {
            let [answer, next] = &heard[&(reader.to_owned(), entry.name.clone())];
            let (status, body) = entry
                .expected
                .split_once(' ')
                .unwrap_or((&entry.expected, ""));
            let fits = match status.parse() {
                // What we say ourselves has a body of ours, or of the gateway that heard it.
                Ok(status @ 500..) => answer.whole && answer.status == status,
                Ok(status) => answer.is(status, body),
                // Cut: whatever the reader has, it is no answer.
                Err(_) => !answer.is_an_answer(),
            };
            if !fits {
                writeln!(report, "{} by {reader}: heard {answer:?}", entry.name).unwrap();
            }
            let honest = format!("/honest/{}", entry.name);
            let honest = if marked(entry, "head") { "" } else { &honest };
            if !next.is(200, honest) {
                writeln!(report, "{} by {reader}: then heard {next:?}", entry.name).unwrap();
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn without_us_the_same_answers_are_heard_differently() {
    let host = Host::new(Caller::own()).unwrap();
    let entries = entries();
    let place = host.directory("readers").unwrap();
    for (file, text) in [
        ("hostile.py", HOSTILE),
        ("readers.py", READERS),
        ("cases.json", &cases(&entries)),
    ] {
        std::fs::write(place.join(file), text).unwrap();
    }
    let within = |command: &str| {
        let script = format!("cd {} && exec {PYTHON} -u {command}", place.display());
        host.start(["sh", "-c", &script]).unwrap()
    };
    let service = within("hostile.py 8101 cases.json");
    service.wait_stdout("is serving", LIMIT).unwrap();
    let output = within("readers.py 1 127.0.0.1:8101 hostile cases.json").wait(LIMIT);
    let heard = heard(&output.unwrap().ok());

    let of = |entry: &Entry, reader: &str| heard[&(reader.to_owned(), entry.name.clone())].clone();
    let (different, alike): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| {
        let first = of(entry, READER_NAMES[0]);
        READER_NAMES.iter().any(|reader| of(entry, reader) != first)
    });
    let names = |list: &[&Entry]| list.iter().map(|e| e.name.clone()).collect::<Vec<_>>();
    println!("heard alike: {:?}", names(&alike));
    assert!(
        different.len() >= DIFFERENT_AT_LEAST,
        "only {} of {}: {:?}",
        different.len(),
        entries.len(),
        names(&different)
    );
    // Two answers to one request, where nobody takes the first one away.
    let interim = entries
        .iter()
        .find(|entry| entry.name == "answer-103-first");
    assert_eq!(of(interim.unwrap(), "python")[0].status, 103);
}
