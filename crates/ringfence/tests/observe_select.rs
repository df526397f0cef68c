//! Which records `ringfence observe` shows, from where, and in which form.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "observe_cli/logs.rs"]
mod logs;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use logs::{bank, command, flow, observe, records, segment, seqs, slots, state};
use ringfence_model::FlowRecord;
use ringfence_model::flow::{Flow, Kind, Outcome};

/// 2026-11-18T11:06:40Z.
const THEN: u64 = 1_795_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn at(time_ns: u64) -> Flow {
    Flow {
        time_ns,
        ..flow("a", "b", "GET /", Outcome::Allow)
    }
}

/// `observe -i -`, given these bytes.
fn given(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["observe", "-i", "-"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        // One that stops at an error does not read the rest.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

#[test]
fn the_same_filter_twice_is_either_and_not_leaves_out() {
    let mut wall = flow("reporting", "", "socket AF_PACKET", Outcome::Deny);
    wall.kind = Kind::Wall.into();
    wall.protocol = "system call".into();
    let (state, log) = bank();
    log.record(&wall).unwrap();
    let path = state.path();
    for (args, wanted) in [
        (
            &["--from", "reporting", "--from", "customer-service"][..],
            &[0, 1, 2, 3, 4, 5][..],
        ),
        (&["--verdict", "would-deny", "--verdict", "error"], &[2, 4]),
        (&["--protocol", "http"], &[0, 1, 2, 3, 4]),
        (&["--protocol", "HTTP", "--to", "payments"], &[1, 4]),
        (&["--protocol", "system call"], &[5]),
        (&["--protocol", "tcp"], &[]),
        (&["--kind", "wall"], &[5]),
        (&["--not", "--from", "reporting"], &[0, 1, 3]),
        (&["--not", "--kind", "wall", "--from", "reporting"], &[2, 4]),
        (&["--from", "reporting", "--not", "--kind", "wall"], &[2, 4]),
        // Each one leaves out by itself.
        (
            &["--not", "--verdict", "deny", "--not", "--to", "payments"],
            &[0, 2],
        ),
        // Only the next filter is negated.
        (&["--not", "--verdict", "deny", "--to", "payments"], &[4]),
        (&["--not", "--last", "9", "--verdict", "deny"], &[0, 2, 4]),
        (&["--not", "--to", "100.64.0.3"], &[]),
        (&["--last", "1", "--not", "--from", "reporting"], &[3]),
    ] {
        assert_eq!(seqs(path, args), wanted, "{args:?}");
    }
    for args in [
        &["--not"][..],
        &["--not", "--not", "--from", "a"],
        &["--from", "a", "--not"],
        &["--not=x", "--from", "a"],
        &["--kind", "walls"],
    ] {
        let output = observe(path, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    let said = text(&observe(path, &["--from", "a", "--not"]).stderr);
    assert!(said.contains("write --not --from NAME"), "{said}");
    let said = text(&observe(path, &["--verdict", "denie"]).stderr);
    assert!(said.contains("a similar value exists: 'deny'"), "{said}");
}

#[test]
fn times_bound_what_is_shown_record_by_record() {
    // The clock is set back between the third and the fourth.
    let (state, _log) = state(&[
        at(THEN),
        at(THEN + SECOND),
        at(THEN + 2 * SECOND),
        at(THEN - SECOND),
        at(THEN + SECOND),
    ]);
    let path = state.path();
    for (args, wanted) in [
        (&["--since", "2026-11-18T11:06:41Z"][..], &[1, 2, 4][..]),
        (&["--until", "2026-11-18T11:06:41Z"], &[0, 3]),
        (
            &[
                "--since",
                "2026-11-18T11:06:40",
                "--until",
                "2026-11-18T11:06:42",
            ],
            &[0, 1, 4],
        ),
        (
            &["--since", "2026-11-18 13:06:41+02:00", "--last", "2"],
            &[2, 4],
        ),
        (&["--since", "2026-11-18"], &[0, 1, 2, 3, 4]),
        (&["--until", "2026-11-18"], &[]),
        (&["--since", "+1m"], &[]),
        (&["--until", "+1m"], &[0, 1, 2, 3, 4]),
        (&["--since", "1960-01-01"], &[0, 1, 2, 3, 4]),
        (&["--until", "1960-01-01"], &[]),
    ] {
        assert_eq!(seqs(path, args), wanted, "{args:?}");
    }
    for wrong in ["yesterday-ish", "10", "-5m", "2026-02-30", "25:00"] {
        let output = observe(path, &[&format!("--since={wrong}")]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        let said = text(&output.stderr);
        assert!(
            said.contains("10m") && said.contains("2026-11-21"),
            "{said}"
        );
    }
    let output = observe(path, &["--since", "10m", "--until", "1h"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("help: exchange them"));
}

#[test]
fn the_recent_past_is_what_was_just_recorded() {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = u64::try_from(now.as_nanos()).unwrap();
    let (state, _log) = state(&[at(now - 7_200 * SECOND), at(now - 600 * SECOND), at(now)]);
    assert_eq!(seqs(state.path(), &["--since", "5m"]), [2]);
    assert_eq!(seqs(state.path(), &["--since", "1h"]), [1, 2]);
    assert_eq!(seqs(state.path(), &["--since", "1h", "--until", "5m"]), [1]);
    assert_eq!(seqs(state.path(), &["--since", "1d"]), [0, 1, 2]);
}

#[test]
fn a_follower_ends_when_its_time_comes() {
    let (state, log) = bank();
    let since = Instant::now();
    let mut child = command(
        state.path(),
        &["-f", "-o", "json", "--from", "a", "--until", "+2s"],
    )
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    log.record(&at(u64::try_from(now.as_nanos()).unwrap()))
        .unwrap();
    // Stamped after the end: not shown, though it is there in time.
    log.record(&at(u64::try_from(now.as_nanos()).unwrap() + 3_600 * SECOND))
        .unwrap();
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .collect();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(lines.len(), 1, "{lines:?}");
    let took = since.elapsed();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(30)).contains(&took),
        "{took:?}"
    );
    // One whose time is over does not wait at all.
    let output = observe(state.path(), &["-f", "-o", "json", "--until", "2026-11-19"]);
    assert_eq!(records(&output).len(), 5);
}

#[test]
fn reads_back_what_it_printed() {
    let (state, log) = bank();
    drop(log);
    let json = observe(state.path(), &["-o", "json"]).stdout;

    let output = given(&["-o", "json"], &json);
    assert_eq!(text(&output.stdout), text(&json), "from standard input");
    let spaced = text(&json).replace('\n', "\r\n\n  \n");
    let output = given(&["-o", "json"], spaced.as_bytes());
    assert_eq!(
        text(&output.stdout),
        text(&json),
        "blank lines are passed over"
    );

    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("records.jsonl");
    std::fs::write(&file, &json).unwrap();
    let log_copy = place.path().join("copy");
    std::fs::copy(segment(state.path()), &log_copy).unwrap();
    for source in [&file, &log_copy] {
        let read = |args: &[&str]| {
            Command::new(env!("CARGO_BIN_EXE_ringfence"))
                .args(["observe", "-i"])
                .arg(source)
                .args(args)
                .output()
                .unwrap()
        };
        assert_eq!(
            text(&read(&["-o", "json"]).stdout),
            text(&json),
            "{source:?}"
        );
        let filtered = records(&read(&["-o", "json", "--verdict", "deny", "--last", "1"]));
        assert_eq!(filtered.iter().map(|r| r.seq).collect::<Vec<_>>(), [3]);
        // Numbers stay those of the log, and every form is there.
        let compact = observe(state.path(), &[]).stdout;
        assert_eq!(text(&read(&[]).stdout), text(&compact));
    }
    assert_eq!(given(&[], b"").status.code(), Some(0));
}

#[test]
fn a_line_that_is_no_record_is_named_after_what_came_before() {
    let (state, _log) = bank();
    let json = observe(state.path(), &["-o", "json"]).stdout;
    let good: Vec<&str> = std::str::from_utf8(&json).unwrap().lines().collect();
    let long = format!("{{\"seq\":1,\"node\":\"{}\"}}", "x".repeat(600_000));
    for (bad, word) in [
        ("not json", "expected"),
        ("{\"seq\":1}", "missing field"),
        ("{}", "missing field"),
        ("[1]", "line 3 of standard input"),
        (
            &good[0].replace("\"node\"", "\"nodes\""),
            "unknown field `nodes`",
        ),
        (
            &good[0].replace("\"allow\"", "\"maybe\""),
            "unknown variant `maybe`",
        ),
        (&good[0].replace("2026", "1926"), "before 1970"),
        (&good[0][..good[0].len() - 9], "EOF"),
        ("{\"\x1b[2J\":1}", "control character"),
        ("{\"\u{202e}\u{9b}\":1}", "unknown field"),
        (&long, "longer than 524288 bytes"),
    ] {
        let input = [good[0], good[1], bad, good[2]].join("\n");
        for (args, shown) in [
            (&["-o", "json"][..], 2),
            (&["-o", "json", "--last", "1"], 1),
        ] {
            let output = given(args, input.as_bytes());
            assert_eq!(output.status.code(), Some(1), "{bad:.80}");
            assert_eq!(text(&output.stdout).lines().count(), shown, "{bad:.80}");
            let said = text(&output.stderr);
            assert!(
                said.contains("line 3 of standard input is no flow record")
                    && said.contains(word)
                    && said.contains("help: "),
                "{said}"
            );
            assert!(!said.contains(['\x1b', '\u{202e}', '\u{9b}']), "{said}");
        }
    }
}

#[test]
fn a_damaged_copy_is_told_and_what_cannot_go_together_is_refused() {
    let (state, log) = bank();
    drop(log);
    let mut bytes = std::fs::read(segment(state.path())).unwrap();
    let second = slots(&bytes)[1];
    bytes[second + 9] ^= 1;
    let copy = state.path().join("copy");
    std::fs::write(&copy, bytes).unwrap();
    let run = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .arg("observe")
            .args(args)
            .output()
            .unwrap()
    };
    let output = run(&["-i", copy.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().count(), 1);
    assert!(text(&output.stderr).contains("help: records before it are whole; copy the log again"));

    assert_eq!(run(&["-i", "/nowhere/at/all"]).status.code(), Some(1));
    assert_eq!(run(&["-i", "-", "-f"]).status.code(), Some(2));
    assert_eq!(run(&["-i", "-", "--state", "/tmp"]).status.code(), Some(2));
    assert_eq!(
        run(&["-i", "-", "--explain", "-o", "json"]).status.code(),
        Some(2)
    );
    let directory = run(&["-i", state.path().to_str().unwrap()]);
    assert_eq!(directory.status.code(), Some(1));
    assert!(
        text(&directory.stderr).contains("cannot be read"),
        "{directory:?}"
    );
}

/// As behind `tail -f … | ringfence observe -i -`.
#[test]
fn shows_a_record_before_the_next_one_comes() {
    let (state, _log) = bank();
    let json = text(&observe(state.path(), &["-o", "json"]).stdout);
    for format in ["compact", "table"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args(["observe", "-i", "-", "-o", format])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, seen) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                let _ = sender.send(line);
            }
        });
        if format == "table" {
            writeln!(stdin, "{}", json.lines().next().unwrap()).unwrap();
            let header = seen.recv_timeout(Duration::from_secs(20)).unwrap();
            assert!(header.starts_with("TIME "), "{header}");
            seen.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        for line in json.lines().skip(1) {
            writeln!(stdin, "{line}").unwrap();
            let shown = seen.recv_timeout(Duration::from_secs(20)).unwrap();
            let record: FlowRecord = serde_json::from_str(line).unwrap();
            assert!(shown.contains(&record.operation), "{shown}");
        }
        drop(stdin);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_table_has_a_header_and_straight_columns() {
    let (state, _log) = bank();
    let shown = text(&observe(state.path(), &["-o", "table"]).stdout);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        [
            "TIME",
            "VERDICT",
            "KIND",
            "FROM",
            "TO",
            "PROTOCOL",
            "OPERATION",
            "COUNT",
            "RULE",
            "REASON"
        ]
    );
    assert_eq!(
        lines[2],
        "2026-11-18T11:06:40.123Z  deny        operation  customer-service  payments         http      POST /v1/payments  \
         1      policies.yaml:12  no rule of policy customer-service names service payments"
    );
    for column in ["VERDICT", "FROM", "TO", "PROTOCOL", "COUNT", "REASON"] {
        let start = lines[0].find(column).unwrap();
        for line in &lines[1..] {
            assert!(
                line.is_char_boundary(start) && &line[start - 2..start] == "  ",
                "{column}: {line}"
            );
            assert_ne!(&line[start..=start], " ", "{column}: {line}");
        }
    }
    // An empty cell is a dash, so that columns can be cut out.
    assert!(
        lines[4].contains("customer-service  100.64.0.3:8080"),
        "{}",
        lines[4]
    );
    let nothing = Flow {
        time_ns: THEN,
        ..flow("", "", "", Outcome::Allow)
    };
    let nothing = Flow {
        original_destination: String::new(),
        protocol: String::new(),
        rule: String::new(),
        reason: String::new(),
        ..nothing
    };
    let (state, _log) = logs::state(&[nothing]);
    let shown = text(&observe(state.path(), &["-o", "table"]).stdout);
    assert_eq!(
        shown
            .lines()
            .nth(1)
            .unwrap()
            .split_whitespace()
            .skip(3)
            .collect::<Vec<_>>(),
        ["-", "-", "-", "-", "1", "-", "-"]
    );
}

#[test]
fn a_long_table_is_one_table() {
    let mut flows: Vec<Flow> = (0..600).map(|_| at(THEN)).collect();
    flows[500].source = "a-name-that-is-longer".into();
    flows[599].operation = format!("GET /{}", "x".repeat(500));
    let (state, _log) = state(&flows);
    let shown = text(&observe(state.path(), &["-o", "table"]).stdout);
    assert_eq!(shown.lines().count(), 601);
    assert_eq!(shown.matches("TIME").count(), 1);
    assert!(
        shown.lines().last().unwrap().contains(&"x".repeat(500)),
        "nothing is cut"
    );
}

#[test]
fn a_name_that_no_record_bears_is_told_with_the_near_one() {
    let (state, _log) = bank();
    let said = |args: &[&str]| {
        let output = observe(state.path(), args);
        assert_eq!(output.status.code(), Some(0));
        text(&output.stderr)
    };
    assert_eq!(
        said(&["--from", "reporing"]),
        "ringfence: no record is --from reporing; did you mean reporting?\n"
    );
    assert_eq!(
        said(&["--not", "--to", "payment"]),
        "ringfence: no record is --to payment; did you mean payments?\n"
    );
    assert_eq!(
        said(&["--protocol", "htpp"]),
        "ringfence: no record is --protocol htpp; did you mean http?\n"
    );
    assert_eq!(said(&["--from", "reporting", "--to", "100.64.0.9"]), "");
    assert_eq!(said(&["--protocol", "HTTP"]), "");
    assert_eq!(said(&["--from", "somebody-else"]), "");
}

/// What a person sees, on a terminal of this width of mind.
fn on_a_terminal(state: &Path, args: &[&str], environment: &[(&str, &str)]) -> String {
    let shown = command(state, args);
    let words: Vec<&str> = std::iter::once(shown.get_program())
        .chain(shown.get_args())
        .map(|word| word.to_str().unwrap())
        .collect();
    let output = Command::new("script")
        .args(["-qec", &words.join(" "), "/dev/null"])
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    text(&output.stdout)
}

#[test]
fn the_command_that_explains_stands_below_on_a_terminal_or_when_asked() {
    let (state, _log) = bank();
    let command = "    ringfence policy explain --from customer-service --to payments --op 'POST /v1/payments'";
    let commands = |shown: &str| {
        let found = shown
            .lines()
            .filter(|line| line.starts_with("    ringfence "));
        found
            .map(|line| line.trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    let path = state.path();
    assert_eq!(
        commands(&text(&observe(path, &[]).stdout)),
        [""; 0],
        "not into a pipe"
    );
    for format in ["compact", "table"] {
        let shown = text(&observe(path, &["--explain", "-o", format]).stdout);
        let would = "    ringfence policy explain --from reporting --to customer-data --op 'GET /customers/2'";
        assert_eq!(commands(&shown), [command, would], "{shown}");
        let below = shown.lines().position(|line| line == command).unwrap();
        assert!(
            shown
                .lines()
                .nth(below - 1)
                .unwrap()
                .contains("POST /v1/payments")
        );
        let terminal = on_a_terminal(path, &["-o", format], &[]);
        assert_eq!(commands(&terminal), [command, would], "{terminal}");
        let terminal = on_a_terminal(path, &["-o", format, "--no-explain"], &[]);
        assert_eq!(commands(&terminal), [""; 0]);
    }
    assert!(
        on_a_terminal(path, &["-o", "json"], &[])
            .lines()
            .all(|line| line.starts_with('{'))
    );
}

/// An operation is the agent's own words. Whoever pastes the command must run nothing but it.
#[test]
fn a_pasted_command_runs_nothing_of_the_agents() {
    let place = tempfile::tempdir().unwrap();
    let owned = place.path().join("owned");
    let touch = format!("touch {}", owned.display());
    let hostile = [
        format!("GET /'; {touch}; '"),
        format!("GET /$({touch})"),
        format!("GET /`{touch}`"),
        format!("GET /\n{touch}\n"),
        format!("GET /\\'; {touch} #"),
        format!("--batch=/dev/null'; {touch} #"),
        format!("GET /\u{202e}{touch}"),
        format!("GET /\x1b[201~\n{touch}\n"),
        "--config=/".to_owned(),
        "GET /!!".to_owned(),
    ];
    let flows: Vec<Flow> = hostile
        .iter()
        .flat_map(|op| {
            [
                flow("assistant", "library", op, Outcome::Deny),
                flow(op, "library", "GET /", Outcome::Deny),
                flow("assistant", op, "GET /", Outcome::Deny),
            ]
        })
        .collect();
    let (state, _log) = state(&flows);
    let estate = place.path().join("estate");
    let made = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .arg("init")
        .arg(&estate)
        .output()
        .unwrap();
    assert!(made.status.success());
    let shown = text(&observe(state.path(), &["--explain"]).stdout);
    let commands: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    // Those with line ends, backslashes, marks that reorder or hide, and `!` have none.
    assert_eq!(commands.len(), 5 * 3, "{shown}");
    for command in commands {
        let binary = Path::new(env!("CARGO_BIN_EXE_ringfence"));
        for shell in ["sh", "bash", "zsh", "fish"] {
            let Ok(output) = Command::new(shell)
                .args(["-c", command])
                .env(
                    "PATH",
                    format!("{}:/usr/bin:/bin", binary.parent().unwrap().display()),
                )
                .env("RINGFENCE_CONFIG", &estate)
                .current_dir(place.path())
                .output()
            else {
                continue;
            };
            // Denied, with the reason: what was asked is the text, whole.
            assert_eq!(
                output.status.code(),
                Some(3),
                "{shell}: {command}: {output:?}"
            );
            assert!(text(&output.stdout).starts_with("deny  "), "{output:?}");
            assert!(!owned.exists(), "{shell}: {command}");
        }
    }
}

/// Yesterday's denials, asked of today's policy.
#[test]
fn its_lines_are_questions_to_policy() {
    let place = tempfile::tempdir().unwrap();
    let estate = place.path().join("estate");
    let made = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .arg("init")
        .arg(&estate)
        .output()
        .unwrap();
    assert!(made.status.success());
    let mut close = flow("assistant", "library", "connect", Outcome::Deny);
    close.kind = Kind::Close.into();
    let (state, _log) = state(&[
        flow("assistant", "library", "GET /books/1", Outcome::Deny),
        flow("assistant", "library", "DELETE /books/1", Outcome::Deny),
        flow("assistant", "library", "GET /books/2", Outcome::Allow),
        close,
    ]);
    let binary = env!("CARGO_BIN_EXE_ringfence");
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "{binary} observe --state {} --verdict deny -o json | {binary} policy explain --batch - --config {}",
            state.path().display(),
            estate.display()
        ))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answers: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: Vec<String> = answers
        .iter()
        .map(|a| format!("{} {} {} {}", a["seq"], a["op"], a["was"], a["outcome"]))
        .collect();
    assert_eq!(
        told,
        [
            "0 \"GET /books/1\" \"deny\" \"allow\"",
            "1 \"DELETE /books/1\" \"deny\" \"deny\""
        ]
    );
    assert_eq!(
        text(&output.stderr),
        "ringfence: passed over 1 record: closes, walls and events ask policy nothing\n"
    );
}
