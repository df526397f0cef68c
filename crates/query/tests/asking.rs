//! What a user asks of a log, and what a query may not do.
#![allow(
    clippy::single_range_in_vec_init,
    reason = "a list of stretches may have one"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;
use ringfence_archive::{GROUP_ROWS, file_name, seal};
use ringfence_audit::Log;
use ringfence_history::SEALED;
use ringfence_model::FlowRecord;
use ringfence_model::flow::Flow;
use ringfence_query::{MEMORY_STANDARD, QUESTION_MAX, confine};
use tempfile::TempDir;

fn flow(number: u64) -> Flow {
    let denied = number % 10 == 3;
    Flow {
        schema: 1,
        time_ns: 1_790_000_000_000_000_000 + number * 1_000_001,
        node: "node-1".into(),
        side: 3,
        kind: [1, 2, 3][(number % 3) as usize],
        connection: format!("0f1e2d3c4b5a6978-{}", number / 3),
        count: if denied { 7 } else { 1 },
        source: format!("agent-{}", number % 5),
        source_instance: String::new(),
        destination: if denied {
            String::new()
        } else {
            "library".into()
        },
        destination_instance: "library/1".into(),
        original_destination: "100.64.0.9:80".into(),
        protocol: "http".into(),
        operation: format!("GET /books/{}", number % 50),
        outcome: if denied { 2 } else { 1 },
        reason: if denied {
            "no rule, \"so\"\r\n\u{1b}[31mnone".into()
        } else {
            String::new()
        },
        rule: String::new(),
        generation: number % 3,
        mode: "enforce".into(),
        task: String::new(),
        purpose: "reads".into(),
        bytes_sent: number % 4 * 1000,
        bytes_received: 0,
        duration_ns: 0,
        last_time_ns: if denied {
            1_790_000_000_500_000_000 + number * 1_000_001
        } else {
            0
        },
        fields: if number.is_multiple_of(7) {
            "{\"header.accept\":\"text/html\"}".into()
        } else {
            String::new()
        },
        fields_key: number % 2,
    }
}

/// A log with the records of `sealed` sealed, file by file, and of `hot` not.
fn log(sealed: &[Range<u64>], hot: u64) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join(SEALED)).unwrap();
    for range in sealed {
        let path = directory.path().join(SEALED).join(file_name(range.start));
        seal(
            range.start,
            range.clone().map(|number| flow(number).encode_to_vec()),
            [0; 32],
            &path,
        )
        .unwrap();
    }
    if hot > 0 {
        let log = Log::open(directory.path()).unwrap();
        for number in 0..hot {
            log.record(&flow(number)).unwrap();
        }
    }
    directory
}

fn query(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence-query"));
    command.arg("--log").arg(directory).args(words);
    command
}

fn ask(directory: &Path, words: &[&str]) -> Output {
    query(directory, words).output().unwrap()
}

fn answer(directory: &Path, words: &[&str]) -> String {
    let output = ask(directory, words);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn complaint(directory: &Path, words: &[&str], code: i32) -> String {
    let output = ask(directory, words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    said
}

#[test]
fn sealed_and_hot_records_are_one_table_and_read_like_observe() {
    // Some records are sealed and still in the log as well.
    for directory in [log(&[0..40, 40..90], 120), log(&[], 120), log(&[0..120], 0)] {
        let lines = answer(
            directory.path(),
            &["-o", "json", "SELECT * FROM flows ORDER BY seq"],
        );
        let records: Vec<FlowRecord> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let expected: Vec<FlowRecord> = (0..120)
            .map(|seq| FlowRecord::new(seq, &flow(seq)).unwrap())
            .collect();
        assert_eq!(records, expected);
    }
}

#[test]
fn a_file_of_the_first_form_is_one_with_those_of_today() {
    let directory = tempfile::tempdir().unwrap();
    let sealed = directory.path().join(SEALED);
    fs::create_dir(&sealed).unwrap();
    let golden = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../archive/tests/golden/form-1.parquet"
    );
    fs::copy(golden, sealed.join(file_name(4000))).unwrap();
    let leaves = (4600..4700).map(|number| flow(number).encode_to_vec());
    seal(4600, leaves, [0; 32], &sealed.join(file_name(4600))).unwrap();
    let sql = "SELECT seq < 4600 AS old, count(*) AS n, count(lastTime) AS times, count(DISTINCT source) > 1 AS sources \
               FROM flows GROUP BY old ORDER BY old";
    assert_eq!(
        answer(directory.path(), &["-o", "csv", sql]),
        "old,n,times,sources\r\nfalse,100,10,true\r\ntrue,600,0,true\r\n"
    );
}

#[test]
fn a_log_without_sealed_files_and_one_without_anything() {
    let directory = log(&[], 12);
    fs::remove_dir(directory.path().join(SEALED)).unwrap();
    assert_eq!(
        answer(
            directory.path(),
            &["-o", "csv", "SELECT count(*) AS n FROM flows"]
        ),
        "n\r\n12\r\n"
    );
    let nothing = tempfile::tempdir().unwrap();
    let said = complaint(nothing.path(), &["SELECT 1"], 1);
    assert!(
        said.contains("there is no flow log in") && said.contains("--state"),
        "{said}"
    );
}

#[test]
fn answers_the_questions_of_every_day() {
    let directory = log(&[0..100], 150);
    let denied = answer(
        directory.path(),
        &[
            "-o",
            "csv",
            "SELECT source, sum(count) AS n FROM flows WHERE outcome = 'deny' AND kind IN ('connection', 'operation', 'wall') \
             GROUP BY source ORDER BY n DESC, source",
        ],
    );
    let is_attempt = |flow: &Flow| flow.outcome == 2 && flow.kind != 3;
    let expected: u64 = (0..150)
        .map(flow)
        .filter(is_attempt)
        .map(|flow| flow.count)
        .sum();
    let told: u64 = denied
        .lines()
        .skip(1)
        .map(|line| {
            line.split_once(',')
                .unwrap()
                .1
                .trim()
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    assert_eq!(told, expected);
    // Names are those of JSON, case included; functions may be written either way.
    let words = "SELECT COUNT(DISTINCT originalDestination) AS n, max(bytesSent) AS most FROM flows WHERE destinationInstance = 'library/1'";
    assert_eq!(
        answer(directory.path(), &["-o", "json", words]),
        "{\"n\":1,\"most\":3000}\n"
    );
    let words = "SELECT count(*) AS n FROM flows WHERE time >= TIMESTAMP '2026-09-21T14:13:20Z' + INTERVAL '50 milliseconds'";
    let since = 1_790_000_000_000_000_000 + 50_000_000;
    let expected = (0..150)
        .filter(|number| flow(*number).time_ns >= since)
        .count();
    assert_eq!(
        answer(directory.path(), &["-o", "csv", words]),
        format!("n\r\n{expected}\r\n")
    );
    let described = answer(directory.path(), &["-o", "csv", "DESCRIBE flows"]);
    let plan = answer(directory.path(), &["EXPLAIN SELECT node FROM flows"]);
    assert!(plan.lines().count() > 4, "{plan}");
    assert!(
        described.contains("durationNs,Int64,YES") && described.contains("\ntime,"),
        "{described}"
    );
}

#[test]
fn what_cannot_match_is_not_read() {
    let rows = 2 * GROUP_ROWS as u64 + 10;
    let directory = log(&[0..rows], 0);
    let words = format!(
        "EXPLAIN ANALYZE SELECT count(*) FROM flows WHERE seq >= {}",
        rows - 5
    );
    let plan = answer(directory.path(), &["-o", "json", &words]);
    assert!(
        plan.contains("row_groups_pruned_statistics=3 total → 1 matched"),
        "{plan}"
    );
}

#[test]
fn rows_in_the_order_of_the_log_are_not_sorted_again() {
    // Three files in two parts, and records after them: more than there is memory for, were it held.
    let directory = log(&[0..30_000, 30_000..70_000, 70_000..90_000], 90_500);
    let sql = "SELECT seq, operation, connection, reason FROM flows ORDER BY seq";
    let lines = answer(directory.path(), &["--memory", "8", "-o", "json", sql]);
    let seqs: Vec<u64> = lines
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["seq"].as_u64().unwrap()
        })
        .collect();
    assert!(seqs.iter().copied().eq(0..90_500));
    let plan = answer(
        directory.path(),
        &[
            "-o",
            "json",
            "EXPLAIN SELECT operation FROM flows WHERE kind = 'wall' ORDER BY seq",
        ],
    );
    assert!(
        plan.contains("SortPreservingMergeExec") && !plan.contains("SortExec"),
        "{plan}"
    );
}

#[test]
fn what_is_pruned_while_it_is_asked_is_still_answered() {
    let directory = log(&[0..30_000, 30_000..70_000], 0);
    let sql = "SELECT seq, operation FROM flows ORDER BY seq";
    let mut child = query(directory.path(), &["-o", "csv", sql])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    // It has begun, and waits for its reader.
    out.read_exact(&mut [0; 100]).unwrap();
    fs::remove_dir_all(directory.path().join(SEALED)).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(rest.ends_with("\r\n69999,GET /books/49\r\n"));
    assert!(rest.lines().count() > 69_900);
}

#[test]
fn records_that_are_gone_before_they_are_read_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    // More segments than are read ahead.
    for number in 0..100_000 {
        log.record(&flow(number)).unwrap();
    }
    drop(log);
    let mut child = query(directory.path(), &["-o", "csv", "SELECT * FROM flows"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 100]).unwrap();
    for segment in fs::read_dir(directory.path().join("hot")).unwrap() {
        fs::remove_file(segment.unwrap().path()).unwrap();
    }
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is not in the log any more"), "{said}");
}

#[test]
fn records_that_were_lost_are_told_beside_the_answer() {
    let directory = log(&[0..100, 150..200], 0);
    let output = ask(
        directory.path(),
        &["-o", "csv", "SELECT count(*) AS n FROM flows"],
    );
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"n\r\n150\r\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("records 100 to 149 are not in the log"),
        "{said}"
    );
    // A segment between others.
    let directory = log(&[], 40_000);
    let mut segments: Vec<_> = fs::read_dir(directory.path().join("hot"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "seg"))
        .collect();
    segments.sort();
    assert!(segments.len() > 2, "{segments:?}");
    let first = |at: usize| -> u64 {
        let name = segments[at].file_stem().unwrap().to_str().unwrap();
        name.parse().unwrap()
    };
    let (from, to) = (first(1), first(2));
    fs::remove_file(&segments[1]).unwrap();
    let output = ask(
        directory.path(),
        &["-o", "csv", "SELECT count(source) AS n FROM flows"],
    );
    assert!(output.status.success(), "{output:?}");
    let rest = 40_000 - (to - from);
    assert_eq!(output.stdout, format!("n\r\n{rest}\r\n").into_bytes());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&format!("records {from} to {} are not", to - 1)),
        "{said}"
    );
}

#[test]
fn records_that_come_later_are_not_in_the_answer() {
    let directory = log(&[0..20], 30_000);
    let mut child = query(directory.path(), &["-o", "csv", "SELECT seq FROM flows"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 5]).unwrap();
    let log = Log::open(directory.path()).unwrap();
    for number in 30_000..31_000 {
        log.record(&flow(number)).unwrap();
    }
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(rest.lines().count(), 30_000);
}

#[test]
fn what_is_wrong_with_a_question_has_a_place_and_a_fix() {
    let directory = log(&[0..20], 30);
    for (sql, words) in [
        (
            "SELECT source,\n  sourceinstance FROM flows",
            &[
                "line 2, column 3: ",
                "sourceinstance",
                "flows.sourceInstance",
                "DESCRIBE flows",
            ][..],
        ),
        (
            "SELECT source FROM",
            &["ringfence: Expected: identifier, found: EOF"],
        ),
        ("SELECT source FRM flows", &["Line: 1, Column: 19"]),
        (
            "SELECT * FROM log",
            &["line 1, column 15: ", "log", "the table is flows"],
        ),
        ("SELECT nosuch(source) FROM flows", &["nosuch"]),
        (
            "SELECT source + 1 FROM flows",
            &["line 1, column 8: ", "Utf8View + Int64"],
        ),
    ] {
        let said = complaint(directory.path(), &[sql], 2);
        for word in words {
            assert!(said.contains(word), "{sql}: {word}: {said}");
        }
    }
}

#[test]
fn a_question_is_as_long_as_it_may_be_and_no_longer() {
    let directory = log(&[0..20], 0);
    let deep = |bytes: usize| {
        let start = "SELECT count(*) AS n FROM flows WHERE seq < 5";
        let more = " OR seq=1";
        format!("{start}{}", more.repeat((bytes - start.len()) / more.len()))
    };
    let output = answer(directory.path(), &["-o", "csv", &deep(QUESTION_MAX)]);
    assert_eq!(output, "n\r\n5\r\n");
    for sql in [
        format!(
            "SELECT count(*) FROM flows WHERE ''{} = source",
            "||''".repeat(QUESTION_MAX / 4 - 20)
        ),
        format!(
            "SELECT {}1{}",
            "(".repeat(QUESTION_MAX / 3),
            ")".repeat(QUESTION_MAX / 3)
        ),
        format!("SELECT {}1", "NOT ".repeat(QUESTION_MAX / 4 - 8)),
    ] {
        let output = ask(directory.path(), &[&sql]);
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 2)), "{output:?}");
    }
    let said = complaint(directory.path(), &[&deep(QUESTION_MAX + 100)], 2);
    assert!(said.contains(&format!("may have {QUESTION_MAX}")), "{said}");
}

#[test]
fn it_takes_its_turn_behind_all_others_and_cannot_take_all_memory() {
    let directory = log(&[0..50_000], 0);
    let mut child = query(directory.path(), &["-o", "csv", "SELECT * FROM flows"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 10]).unwrap();
    let tasks: Vec<_> = fs::read_dir(format!("/proc/{}/task", child.id()))
        .unwrap()
        .collect();
    assert!(tasks.len() > 1);
    for task in tasks {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        let nice = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16);
        assert_eq!(nice, Some("19"), "{stat}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let data = limits
        .lines()
        .find(|line| line.starts_with("Max data size"));
    let most = (2 * MEMORY_STANDARD + 1024 * 1024 * 1024).to_string();
    assert!(data.is_some_and(|line| line.contains(&most)), "{limits}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn it_can_read_the_log_and_nothing_else() {
    let directory = log(&[0..20], 30);
    let outside = tempfile::NamedTempFile::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let inside = directory.path().join(SEALED).join(file_name(0));
    assert!(fs::read(outside.path()).is_ok() && TcpStream::connect(place).is_ok());
    // Of this thread alone.
    thread::scope(|scope| {
        let confined = scope.spawn(|| {
            confine(directory.path()).unwrap();
            assert!(fs::read(&inside).is_ok());
            assert!(fs::read_dir(directory.path().join("hot")).is_ok());
            let refused = [
                fs::read(outside.path()).err(),
                fs::write(&inside, "x").err(),
                fs::write(directory.path().join("new"), "x").err(),
                fs::remove_file(&inside).err(),
                TcpStream::connect(place).err(),
            ];
            for error in refused {
                let kind = error.map(|error| error.kind());
                assert_eq!(kind, Some(io::ErrorKind::PermissionDenied));
            }
        });
        confined.join().unwrap();
    });
}

/// The program does so itself, before it has threads that could look at a question.
#[test]
fn it_is_confined_before_it_looks_at_a_question() {
    let directory = log(&[0..20], 30);
    let place = tempfile::tempdir().unwrap();
    let trace = place.path().join("trace");
    let output = Command::new("strace")
        .args([
            "-f",
            "-e",
            "trace=landlock_restrict_self,clone3,clone",
            "-o",
        ])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_ringfence-query"))
        .arg("--log")
        .arg(directory.path())
        .arg("SELECT count(*) FROM flows")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let calls = fs::read_to_string(&trace).unwrap();
    let at = |call: &str| calls.lines().position(|line| line.contains(call));
    let confined = at("landlock_restrict_self(");
    assert!(confined.is_some(), "{calls}");
    assert!(confined < at("clone"), "{calls}");
}

#[test]
fn what_workloads_wrote_cannot_reach_a_terminal_raw_and_stays_what_it_was() {
    let directory = log(&[0..20], 0);
    let words = "SELECT seq, reason FROM flows WHERE outcome = 'deny' ORDER BY seq LIMIT 1";
    let table = answer(directory.path(), &[words]);
    assert_eq!(
        table,
        " seq  reason\n   3  no rule, \"so\"\\r\\n\\u{1b}[31mnone\n"
    );
    let json = answer(directory.path(), &["-o", "json", words]);
    assert!(!json.contains('\u{1b}'));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["reason"], flow(3).reason);
    let csv = answer(directory.path(), &["-o", "csv", words]);
    assert_eq!(
        csv,
        "seq,reason\r\n3,\"no rule, \"\"so\"\"\r\n\u{1b}[31mnone\"\r\n"
    );
}

#[test]
fn a_question_of_which_a_part_would_have_no_effect_is_refused() {
    let directory = log(&[0..20], 30);
    for (sql, words) in [
        (
            "SELECT count(*) FROM flows TABLESAMPLE SYSTEM (10)",
            "TABLESAMPLE",
        ),
        (
            "SELECT count(*) FROM (SELECT * FROM flows TABLESAMPLE BERNOULLI (1)) AS f",
            "TABLESAMPLE",
        ),
        ("EXPLAIN SELECT seq FROM flows PREWHERE seq = 5", "PREWHERE"),
        (
            "SELECT 1 UNION ALL SELECT seq FROM flows START WITH seq = 1 CONNECT BY PRIOR seq = seq",
            "CONNECT BY",
        ),
        ("SELECT seq FROM flows WITH (NOLOCK)", "WITH"),
        ("SELECT seq FROM flows PARTITION (p1)", "PARTITION"),
        ("SELECT seq FROM flows FOR UPDATE", "FOR UPDATE"),
    ] {
        let said = complaint(directory.path(), &[sql], 2);
        assert!(
            said.contains(words) && said.contains("leave it out"),
            "{sql}: {said}"
        );
    }
}

#[test]
fn nothing_but_questions_is_taken_and_no_other_file_is_read() {
    let directory = log(&[0..20], 30);
    let secret = directory.path().join("secret.csv");
    fs::write(&secret, "word\nplanted\n").unwrap();
    let parquet = directory.path().join(SEALED).join(file_name(0));
    let made = directory.path().join("made.csv");
    let before = fs::read(&parquet).unwrap();
    let (secret, parquet, made) = (secret.display(), parquet.display(), made.display());
    for sql in [
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{secret}'"),
        "CREATE TABLE t AS SELECT * FROM flows".to_owned(),
        "CREATE VIEW v AS SELECT * FROM flows".to_owned(),
        "DROP TABLE flows".to_owned(),
        format!("COPY (SELECT * FROM flows) TO '{made}' STORED AS CSV"),
        format!("EXPLAIN ANALYZE COPY (SELECT * FROM flows) TO '{made}' STORED AS CSV"),
        "INSERT INTO flows SELECT * FROM flows".to_owned(),
        "DELETE FROM flows".to_owned(),
        "UPDATE flows SET count = 0".to_owned(),
        "SET datafusion.catalog.information_schema = false".to_owned(),
        "PREPARE p AS SELECT 1".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
        format!("SELECT * FROM '{secret}'"),
        format!("SELECT * FROM \"{secret}\""),
        format!("SELECT * FROM '{parquet}'"),
        format!("SELECT * FROM read_csv('{secret}')"),
        format!("SELECT * FROM read_parquet('{parquet}')"),
        "SELECT sourceinstance FROM flows".to_owned(),
        "SELEC 1".to_owned(),
    ] {
        let said = complaint(directory.path(), &[&sql], 2);
        assert!(
            said.starts_with("ringfence: ") && !said.contains("planted"),
            "{sql}: {said}"
        );
    }
    assert!(!Path::new(&made.to_string()).exists());
    assert_eq!(fs::read(parquet.to_string()).unwrap(), before);
    assert_eq!(
        answer(
            directory.path(),
            &["-o", "csv", "SELECT count(*) AS n FROM flows"]
        ),
        "n\r\n30\r\n"
    );
}

#[test]
fn a_query_over_its_memory_ends_with_words_and_the_fix() {
    let directory = log(&[0..60_000], 0);
    let sql = "SELECT connection, array_agg(operation) FROM flows GROUP BY connection ORDER BY connection";
    let said = complaint(directory.path(), &["--memory", "1", sql], 1);
    assert!(
        said.contains("needs more memory than 1 MiB") && said.contains("--memory"),
        "{said}"
    );
    let sorted = "SELECT operation, reason, connection FROM flows ORDER BY connection DESC, seq";
    let said = complaint(directory.path(), &["--memory", "1", sorted], 1);
    assert!(said.contains("needs more memory than 1 MiB"), "{said}");
    assert_eq!(
        answer(directory.path(), &["-o", "csv", sorted])
            .lines()
            .count(),
        60_001 + 6_000
    );
}

#[test]
fn ctrl_c_ends_it() {
    let directory = log(&[0..20_000], 0);
    let sql = "SELECT a.seq FROM flows a CROSS JOIN flows b";
    let mut child = query(directory.path(), &["-o", "csv", sql])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It runs: there are rows.
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 1000]).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let asked = Instant::now();
    let status = child.wait().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert_eq!(status.signal(), Some(2));
}

#[test]
fn a_damaged_file_is_named() {
    let directory = log(&[0..20_000], 0);
    let path = directory.path().join(SEALED).join(file_name(0));
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 3;
    // From the first column on: what is compressed cannot be read, where other bytes may be other values.
    bytes[4..middle].fill(0xAA);
    fs::write(&path, &bytes).unwrap();
    let said = complaint(
        directory.path(),
        &["SELECT count(*), max(operation), max(connection), max(time), sum(bytesSent) FROM flows"],
        1,
    );
    assert!(
        said.starts_with("ringfence: the query ended early: "),
        "{said}"
    );
    bytes.truncate(middle);
    fs::write(&path, bytes).unwrap();
    let said = complaint(directory.path(), &["SELECT 1"], 1);
    assert!(said.contains(&file_name(0)), "{said}");
}

#[test]
fn who_reads_no_further_is_no_error() {
    let directory = log(&[0..50_000], 0);
    let mut child = query(directory.path(), &["-o", "csv", "SELECT * FROM flows"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut [0; 10])
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

#[test]
fn ringfence_audit_sql_hands_the_question_over() {
    let state = tempfile::tempdir().unwrap();
    fs::rename(log(&[0..20], 30).keep(), state.path().join("log")).unwrap();
    let ringfence = Path::new(env!("CARGO_BIN_EXE_ringfence-query")).with_file_name("ringfence");
    assert!(
        ringfence.exists(),
        "build it first: cargo build -p ringfence"
    );
    let output = Command::new(ringfence)
        .args(["audit", "sql", "--state"])
        .arg(state.path())
        .args(["-o", "csv", "SELECT count(*) AS n FROM flows"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"n\r\n30\r\n");
}
