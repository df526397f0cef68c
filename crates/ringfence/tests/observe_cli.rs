//! `ringfence observe` as a user runs it, on logs that the log's own writer made.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "observe_cli/logs.rs"]
mod logs;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use logs::{
    bank, command, flow, lines_while_it_grows, observe, records, segment, seqs, slots, state,
};
use ringfence_model::FlowRecord;
use ringfence_model::flow::{Flow, Outcome};

#[test]
fn json_is_every_record_without_loss() {
    let (state, _log) = bank();
    let read = records(&observe(state.path(), &["-o", "json"]));
    assert_eq!(read.len(), 5);
    assert_eq!(
        read[1].to_flow(),
        flow(
            "customer-service",
            "payments",
            "POST /v1/payments",
            Outcome::Deny
        )
    );
}

#[test]
fn compact_is_one_aligned_line_per_record() {
    let (state, _log) = bank();
    let output = observe(state.path(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(!text.contains('\x1b'), "no colours into a pipe");
    assert_eq!(
        lines[1],
        "2026-11-18T11:06:40.123Z  deny        operation   customer-service → payments       http POST /v1/payments  \
         no rule of policy customer-service names service payments (policies.yaml:12)"
    );
    assert!(
        lines[3].contains("customer-service → 100.64.0.3:8080  http connect"),
        "{}",
        lines[3]
    );
}

#[test]
fn filters_combine_and_last_counts_what_matches() {
    let (state, _log) = bank();
    let path = state.path();
    assert_eq!(seqs(path, &["--from", "reporting"]), [2, 4]);
    assert_eq!(seqs(path, &["--to", "payments"]), [1, 4]);
    assert_eq!(seqs(path, &["--to", "100.64.0.3"]), [0, 1, 2, 3, 4]);
    assert_eq!(
        seqs(path, &["--to", "100.64.0.3:8080", "--verdict", "allow"]),
        [0]
    );
    assert_eq!(seqs(path, &["--verdict", "deny"]), [1, 3]);
    assert_eq!(seqs(path, &["--verdict", "would-deny"]), [2]);
    assert_eq!(seqs(path, &["--verdict", "error"]), [4]);
    assert_eq!(
        seqs(path, &["--from", "reporting", "--to", "payments"]),
        [4]
    );
    assert_eq!(seqs(path, &["--from", "no-one"]), [0; 0]);
    assert_eq!(seqs(path, &["--last", "2"]), [3, 4]);
    assert_eq!(seqs(path, &["--last", "0"]), [0; 0]);
    assert_eq!(seqs(path, &["--last", "99"]), [0, 1, 2, 3, 4]);
    assert_eq!(
        seqs(path, &["--last", "2", "--from", "customer-service"]),
        [1, 3]
    );
    assert_eq!(seqs(path, &["--last", "1", "--verdict", "allow"]), [0]);
    assert_eq!(
        observe(path, &["--verdict", "maybe"]).status.code(),
        Some(2)
    );
}

#[test]
fn nothing_in_a_record_reaches_the_terminal_raw() {
    let nasty = "GET /\x1b]0;owned\x07\x1b[2J\r\n\u{9b}31m\u{202e}txt\u{2028}\u{200b}\0";
    let mut hostile = flow(nasty, nasty, nasty, Outcome::Deny);
    hostile.reason = nasty.into();
    hostile.protocol = nasty.into();
    hostile.rule = nasty.into();
    let (state, _log) = state(&[hostile.clone()]);

    for format in ["compact", "table", "json"] {
        let output = observe(state.path(), &["-o", format]);
        let text = String::from_utf8(output.stdout).unwrap();
        // A table has a header besides.
        let lines = 1 + usize::from(format == "table");
        assert_eq!(text.matches('\n').count(), lines, "{format}: {text}");
        let raw: Vec<char> = text
            .lines()
            .flat_map(str::chars)
            .filter(|c| c.is_control() || "\u{202e}\u{2028}\u{200b}".contains(*c))
            .collect();
        assert_eq!(raw, [], "{format}: {text}");
    }
    let read = records(&observe(state.path(), &["-o", "json"]));
    assert_eq!(
        read[0].to_flow(),
        hostile,
        "escaped, and still the same value"
    );
}

#[test]
fn colours_only_on_a_terminal_and_not_with_no_color() {
    let (state, _log) = bank();
    let on_a_terminal = |no_color: &str| {
        let shown = command(state.path(), &["--last", "1"]);
        let words: Vec<&str> = std::iter::once(shown.get_program())
            .chain(shown.get_args())
            .map(|word| word.to_str().unwrap())
            .collect();
        let output = Command::new("script")
            .args(["-qec", &words.join(" "), "/dev/null"])
            .env("TERM", "xterm")
            .env("NO_COLOR", no_color)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(on_a_terminal("").contains("\x1b[35merror     \x1b[0m"));
    let plain = on_a_terminal("1");
    assert!(
        plain.contains("error") && !plain.contains('\x1b'),
        "{plain:?}"
    );
}

/// A follower, and its lines with the time they came.
struct Follower {
    child: Child,
    lines: std::sync::mpsc::Receiver<(Instant, String)>,
}

impl Follower {
    fn start(state: &Path, args: &[&str]) -> Self {
        let mut child = command(state, args).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn next(&self) -> (Instant, FlowRecord) {
        let (at, line) = self.lines.recv_timeout(Duration::from_secs(10)).unwrap();
        (at, serde_json::from_str(&line).unwrap())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn follows_a_live_log_soon_and_filtered() {
    let (state, log) = bank();
    let follower = Follower::start(
        state.path(),
        &[
            "-f",
            "-o",
            "json",
            "--last",
            "1",
            "--from",
            "customer-service",
        ],
    );
    assert_eq!(follower.next().1.seq, 3);
    // The wait has begun by now, or begins and looks at once.
    std::thread::sleep(Duration::from_millis(120));
    log.record(&flow("reporting", "payments", "GET /", Outcome::Allow))
        .unwrap();
    log.record(&flow(
        "customer-service",
        "payments",
        "GET /",
        Outcome::Deny,
    ))
    .unwrap();
    let written = Instant::now();
    let (seen, record) = follower.next();
    assert_eq!(record.seq, 6);
    let late = seen.saturating_duration_since(written);
    assert!(late < Duration::from_millis(400), "{late:?}");
}

#[test]
fn ends_quietly_when_its_reader_leaves() {
    let many: Vec<Flow> = (0..5000)
        .map(|_| flow("a", "b", "GET /customers/1", Outcome::Allow))
        .collect();
    let (state, _log) = state(&many);
    // While it writes; while it has more to write and would wait then; and while it waits.
    for (args, seq) in [
        (&["-o", "json"][..], 0),
        (&["-f", "-o", "json"], 0),
        (&["-f", "-o", "json", "--last", "1"], 4999),
    ] {
        let mut child = command(state.path(), args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        assert!(first.starts_with(&format!("{{\"seq\":{seq},")), "{first}");
        // The reader is dropped here. Nothing is written to the log, so `-f` must notice by itself.
        let since = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(
                since.elapsed() < Duration::from_secs(10),
                "{args:?} goes on for no one"
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(status.code(), Some(0), "{args:?}");
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(said, "", "{args:?}");
    }
}

#[test]
fn stopped_node_with_an_unfinished_record_is_read_and_said() {
    let (state, log) = bank();
    drop(log);
    let file = segment(state.path());
    let mut bytes = std::fs::read(&file).unwrap();
    let last = *slots(&bytes).last().unwrap();
    bytes[last + 2] = 0x0f; // reserved, where it was complete
    std::fs::write(&file, bytes).unwrap();
    let output = observe(state.path(), &["-o", "json"]);
    assert_eq!(records(&output).len(), 4);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("ringfence: the last record of the log")
            && said.contains("never completed"),
        "{said}"
    );
}

#[test]
fn damage_is_an_error_after_the_records_before_it() {
    let (state, log) = bank();
    drop(log);
    let file = segment(state.path());
    let mut bytes = std::fs::read(&file).unwrap();
    let second = slots(&bytes)[1];
    bytes[second + 9] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let output = observe(state.path(), &["-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&format!("record 1 at byte {second}: ")),
        "{said}"
    );
}

#[test]
fn missing_state_is_an_error_with_the_fix() {
    let nowhere = tempfile::tempdir().unwrap();
    let output = observe(&nowhere.path().join("none"), &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("ringfence: there is no flow log in "),
        "{said}"
    );
    assert!(said.contains("ringfence up"), "{said}");
}

/// More than the pipe and both ends' buffers hold, so that the log grows before all of it is read.
const MANY: usize = 3_000;

#[test]
fn ends_at_what_was_there_however_fast_the_log_grows() {
    let (state, log) = state(&vec![
        flow("early", "payments", "GET /", Outcome::Allow);
        MANY
    ]);
    for (args, expected) in [
        (&[][..], MANY),
        (&["--verdict", "allow"], 3 * MANY),
        // The log has 9 times as many by now.
        (&["--last", "3000"], MANY),
        (&["--last", "3000", "--verdict", "allow"], MANY),
    ] {
        let mut reading = command(state.path(), &[&["-o", "json"], args].concat());
        let printed = lines_while_it_grows(&mut reading, &log, expected);
        assert_eq!(printed, Some(expected), "{args:?}");
    }
}

#[test]
fn following_until_a_time_ends_then_however_fast_the_log_grows() {
    let (state, log) = state(&vec![
        flow("early", "payments", "GET /", Outcome::Allow);
        MANY
    ]);
    let until = jiff::Timestamp::now() + Duration::from_secs(2);
    let args = ["-o", "json", "-f", "--until", &until.to_string()];
    let begun = Instant::now();
    let mut child = command(state.path(), &args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    // Its records are older than the end, so each is printed.
    for line in stdout.lines() {
        assert!(line.unwrap().contains("GET /"));
        for _ in 0..2 {
            log.record(&flow("flood", "payments", "GET /", Outcome::Allow))
                .unwrap();
        }
        if begun.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it follows a log that grows beyond the end that it was given");
        }
    }
    assert!(child.wait().unwrap().success());
}
