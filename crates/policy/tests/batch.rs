//! Many questions over streams: one answer each, in order, whatever comes in.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use common::*;
use ringfence_model::FlowRecord;
use ringfence_model::flow::{Flow, Kind, Outcome};
use ringfence_policy::{Answer, BATCH_LINE_MAX, BatchSummary, Snapshot, batch};

fn bank() -> Snapshot {
    compile(
        "kind: Service\nmetadata: {name: data}\nspec: {protocol: http, port: 80}\n---\n\
         kind: Agent\nmetadata: {name: clerk}\n---\n\
         kind: Policy\nmetadata: {name: clerk}\nspec: {agent: clerk, initiate: [{service: data, operations: ['GET /customers/*']}]}\n",
    )
}

fn ask(input: &[u8]) -> (Vec<Answer>, BatchSummary) {
    let mut out = Vec::new();
    let summary = batch(&bank(), input, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    (
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        summary,
    )
}

const GOOD: &str = r#"{"from":"clerk","to":"data","op":"GET /customers/42"}"#;

#[test]
fn answers_every_line_in_order() {
    let long = format!(
        r#"{{"from":"clerk","to":"data","op":"GET /{}"}}"#,
        "x".repeat(2 * BATCH_LINE_MAX)
    );
    let edge = format!("{GOOD}{}", " ".repeat(BATCH_LINE_MAX - GOOD.len()));
    let past = format!("{edge} ");
    let lines: Vec<(&[u8], Option<&str>)> = vec![
        (GOOD.as_bytes(), None),
        (b"", Some("not a question")),
        (
            br#"{"from":"clerk","to":"data","op":"POST /customers/42"}"#,
            Some("no rule"),
        ),
        (
            br#"{"from":"cl\u0065rk","to":"data","op":"GET \/customers\/42"}"#,
            None,
        ),
        (
            br#"{"from":"clerk","to":"data"}"#,
            Some("missing field `op`"),
        ),
        (
            br#"{"from":"clerk","to":"data","op":"GET /customers/1","when":{}}"#,
            Some("unknown field"),
        ),
        (
            br#"{"from":"x","from":"clerk","to":"data","op":"GET /customers/1"}"#,
            Some("duplicate field"),
        ),
        (
            br#"{"from":1,"to":"data","op":"GET /"}"#,
            Some("not a question"),
        ),
        (b"{", Some("not a question")),
        (b"\xFF\xFE", Some("not a question")),
        (
            b"{\"from\":\"\xFF\",\"to\":\"data\",\"op\":\"GET /\"}",
            Some("not a question"),
        ),
        (
            long.as_bytes(),
            Some("the line is longer than 524288 bytes"),
        ),
        (edge.as_bytes(), None),
        (
            past.as_bytes(),
            Some("the line is longer than 524288 bytes"),
        ),
        (
            br#"{"from":"clerk","to":"data","op":"nonsense"}"#,
            Some("is not METHOD /path"),
        ),
        (
            br#"{"from":"who","to":"data","op":"GET /"}"#,
            Some("is called"),
        ),
        (GOOD.as_bytes(), None),
    ];
    let mut input = lines
        .iter()
        .map(|(line, _)| *line)
        .collect::<Vec<_>>()
        .join(&b'\n');
    for end in [&b""[..], b"\n", b"\r\n"] {
        input.extend_from_slice(end);
        let (answers, summary) = ask(&input);
        // A last "\r\n" after the line feed is one more line, which holds a carriage return.
        assert_eq!(answers.len(), lines.len() + usize::from(end == b"\r\n"));
        assert_eq!((summary.allowed, summary.lines), (4, answers.len() as u64));
        assert_eq!(summary.denied, summary.lines - 4);
        for ((line, denied), answer) in lines.iter().zip(&answers) {
            let line = String::from_utf8_lossy(&line[..line.len().min(80)]);
            match denied {
                None => assert_eq!(answer.outcome, "allow", "{line}: {}", answer.reason),
                Some(words) => {
                    assert_eq!(answer.outcome, "deny", "{line}");
                    assert!(answer.reason.contains(words), "{line}: {}", answer.reason);
                }
            }
        }
    }
    assert_eq!(ask(b"").1, BatchSummary::default());
}

/// Somebody who asks, waits for the answer, and asks again.
#[test]
fn answers_before_the_next_question_comes() {
    struct Channel(mpsc::Receiver<Vec<u8>>);
    impl Read for Channel {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Ok(bytes) = self.0.recv() else {
                return Ok(0);
            };
            buffer[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }
    struct Sink(mpsc::Sender<Vec<u8>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (ask, questions) = mpsc::channel();
    let (answer, answers) = mpsc::channel();
    let thread =
        std::thread::spawn(move || batch(&bank(), Channel(questions), Sink(answer)).unwrap());
    for _ in 0..3 {
        // In pieces, with the start of the next behind it.
        ask.send(GOOD.as_bytes()[..10].to_vec()).unwrap();
        ask.send([&GOOD.as_bytes()[10..], b"\n{\"from\"".as_slice()].concat())
            .unwrap();
        let got = answers
            .recv_timeout(Duration::from_secs(10))
            .expect("an answer");
        assert!(got.ends_with(b"\n"), "{}", String::from_utf8_lossy(&got));
        ask.send(b"\n".to_vec()).unwrap();
        answers
            .recv_timeout(Duration::from_secs(10))
            .expect("an answer to the rest");
    }
    drop(ask);
    assert_eq!(thread.join().unwrap().lines, 6);
}

/// The answers of a batch are those that single questions get. How fast it is: `bench/policy-batch`.
#[test]
fn answers_as_single_questions_are() {
    let bank = bank();
    let mut input = Vec::new();
    let mut wanted = Vec::new();
    for n in 0..500 {
        let (from, op) = (
            ["clerk", "data"][n % 2],
            format!("{} /customers/{n}", ["GET", "PUT"][n / 2 % 2]),
        );
        writeln!(input, r#"{{"from":"{from}","to":"data","op":"{op}"}}"#).unwrap();
        wanted.push(Answer::from(&bank.explain_text(
            from,
            "data",
            &op,
            &moment(now()),
        )));
    }
    assert_eq!(ask(&input).0, wanted);
}

fn record(seq: u64, change: impl FnOnce(&mut Flow)) -> String {
    let mut flow = Flow {
        schema: 1,
        time_ns: 1_795_000_000_000_000_000,
        node: "bank-1".into(),
        kind: Kind::Operation.into(),
        count: 1,
        source: "clerk".into(),
        destination: "data".into(),
        protocol: "http".into(),
        operation: "GET /customers/42".into(),
        outcome: Outcome::Deny.into(),
        reason: "as it was then".into(),
        ..Flow::default()
    };
    change(&mut flow);
    serde_json::to_string(&FlowRecord::new(seq, &flow).unwrap()).unwrap()
}

/// What `observe -o json` prints is a question each: what would the answer be today?
#[test]
fn records_of_the_log_are_questions() {
    let lines = [
        record(7, |_| {}),
        GOOD.to_owned(),
        record(8, |flow| flow.operation = "PUT /customers/42".into()),
        record(9, |flow| flow.kind = Kind::Close.into()),
        record(10, |flow| {
            flow.kind = Kind::Connection.into();
            flow.operation = "connect".into();
        }),
        record(11, |flow| {
            flow.protocol = "dns".into();
            flow.operation = "resolve A data".into();
        }),
        record(12, |flow| flow.kind = Kind::Wall.into()),
        record(13, |flow| flow.kind = Kind::Event.into()),
        record(14, |flow| flow.destination = String::new()),
        record(15, |flow| flow.source = "nobody".into()),
        record(16, |flow| flow.operation = "GET /\u{202e}\u{9b}".into()),
        record(17, |_| {}).replace("\"count\":1", "\"count\":1,\"more\":2"),
        // The longest that a log holds.
        record(18, |flow| flow.operation = "\u{1}".repeat(65_000)),
    ];
    let mut out = Vec::new();
    let summary = batch(&bank(), lines.join("\n").as_bytes(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains(['\u{202e}', '\u{9b}']), "{text}");
    let answers: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: Vec<String> = answers
        .iter()
        .map(|answer| format!("{} {} {}", answer["seq"], answer["op"], answer["outcome"]))
        .collect();
    assert_eq!(
        told[..7],
        [
            "7 \"GET /customers/42\" \"allow\"",
            "null null \"allow\"",
            "8 \"PUT /customers/42\" \"deny\"",
            "10 null \"allow\"",
            "11 null \"allow\"",
            "14 \"GET /customers/42\" \"deny\"",
            "15 \"GET /customers/42\" \"deny\"",
        ]
    );
    let words = |answer: &serde_json::Value| answer["reason"].as_str().unwrap().to_owned();
    assert_eq!(answers[0]["was"], "deny");
    assert_eq!(
        (&answers[0]["from"], &answers[0]["to"]),
        (&"clerk".into(), &"data".into())
    );
    assert_eq!(answers[7]["op"], "GET /\u{202e}\u{9b}", "the same value");
    assert!(words(&answers[5]).contains("nobody's"), "{}", answers[5]);
    assert!(
        words(&answers[6]).contains("is called \"nobody\""),
        "{}",
        answers[6]
    );
    assert!(
        words(&answers[8]).contains("not a flow record: unknown field `more`"),
        "{}",
        answers[8]
    );
    assert_eq!(answers[9]["seq"], 18);
    assert_eq!(
        summary,
        BatchSummary {
            lines: 13,
            allowed: 4,
            denied: 6,
            passed_over: 3
        }
    );
}

fn conditional_bank() -> Snapshot {
    compile(
        "kind: Service\nmetadata: {name: data}\nspec: {protocol: http, port: 80}\n---\n\
         kind: Agent\nmetadata: {name: clerk}\n---\n\
         kind: Policy\nmetadata: {name: clerk}\nspec: {agent: clerk, initiate: [{service: data, operations: [\
         {allow: 'POST /orders', when: 'body.amount <= 100 && request.query.dry == \"1\"'}]}]}\n",
    )
}

/// One line, asked of a policy with a condition.
fn ask_conditionally(line: &str) -> Answer {
    let mut out = Vec::new();
    batch(&conditional_bank(), line.as_bytes(), &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// An answer that hangs on what was not supplied says so, in the same words as for a single question.
#[test]
fn says_what_a_condition_needs_and_takes_it() {
    let bank = conditional_bank();
    let question =
        |with: &str| format!(r#"{{"from":"clerk","to":"data","op":"POST /orders"{with}}}"#);
    let bare = ask_conditionally(&question(""));
    let single = bank.explain_text("clerk", "data", "POST /orders", &moment(now()));
    assert_eq!(bare, Answer::from(&single));
    assert!(bare.conditional);
    assert_eq!(bare.outcome, "deny");
    for need in ["body", "request.query.dry"] {
        assert!(
            bare.needs.iter().any(|name| name.starts_with(need)),
            "{:?}",
            bare.needs
        );
    }
    // A record of the log supplies nothing either.
    let mut out = Vec::new();
    let flow = record(7, |flow| flow.operation = "POST /orders".into());
    batch(&bank, flow.as_bytes(), &mut out).unwrap();
    let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(told["conditional"], true, "{told}");
    assert_eq!(told["needs"].as_array().unwrap().len(), bare.needs.len());

    let supplied = |amount: u32, dry: &str| {
        ask_conditionally(&question(&format!(
            r#","with":{{"request":{{"query":{{"dry":{dry}}}}},"body":{{"amount":{amount}}}}}"#
        )))
    };
    assert_eq!(supplied(100, r#""1""#).outcome, "allow");
    for (amount, dry) in [(101, r#""1""#), (100, r#""0""#), (100, r#"["1","1"]"#)] {
        let answer = supplied(amount, dry);
        assert_eq!(
            (&*answer.outcome, answer.conditional),
            ("deny", false),
            "{amount} {dry}"
        );
        assert_eq!(answer.needs, Vec::<String>::new());
    }
}

/// A context that can be read in two ways, or not at all, is no context.
#[test]
fn denies_a_context_that_is_none() {
    for (with, words) in [
        (
            r#"{"request":{"query":{"dry":"0","dry":"1"}},"body":{"amount":1}}"#,
            "stands twice",
        ),
        (
            r#"{"request":{"query":{"dry":"1"}},"body":{"amount":500,"amount":1}}"#,
            "stands twice",
        ),
        (
            r#"{"request":{"query":{"dry":"1"}},"body":[{"amount":500,"amount":1}]}"#,
            "stands twice",
        ),
        (r#"{"body":{"amount":1},"requst":{}}"#, "no field"),
        (r#"{"request":{"path":"/x"}}"#, "given by the operation"),
        (r#"{"now":"yesterday"}"#, "not a time"),
        (r#""body""#, "an object with request"),
        ("[]", "an object with request"),
    ] {
        let line = format!(r#"{{"from":"clerk","to":"data","op":"POST /orders","with":{with}}}"#);
        let answer = ask_conditionally(&line);
        assert_eq!(answer.outcome, "deny", "{with}");
        assert!(answer.reason.contains(words), "{with}: {}", answer.reason);
    }
}
