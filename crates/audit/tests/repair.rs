//! What opening a log does with a file that a crash, a bad disk or a hand has changed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use common::{all, flow};
use proptest::prelude::*;
use ringfence_audit::{FILE_NAME, Log, LogError, Reader, Repair, Seq};
use ringfence_model::flow::{Flow, Kind};

/// Writes `count` records and gives the file's bytes after each of them.
fn written(directory: &Path, count: u64) -> Vec<u64> {
    let log = Log::open(directory).unwrap();
    let mut ends = vec![0];
    for number in 0..count {
        log.record(&flow(number, usize::try_from(number * 40).unwrap()))
            .unwrap();
        ends.push(fs::metadata(directory.join(FILE_NAME)).unwrap().len());
    }
    ends
}

fn file(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join(FILE_NAME)
}

#[test]
fn torn_tail_is_cut_at_every_byte_and_said() {
    let origin = tempfile::tempdir().unwrap();
    let ends = written(origin.path(), 6);
    let bytes = fs::read(file(&origin)).unwrap();
    for cut in 0..=bytes.len() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(file(&directory), &bytes[..cut]).unwrap();
        let kept = ends.iter().filter(|end| **end <= cut as u64).count() as u64 - 1;
        let torn = cut as u64 - ends[usize::try_from(kept).unwrap()];

        let mut reader = Reader::open(directory.path()).unwrap();
        while reader.read().unwrap().is_some() {}
        assert_eq!(
            reader.unfinished(),
            torn,
            "cut to {cut}: a reader stops before it"
        );

        let log = Log::open(directory.path()).unwrap();
        assert_eq!(log.head(), Seq(kept), "cut to {cut}");
        let expected: &[Repair] = if torn > 0 {
            &[Repair::CutOff { bytes: torn, kept }]
        } else {
            &[]
        };
        assert_eq!(log.repairs(), expected, "cut to {cut}");

        log.record(&flow(99, 0)).unwrap();
        let flows = all(directory.path()).unwrap();
        let numbers: Vec<u64> = flows
            .iter()
            .filter(|f| f.kind() != Kind::Event)
            .map(|f| f.bytes_sent)
            .collect();
        assert_eq!(numbers, (0..kept).chain([99]).collect::<Vec<_>>());
        let events: Vec<&Flow> = flows.iter().filter(|f| f.kind() == Kind::Event).collect();
        assert_eq!(events.len(), usize::from(torn > 0));
        assert!(
            events
                .iter()
                .all(|e| e.reason.contains("never acknowledged"))
        );
    }
}

#[test]
fn zeros_behind_the_last_record_are_cut() {
    let directory = tempfile::tempdir().unwrap();
    let end = *written(directory.path(), 3).last().unwrap();
    let grown = fs::OpenOptions::new()
        .write(true)
        .open(file(&directory))
        .unwrap();
    grown.set_len(end + 700_000).unwrap();
    let log = Log::open(directory.path()).unwrap();
    assert_eq!(
        log.repairs(),
        [Repair::CutOff {
            bytes: 700_000,
            kept: 3
        }]
    );
    assert_eq!(log.head(), Seq(3));
}

#[test]
fn damaged_middle_is_moved_aside_whole_and_said() {
    let directory = tempfile::tempdir().unwrap();
    let ends = written(directory.path(), 5);
    let mut bytes = fs::read(file(&directory)).unwrap();
    let at = usize::try_from(ends[2]).unwrap();
    bytes[at] = bytes[at].wrapping_add(3); // the third record's length
    fs::write(file(&directory), &bytes).unwrap();

    let mut reader = Reader::open(directory.path()).unwrap();
    assert!(reader.read().unwrap().is_some() && reader.read().unwrap().is_some());
    let damage = reader.read().unwrap_err().to_string();
    assert!(
        damage.contains(&format!("record 2 at byte {at}: ")),
        "{damage}"
    );

    let log = Log::open(directory.path()).unwrap();
    let aside = directory.path().join("flows.corrupt-1.binpb");
    assert!(
        matches!(log.repairs(), [Repair::MovedAside { to, damage }] if *to == aside && damage.contains("record 2")),
        "{:?}",
        log.repairs()
    );
    assert_eq!(fs::read(&aside).unwrap(), bytes, "nothing of it is lost");
    assert_eq!(log.record(&flow(7, 0)).unwrap(), Seq(1));
    let flows = all(directory.path()).unwrap();
    assert_eq!(flows[0].operation, "flow log repaired");
    assert!(
        flows[0].reason.contains("flows.corrupt-1.binpb"),
        "{}",
        flows[0].reason
    );
    drop(log);

    // A second damage does not overwrite the first.
    fs::write(file(&directory), [0xff; 64]).unwrap();
    Log::open(directory.path()).unwrap();
    assert!(directory.path().join("flows.corrupt-2.binpb").exists());
    assert_eq!(fs::read(&aside).unwrap(), bytes);
}

#[test]
fn every_bit_of_every_length_is_guarded() {
    let origin = tempfile::tempdir().unwrap();
    let ends = written(origin.path(), 8);
    let bytes = fs::read(file(&origin)).unwrap();
    // The last record is left out: nothing stands behind it, so a longer length looks like a torn tail there.
    for start in &ends[..7] {
        let start = usize::try_from(*start).unwrap();
        let prefix = bytes[start..]
            .iter()
            .position(|byte| byte & 0x80 == 0)
            .unwrap()
            + 1;
        for bit in 0..8 * prefix {
            let mut damaged = bytes.clone();
            damaged[start + bit / 8] ^= 1 << (bit % 8);
            let directory = tempfile::tempdir().unwrap();
            fs::write(file(&directory), &damaged).unwrap();
            let log = Log::open(directory.path()).unwrap();
            assert!(
                matches!(log.repairs(), [Repair::MovedAside { .. }]),
                "bit {bit} of the length at byte {start}: {:?}",
                log.repairs()
            );
        }
    }
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
    fs::create_dir(file(&directory)).unwrap();
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

#[test]
fn removed_file_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    log.record(&flow(1, 0)).unwrap();
    fs::remove_file(file(&directory)).unwrap();
    let refusal = log.record(&flow(2, 0)).unwrap_err();
    assert!(matches!(refusal, LogError::Tampered(_)), "{refusal}");
    assert!(
        log.trouble()
            .unwrap()
            .contains("was removed; restart the node")
    );
}

#[test]
fn file_changed_by_someone_else_takes_nothing() {
    for change in [-1_i64, 1] {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(directory.path()).unwrap();
        log.record(&flow(1, 0)).unwrap();
        let other = fs::OpenOptions::new()
            .write(true)
            .open(file(&directory))
            .unwrap();
        let size = other.metadata().unwrap().len();
        other
            .set_len(size.checked_add_signed(change).unwrap())
            .unwrap();
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

#[test]
fn file_moved_away_takes_nothing_until_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    log.record(&flow(1, 0)).unwrap();
    let away = directory.path().join("away");
    fs::rename(file(&directory), &away).unwrap();
    sleep(Duration::from_millis(1100));
    assert!(matches!(
        log.record(&flow(2, 0)),
        Err(LogError::Tampered(_))
    ));
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

    /// Any one changed byte: no record before it is lost, and at most the last record is taken for unfinished;
    /// else the file is moved aside with all its bytes.
    #[test]
    fn one_changed_byte_never_loses_a_record_silently(
        position in any::<prop::sample::Index>(),
        mask in 1_u8..,
    ) {
        let directory = tempfile::tempdir().unwrap();
        written(directory.path(), 8);
        let mut bytes = fs::read(file(&directory)).unwrap();
        let at = position.index(bytes.len());
        bytes[at] ^= mask;
        fs::write(file(&directory), &bytes).unwrap();
        let log = Log::open(directory.path()).unwrap();
        match log.repairs() {
            [] => prop_assert_eq!(log.head(), Seq(8)),
            [Repair::CutOff { kept, .. }] => prop_assert_eq!(*kept, 7),
            [Repair::MovedAside { to, .. }] => prop_assert_eq!(&fs::read(to).unwrap(), &bytes),
            more => prop_assert!(false, "{more:?}"),
        }
    }

    /// Bytes that were never a log: opening ends, and keeps them.
    #[test]
    fn arbitrary_bytes_never_panic_and_are_kept(bytes in prop::collection::vec(any::<u8>(), 1..2000)) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(file(&directory), &bytes).unwrap();
        let log = Log::open(directory.path()).unwrap();
        log.record(&flow(1, 0)).unwrap();
        prop_assert!(all(directory.path()).is_ok());
    }
}
