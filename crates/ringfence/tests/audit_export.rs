//! `ringfence audit export` as a user runs it, on logs that the log's own writer made.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "observe_cli/logs.rs"]
mod logs;
#[path = "../../ocsf/tests/support/valid.rs"]
mod valid;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use logs::{bank, flow, lines_while_it_grows, observe, state};
use prost::Message;
use ringfence_model::flow::{Flow, Kind, Outcome};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn command(state: &Path, format: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command
        .args(["audit", "export", "--state"])
        .arg(state)
        .args(["--format", format])
        .args(args);
    command
}

fn export(state: &Path, format: &str, args: &[&str]) -> Output {
    command(state, format, args).output().unwrap()
}

fn text(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The numbers of the records that come.
fn seqs(state: &Path, args: &[&str]) -> Vec<u64> {
    let lines = text(export(state, "json", args));
    let seq = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["seq"].as_u64().unwrap()
    };
    lines.lines().map(seq).collect()
}

/// Every text of it says `words`.
fn saying(words: &str) -> Flow {
    let mut flow = flow(words, words, words, Outcome::Deny);
    for text in [
        &mut flow.node,
        &mut flow.connection,
        &mut flow.source_instance,
        &mut flow.destination_instance,
        &mut flow.original_destination,
        &mut flow.protocol,
        &mut flow.reason,
        &mut flow.rule,
        &mut flow.mode,
        &mut flow.task,
        &mut flow.purpose,
        &mut flow.fields,
    ] {
        *text = words.into();
    }
    flow
}

/// Reads CSV as RFC 4180 says.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {
                assert_eq!(chars.next(), Some('\n'), "{text:?}");
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !quoted, "{text:?}");
    rows
}

#[test]
fn json_is_what_observe_prints() {
    let (state, _log) = bank();
    let observed = observe(state.path(), &["-o", "json"]);
    assert_eq!(export(state.path(), "json", &[]).stdout, observed.stdout);
    assert_eq!(observed.stdout.split(|byte| *byte == b'\n').count(), 6);
}

#[test]
fn csv_has_the_keys_of_json_and_a_row_for_each_record() {
    let (state, _log) = bank();
    let rows = cells(&text(export(state.path(), "csv", &[])));
    let full = serde_json::to_value(
        ringfence_model::FlowRecord::new(
            7,
            &Flow {
                generation: 1,
                bytes_sent: 1,
                bytes_received: 1,
                duration_ns: 1,
                last_time_ns: 1,
                fields_key: 1,
                ..saying("x")
            },
        )
        .unwrap(),
    );
    let mut keys: Vec<String> = full.unwrap().as_object().unwrap().keys().cloned().collect();
    let mut header = rows[0].clone();
    assert_eq!(header[0], "seq");
    header.sort();
    keys.sort();
    assert_eq!(header, keys);
    assert_eq!(rows.len(), 6);
    assert!(rows.iter().all(|row| row.len() == 27), "{rows:?}");
    let named = |row: usize, name: &str| {
        let column = rows[0].iter().position(|it| it == name).unwrap();
        rows[row][column].as_str()
    };
    assert_eq!(named(2, "seq"), "1");
    assert_eq!(named(2, "operation"), "POST /v1/payments");
    assert_eq!(named(2, "outcome"), "deny");
    assert_eq!(named(2, "time"), "2026-11-18T11:06:40.123456789Z");
    let going_on = text(export(state.path(), "csv", &["--no-header", "--from", "4"]));
    assert_eq!(cells(&going_on), rows[5..]);
}

#[test]
fn a_cell_is_no_formula_and_no_line_of_its_own() {
    let nasty = [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "a\"b,c\r\nd",
        "\u{1b}[2J\u{202e}\0",
        "\"",
        ",",
    ];
    let flows: Vec<Flow> = nasty.map(saying).into();
    let (state, _log) = state(&flows);
    let text = text(export(state.path(), "csv", &[]));
    assert_eq!(text.matches("\r\n").count(), 1 + nasty.len(), "{text:?}");
    assert_eq!(
        text.matches('\n').count(),
        1 + nasty.len(),
        "one line for each"
    );
    let rows = cells(&text);
    for row in &rows {
        assert_eq!(row.len(), 27, "{row:?}");
        for cell in row {
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                "{cell:?}"
            );
            assert!(!cell.contains(char::is_control), "{cell:?}");
        }
    }
    assert_eq!(rows[7][20], "a\"b,c\\r\\nd");
}

#[test]
fn from_and_to_are_numbers_of_records_and_both_included() {
    let (state, _log) = bank();
    let path = state.path();
    assert_eq!(seqs(path, &[]), [0, 1, 2, 3, 4]);
    assert_eq!(seqs(path, &["--from", "0"]), [0, 1, 2, 3, 4]);
    assert_eq!(seqs(path, &["--from", "3"]), [3, 4]);
    assert_eq!(seqs(path, &["--from", "1", "--to", "3"]), [1, 2, 3]);
    assert_eq!(seqs(path, &["--from", "2", "--to", "2"]), [2]);
    assert_eq!(seqs(path, &["--to", "0"]), [0]);
    assert_eq!(seqs(path, &["--to", "99"]), [0, 1, 2, 3, 4]);
    assert_eq!(seqs(path, &["--from", "5"]), [0; 0], "the next to come");
    // Filters leave out, and change no number.
    assert_eq!(
        seqs(path, &["--from", "2", "--source", "reporting"]),
        [2, 4]
    );
    assert_eq!(seqs(path, &["--destination", "payments"]), [1, 4]);
    assert_eq!(
        seqs(
            path,
            &["--not", "--source", "reporting", "--verdict", "deny"]
        ),
        [1, 3]
    );
    assert_eq!(seqs(path, &["--since", "2026-11-19"]), [0; 0]);
    for wrong in [
        &["--from", "3", "--to", "2"][..],
        &["--from", "reporting"],
        &["--no-header"],
        &["--since", "2026-11-19", "--until", "2026-11-18"],
    ] {
        assert_eq!(
            export(path, "json", wrong).status.code(),
            Some(2),
            "{wrong:?}"
        );
    }
}

/// Whoever goes on behind a record that the log does not have would miss what is there: the log is another one.
#[test]
fn going_on_behind_the_end_is_an_error_and_says_what_happened() {
    let (state, _log) = bank();
    for follow in [&[][..], &["--follow"]] {
        let output = export(state.path(), "json", &[&["--from", "6"], follow].concat());
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout, b"");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("no record 5 yet"), "{said}");
        assert!(said.contains("emptied or put back"), "{said}");
    }
    let nothing = tempfile::tempdir().unwrap();
    let output = export(nothing.path(), "json", &[]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn following_writes_each_record_when_it_comes_and_goes_on_where_it_stopped() {
    let (state, log) = bank();
    let mut child = command(state.path(), "json", &["--follow", "--from", "3"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().contains("\"seq\":3,"));
    assert!(next().contains("\"seq\":4,"));
    for seq in 5..8 {
        let begun = Instant::now();
        log.record(&flow("late", "payments", "GET /", Outcome::Allow))
            .unwrap();
        assert!(next().contains(&format!("\"seq\":{seq},")));
        assert!(begun.elapsed() < Duration::from_secs(5), "{begun:?}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(seqs(state.path(), &["--from", "8"]), [0; 0]);
    log.record(&flow("later", "payments", "GET /", Outcome::Allow))
        .unwrap();
    assert_eq!(seqs(state.path(), &["--from", "8"]), [8]);
}

#[test]
fn following_ends_at_the_last_record_that_is_asked_for() {
    let (state, log) = bank();
    let mut child = command(state.path(), "json", &["--follow", "--to", "5"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..5 {
        lines.next().unwrap().unwrap();
    }
    for _ in 0..2 {
        log.record(&flow("late", "payments", "GET /", Outcome::Allow))
            .unwrap();
    }
    assert!(lines.next().unwrap().unwrap().contains("\"seq\":5,"));
    assert!(lines.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let many = vec![flow("customer-service", "payments", "GET /", Outcome::Allow); 2_000];
    let (state, log) = state(&many);
    for format in ["ocsf", "json", "csv"] {
        for follow in [&[][..], &["--follow"]] {
            let mut child = command(state.path(), format, follow)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut first = [0; 64];
            child.stdout.take().unwrap().read_exact(&mut first).unwrap();
            log.record(&many[0]).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{format} {follow:?}");
            assert_eq!(output.stderr, b"", "{format} {follow:?}");
        }
    }
}

/// Every event of a log, checked by the published schema.
fn events(state: &Path, args: &[&str]) -> Vec<Value> {
    let text = text(export(state, "ocsf", args));
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(valid::faults(&event), [""; 0], "{event:#}");
        event
    };
    text.lines().map(event).collect()
}

#[test]
fn ocsf_is_one_valid_event_for_each_record_with_its_place_in_the_log() {
    let (state, _log) = bank();
    let all = events(state.path(), &[]);
    let of = |pointer: &str| -> Vec<&Value> {
        all.iter().map(|it| it.pointer(pointer).unwrap()).collect()
    };
    assert_eq!(of("/metadata/sequence"), [0, 1, 2, 3, 4]);
    assert_eq!(of("/metadata/uid")[4], "bank-1/4");
    assert_eq!(
        of("/type_uid"),
        [400_203, 400_206, 400_203, 400_299, 400_203]
    );
    assert_eq!(
        of("/status_code"),
        ["allow", "deny", "would-deny", "deny", "error"]
    );
    assert_eq!(
        events(state.path(), &["--from", "2", "--to", "3"]),
        all[2..4]
    );
    assert_eq!(events(state.path(), &["--verdict", "deny"])[0], all[1]);

    // The fingerprint is that of the bytes of the record.
    let leaf = flow(
        "customer-service",
        "customer-data",
        "GET /customers/1",
        Outcome::Allow,
    )
    .encode_to_vec();
    let hash = Sha256::new()
        .chain_update([0])
        .chain_update(&leaf)
        .finalize();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(of("/attestation_list/0/fingerprint/value")[0], &hex);
}

/// A signed log is called what its key is called.
#[test]
fn the_name_of_a_signed_log_is_in_its_events() {
    let (state, _log) = bank();
    std::fs::write(
        state.path().join("log/key.pub"),
        "bank-1.1a2b.example+33b2a3f1+AaaaBbbb\n",
    )
    .unwrap();
    let first = &events(state.path(), &["--to", "0"])[0];
    assert_eq!(first["metadata"]["uid"], "bank-1.1a2b.example/0");
    assert_eq!(
        first["attestation_list"][0]["chain_uid"],
        "bank-1.1a2b.example"
    );
}

#[test]
fn hostile_text_never_breaks_a_line_of_json() {
    let nasty = "\u{1b}]0;x\u{7}\r\n\u{2028}\u{202e}\u{0}\"\\,{}\u{85}\u{fffd}";
    let long = "\u{1}".repeat(60_000);
    let mut flows = Vec::new();
    for kind in [
        Kind::Unspecified,
        Kind::Connection,
        Kind::Operation,
        Kind::Close,
        Kind::Wall,
        Kind::Event,
    ] {
        for protocol in [nasty, "http", "grpc", "dns", "postgres", "system call"] {
            flows.push(Flow {
                kind: kind.into(),
                protocol: protocol.into(),
                ..saying(nasty)
            });
        }
    }
    // As long as a record can be.
    flows.push(flow("a", "b", &long, Outcome::Deny));
    let (state, _log) = state(&flows);
    for format in ["ocsf", "json"] {
        let text = text(export(state.path(), format, &[]));
        assert_eq!(text.matches('\n').count(), flows.len(), "{format}");
        let raw = |c: char| c.is_control() || "\u{202e}\u{2028}".contains(c);
        assert!(!text.lines().any(|line| line.contains(raw)), "{text:?}");
        for (line, flow) in text.lines().zip(&flows) {
            let record: Value = serde_json::from_str(line).unwrap();
            let operation = match format {
                "ocsf" => &record["unmapped"]["operation"],
                _ => &record["operation"],
            };
            assert_eq!(operation, &flow.operation);
        }
    }
    assert_eq!(events(state.path(), &[]).len(), flows.len());
}

#[test]
fn ends_at_what_was_there_however_fast_the_log_grows() {
    // More than the pipe and both ends' buffers hold, so that the log grows before all of it is read.
    let many = vec![flow("early", "payments", "GET /", Outcome::Allow); 3_000];
    for format in ["json", "ocsf"] {
        let (state, log) = state(&many);
        let mut exporting = command(state.path(), format, &[]);
        let written = lines_while_it_grows(&mut exporting, &log, many.len());
        assert_eq!(written, Some(many.len()), "{format}");
    }
}
