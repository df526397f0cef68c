use std::fs;
use std::os::unix::fs::PermissionsExt;

use ringfence_model::flow::Flow;

use super::*;
use crate::Log;

fn flow() -> Flow {
    Flow {
        count: 1,
        node: "node".to_owned(),
        ..Flow::default()
    }
}

fn numbers(directory: &Path) -> Vec<u64> {
    Keys::open(directory).unwrap().list().unwrap()
}

#[test]
fn is_the_hmac_that_others_make() {
    let mut key = [0; KEY_LEN];
    key[..4].copy_from_slice(b"Jefe");
    let key = FieldKey::new(1, &key).unwrap();
    let made = key.hmac(b"what d", b"o ya want for nothing?");
    assert_eq!(made, PYTHON);
    assert!(key.is_hmac(&made, b"what d", b"o ya want for nothing?"));
    // The border between name and value counts.
    assert!(!key.is_hmac(&made, b"what ", b"do ya want for nothing?"));
    assert!(!key.is_hmac(&made, b"what d", b"o ya want for nothing!"));
}

/// `hmac.new(b"Jefe", b"\6\0\0\0what do ya want for nothing?", "sha256").digest()[:16]`; zeros behind a key change nothing.
const PYTHON: [u8; HMAC_LEN] = [
    0x98, 0x3a, 0x68, 0x58, 0x4f, 0x6d, 0x37, 0x3a, 0x21, 0x50, 0x04, 0x15, 0x42, 0xf3, 0x21, 0xb4,
];

#[test]
fn a_key_is_on_the_disk_before_it_is_used_and_nowhere_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    let key = log.field_key().unwrap();
    let made = key.hmac(b"query.page", b"2");
    let kept = FieldKey::read(directory.path(), key.number())
        .unwrap()
        .unwrap();
    assert_eq!(kept.hmac(b"query.page", b"2"), made);
    let path = keys_directory(directory.path()).join(name(key.number()));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let around = fs::metadata(keys_directory(directory.path())).unwrap();
    assert_eq!(around.permissions().mode() & 0o777, 0o700);
    log.record(&flow()).unwrap();
    let (bytes, _) = read(CWD, &path).unwrap();
    for entry in fs::read_dir(crate::hot_directory(directory.path())).unwrap() {
        let segment = fs::read(entry.unwrap().path()).unwrap();
        assert!(!segment.windows(KEY_LEN).any(|window| window == bytes));
    }
}

#[test]
fn each_start_each_segment_and_each_day_has_a_key_of_its_own_and_no_number_comes_twice() {
    let directory = tempfile::tempdir().unwrap();
    let first = Log::open(directory.path())
        .unwrap()
        .field_key()
        .unwrap()
        .number();
    let log = Log::open(directory.path()).unwrap();
    let key = |log: &Log| log.field_key().unwrap().number();
    let second = key(&log);
    assert!(second > first);
    let keys = Keys::open(directory.path()).unwrap();
    let of = |next, segment| keys.current(|| (Seq(next), Seq(segment))).unwrap().number();
    let third = of(500, 400);
    assert_eq!(third, 500);
    keys.attend(Seq(600), Seq(400));
    assert_eq!(of(600, 400), third, "it is used on");
    keys.attend(Seq(700), Seq(650));
    assert_eq!(of(700, 650), 700, "another segment");
    keys.state().made -= KEY_LIFE;
    keys.attend(Seq(700), Seq(650));
    assert_eq!(of(700, 650), 701, "another day");
    assert_eq!(numbers(directory.path()), [first, second, 500, 700, 701]);
}

#[test]
fn without_a_key_nothing_is_made_and_another_is_made_when_it_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    let before = log.field_key().unwrap().number();
    let path = keys_directory(directory.path());
    fs::remove_dir_all(&path).unwrap();
    log.keys().state().looked -= KEY_CHECK;
    log.keys().attend(Seq(0), Seq(0));
    let refused = log.field_key().unwrap_err();
    assert!(refused.to_string().contains("there is no key"), "{refused}");
    let event = log.refuse(&flow(), refused).unwrap_err();
    assert!(event.to_string().contains("there is no key"), "{event}");
    // What cannot be taken is counted, and said as soon as something can.
    std::thread::sleep(std::time::Duration::from_millis(150));
    log.record(&flow()).unwrap();
    let mut reader = crate::Reader::open(directory.path()).unwrap();
    let (_, gap) = reader.read().unwrap().unwrap();
    assert_eq!(
        (gap.operation.as_str(), gap.count),
        ("unrecorded denials", 1)
    );
    assert!(gap.reason.contains("there is no key"), "{gap:?}");
    drop(log);
    let log = Log::open(directory.path()).unwrap();
    assert!(log.field_key().unwrap().number() >= before);
}

#[test]
fn keys_are_deleted_by_number_and_by_when_their_use_ended() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    let keys = log.keys();
    let mut times = Vec::new();
    for next in [100, 200, 300] {
        times.push(wall_clock_ns());
        std::thread::sleep(std::time::Duration::from_millis(2));
        keys.attend(Seq(next), Seq(next));
    }
    let all = numbers(directory.path());
    assert_eq!(all[1..], [100, 200, 300]);
    let which = |first, last, before_ns| Which {
        first,
        last,
        before_ns,
    };
    let select = |which| log.select_keys(which).unwrap();
    // The first one was used until 100 was made, which is after `times[0]`.
    assert_eq!(select(which(0, u64::MAX, Some(times[0]))), [0; 0]);
    assert_eq!(select(which(0, u64::MAX, Some(times[1]))), all[..1]);
    assert_eq!(select(which(0, u64::MAX, Some(times[2]))), all[..2]);
    assert_eq!(select(which(200, 250, None)), [200]);
    assert_eq!(log.field_key().unwrap().number(), 300);
    // The one in use is replaced first.
    let selected = select(which(0, u64::MAX, Some(u64::MAX)));
    assert_eq!(selected, all);
    let now = log.field_key().unwrap().number();
    assert_eq!(now, 301);
    assert!(matches!(log.delete_keys(&selected), (4, None)));
    assert_eq!(numbers(directory.path()), [301]);
    assert!(FieldKey::read(directory.path(), 300).unwrap().is_none());
    // A number that was deleted does not come again while records may name it.
    log.record(&flow()).unwrap();
    assert_eq!(log.field_key().unwrap().number(), 301);
}

#[test]
fn what_is_no_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let keys = keys_directory(directory.path());
    fs::create_dir(&keys).unwrap();
    for bytes in [&b""[..], &[0; FILE_LEN], &[1; 4096]] {
        fs::write(keys.join(name(7)), bytes).unwrap();
        let refused = FieldKey::read(directory.path(), 7).unwrap_err();
        assert!(refused.to_string().contains("not a key"), "{refused}");
    }
    assert!(FieldKey::read(directory.path(), 8).unwrap().is_none());
}

/// Root opens the log, and another user writes it from then on.
#[test]
fn who_writes_the_log_can_read_and_delete_all_its_keys() {
    use std::os::unix::fs::MetadataExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: giving files to another user needs root");
        return;
    }
    const OTHER: u32 = 54_321;
    let directory = tempfile::tempdir().unwrap();
    drop(Log::open(directory.path()).unwrap());
    let options = crate::Options {
        owner: Some(OTHER),
        ..crate::Options::default()
    };
    let log = Log::open_with(directory.path(), options).unwrap();
    let path = keys_directory(directory.path());
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    assert_eq!(owner(&path), OTHER);
    let mut seen = 0;
    for entry in fs::read_dir(&path).unwrap() {
        assert_eq!(owner(&entry.unwrap().path()), OTHER);
        seen += 1;
    }
    assert_eq!(seen, 2);
    drop(log);
    // And back.
    drop(Log::open(directory.path()).unwrap());
    assert_eq!(owner(&path), 0);
}
