//! The tree over the log: what was signed can be proven, and what was changed since is found.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{flow, segment};
use prost::Message;
use ringfence_audit::tree::{
    self, CHECKPOINT, Keeper, PUBLIC_KEY, Report, STATEMENT_MAX, Stretch, Verifier, check_proof,
    checkpoint_text,
};
use ringfence_audit::{CLOCK_SET_BACK, Log, Reader, Seq, closed_segments, hot_directory};
use ringfence_model::flow::Flow;
use tempfile::TempDir;

const ALL: Stretch = Stretch {
    from: 0,
    to: u64::MAX,
};

/// A log of so many records, all of them signed.
fn signed(count: u64) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    for number in 0..count {
        log.record(&flow(number, usize::try_from(number % 50).unwrap()))
            .unwrap();
    }
    drop(log);
    sign(directory.path());
    directory
}

fn sign(directory: &Path) {
    let mut keeper = Keeper::open(directory, "bank-1").unwrap();
    while keeper.turn().unwrap() {}
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_tree(from, to.path());
    to
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

fn said(report: &Report) -> String {
    let lines: Vec<_> = report
        .doubts
        .iter()
        .map(|doubt| doubt.what.clone())
        .collect();
    lines.join("\n")
}

fn leaf(directory: &Path, seq: u64) -> Vec<u8> {
    let mut reader = Reader::open(directory).unwrap();
    reader.skip_to(Seq(seq)).unwrap();
    reader.leaf().unwrap().unwrap().1.to_vec()
}

#[test]
fn a_log_as_it_was_signed_is_beyond_doubt_and_says_what_was_checked() {
    let directory = signed(700);
    let report = tree::verify(directory.path());
    assert_eq!(report.doubts, []);
    let held = report.checkpoint.unwrap();
    assert_eq!(
        (held.size, report.checked, report.attempts),
        (700, 700, 700)
    );
    assert_eq!((report.unsigned, report.void, report.tiles), (0, 0, 4));
    assert!(held.origin.starts_with("ringfence/flow-log/bank-1/"));

    // What comes later is not signed yet, and then it is.
    let log = Log::open(directory.path()).unwrap();
    log.record(&flow(7, 0)).unwrap();
    let report = tree::verify(directory.path());
    assert_eq!((report.doubts.len(), report.unsigned), (0, 1));
    sign(directory.path());
    let report = tree::verify(directory.path());
    assert_eq!(
        (report.doubts.len(), report.unsigned, report.checked),
        (0, 0, 701)
    );
}

#[test]
fn the_tree_grows_in_any_steps_to_the_same_root() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    let mut keeper = Keeper::open(directory.path(), "bank-1").unwrap();
    let mut number = 0;
    for step in [0, 1, 1, 2, 250, 1, 1, 1, 300, 5, 0, 700] {
        for _ in 0..step {
            log.record(&flow(number, 0)).unwrap();
            number += 1;
        }
        if step % 3 == 0 {
            keeper = Keeper::open(directory.path(), "another").unwrap();
        }
        keeper.turn().unwrap();
        assert_eq!(keeper.signed(), Seq(number));
        let report = tree::verify(directory.path());
        assert_eq!((said(&report).as_str(), report.checked), ("", number));
    }
    let mut all = Vec::new();
    files(&directory.path().join("tile"), &mut all);
    assert_eq!(
        all.len(),
        4 + 1 + 1,
        "full tiles, and the last one of each level"
    );
}

/// Every file that a verifier reads, here and there changed by one bit.
#[test]
fn any_flipped_byte_is_found() {
    let directory = signed(300);
    let mut all = Vec::new();
    files(directory.path(), &mut all);
    let used = 64 + usize::try_from(Log::open(directory.path()).unwrap().bytes()).unwrap();
    let mut tried = 0;
    for path in all {
        let name = path.strip_prefix(directory.path()).unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        // The lock has no bytes; secret keys, that of checkpoints and those of values, are not part of what is verified.
        if name.ends_with("lock") || name.ends_with("key") || name.starts_with("keys") {
            continue;
        }
        let step = (bytes.len() / 40).max(1);
        let places = (0..bytes.len()).step_by(step).chain(
            (0..bytes.len().min(used)).step_by(if bytes.len() > 100_000 { 211 } else { 17 }),
        );
        for at in places {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).unwrap();
            let report = tree::verify(directory.path());
            // Of a key, the spelling may change and the key stay the same: a line end, or what base64 ignores.
            assert!(
                !report.doubts.is_empty() || (name.ends_with(PUBLIC_KEY) && at + 1 == bytes.len()),
                "byte {at} of {}",
                name.display()
            );
            tried += 1;
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert!(tried > 400, "{tried}");
    assert_eq!(tree::verify(directory.path()).doubts, []);
}

/// Changes the record `seq` to another of the same length, with all checksums as they should be.
fn forge(directory: &Path, seq: usize) {
    let path = segment(directory);
    let mut bytes = fs::read(&path).unwrap();
    let mut at = 64;
    for _ in 0..seq {
        let length = usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8;
        at += (8 + length).next_multiple_of(8);
    }
    let length = usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8;
    let leaf = at + 8..at + 8 + length;
    let text = bytes[leaf.clone()]
        .windows(4)
        .position(|window| window == b"/42x" || window == b"s/42")
        .unwrap();
    bytes[leaf.start + text + 3] = b'3';
    let sum = crc32c::crc32c(&bytes[leaf]).to_le_bytes();
    bytes[at + 4..at + 8].copy_from_slice(&sum);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_record_forged_with_its_checksum_is_named() {
    let directory = signed(300);
    forge(directory.path(), 123);
    let report = tree::verify(directory.path());
    assert_eq!(report.doubts.len(), 1);
    assert_eq!(report.doubts[0].seq, Some(123));
    assert!(said(&report).contains("record 123 is not the one that was signed"));
    let error = tree::proof(directory.path(), Seq(123), &leaf(directory.path(), 123)).unwrap_err();
    assert!(
        error.to_string().contains("is not the one that was signed"),
        "{error}"
    );
}

/// Records dropped, swapped or told twice, by somebody who writes segments as we do.
#[test]
fn dropped_swapped_and_repeated_records_are_found() {
    let directory = signed(300);
    let leaves: Vec<Vec<u8>> = (0..300).map(|seq| leaf(directory.path(), seq)).collect();
    let rewritten = |order: Vec<usize>| {
        let copied = copy(directory.path());
        fs::remove_dir_all(hot_directory(copied.path())).unwrap();
        let checkpoint = fs::read(copied.path().join(CHECKPOINT)).unwrap();
        fs::remove_file(copied.path().join(CHECKPOINT)).unwrap();
        let log = Log::open(copied.path()).unwrap();
        for index in order {
            log.record(&Flow::decode(&leaves[index][..]).unwrap())
                .unwrap();
        }
        drop(log);
        fs::write(copied.path().join(CHECKPOINT), checkpoint).unwrap();
        tree::verify(copied.path())
    };
    assert_eq!(
        said(&rewritten((0..300).collect())),
        "",
        "the rewriting itself changes nothing"
    );
    let dropped = rewritten((0..300).filter(|index| *index != 77).collect());
    assert_eq!(dropped.doubts[0].seq, Some(77));
    assert!(said(&dropped).contains("records 299 to 299 were signed and are not here"));
    let mut order: Vec<usize> = (0..300).collect();
    order.swap(40, 41);
    assert_eq!(rewritten(order).doubts[0].seq, Some(40));
    let repeated = (0..300)
        .map(|index| if index == 200 { 199 } else { index })
        .collect();
    assert_eq!(rewritten(repeated).doubts[0].seq, Some(200));
}

#[test]
fn a_segment_taken_away_cut_or_put_back_from_before_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    for number in 0..3000 {
        log.record(&flow(number, 1000)).unwrap();
    }
    drop(log);
    let before = copy(directory.path());
    sign(directory.path());
    let mut segments: Vec<_> = fs::read_dir(hot_directory(directory.path()))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().ends_with(".seg"))
        .collect();
    segments.sort();
    assert!(segments.len() >= 2);

    let gone = copy(directory.path());
    fs::remove_file(hot_directory(gone.path()).join(&segments[1])).unwrap();
    let report = tree::verify(gone.path());
    assert!(
        said(&report).contains("were signed and are not here"),
        "{}",
        said(&report)
    );

    let first = copy(directory.path());
    fs::remove_file(hot_directory(first.path()).join(&segments[0])).unwrap();
    let report = tree::verify(first.path());
    assert!(
        report.records.unwrap().from > 0,
        "what is left begins later, and says so"
    );

    let cut = copy(directory.path());
    let path = hot_directory(cut.path()).join(&segments[0]);
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(5000)
        .unwrap();
    let report = tree::verify(cut.path());
    assert!(
        said(&report).contains("the file ends before its segment does"),
        "{}",
        said(&report)
    );

    // The segment as it was when fewer records were in it.
    let log = Log::open(directory.path()).unwrap();
    for number in 0..10 {
        log.record(&flow(number, 0)).unwrap();
    }
    drop(log);
    sign(directory.path());
    let last = hot_directory(directory.path()).join(segments.last().unwrap());
    fs::copy(
        hot_directory(before.path()).join(segments.last().unwrap()),
        &last,
    )
    .unwrap();
    let report = tree::verify(directory.path());
    assert!(
        said(&report).contains("records 3000 to 3009 were signed and are not here"),
        "{}",
        said(&report)
    );
}

#[test]
fn rolled_back_and_forked_logs_are_found_with_a_checkpoint_that_was_kept() {
    let directory = signed(300);
    let before = copy(directory.path());
    let log = Log::open(directory.path()).unwrap();
    for number in 0..50 {
        log.record(&flow(number, 0)).unwrap();
    }
    drop(log);
    sign(directory.path());
    let kept = checkpoint_text(directory.path()).unwrap();
    let with_kept = |directory: &Path| {
        let mut verifier = Verifier::open(directory, None, ALL);
        verifier.kept(kept.as_bytes(), None);
        verifier.segments(true);
        verifier.finish()
    };
    assert_eq!(said(&with_kept(directory.path())), "");

    // The whole directory as it was: consistent in itself.
    assert_eq!(said(&tree::verify(before.path())), "");
    let report = with_kept(before.path());
    assert!(said(&report).contains("rolled back"), "{}", said(&report));
    assert_eq!(report.doubts[0].seq, Some(300));

    // Another future of the same past, signed with the same key.
    let log = Log::open(before.path()).unwrap();
    for number in 100..190 {
        log.record(&flow(number, 0)).unwrap();
    }
    drop(log);
    sign(before.path());
    assert_eq!(said(&tree::verify(before.path())), "");
    let report = with_kept(before.path());
    assert!(said(&report).contains("forked"), "{}", said(&report));
}

#[test]
fn a_forged_checkpoint_is_found() {
    let directory = signed(300);
    let other = signed(300);
    let put = |name: &str, from: &Path| {
        let copied = copy(directory.path());
        fs::copy(from.join(name), copied.path().join(name)).unwrap();
        copied
    };
    // Of another log, whose key is another.
    let report = tree::verify(put(CHECKPOINT, other.path()).path());
    assert!(
        said(&report).contains("its signature does not hold"),
        "{}",
        said(&report)
    );
    // And its key beside it: then the key that somebody kept tells.
    let forged = put(CHECKPOINT, other.path());
    fs::copy(
        other.path().join(PUBLIC_KEY),
        forged.path().join(PUBLIC_KEY),
    )
    .unwrap();
    let kept = fs::read_to_string(directory.path().join(PUBLIC_KEY)).unwrap();
    let report = Verifier::open(forged.path(), Some(&kept), ALL).finish();
    assert!(
        said(&report).contains("its signature does not hold"),
        "{}",
        said(&report)
    );
    // A size or a root that was written over.
    let text = checkpoint_text(directory.path()).unwrap();
    let copied = copy(directory.path());
    fs::write(
        copied.path().join(CHECKPOINT),
        text.replacen("\n300\n", "\n299\n", 1),
    )
    .unwrap();
    assert!(said(&tree::verify(copied.path())).contains("its signature does not hold"));
    fs::remove_file(copied.path().join(CHECKPOINT)).unwrap();
    assert!(said(&tree::verify(copied.path())).contains("somebody removed it"));
}

#[test]
fn nothing_is_signed_over_a_tree_that_is_not_as_it_was() {
    for name in [CHECKPOINT, "tile/0/001.p/44", "tile/0/000"] {
        let directory = signed(300);
        let path = directory.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let refused = Keeper::open(directory.path(), "bank-1");
        if name == "tile/0/000" {
            // A full tile is not read again to go on; verifying finds it.
            refused.unwrap();
            assert!(!tree::verify(directory.path()).doubts.is_empty());
        } else {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("audit verify"), "{name}: {error}");
        }
    }
    // Records that are gone before they were taken in.
    let directory = signed(10);
    let log = Log::open(directory.path()).unwrap();
    for number in 0..2000 {
        log.record(&flow(number, 1000)).unwrap();
    }
    let first = segment(directory.path());
    fs::remove_file(first).unwrap();
    let mut keeper = Keeper::open(directory.path(), "bank-1").unwrap();
    let error = keeper.turn().unwrap_err().to_string();
    assert!(error.contains("gone before they were taken in"), "{error}");
    assert_eq!(keeper.signed(), Seq(10));
}

#[test]
fn a_clock_that_went_back_is_told() {
    const HOUR: u64 = 3_600_000_000_000;
    let stamped = |time_ns| Flow {
        schema: 1,
        time_ns,
        ..flow(1, 0)
    };
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    log.record(&stamped(5 * HOUR)).unwrap();
    log.record(&stamped(5 * HOUR - 1_000_000)).unwrap();
    drop(log);
    // Also while the log was closed.
    let log = Log::open(directory.path()).unwrap();
    log.record(&stamped(4 * HOUR)).unwrap();
    log.record(&stamped(4 * HOUR + 1)).unwrap();
    drop(log);
    sign(directory.path());
    let report = tree::verify(directory.path());
    assert_eq!(
        (said(&report).as_str(), report.clock.as_slice()),
        ("", &[2][..])
    );
    let event = Flow::decode(&leaf(directory.path(), 2)[..]).unwrap();
    assert_eq!(
        (event.operation.as_str(), event.time_ns),
        (CLOCK_SET_BACK, 4 * HOUR)
    );

    // Once: a log that is opened again goes on from its last record.
    let log = Log::open(directory.path()).unwrap();
    log.record(&stamped(4 * HOUR + 2)).unwrap();
    drop(log);
    let report = tree::verify(directory.path());
    assert_eq!(
        (said(&report).as_str(), report.clock.len(), report.checked),
        ("", 1, 6)
    );

    // Records of an earlier time without a word of it, as somebody who forges a log would write them.
    let mut verifier = Verifier::open(directory.path(), None, ALL);
    for (seq, hour) in [(0, 5), (1, 3)] {
        verifier.leaf(Seq(seq), &stamped(hour * HOUR).encode_to_vec());
    }
    let report = verifier.finish();
    assert!(
        said(&report).contains("does not say that the clock was set back"),
        "{}",
        said(&report)
    );
}

/// What the log says of itself is no reason to doubt its clock, and no record before it hides that the clock was set back.
#[test]
fn a_clock_that_went_back_while_the_log_was_repaired_is_told() {
    const HOUR: u64 = 3_600_000_000_000;
    let stamped = |time_ns| Flow {
        schema: 1,
        time_ns,
        ..flow(1, 0)
    };
    for (next, told) in [(5 * HOUR + 1, &[][..]), (4 * HOUR, &[2][..])] {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(directory.path()).unwrap();
        log.record(&stamped(5 * HOUR)).unwrap();
        let first = log.bytes();
        log.record(&stamped(5 * HOUR)).unwrap();
        drop(log);
        // As a crash leaves it: the second was reserved and never completed.
        let path = segment(directory.path());
        let mut bytes = fs::read(&path).unwrap();
        bytes[64 + usize::try_from(first).unwrap() + 2] = 0x0f;
        fs::write(&path, bytes).unwrap();
        // A crash once more, before anything is recorded.
        drop(Log::open(directory.path()).unwrap());
        let log = Log::open(directory.path()).unwrap();
        log.record(&stamped(next)).unwrap();
        drop(log);
        let log = Log::open(directory.path()).unwrap();
        log.record(&stamped(next + 1)).unwrap();
        drop(log);
        sign(directory.path());
        let report = tree::verify(directory.path());
        assert_eq!(
            (said(&report).as_str(), report.clock.as_slice()),
            ("", told)
        );
        assert_eq!(report.void, 1);
    }
    // Repaired and recorded in one go: the event about the repair comes with the time of the record behind it.
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    log.record(&stamped(5 * HOUR)).unwrap();
    drop(log);
    let path = segment(directory.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[64 + 2] = 0x0f;
    fs::write(&path, bytes).unwrap();
    let log = Log::open(directory.path()).unwrap();
    log.record(&stamped(6 * HOUR)).unwrap();
    drop(log);
    sign(directory.path());
    let report = tree::verify(directory.path());
    assert_eq!(said(&report), "");
    assert_eq!((report.checked, report.void), (3, 1));
    let event = Flow::decode(&leaf(directory.path(), 1)[..]).unwrap();
    assert_eq!(
        (event.operation.as_str(), event.time_ns),
        ("flow log repaired", 6 * HOUR)
    );
}

#[test]
fn a_proof_convinces_whoever_has_the_key_and_only_of_that_record() {
    let directory = signed(700);
    let key = fs::read_to_string(directory.path().join(PUBLIC_KEY)).unwrap();
    for seq in [0, 1, 255, 256, 511, 699] {
        let proof = tree::proof(directory.path(), Seq(seq), &leaf(directory.path(), seq)).unwrap();
        let (proven, bytes, held) = check_proof(&proof, &key).unwrap();
        assert_eq!((proven, held.size), (Seq(seq), 700));
        assert_eq!(Flow::decode(&bytes[..]).unwrap().bytes_sent, seq);
        // Any one character changed: of the record, the number, the way or what was signed.
        for at in 0..proof.len() {
            let mut changed = proof.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let Ok(changed) = String::from_utf8(changed) else {
                continue;
            };
            assert!(
                check_proof(&changed, &key).is_err(),
                "byte {at} of\n{changed}"
            );
        }
    }
    // Whole segments may go: a proof that was made before still convinces.
    let proof = tree::proof(directory.path(), Seq(300), &leaf(directory.path(), 300)).unwrap();
    fs::remove_dir_all(hot_directory(directory.path())).unwrap();
    check_proof(&proof, &key).unwrap();
    let other = signed(1);
    let key = fs::read_to_string(other.path().join(PUBLIC_KEY)).unwrap();
    assert!(check_proof(&proof, &key).is_err());
    let error = tree::proof(directory.path(), Seq(700), b"x").unwrap_err();
    assert!(error.to_string().contains("not signed yet"), "{error}");
}

#[test]
fn a_key_that_is_gone_is_not_replaced_by_another() {
    let directory = signed(10);
    let public = fs::read(directory.path().join(PUBLIC_KEY)).unwrap();
    fs::remove_file(directory.path().join("key")).unwrap();
    let error = Keeper::open(directory.path(), "bank-1").unwrap_err();
    assert!(
        error.to_string().contains("restore it from a backup"),
        "{error}"
    );
    assert_eq!(fs::read(directory.path().join(PUBLIC_KEY)).unwrap(), public);
    assert!(!directory.path().join("key").exists());
    assert_eq!(tree::verify(directory.path()).doubts, []);
}

/// The secret key is nobody's but its owner's.
#[test]
fn the_signing_key_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let directory = signed(1);
    let mode = |name: &str| {
        fs::metadata(directory.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("key"), 0o600);
    let text = fs::read_to_string(directory.path().join("key")).unwrap();
    let secret = text.trim_end().splitn(5, '+').nth(4).unwrap();
    let mut all = Vec::new();
    files(directory.path(), &mut all);
    for path in all.iter().filter(|path| !path.ends_with("key")) {
        let bytes = fs::read(path).unwrap();
        assert!(
            !bytes
                .windows(20)
                .any(|window| window == &secret.as_bytes()[..20])
        );
    }
}

/// Whoever may write beside the segments makes something that has the name of one and is none.
#[test]
fn what_is_no_file_under_the_name_of_a_segment_is_told_and_waited_for_by_nobody() {
    let pipe = |at: &Path| {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, at, mode).unwrap();
    };
    let link = |at: &Path| std::os::unix::fs::symlink("/dev/zero", at).unwrap();
    // Whoever waits for a pipe waits for ever.
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let longest = std::time::Duration::from_secs(60);
        if waiting.recv_timeout(longest) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("somebody waits for a pipe");
            std::process::exit(101);
        }
    });
    let makers: [&dyn Fn(&Path); 2] = [&pipe, &link];
    for make in makers {
        let directory = signed(300);
        let log = directory.path();
        let mut reader = Reader::open(log).unwrap();
        reader.skip_to(Seq(300)).unwrap();
        make(&hot_directory(log).join(format!("{:020}.seg", 300)));
        assert!(reader.leaf().is_err());
        assert!(closed_segments(log).is_err(), "it would be sealed");
        let doubts = said(&tree::verify(log));
        assert!(doubts.contains(&format!("{:020}.seg", 300)), "{doubts}");
    }
    let directory = signed(300);
    let checkpoint = directory.path().join(CHECKPOINT);
    fs::remove_file(&checkpoint).unwrap();
    pipe(&checkpoint);
    let doubts = said(&tree::verify(directory.path()));
    assert!(doubts.contains("not a regular file"), "{doubts}");
    assert!(checkpoint_text(directory.path()).is_err());
    drop(done);
}

/// `STATEMENT_MAX`.
#[test]
fn a_checkpoint_without_end_is_not_read_to_its_end() {
    let directory = signed(3);
    let path = directory.path().join(CHECKPOINT);
    let signed = fs::read(&path).unwrap();
    let limit = usize::try_from(STATEMENT_MAX).unwrap();
    for (length, words) in [(limit, "it is no signed note"), (limit + 1, "longer than")] {
        let mut long = signed.clone();
        long.resize(length, b'x');
        fs::write(&path, long).unwrap();
        let doubts = said(&tree::verify(directory.path()));
        assert!(doubts.contains(words), "{doubts}");
    }
}

#[test]
fn only_a_checkpoint_that_holds_is_given_out() {
    let directory = signed(3);
    let path = directory.path().join(CHECKPOINT);
    let text = checkpoint_text(directory.path()).unwrap();
    assert_eq!(text.as_bytes(), fs::read(&path).unwrap());
    for other in [String::new(), text.replacen("\n3\n", "\n4\n", 1)] {
        assert_ne!(other, text);
        fs::write(&path, other).unwrap();
        assert!(checkpoint_text(directory.path()).is_err());
    }
}

/// `SIGNED_WITHIN`: who takes the key away signs nothing, and could change what comes from then on.
#[test]
fn records_that_nobody_signs_for_more_than_a_minute_are_a_doubt() {
    const SECOND: u64 = 1_000_000_000;
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = u64::try_from(now.as_nanos()).unwrap();
    // Seconds ago, of the records after the checkpoint.
    for (ago, doubted) in [
        (&[1000, 999][..], false),
        (&[1000, 940], false),
        (&[1000, 939], true),
        // They may have been signed since it began to look.
        (&[119, 1], false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(directory.path()).unwrap();
        let record = |ago: u64| {
            let mut flow = flow(ago, 10);
            flow.time_ns = now - ago * SECOND;
            log.record(&flow).unwrap();
        };
        record(5000);
        sign(directory.path());
        ago.iter().for_each(|ago| record(*ago));
        let doubts = said(&tree::verify(directory.path()));
        assert_eq!(
            doubts.contains("record 1 and those after it were never signed"),
            doubted,
            "{ago:?}: {doubts}"
        );
    }
}

/// A log of several segments, and one behind another's end, in another's place, and without an end.
#[test]
fn what_is_wrong_between_segments_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    for number in 0..3000 {
        log.record(&flow(number, 1000)).unwrap();
    }
    drop(log);
    sign(directory.path());
    let closed = closed_segments(directory.path()).unwrap();
    let first = closed[0].path.clone();
    let name = first.file_name().unwrap().to_owned();
    let bytes = fs::read(&first).unwrap();
    let mut slots = vec![64];
    loop {
        let at = *slots.last().unwrap();
        let length = usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        if length == 0 {
            break;
        }
        slots.push(at + (8 + length).next_multiple_of(8));
    }
    let end = slots.pop().unwrap();
    assert!(end + 8 < bytes.len(), "there is something behind the end");
    let state = slots[5] + 2;
    for (at, byte, words) in [
        (bytes.len() - 1, 1, "bytes behind the end"),
        (state, 0x0f, "never completed"),
        (state, 0x55, "checksum does not hold"),
    ] {
        let copied = copy(directory.path());
        let mut changed = bytes.clone();
        changed[at] = byte;
        fs::write(hot_directory(copied.path()).join(&name), changed).unwrap();
        let doubts = said(&tree::verify(copied.path()));
        assert!(doubts.contains(words), "{words}: {doubts}");
    }
    // One in the place of another.
    let copied = copy(directory.path());
    let second = hot_directory(copied.path()).join(format!("{:020}.seg", closed[0].before.0));
    fs::write(second, &bytes).unwrap();
    let doubts = said(&tree::verify(copied.path()));
    assert!(doubts.contains("another number than its name"), "{doubts}");
    // None at all.
    fs::remove_dir_all(hot_directory(copied.path())).unwrap();
    let report = tree::verify(copied.path());
    assert!(
        said(&report).contains("3000 records were signed and none is here"),
        "{report:?}"
    );
}
