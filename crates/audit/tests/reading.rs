//! What readers see: the same records, in order, from any place, while a writer is at work.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{all, flow, segment};
use proptest::prelude::*;
use ringfence_audit::{Log, LogError, Reader, Seq, Wait};
use ringfence_model::flow::Flow;

fn flows() -> impl Strategy<Value = Flow> {
    let texts = prop::collection::vec("\\PC{0,40}", 14);
    let numbers = prop::collection::vec(any::<u64>(), 6);
    (
        texts,
        numbers,
        1_u64..1_000_000_000,
        0..4_i32,
        0..7_i32,
        0..5_i32,
    )
        .prop_map(|(t, n, time_ns, side, kind, outcome)| {
            let mut t = t.into_iter();
            let mut text = || t.next().unwrap();
            Flow {
                schema: 1,
                time_ns,
                node: text(),
                side,
                kind,
                connection: text(),
                count: n[0].max(1),
                source: text(),
                source_instance: text(),
                destination: text(),
                destination_instance: text(),
                original_destination: text(),
                protocol: text(),
                operation: text(),
                outcome,
                reason: text(),
                rule: text(),
                generation: n[1],
                mode: text(),
                task: text(),
                purpose: n[2].to_string(),
                bytes_sent: n[3],
                bytes_received: n[4],
                duration_ns: n[5],
                last_time_ns: n[5],
                fields: text(),
                fields_key: n[4],
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_goes_in_comes_out(written in prop::collection::vec(flows(), 0..60), reopen in any::<bool>()) {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log::open(directory.path()).unwrap();
        for (index, flow) in written.iter().enumerate() {
            if reopen && index % 10 == 9 {
                drop(log);
                log = Log::open(directory.path()).unwrap();
            }
            let seq = if index % 3 == 0 { log.record_after(flow) } else { log.record(flow) };
            prop_assert_eq!(seq.unwrap(), Seq(index as u64));
        }
        prop_assert_eq!(all(directory.path()).unwrap(), written);
    }
}

#[test]
fn starts_at_any_record_and_at_the_last_ones() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    for number in 0..1000 {
        log.record(&flow(number, 700)).unwrap();
    }
    let mut reader = Reader::open(directory.path()).unwrap();
    for seq in [999, 0, 500, 501, 3] {
        assert!(reader.skip_to(Seq(seq)).unwrap());
        let (found, flow) = reader.read().unwrap().unwrap();
        assert_eq!((found, flow.bytes_sent), (Seq(seq), seq));
    }
    assert!(!reader.skip_to(Seq(1001)).unwrap());
    for (last, first) in [(10, 990), (1000, 0), (5000, 0), (u64::MAX, 0)] {
        reader.go_to_last(last).unwrap();
        assert_eq!(reader.read().unwrap().unwrap().0, Seq(first));
    }
    reader.go_to_last(0).unwrap();
    assert!(reader.read().unwrap().is_none());
    reader.skip_to(Seq(7)).unwrap();
    let mark = reader.mark();
    reader.read().unwrap();
    reader.go_to(mark).unwrap();
    assert_eq!(reader.read().unwrap().unwrap().0, Seq(7));
}

#[test]
fn follows_several_threads_of_a_live_writer_without_a_gap() {
    const THREADS: u64 = 4;
    const EACH: u64 = 5000;
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    let mut reader = Reader::open(directory.path()).unwrap();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                for n in 0..EACH {
                    log.record(&flow(thread * EACH + n, usize::try_from(n % 2000).unwrap()))
                        .unwrap();
                }
            });
        }
        let mut per_thread = [0; THREADS as usize];
        let mut seen = 0;
        while seen < THREADS * EACH {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "only {seen} were seen"
            );
            match reader.read().unwrap() {
                None => {
                    reader.wait(None, Duration::from_secs(1)).unwrap();
                }
                Some((seq, flow)) => {
                    assert_eq!(seq, Seq(seen));
                    let thread = usize::try_from(flow.bytes_sent / EACH).unwrap();
                    assert_eq!(
                        flow.bytes_sent % EACH,
                        per_thread[thread],
                        "a thread's own order"
                    );
                    per_thread[thread] += 1;
                    seen += 1;
                }
            }
        }
    });
}

#[test]
fn wait_sees_a_record_within_a_tenth_of_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    let mut reader = Reader::open(directory.path()).unwrap();
    assert!(reader.read().unwrap().is_none());
    assert_eq!(
        reader.wait(None, Duration::from_millis(120)).unwrap(),
        Wait::Quiet
    );
    // A machine that is busy may be late once, and not each time.
    let late = (1..=5).map(|number| {
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(200));
                log.record(&flow(number, 0)).unwrap();
                Instant::now()
            });
            assert_eq!(
                reader.wait(None, Duration::from_secs(10)).unwrap(),
                Wait::More
            );
            let seen = Instant::now();
            assert_eq!(reader.read().unwrap().unwrap().1.bytes_sent, number);
            seen.saturating_duration_since(writer.join().unwrap())
        })
    });
    let least = late.min().unwrap();
    assert!(least < Duration::from_millis(100), "{least:?}");
}

#[test]
fn wait_ends_when_no_one_reads_the_outlet() {
    let directory = tempfile::tempdir().unwrap();
    let _log = Log::open(directory.path()).unwrap();
    let mut reader = Reader::open(directory.path()).unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut wait = |time| {
        reader
            .wait(Some(near.as_fd()), Duration::from_millis(time))
            .unwrap()
    };
    assert_eq!(wait(60), Wait::Quiet);
    far.set_nonblocking(true).unwrap();
    assert!(far.read(&mut [0]).is_err());
    drop(far);
    assert_eq!(wait(10_000), Wait::OutletClosed);
}

#[test]
fn follows_into_the_log_that_replaces_a_damaged_one() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    log.record(&flow(1, 0)).unwrap();
    let mut reader = Reader::open(directory.path()).unwrap();
    while reader.read().unwrap().is_some() {}
    drop(log);
    let file = segment(directory.path());
    std::fs::rename(&file, directory.path().join("aside")).unwrap();
    assert_eq!(
        reader.wait(None, Duration::ZERO).unwrap(),
        Wait::Quiet,
        "between the two"
    );
    let log = Log::open(directory.path()).unwrap();
    log.record(&flow(2, 0)).unwrap();
    assert_eq!(reader.wait(None, Duration::ZERO).unwrap(), Wait::Replaced);
    reader.reopen().unwrap();
    assert_eq!(reader.read().unwrap().unwrap().1.bytes_sent, 2);
}

#[test]
fn log_cut_under_a_reader_is_an_error_not_an_end() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    log.record(&flow(1, 0)).unwrap();
    let mut reader = Reader::open(directory.path()).unwrap();
    while reader.read().unwrap().is_some() {}
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(segment(directory.path()));
    file.unwrap().set_len(3).unwrap();
    assert!(matches!(
        reader.wait(None, Duration::ZERO),
        Err(LogError::Tampered(_))
    ));
}

#[test]
fn missing_log_is_said_with_the_fix() {
    let directory = tempfile::tempdir().unwrap();
    let error = Reader::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("--state"), "{error}");
}

#[test]
fn goes_through_many_segments_both_ways() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    log.attend().unwrap();
    let count = 9_000;
    for number in 0..count {
        log.record(&flow(number, 1000)).unwrap();
    }
    let segments = std::fs::read_dir(ringfence_audit::hot_directory(directory.path()))
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .ends_with(".seg")
        })
        .count();
    assert_eq!(segments, 3, "of one, four and sixteen MiB");
    assert_eq!(all(directory.path()).unwrap().len() as u64, count);
    let mut reader = Reader::open(directory.path()).unwrap();
    for seq in [8_999, 0, 5_000, 900, 901, 8_000] {
        assert!(reader.skip_to(Seq(seq)).unwrap());
        assert_eq!(reader.read().unwrap().unwrap().1.bytes_sent, seq);
    }
    let mark = reader.mark();
    reader.go_to_last(8_500).unwrap();
    assert_eq!(reader.read().unwrap().unwrap().0, Seq(500));
    reader.go_to(mark).unwrap();
    assert_eq!(reader.read().unwrap().unwrap().0, Seq(8_001));
    drop(log);
    let log = Log::open(directory.path()).unwrap();
    assert_eq!((log.repairs().len(), log.head()), (0, Seq(count)));
}

#[test]
fn records_that_are_gone_are_named_and_can_be_passed() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    for number in 0..9_000 {
        log.record(&flow(number, 1000)).unwrap();
    }
    let hot = ringfence_audit::hot_directory(directory.path());
    let mut names: Vec<_> = std::fs::read_dir(&hot)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".seg"))
        .collect();
    names.sort();
    let first: u64 = names[2].trim_end_matches(".seg").parse().unwrap();
    let gone: u64 = names[1].trim_end_matches(".seg").parse().unwrap();
    std::fs::remove_file(hot.join(&names[1])).unwrap();
    let mut reader = Reader::open(directory.path()).unwrap();
    for seq in 0..gone {
        assert_eq!(reader.read().unwrap().unwrap().0, Seq(seq));
    }
    for _ in 0..2 {
        let error = reader.read().unwrap_err();
        assert!(
            matches!(error, LogError::Gone { from, next, .. } if (from, next) == (gone, first)),
            "{error}"
        );
    }
    reader.pass_gap().unwrap();
    assert_eq!(reader.read().unwrap().unwrap().0, Seq(first));
}
