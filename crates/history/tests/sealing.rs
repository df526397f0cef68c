//! What the log has left behind is sealed, read as before, verified to the byte, and pruned on somebody's word.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use prost::Message;
use ringfence_audit::tree::{
    Keeper, Known, PUBLIC_KEY, Report, Stretch, Verifier, check_proof, proof,
};
use ringfence_audit::{Log, LogError, Reader, Repair, Seq, Wait, closed_segments, hot_directory};
use ringfence_history::{
    HistoryError, Keep, Pruned, Records, SEALED, SealError, Sealing, feed, prunable, prune,
};
use ringfence_model::flow::Flow;
use tempfile::TempDir;

/// Length of what makes a segment of 1 MiB hold some fifty records.
const BULK: usize = 20_000;

fn flow(number: u64, bulk: usize) -> Flow {
    Flow {
        schema: 1,
        time_ns: 1_000_000_000 + number,
        node: "node".into(),
        kind: 1,
        count: 1,
        source: format!("agent-{}", number % 4),
        outcome: 1,
        reason: "x".repeat(bulk),
        ..Flow::default()
    }
}

fn sign(log: &Path) {
    let mut keeper = Keeper::open(log, "node").unwrap();
    while keeper.turn().unwrap() {}
}

/// A log of so many records in several segments, signed.
fn signed(records: u64) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    for number in 0..records {
        log.record(&flow(number, BULK)).unwrap();
    }
    drop(log);
    sign(directory.path());
    directory
}

fn seal(log: &Path) -> Vec<Stretch> {
    let mut sealing = Sealing::new(log);
    let mut sealed = Vec::new();
    while let Some(records) = sealing.turn(&|| true).unwrap() {
        sealed.push(records);
    }
    if let Some(before) = sealing.to_release().unwrap() {
        Log::open(log).unwrap().release(before).unwrap();
    }
    sealed
}

fn verify(log: &Path) -> Report {
    let all = Stretch {
        from: 0,
        to: u64::MAX,
    };
    let mut verifier = Verifier::open(log, None, all);
    feed(log, &mut verifier);
    verifier.finish()
}

fn doubts(log: &Path) -> String {
    let report = verify(log);
    let lines: Vec<String> = report.doubts.into_iter().map(|doubt| doubt.what).collect();
    lines.join("\n")
}

fn sealed_files(log: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(log.join(SEALED))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
        .collect();
    files.sort();
    files
}

fn all(log: &Path) -> Vec<(u64, Vec<u8>)> {
    let mut records = Records::open(log).unwrap();
    let mut all = Vec::new();
    while let Some((seq, leaf)) = records.leaf().unwrap() {
        all.push((seq.0, leaf.to_vec()));
    }
    all
}

#[test]
fn sealed_and_released_records_are_read_verified_and_proven_as_before() {
    let directory = signed(420);
    let log = directory.path();
    let before = all(log);
    assert_eq!(before.len(), 420);
    let closed = closed_segments(log).unwrap();
    assert!(closed.len() >= 2, "{closed:?}");

    let sealed = seal(log);
    assert_eq!(sealed.len(), closed.len());
    assert_eq!(closed_segments(log).unwrap(), []);
    assert_eq!(sealed_files(log).len(), closed.len());
    assert_eq!(all(log), before);
    let report = verify(log);
    assert_eq!(report.doubts, []);
    assert_eq!((report.checked, report.unsigned), (420, 0));
    assert_eq!(report.sealed, closed.len() as u64);
    // Nothing more to do, also for whoever begins anew.
    assert_eq!(seal(log), []);

    let public = fs::read_to_string(log.join(PUBLIC_KEY)).unwrap();
    let mut records = Records::open(log).unwrap();
    for seq in [0, 30, 52, 419] {
        assert!(records.skip_to(Seq(seq)).unwrap());
        let mark = records.mark();
        let (found, leaf) = records.leaf().unwrap().unwrap();
        assert_eq!((found.0, leaf), (seq, &before[seq as usize].1[..]));
        let text = proof(log, Seq(seq), leaf).unwrap();
        assert_eq!(check_proof(&text, &public).unwrap().0, Seq(seq));
        records.go_to(mark).unwrap();
        assert_eq!(records.next(), Seq(seq));
    }
    records.go_to_last(400).unwrap();
    assert_eq!(records.next(), Seq(20));
    assert_eq!(records.read().unwrap().unwrap().0, Seq(20));
    assert_eq!(records.end().unwrap(), Seq(420));
    assert!(!records.skip_to(Seq(421)).unwrap());

    // The log goes on where it was.
    let writer = Log::open(log).unwrap();
    assert_eq!(writer.head(), Seq(420));
    assert_eq!(writer.repairs(), []);
}

#[test]
fn only_what_is_closed_and_signed_is_sealed_and_only_what_is_sealed_goes() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path();
    let writer = Log::open(log).unwrap();
    for number in 0..40 {
        writer.record(&flow(number, BULK)).unwrap();
    }
    sign(log);
    let mut sealing = Sealing::new(log);
    assert_eq!(sealing.turn(&|| true).unwrap(), None, "not closed");
    for number in 40..100 {
        writer.record(&flow(number, BULK)).unwrap();
    }
    let closed = closed_segments(log).unwrap();
    assert_eq!(closed.len(), 1);
    assert_eq!(sealing.turn(&|| true).unwrap(), None, "not signed");
    assert_eq!(sealing.to_release().unwrap(), None);
    sign(log);
    let stopped = sealing.turn(&|| false);
    assert!(matches!(stopped, Err(SealError::Stopped)), "{stopped:?}");
    assert_eq!(sealing.to_release().unwrap(), None);
    assert!(sealing.turn(&|| true).unwrap().is_some());
    assert_eq!(sealing.to_release().unwrap(), Some(closed[0].before));

    assert_eq!(writer.release(Seq(closed[0].before.0 - 1)).unwrap(), 0);
    assert_eq!(writer.release(Seq(u64::MAX)).unwrap(), 1);
    assert_eq!(all(log).len(), 100);
    // The segment in use always stays.
    assert_eq!(writer.release(Seq(u64::MAX)).unwrap(), 0);
    writer.record(&flow(100, 0)).unwrap();
    assert_eq!(all(log).len(), 101);
}

#[test]
fn a_segment_that_is_not_what_was_signed_is_not_sealed() {
    let directory = signed(100);
    let log = directory.path();
    let segment = closed_segments(log).unwrap().remove(0);
    // Forged with its checksum, so that only the tree tells.
    let mut bytes = fs::read(&segment.path).unwrap();
    let mut reader = Reader::open_file(&segment.path).unwrap();
    reader.skip_to(Seq(7)).unwrap();
    let leaf = reader.leaf().unwrap().unwrap().1.to_vec();
    let at = bytes
        .windows(64)
        .position(|part| part == &leaf[..64])
        .unwrap();
    bytes[at + 10] ^= 1;
    let sum = crc32c::crc32c(&bytes[at..at + leaf.len()]);
    bytes[at - 4..at].copy_from_slice(&sum.to_le_bytes());
    fs::write(&segment.path, &bytes).unwrap();
    let mut sealing = Sealing::new(log);
    let refused = sealing.turn(&|| true);
    assert!(
        matches!(&refused, Err(SealError::Unsigned { seq: 7, path }) if *path == segment.path),
        "{refused:?}"
    );
    assert_eq!(sealing.to_release().unwrap(), None);
    assert!(sealed_files(log).is_empty());
}

/// A flipped byte anywhere in what is sealed, a file that is cut, taken away, or put in the place of another.
#[test]
fn any_change_of_what_is_sealed_is_found() {
    let directory = signed(300);
    let log = directory.path();
    seal(log);
    let parquet = sealed_files(log);
    assert!(parquet.len() >= 2);
    for path in &parquet {
        let statement = path.with_extension("sealed");
        for path in [path, &statement] {
            let bytes = fs::read(path).unwrap();
            let step = (bytes.len() / 60).max(1);
            // The last ones are the footer, of which every reader believes the most.
            let places = (0..bytes.len())
                .step_by(step)
                .chain(bytes.len().saturating_sub(40)..bytes.len());
            for at in places {
                let mut changed = bytes.clone();
                changed[at] ^= 0x20;
                fs::write(path, &changed).unwrap();
                assert_ne!(doubts(log), "", "{} byte {at}", path.display());
            }
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
            assert_ne!(doubts(log), "");
            fs::remove_file(path).unwrap();
            assert_ne!(doubts(log), "", "{} is gone", path.display());
            fs::write(path, &bytes).unwrap();
        }
    }
    assert_eq!(doubts(log), "");
    // A file of another log in the place of this one, with its own statement.
    let other = signed(300);
    seal(other.path());
    for end in ["parquet", "sealed"] {
        let name = parquet[0].with_extension(end);
        let name = name.file_name().unwrap();
        fs::copy(
            other.path().join(SEALED).join(name),
            log.join(SEALED).join(name),
        )
        .unwrap();
    }
    assert!(doubts(log).contains("signature"), "{}", doubts(log));
    // One of this log under another name, with its own statement.
    let whole = signed(300);
    let log = whole.path();
    seal(log);
    let first = sealed_files(log).remove(0);
    for end in ["parquet", "sealed"] {
        let later = first.with_file_name(format!("{:020}.{end}", 250));
        fs::copy(first.with_extension(end), later).unwrap();
    }
    let told = doubts(log);
    assert!(
        told.contains("its name or its signature says differently"),
        "{told}"
    );
    assert!(told.contains("record 0 comes again"), "{told}");
}

#[test]
fn what_a_crash_leaves_of_sealing_is_in_nobodys_way() {
    let directory = signed(100);
    let log = directory.path();
    let whole = all(log);
    let segment = closed_segments(log).unwrap().remove(0);
    let sealed = log.join(SEALED);
    let name = |end: &str| sealed.join(format!("{:020}.{end}", segment.first.0));
    fs::create_dir(&sealed).unwrap();
    // In the middle of the file, and before it was read back.
    fs::write(name("unchecked.sealing"), b"half").unwrap();
    fs::write(name("unchecked"), b"half").unwrap();
    assert_eq!(all(log), whole);
    assert_eq!(doubts(log), "");
    // Said, and not renamed.
    let mut sealing = Sealing::new(log);
    let records = sealing.turn(&|| true).unwrap().unwrap();
    fs::rename(name("parquet"), name("unchecked")).unwrap();
    assert_eq!(doubts(log), "");
    assert_eq!(Sealing::new(log).turn(&|| true).unwrap(), Some(records));
    // Renamed, and the segment still there: each record counts once.
    assert_eq!((all(log), doubts(log)), (whole.clone(), String::new()));
    // Whoever comes next takes it for sealed, and does not write it again.
    let before = fs::metadata(name("parquet")).unwrap().modified().unwrap();
    assert_eq!(Sealing::new(log).turn(&|| true).unwrap(), Some(records));
    assert_eq!(
        fs::metadata(name("parquet")).unwrap().modified().unwrap(),
        before
    );
    // One that is damaged meanwhile is sealed again from its segment.
    let mut bytes = fs::read(name("parquet")).unwrap();
    bytes[100] ^= 1;
    fs::write(name("parquet"), &bytes).unwrap();
    assert_eq!(Sealing::new(log).turn(&|| true).unwrap(), Some(records));
    assert_eq!((all(log), doubts(log)), (whole, String::new()));
}

/// Readers that begin at any moment, while a writer writes, and all that is closed is sealed and released, get every record once.
#[test]
fn nobody_who_reads_while_it_is_sealed_misses_a_record_or_gets_one_twice() {
    const RECORDS: u64 = 900;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let log = Log::open(path).unwrap();
    log.record(&flow(0, 0)).unwrap();
    sign(path);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..RECORDS {
                log.record(&flow(number, BULK)).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                scope.spawn(move || {
                    let mut passes = 0;
                    loop {
                        let mut records = Records::open(path).unwrap();
                        let mut next = 0;
                        // One that stands still for a while falls behind what is released.
                        while next < RECORDS {
                            match records.leaf().unwrap() {
                                Some((seq, leaf)) => {
                                    assert_eq!(seq.0, next);
                                    let flow = Flow::decode(leaf).unwrap();
                                    assert_eq!(flow.time_ns, 1_000_000_000 + next);
                                    next += 1;
                                    if reader > 0 && next % 25 == 0 {
                                        std::thread::sleep(std::time::Duration::from_millis(
                                            20 * reader,
                                        ));
                                    }
                                }
                                None => {
                                    records
                                        .wait(None, std::time::Duration::from_millis(20))
                                        .unwrap();
                                }
                            }
                        }
                        passes += 1;
                        if passes == 2 {
                            return;
                        }
                    }
                })
            })
            .collect();
        let verifier = scope.spawn(|| {
            let mut passes = 0;
            while !done.load(Ordering::Relaxed) || passes == 0 {
                assert_eq!(doubts(path), "");
                passes += 1;
            }
        });
        let mut sealing = Sealing::new(path);
        let mut sealed = 0;
        while readers.iter().any(|reader| !reader.is_finished()) {
            sign(path);
            while sealing.turn(&|| true).unwrap().is_some() {
                sealed += 1;
            }
            if let Some(before) = sealing.to_release().unwrap() {
                log.release(before).unwrap();
            }
        }
        assert!(sealed >= 2, "{sealed}");
        done.store(true, Ordering::Relaxed);
        verifier.join().unwrap();
    });
}

/// Its segment is open and stays readable; the ones after it are gone, and sealed.
#[test]
fn a_reader_that_falls_behind_goes_on_in_sealed_files() {
    let directory = signed(420);
    let log = directory.path();
    let whole = all(log);
    let mut records = Records::open(log).unwrap();
    let mut waiting = Records::open(log).unwrap();
    let mark = records.mark();
    for expected in &whole[..10] {
        assert_eq!(records.leaf().unwrap().unwrap().0.0, expected.0);
    }
    while waiting.next().0 < 52 {
        waiting.leaf().unwrap();
    }
    assert!(seal(log).len() >= 2);
    let more = waiting
        .wait(None, std::time::Duration::from_secs(5))
        .unwrap();
    assert_eq!(more, Wait::More);
    assert_eq!(waiting.leaf().unwrap().unwrap().0, Seq(52));
    for expected in &whole[10..] {
        let (seq, leaf) = records.leaf().unwrap().unwrap();
        assert_eq!((seq.0, leaf), (expected.0, &expected.1[..]));
    }
    assert!(records.leaf().unwrap().is_none());
    records.go_to(mark).unwrap();
    assert_eq!(records.leaf().unwrap().unwrap().0, Seq(0));
}

#[test]
fn the_oldest_are_pruned_and_what_was_proven_stays_proven() {
    let directory = signed(420);
    let log = directory.path();
    let sealed = seal(log);
    assert!(sealed.len() >= 2);
    let public = fs::read_to_string(log.join(PUBLIC_KEY)).unwrap();
    let leaf = all(log)[3].1.clone();
    let kept_proof = proof(log, Seq(3), &leaf).unwrap();
    let sizes: Vec<u64> = sealed_files(log)
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .collect();

    // A file goes by its age when all in it is older, and by size from the oldest.
    let by_age = |since_ns| Keep {
        since_ns: Some(since_ns),
        bytes: None,
    };
    let by_size = |bytes| Keep {
        since_ns: None,
        bytes: Some(bytes),
    };
    let last_ns = 1_000_000_000 + sealed[0].to - 1;
    assert_eq!(prunable(log, by_age(last_ns)).unwrap().files, 0);
    let would = prunable(log, by_age(last_ns + 1)).unwrap();
    assert_eq!(
        (would.files, would.first, would.last, would.latest_ns),
        (1, Some(0), Some(sealed[0].to - 1), Some(last_ns))
    );
    let all_bytes: u64 = sizes.iter().sum();
    assert_eq!(prunable(log, by_size(all_bytes)).unwrap().files, 0);
    let outcome = prunable(log, by_size(all_bytes - 1)).unwrap();
    assert_eq!((outcome.files, outcome.bytes), (1, sizes[0]));
    assert_eq!(outcome.kept_bytes, all_bytes - sizes[0]);
    assert_eq!(prunable(log, by_size(0)).unwrap().files, sealed.len());
    assert_eq!(prunable(log, Keep::default()).unwrap().files, 0);
    assert_eq!(all(log).len(), 420, "nothing was done so far");

    let pruned = prune(log, by_age(last_ns + 1), "uid 0\nforged").unwrap();
    assert_eq!(pruned, would);
    assert_eq!(all(log)[0].0, sealed[0].to);
    let report = verify(log);
    assert_eq!(report.doubts, []);
    let said = report.pruned.unwrap();
    assert_eq!(
        (said.before, said.by.as_str()),
        (sealed[0].to, "uid 0 forged")
    );
    assert_eq!(check_proof(&kept_proof, &public).unwrap().1, leaf);
    // The tree still knows it.
    let mut known = Known::open(log).unwrap().unwrap();
    assert!(known.holds(Seq(3), &leaf).unwrap());
    // The same again finds nothing.
    let again = prune(log, by_age(last_ns + 1), "uid 0").unwrap();
    assert_eq!((again.files, again.first), (0, None));
    assert!(matches!(
        again,
        Pruned { kept_files, .. } if kept_files == sealed.len() - 1
    ));
    // Whoever asks for what went is told so.
    let mut records = Records::open(log).unwrap();
    assert!(records.skip_to(Seq(3)).unwrap());
    assert_eq!(records.next(), Seq(sealed[0].to));

    // More than was signed as pruned is missed, and so is all of it without that.
    let path = log.join(SEALED).join("pruned");
    let statement = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(doubts(log).contains("nobody signed that they were pruned"));
    fs::write(&path, &statement).unwrap();
    let oldest = sealed_files(log).remove(0);
    fs::remove_file(&oldest).unwrap();
    fs::remove_file(oldest.with_extension("sealed")).unwrap();
    assert!(
        doubts(log).contains("nobody signed that they were pruned"),
        "{}",
        doubts(log)
    );
}

/// Whoever can write segments puts one where they have been sealed or pruned: some reader may take it for the log.
#[test]
fn an_old_segment_with_other_records_is_found() {
    let directory = signed(420);
    let log = directory.path();
    let hot = hot_directory(log);
    let oldest = hot.join(format!("{:020}.seg", 0));
    let kept = fs::read(&oldest).unwrap();
    seal(log);
    // Not removed yet, and as it was.
    fs::write(&oldest, &kept).unwrap();
    assert_eq!(doubts(log), "");
    // The same records with another word in one of them, and checksums that hold.
    let other = tempfile::tempdir().unwrap();
    let writer = Log::open(other.path()).unwrap();
    for number in 0..20 {
        let mut flow = flow(number, BULK);
        if number == 7 {
            flow.source = "forged".into();
        }
        writer.record(&flow).unwrap();
    }
    drop(writer);
    fs::copy(
        hot_directory(other.path()).join(format!("{:020}.seg", 0)),
        &oldest,
    )
    .unwrap();
    assert!(doubts(log).contains("record 7 is not the one that was signed"));
    let keep_nothing = Keep {
        since_ns: None,
        bytes: Some(0),
    };
    prune(log, keep_nothing, "uid 0").unwrap();
    let told = doubts(log);
    assert!(
        told.contains("record 7 is not the one that was signed"),
        "{told}"
    );
    assert_eq!(told.matches("is not the one").count(), 1, "{told}");
    fs::write(&oldest, &kept).unwrap();
    assert_eq!(doubts(log), "");
}

#[test]
fn a_gap_is_told_and_passed() {
    let directory = signed(420);
    let log = directory.path();
    let sealed = seal(log);
    assert!(sealed.len() >= 2);
    let last = sealed_files(log).pop().unwrap();
    fs::remove_file(&last).unwrap();
    let mut records = Records::open(log).unwrap();
    let mut read = 0;
    let gone = loop {
        match records.leaf() {
            Ok(Some(_)) => read += 1,
            Ok(None) => panic!("the gap was not told"),
            Err(error) => break error,
        }
    };
    let first = sealed.last().unwrap().from;
    assert_eq!(read, first);
    assert!(
        matches!(gone, HistoryError::Log(LogError::Gone { from, .. }) if from == first),
        "{gone}"
    );
    records.pass_gap().unwrap();
    let mut rest = 0;
    while records.leaf().unwrap().is_some() {
        rest += 1;
    }
    assert_eq!(rest, 420 - sealed.last().unwrap().to);
}

#[test]
fn a_log_whose_segments_are_gone_says_what_it_lost_and_not_what_is_sealed() {
    let directory = signed(300);
    let log = directory.path();
    let sealed = seal(log).last().unwrap().to;
    fs::remove_dir_all(hot_directory(log)).unwrap();
    let writer = Log::open(log).unwrap();
    let lost = Repair::Lost {
        from: sealed,
        next: 300,
    };
    assert_eq!(writer.repairs(), [lost]);
    assert_eq!(
        writer.record(&flow(300, 0)).unwrap(),
        Seq(301),
        "behind the event"
    );
    assert!(doubts(log).contains(&format!("records {sealed} to 299 are missing")));
}

#[test]
fn one_file_alone_can_be_read() {
    let directory = signed(100);
    let log = directory.path();
    let whole = all(log);
    seal(log);
    let file = sealed_files(log).remove(0);
    let mut records = Records::open_file(&file).unwrap();
    let end = records.end().unwrap().0;
    let mut read = Vec::new();
    while let Some((seq, leaf)) = records.leaf().unwrap() {
        read.push((seq.0, leaf.to_vec()));
    }
    assert_eq!(read, whole[..end as usize]);
    let hot = fs::read_dir(hot_directory(log)).unwrap();
    let segment = hot
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "seg"));
    let mut records = Records::open_file(&segment.unwrap()).unwrap();
    assert_eq!(records.read().unwrap().unwrap().0.0, end);
    assert!(Records::open_file(&log.join(PUBLIC_KEY)).is_err());
    assert!(matches!(
        Records::open(&log.join("nothing")),
        Err(HistoryError::NoLog(_))
    ));
}
