//! Sealed and not sealed records are one log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(
    clippy::single_range_in_vec_init,
    reason = "a list of stretches may have one"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use prost::Message;
use ringfence_archive::{file_name, seal};
use ringfence_audit::Log;
use ringfence_history::{Asked, Group, History, HistoryError, SEALED, Span};
use ringfence_model::flow::Flow;

fn flow(number: u64) -> Flow {
    Flow {
        schema: 1,
        time_ns: 1_000 + number,
        node: "node".into(),
        kind: 1 + (number % 3) as i32,
        count: 1 + number % 2,
        source: format!("agent-{}", number % 4),
        destination: if number.is_multiple_of(5) {
            String::new()
        } else {
            "library".into()
        },
        outcome: 1,
        bytes_sent: 10 * number,
        ..Flow::default()
    }
}

/// A log of `records`, beside which those in `sealed` are sealed.
fn log(directory: &Path, records: u64, sealed: &[std::ops::Range<u64>]) {
    if records > 0 {
        let log = Log::open(directory).unwrap();
        for number in 0..records {
            log.record(&flow(number)).unwrap();
        }
    }
    for range in sealed {
        let path = directory.join(SEALED).join(file_name(range.start));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        seal(
            range.start,
            range.clone().map(|number| flow(number).encode_to_vec()),
            [0; 32],
            &path,
        )
        .unwrap();
    }
}

fn asked<'a>(keys: &'a [&'a str], span: Span) -> Asked<'a> {
    Asked {
        keys,
        detail: None,
        span,
    }
}

fn words(group: &Group<'_>) -> Vec<String> {
    group.words().iter().map(ToString::to_string).collect()
}

fn sums(history: &History, keys: &[&str], span: Span) -> BTreeMap<Vec<String>, (u64, u64, u64)> {
    type All = BTreeMap<Vec<String>, (u64, u64, u64)>;
    let add = |all: &mut All, words, (records, count, sent)| {
        let entry = all.entry(words).or_default();
        *entry = (entry.0 + records, entry.1 + count, entry.2 + sent);
    };
    let parts = history.fold(&asked(keys, span), All::new, |all, group| {
        let sums = group.sums();
        add(
            all,
            words(group),
            (sums.records, sums.count, sums.bytes_sent),
        );
    });
    let mut all = All::new();
    for (words, sums) in parts.unwrap().into_iter().flatten() {
        add(&mut all, words, sums);
    }
    all
}

#[test]
fn a_record_counts_once_whether_it_is_sealed_or_not_or_both() {
    let expected = tempfile::tempdir().unwrap();
    log(expected.path(), 300, &[]);
    let expected = History::open(expected.path()).unwrap();
    assert_eq!((expected.records(), expected.hot()), (0..300, 0..300));
    for sealed in [vec![0..100], vec![0..100, 100..250], vec![0..300]] {
        let directory = tempfile::tempdir().unwrap();
        log(directory.path(), 300, &sealed);
        let history = History::open(directory.path()).unwrap();
        assert_eq!(history.records(), 0..300);
        assert_eq!(history.hot().start, sealed.last().unwrap().end);
        for span in [
            Span::ALL,
            Span {
                since_ns: 1_050,
                until_ns: Some(1_260),
            },
        ] {
            for keys in [&["source", "destination", "kind"][..], &["connection"], &[]] {
                assert_eq!(
                    sums(&history, keys, span),
                    sums(&expected, keys, span),
                    "{sealed:?} {span:?}"
                );
            }
        }
    }
}

#[test]
fn a_log_of_sealed_files_alone_is_one() {
    let directory = tempfile::tempdir().unwrap();
    log(directory.path(), 0, &[10..40]);
    let history = History::open(directory.path()).unwrap();
    assert_eq!((history.records(), history.hot()), (10..40, 40..40));
    assert_eq!(
        sums(&history, &[], Span::ALL).values().next().unwrap().0,
        30
    );
}

#[test]
fn gaps_wrong_names_and_no_log_are_told() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(
        History::open(directory.path()),
        Err(HistoryError::NoLog(_))
    ));
    log(directory.path(), 0, &[0..10, 5..15]);
    let error = History::open(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("00000000000000000005.parquet: the file before it ends before record 10"),
        "{error}"
    );
    let directory = tempfile::tempdir().unwrap();
    log(directory.path(), 0, &[0..10, 20..30]);
    let history = History::open(directory.path()).unwrap();
    assert_eq!(history.missing(), [10..20]);
    assert_eq!(
        sums(&history, &[], Span::ALL).values().next().unwrap().0,
        20
    );
    let sealed = directory.path().join(SEALED);
    fs::rename(sealed.join(file_name(20)), sealed.join(file_name(10))).unwrap();
    let error = History::open(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("00000000000000000010.parquet: it begins with record 20"),
        "{error}"
    );
}

/// Row groups of a few hundred rows, with so many different words that pairs of them do not fit a table.
fn wordy(number: u64) -> Flow {
    Flow {
        connection: format!("0f1e2d3c4b5a6978-{}", number / 7),
        operation: format!("GET /books/{}", number * 7_919 % 20_011),
        reason: if number.is_multiple_of(3) {
            format!("no rule for {}", number % 5)
        } else {
            String::new()
        },
        ..flow(number)
    }
}

#[test]
fn sums_of_many_row_groups_are_those_of_their_records_whichever_thread_read_them() {
    const RECORDS: u64 = 260_000;
    let directory = tempfile::tempdir().unwrap();
    let sealed = directory.path().join(SEALED);
    fs::create_dir(&sealed).unwrap();
    // Three row groups, one, and two: more than there are threads, and no multiple of them.
    for (first, end) in [(0, 210_000), (210_000, 211_000), (211_000, RECORDS)] {
        let leaves = (first..end).map(|number| wordy(number).encode_to_vec());
        seal(first, leaves, [0; 32], &sealed.join(file_name(first))).unwrap();
    }
    let history = History::open(directory.path()).unwrap();
    let part = Span {
        since_ns: 1_000 + 500,
        until_ns: Some(1_000 + 259_500),
    };
    for span in [Span::ALL, part] {
        for keys in [
            &["source", "destination", "kind", "reason"][..],
            &["connection", "operation"],
            &[],
        ] {
            let mut expected: BTreeMap<Vec<String>, (u64, u64, u64)> = BTreeMap::new();
            for flow in (0..RECORDS).map(wordy) {
                let is_in = span.since_ns <= flow.time_ns
                    && span.until_ns.is_none_or(|until| flow.time_ns < until);
                if !is_in {
                    continue;
                }
                let word = |key: &&str| match *key {
                    "source" => flow.source.clone(),
                    "destination" => flow.destination.clone(),
                    "kind" => ["connection", "operation", "close"][flow.kind as usize - 1].into(),
                    "reason" => flow.reason.clone(),
                    "connection" => flow.connection.clone(),
                    _ => flow.operation.clone(),
                };
                let entry = expected.entry(keys.iter().map(word).collect()).or_default();
                entry.0 += 1;
                entry.1 += flow.count;
                entry.2 += flow.bytes_sent;
            }
            assert!(sums(&history, keys, span) == expected, "{keys:?} {span:?}");
        }
    }
    // The words of another column, each once, from a row group or a record.
    let kinds = Asked {
        detail: Some("reason"),
        ..asked(&["source", "kind"], part)
    };
    let parts = history.fold(&kinds, BTreeMap::new, |all, group| {
        let mut told = Vec::new();
        group.each_detail(|reason| {
            told.push(reason.to_owned());
            ControlFlow::Continue(())
        });
        let reasons: BTreeSet<String> = told.iter().cloned().collect();
        assert_eq!(reasons.len(), told.len(), "a word came twice");
        let known: &mut BTreeSet<String> = all.entry(words(group)).or_default();
        known.extend(reasons);
        let mut once = 0;
        group.each_detail(|_| {
            once += 1;
            ControlFlow::Break(())
        });
        assert_eq!(once, 1, "it has no end");
    });
    let mut found: BTreeMap<Vec<String>, BTreeSet<String>> = BTreeMap::new();
    for (words, reasons) in parts.unwrap().into_iter().flatten() {
        found.entry(words).or_default().extend(reasons);
    }
    let mut expected: BTreeMap<Vec<String>, BTreeSet<String>> = BTreeMap::new();
    for flow in (500..259_500).map(wordy) {
        let kind = ["connection", "operation", "close"][flow.kind as usize - 1].to_owned();
        let reasons = expected.entry(vec![flow.source, kind]).or_default();
        reasons.insert(flow.reason);
    }
    assert!(found == expected);
    // The same order every time: whoever keeps the first of many keeps the same.
    let order = || {
        let keys = asked(&["source", "reason"], Span::ALL);
        let told = history.fold(&keys, Vec::new, |all, group| {
            all.push((words(group), group.sums().first_ns));
        });
        told.unwrap()
    };
    assert_eq!(order(), order());
    // Damage in the last row group of the first file is no end. All of it, as no more is looked at than the columns that are asked for.
    let path = sealed.join(file_name(0));
    let mut bytes = fs::read(&path).unwrap();
    let late = bytes.len() * 19 / 20;
    let tail = bytes.len() - 8;
    let footer = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize;
    bytes[late..tail - footer].fill(0xAA);
    fs::write(&path, bytes).unwrap();
    let told = history.fold(&asked(&["source"], Span::ALL), || (), |(), _| {});
    assert!(matches!(told, Err(HistoryError::Sealed(_))), "{told:?}");
}
