//! What opening a log does with a file that a crash, a bad disk or a hand has changed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use common::{LOOK, all, flow, segment};
use proptest::prelude::*;
use prost::Message;
use ringfence_audit::{Log, LogError, Reader, Repair, Seq};
use ringfence_model::flow::{Flow, Kind};

/// Writes `count` records and gives where the slot after each of them begins.
fn written(directory: &Path, count: u64) -> Vec<usize> {
    let log = Log::open(directory).unwrap();
    let mut ends = vec![HEADER];
    for number in 0..count {
        log.record(&flow(number, usize::try_from(number * 40).unwrap()))
            .unwrap();
        ends.push(HEADER + usize::try_from(log.bytes()).unwrap());
    }
    ends
}

/// Bytes before the first slot.
const HEADER: usize = 64;

fn file(directory: &tempfile::TempDir) -> PathBuf {
    segment(directory.path())
}

fn put(directory: &tempfile::TempDir, bytes: &[u8]) {
    fs::create_dir_all(ringfence_audit::hot_directory(directory.path())).unwrap();
    fs::write(file(directory), bytes).unwrap();
}

/// What a crash leaves of a record at any byte of it: everything before is kept, its place is void, and the log says so.
#[test]
fn unfinished_slot_becomes_void_and_is_said() {
    let origin = tempfile::tempdir().unwrap();
    let ends = written(origin.path(), 4);
    let whole = fs::read(file(&origin)).unwrap();
    for slot in 0..4 {
        let (from, to) = (ends[slot], ends[slot + 1]);
        for written in [4, 8, 9, to - from - 9, to - from] {
            let mut bytes = whole.clone();
            bytes[from + 2] = 0x0f; // reserved, where it was complete
            bytes[from + written..].fill(0);
            let directory = tempfile::tempdir().unwrap();
            put(&directory, &bytes);

            let mut reader = Reader::open(directory.path()).unwrap();
            for seq in 0..slot as u64 {
                assert_eq!(reader.read().unwrap().unwrap().0, Seq(seq));
            }
            assert!(reader.read().unwrap().is_none(), "a reader stops before it");
            assert_eq!(reader.unfinished(), (to - from) as u64);

            let log = Log::open(directory.path()).unwrap();
            let slot = slot as u64;
            assert_eq!(log.repairs(), [Repair::Void { seq: slot }]);
            assert_eq!(log.head(), Seq(slot + 1));
            log.record(&flow(99, 0)).unwrap();
            drop(log);
            let flows = all(directory.path()).unwrap();
            assert_eq!(flows.len() as u64, slot + 3);
            let index = usize::try_from(slot).unwrap();
            assert_eq!(flows[index].kind(), Kind::Void);
            assert_eq!(flows[index].encode_to_vec(), ringfence_audit::void_leaf());
            assert_eq!(flows[index + 1].operation, "flow log repaired");
            assert!(flows[index + 1].reason.contains("place is void"));
            assert_eq!(flows[index + 2].bytes_sent, 99);
            assert!(Log::open(directory.path()).unwrap().repairs().is_empty());
        }
    }
}

/// What a power failure may leave: pages that never came to the disk, before others that did.
#[test]
fn pages_that_are_missing_are_damage_and_what_is_before_them_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let ends = written(directory.path(), 60);
    let mut bytes = fs::read(file(&directory)).unwrap();
    bytes[4096..8192].fill(0);
    put(&directory, &bytes);
    let kept = ends.iter().filter(|end| **end <= 4096).count() as u64 - 1;
    let log = Log::open(directory.path()).unwrap();
    let [Repair::MovedAside { to, next, .. }] = log.repairs() else {
        panic!("{:?}", log.repairs());
    };
    assert_eq!((*next, log.head()), (kept, Seq(kept)));
    assert_eq!(fs::read(to).unwrap(), bytes, "nothing of it is lost");
    log.record(&flow(7, 0)).unwrap();
    let flows = all(directory.path()).unwrap();
    assert_eq!(flows.len() as u64, kept + 2);
    assert_eq!(flows[0].bytes_sent, 0);
    assert!(
        flows[usize::try_from(kept).unwrap()]
            .reason
            .contains("damaged-1")
    );
}

#[test]
fn damaged_middle_is_moved_aside_whole_and_said() {
    let directory = tempfile::tempdir().unwrap();
    let ends = written(directory.path(), 5);
    let mut bytes = fs::read(file(&directory)).unwrap();
    bytes[ends[2] + 30] ^= 1; // within the third record
    put(&directory, &bytes);

    let mut reader = Reader::open(directory.path()).unwrap();
    assert!(reader.read().unwrap().is_some() && reader.read().unwrap().is_some());
    let damage = reader.read().unwrap_err().to_string();
    assert!(
        damage.contains(&format!("record 2 at byte {}: ", ends[2])),
        "{damage}"
    );

    let log = Log::open(directory.path()).unwrap();
    let aside =
        ringfence_audit::hot_directory(directory.path()).join("00000000000000000000.seg.damaged-1");
    assert!(
        matches!(log.repairs(), [Repair::MovedAside { to, next: 2, damage }] if *to == aside && damage.contains("record 2")),
        "{:?}",
        log.repairs()
    );
    assert_eq!(fs::read(&aside).unwrap(), bytes, "nothing of it is lost");
    assert_eq!(log.record(&flow(7, 0)).unwrap(), Seq(3));
    let flows = all(directory.path()).unwrap();
    assert_eq!(flows[2].operation, "flow log repaired");
    drop(log);

    // A second damage does not overwrite the first.
    put(&directory, &[0xff; 64]);
    Log::open(directory.path()).unwrap();
    assert!(
        aside.with_extension("seg.damaged-2").exists()
            || aside.with_extension("damaged-2").exists()
    );
    assert_eq!(fs::read(&aside).unwrap(), bytes);
}

#[test]
fn every_bit_of_every_slot_is_guarded() {
    let origin = tempfile::tempdir().unwrap();
    let ends = written(origin.path(), 3);
    let bytes = fs::read(file(&origin)).unwrap();
    for at in ends[0]..ends[3] {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let directory = tempfile::tempdir().unwrap();
            put(&directory, &damaged[..ends[3] + 64 * 1024]);
            let mut reader = Reader::open(directory.path()).unwrap();
            let mut read = 0;
            let ended = loop {
                match reader.read() {
                    Ok(Some(_)) => read += 1,
                    ended => break ended.map(|_| ()),
                }
            };
            // What fills a slot up to eight bytes is nobody's.
            let padding = read == 3 && ended.is_ok();
            let slot = ends.iter().filter(|end| **end <= at).count() - 1;
            assert!(
                read == slot || (padding && at >= ends[slot + 1] - 7),
                "bit {bit} of byte {at}: {read} records, {ended:?}"
            );
        }
    }
}

/// A log that a signed checkpoint knows more of goes on behind it, and says what is missing.
#[test]
fn numbers_in_a_checkpoint_are_not_given_twice() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), 5);
    fs::write(
        directory.path().join("checkpoint"),
        "ringfence/flow-log/bank-1\n9\nhash\n",
    )
    .unwrap();
    let log = Log::open(directory.path()).unwrap();
    assert_eq!(log.repairs(), [Repair::Lost { from: 5, next: 9 }]);
    assert_eq!(log.record(&flow(1, 0)).unwrap(), Seq(10));
    let mut reader = Reader::open(directory.path()).unwrap();
    for _ in 0..5 {
        reader.read().unwrap();
    }
    assert!(matches!(
        reader.read(),
        Err(LogError::Gone {
            from: 5,
            next: 9,
            ..
        })
    ));
    reader.pass_gap().unwrap();
    let (seq, event) = reader.read().unwrap().unwrap();
    assert_eq!(
        (seq, event.operation.as_str()),
        (Seq(9), "flow log repaired")
    );
    drop((reader, log));
    assert!(Log::open(directory.path()).unwrap().repairs().is_empty());
}

#[test]
fn records_of_the_first_form_are_taken_over_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    for number in 0..3000 {
        let flow = Flow {
            schema: 1,
            time_ns: 7,
            ..flow(number, 500)
        };
        bytes.extend(flow.encode_length_delimited_to_vec());
    }
    bytes.extend([0x30, 0x08]); // the beginning of one more
    let old = directory.path().join("flows.binpb");
    fs::write(&old, &bytes).unwrap();
    let log = Log::open(directory.path()).unwrap();
    assert!(
        matches!(
            log.repairs(),
            [Repair::TakenOver {
                records: 3000,
                damage: Some(_),
                ..
            }]
        ),
        "{:?}",
        log.repairs()
    );
    assert_eq!(log.record(&flow(1, 0)).unwrap(), Seq(3001));
    let flows = all(directory.path()).unwrap();
    assert_eq!(flows[2999].bytes_sent, 2999);
    assert!(flows[3000].reason.contains("taken over"));
    drop(log);
    assert!(!old.exists());
    let log = Log::open(directory.path()).unwrap();
    assert_eq!((log.repairs().len(), log.head()), (0, Seq(3002)));
}

#[test]
fn second_writer_is_refused_while_the_first_lives() {
    let directory = tempfile::tempdir().unwrap();
    let first = Log::open(directory.path()).unwrap();
    assert!(matches!(
        Log::open(directory.path()),
        Err(LogError::InUse(_))
    ));
    drop(first);
    Log::open(directory.path()).unwrap();
}

#[test]
fn file_that_is_none_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(file(&directory)).unwrap();
    assert!(matches!(
        Log::open(directory.path()),
        Err(LogError::Open { .. })
    ));
    fs::remove_dir(file(&directory)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", file(&directory)).unwrap();
    assert!(matches!(
        Log::open(directory.path()),
        Err(LogError::Open { .. })
    ));
}

#[test]
fn record_over_the_limit_is_refused_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    assert!(matches!(
        log.record(&flow(1, 70_000)),
        Err(LogError::TooLarge(_))
    ));
    assert_eq!(log.trouble(), None, "the log itself is well");
    log.record(&flow(2, 0)).unwrap();
    let flows = all(directory.path()).unwrap();
    assert_eq!((flows[0].kind(), flows[0].count), (Kind::Event, 1));
    assert!(flows[0].reason.contains("over the limit"));
}

/// What is in memory is not lost with its name.
#[test]
fn a_segment_that_was_removed_or_moved_away_is_written_again() {
    for moved in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(directory.path()).unwrap();
        for number in 0..50 {
            log.record(&flow(number, 0)).unwrap();
        }
        if moved {
            fs::rename(file(&directory), directory.path().join("away")).unwrap();
            sleep(Duration::from_millis(1100));
        } else {
            fs::remove_file(file(&directory)).unwrap();
            sleep(LOOK);
        }
        assert_eq!(log.record(&flow(50, 0)).unwrap(), Seq(51));
        drop(log);
        let flows = all(directory.path()).unwrap();
        assert_eq!(flows.len(), 52);
        assert!(
            flows[..50]
                .iter()
                .zip(0..)
                .all(|(flow, n)| flow.bytes_sent == n)
        );
        assert_eq!(flows[50].operation, "flow log repaired");
        assert!(
            flows[50].reason.contains("written again"),
            "{}",
            flows[50].reason
        );
        let log = Log::open(directory.path()).unwrap();
        assert_eq!((log.repairs().len(), log.head()), (0, Seq(52)));
    }
}

#[test]
fn without_its_directory_it_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    log.record(&flow(1, 0)).unwrap();
    fs::remove_dir_all(ringfence_audit::hot_directory(directory.path())).unwrap();
    sleep(LOOK);
    assert!(log.record(&flow(2, 0)).is_err());
    assert!(log.trouble().is_some());
}

#[test]
fn file_changed_by_someone_else_takes_nothing() {
    for size in [100, 4096, 2 * 1024 * 1024] {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(directory.path()).unwrap();
        log.record(&flow(1, 0)).unwrap();
        let other = fs::OpenOptions::new()
            .write(true)
            .open(file(&directory))
            .unwrap();
        other.set_len(size).unwrap();
        assert!(
            log.trouble().unwrap().contains("someone else changed it"),
            "found while idle"
        );
        assert!(matches!(
            log.record(&flow(2, 0)),
            Err(LogError::Tampered(_))
        ));
        assert!(matches!(
            log.record_after(&flow(2, 0)),
            Err(LogError::Tampered(_))
        ));
    }
}

/// Between two looks at the file, its pages go: the record that meets it is refused, and nobody ends.
#[test]
fn a_segment_cut_between_two_looks_ends_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    let other = fs::OpenOptions::new()
        .write(true)
        .open(file(&directory))
        .unwrap();
    let mut refused = false;
    for number in 0..2000 {
        if number == 20 {
            other.set_len(0).unwrap();
        }
        let taken = log.record(&flow(number, 100));
        assert!(number >= 20 || taken.is_ok());
        refused |= matches!(taken, Err(LogError::Tampered(_)));
        assert!(
            number <= 20 || taken.is_err(),
            "record {number} went nowhere"
        );
    }
    assert!(refused);
    drop(log);
    let log = Log::open(directory.path()).unwrap();
    assert!(
        matches!(log.repairs(), [Repair::MovedAside { next: 0, .. }]),
        "{:?}",
        log.repairs()
    );
    log.record(&flow(1, 0)).unwrap();
}

#[test]
fn a_file_that_replaced_it_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    log.record(&flow(1, 0)).unwrap();
    let away = directory.path().join("away");
    fs::rename(file(&directory), &away).unwrap();
    fs::write(file(&directory), b"mine").unwrap();
    sleep(Duration::from_millis(1100));
    assert!(matches!(
        log.record(&flow(2, 0)),
        Err(LogError::Tampered(_))
    ));
    assert_eq!(fs::read(file(&directory)).unwrap(), b"mine");
    fs::rename(&away, file(&directory)).unwrap();
    sleep(Duration::from_millis(150));
    log.record(&flow(3, 0)).unwrap();
    let flows = all(directory.path()).unwrap();
    assert_eq!(flows.len(), 3);
    assert_eq!(
        (flows[1].operation.as_str(), flows[1].count),
        ("unrecorded denials", 1)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Any one changed byte: no record before it is lost, and what is damaged is kept with all its bytes.
    #[test]
    fn one_changed_byte_never_loses_a_record_silently(
        position in any::<prop::sample::Index>(),
        mask in 1_u8..,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let ends = written(directory.path(), 8);
        let mut bytes = fs::read(file(&directory)).unwrap();
        let at = position.index(ends[8] + 100);
        bytes[at] ^= mask;
        put(&directory, &bytes);
        let whole = ends.iter().filter(|end| **end <= at).count().saturating_sub(1).min(8) as u64;
        let log = Log::open(directory.path()).unwrap();
        match log.repairs() {
            // What fills a slot up to eight bytes is nobody's.
            [] => prop_assert_eq!(log.head(), Seq(8)),
            [Repair::MovedAside { to, next, .. }] => {
                prop_assert_eq!(&fs::read(to).unwrap(), &bytes);
                prop_assert_eq!(*next, whole);
            }
            // Complete became reserved: the last one is then void, and any other is followed by records.
            [Repair::Void { seq }] => prop_assert_eq!(*seq, whole),
            more => prop_assert!(false, "{more:?}"),
        }
    }

    /// Bytes that were never a log: opening ends, and keeps them.
    #[test]
    fn arbitrary_bytes_never_panic_and_are_kept(bytes in prop::collection::vec(any::<u8>(), 1..2000)) {
        let directory = tempfile::tempdir().unwrap();
        put(&directory, &bytes);
        let log = Log::open(directory.path()).unwrap();
        log.record(&flow(1, 0)).unwrap();
        prop_assert!(all(directory.path()).is_ok());
    }
}

#[test]
fn the_segment_in_use_stays_whatever_else_has_the_name_of_one() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    log.record(&flow(0, 0)).unwrap();
    let own = file(&directory);
    fs::write(own.with_file_name(format!("{:020}.seg", 1)), b"none").unwrap();
    assert_eq!(log.release(Seq(u64::MAX)).unwrap(), 0);
    assert!(own.exists());
}

/// A log of more than two segments, all of them closed but the last; where the records of each end.
fn of_more_segments(directory: &Path) -> Vec<std::path::PathBuf> {
    let log = Log::open(directory).unwrap();
    log.attend().unwrap();
    let mut number = 0;
    while ringfence_audit::closed_segments(directory).unwrap().len() < 2 {
        log.record(&flow(number, 60_000)).unwrap();
        number += 1;
    }
    drop(log);
    let closed = ringfence_audit::closed_segments(directory).unwrap();
    closed.into_iter().map(|segment| segment.path).collect()
}

/// What a power failure may leave where records were kept in memory: a segment, and not the end of the one before it.
#[test]
fn the_end_of_a_segment_that_never_came_to_the_disk_is_said_record_by_record() {
    for (signed, torn) in [(false, false), (false, true), (true, false)] {
        let directory = tempfile::tempdir().unwrap();
        let segments = of_more_segments(directory.path());
        if signed {
            let mut keeper =
                ringfence_audit::tree::Keeper::open(directory.path(), "bank-1").unwrap();
            while keeper.turn().unwrap() {}
        }
        let before = all(directory.path()).unwrap();
        let first = ringfence_audit::closed_segments(directory.path()).unwrap()[0].before;
        let mut bytes = fs::read(&segments[0]).unwrap();
        let mut from = 64;
        while from < bytes.len() - 300_000 {
            let length = u16::from_le_bytes([bytes[from], bytes[from + 1]]);
            from += (8 + usize::from(length)).next_multiple_of(8);
        }
        let end = bytes.len();
        bytes[from..if torn { from + 100_000 } else { end }].fill(0);
        fs::write(&segments[0], &bytes).unwrap();
        let log = Log::open(directory.path()).unwrap();
        if signed {
            // It is not for the writer to explain: `audit verify` finds it.
            assert_eq!(log.repairs(), []);
            assert!(all(directory.path()).is_err());
            assert!(
                !ringfence_audit::tree::verify(directory.path())
                    .doubts
                    .is_empty()
            );
            continue;
        }
        let last = log.repairs().last().cloned();
        let Some(Repair::NeverKept { from, next }) = last else {
            panic!("{:?}", log.repairs());
        };
        assert_eq!(Seq(next), first);
        assert!(next - from >= 4, "{from} to {next}");
        assert_eq!(log.repairs().len(), 1 + usize::from(torn));
        log.record(&flow(1, 0)).unwrap();
        let flows = all(directory.path()).unwrap();
        for (number, was) in before.iter().enumerate() {
            let lost = (from..next).contains(&(number as u64));
            let is = &flows[number];
            assert_eq!(is.operation == ringfence_audit::RECORD_LOST, lost);
            assert!(lost || is == was, "record {number}");
        }
        assert!(flows.iter().any(|flow| {
            flow.reason
                .contains(&format!("records {from} to {} are lost", next - 1))
        }));
        drop(log);
        if torn {
            let aside = segments[0].with_extension("seg.damaged-1");
            assert_eq!(fs::read(aside).unwrap(), bytes, "nothing of it is gone");
        }
        let mut keeper = ringfence_audit::tree::Keeper::open(directory.path(), "bank-1").unwrap();
        while keeper.turn().unwrap() {}
        let report = ringfence_audit::tree::verify(directory.path());
        assert_eq!((report.doubts, report.lost), (vec![], next - from));
        assert_eq!(Log::open(directory.path()).unwrap().repairs(), []);
    }
}

/// Puts a segment into `hot` that begins with `first` and has no record. Gives its name.
fn empty_segment(hot: &Path, first: u64) -> String {
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("checkpoint"), format!("x\n{first}\n")).unwrap();
    drop(Log::open(other.path()).unwrap());
    let name = format!("{first:020}.seg");
    let from = ringfence_audit::hot_directory(other.path()).join(&name);
    fs::copy(from, hot.join(&name)).unwrap();
    name
}

/// More than a disk can have lost: somebody took a segment away, and the log does not explain that.
#[test]
fn a_segment_whose_name_claims_too_much_is_not_explained_by_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), 5);
    for (first, explained) in [(5 + 1_000_001, false), (5 + 3, true)] {
        let hot = ringfence_audit::hot_directory(directory.path());
        let name = empty_segment(&hot, first);
        let log = Log::open(directory.path()).unwrap();
        assert_eq!(!log.repairs().is_empty(), explained, "{:?}", log.repairs());
        fs::remove_file(hot.join(name)).unwrap();
    }
}

/// Segments without a record, beginning with these numbers.
#[test]
fn only_the_end_of_a_log_is_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let hot = ringfence_audit::hot_directory(directory.path());
    fs::create_dir_all(&hot).unwrap();
    for first in [10, 20, 30, 40, 50, 60] {
        empty_segment(&hot, first);
    }
    let log = Log::open(directory.path()).unwrap();
    let lost = [30, 40, 50].map(|from| Repair::NeverKept {
        from,
        next: from + 10,
    });
    assert_eq!(log.repairs(), lost);
    assert_eq!(log.head(), Seq(60));
}
