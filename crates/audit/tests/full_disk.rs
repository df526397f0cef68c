//! A disk without room: new attempts are refused, closes still go to the reserve, and the log recovers and says
//! what it missed. Real file systems in a private mount namespace, so no root is needed and nothing is left behind.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use common::{INSIDE, all, assert_passed, body, flow};
use ringfence_audit::{Log, LogError, Seq, closed_segments, hot_directory};
use ringfence_model::flow::Kind;

/// Longer than the log waits before it tries again.
const RETRY: Duration = Duration::from_millis(150);

/// Runs the test `name` on a tmpfs of 2 MiB mounted at a fresh directory.
fn on_a_small_disk(name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=2m tmpfs {} && exec \"$@\"",
        directory.path().display()
    );
    let output = body(
        name,
        directory.path(),
        &["unshare", "-Urm", "sh", "-c", &script, "sh"],
    )
    .output()
    .unwrap();
    assert_passed(&output);
}

#[test]
fn full_disk_denies_keeps_a_reserve_and_recovers() {
    let Some(mount) = std::env::var_os(INSIDE) else {
        return on_a_small_disk("full_disk_denies_keeps_a_reserve_and_recovers");
    };
    let mount = Path::new(&mount);
    let ballast = mount.join("ballast");
    fs::write(&ballast, vec![1; 600 * 1024]).unwrap();
    let directory = mount.join("log");
    let log = Log::open(&directory).unwrap();
    assert_eq!(log.trouble(), None);

    let mut taken = 0_u64;
    let refusal = loop {
        match log.record(&flow(taken, 300)) {
            Ok(seq) => assert_eq!(seq.0, taken),
            Err(refusal) => break refusal,
        }
        taken += 1;
    };
    assert!(matches!(refusal, LogError::Full(_)), "{refusal}");
    assert!(refusal.to_string().contains("free some"), "{refusal}");
    assert!(taken > 1000, "only {taken} records fitted");
    let mut denied = 1;
    // Refused at once, without a try, and refused after a try.
    for pause in [Duration::ZERO, RETRY] {
        sleep(pause);
        assert!(matches!(log.record(&flow(0, 300)), Err(LogError::Full(_))));
        denied += 1;
    }
    assert!(log.trouble().unwrap().contains("no room"));

    // Connections that were open still get their closes.
    let mut closes = 0_u64;
    while log.record_after(&flow(1_000_000 + closes, 300)).is_ok() {
        closes += 1;
    }
    assert!(closes > 100, "the reserve took {closes} closes");
    let untold = 1;

    // No room for anything, and still no harm: the file reads to its end.
    assert_eq!(all(&directory).unwrap().len() as u64, taken + closes);

    fs::remove_file(&ballast).unwrap();
    sleep(RETRY);
    assert_eq!(log.trouble(), None, "it recovers by being asked, too");
    let seq = log.record(&flow(2_000_000, 300)).unwrap();
    drop(log);

    let flows = all(&directory).unwrap();
    let event = &flows[usize::try_from(taken + closes).unwrap()];
    assert_eq!(event.kind(), Kind::Event);
    assert_eq!(event.operation, "unrecorded denials");
    assert_eq!(event.count, denied + untold);
    assert_eq!(event.node, "bank-1");
    assert!(
        event.reason.contains("3 attempts were denied"),
        "{}",
        event.reason
    );
    assert!(event.reason.contains("1 closes"), "{}", event.reason);
    assert_eq!(seq.0, taken + closes + 1);
    assert_eq!(flows[usize::try_from(seq.0).unwrap()].bytes_sent, 2_000_000);
    assert_eq!(flows.len() as u64, seq.0 + 1);
}

#[test]
fn opens_on_a_full_disk_and_takes_records_when_there_is_room() {
    let Some(mount) = std::env::var_os(INSIDE) else {
        return on_a_small_disk("opens_on_a_full_disk_and_takes_records_when_there_is_room");
    };
    let mount = Path::new(&mount);
    let ballast = mount.join("ballast");
    fs::write(&ballast, vec![1; 1900 * 1024]).unwrap();
    let log = Log::open(&mount.join("log")).unwrap();
    assert!(log.trouble().is_some());
    assert!(log.record(&flow(1, 0)).is_err());
    fs::remove_file(&ballast).unwrap();
    sleep(RETRY);
    assert_eq!(
        log.record(&flow(2, 0)).unwrap().0,
        1,
        "behind the event about what was lost"
    );
}

#[test]
fn a_log_that_found_no_room_for_a_segment_of_its_own_still_gives_up_what_is_sealed() {
    let Some(mount) = std::env::var_os(INSIDE) else {
        return on_a_small_disk(
            "a_log_that_found_no_room_for_a_segment_of_its_own_still_gives_up_what_is_sealed",
        );
    };
    let mount = Path::new(&mount);
    let directory = mount.join("log");
    let log = Log::open(&directory).unwrap();
    let mut number = 0;
    while closed_segments(&directory).unwrap().is_empty() {
        log.record(&flow(number, 2000)).unwrap();
        number += 1;
    }
    drop(log);
    for entry in fs::read_dir(hot_directory(&directory)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none() {
            fs::remove_file(path).unwrap();
        }
    }
    // It cannot go on in the last one, which others have signed further than.
    fs::write(directory.join("checkpoint"), "name\n1000000\n").unwrap();
    let ballast = fs::File::create(mount.join("ballast")).unwrap();
    let mut ballast = std::io::BufWriter::with_capacity(4096, ballast);
    while std::io::Write::write_all(&mut ballast, &[1; 4096]).is_ok() {}
    let _full = ballast.into_parts();
    let log = Log::open(&directory).unwrap();
    assert!(log.record(&flow(number, 0)).is_err());
    assert_eq!(log.release(Seq(u64::MAX)).unwrap(), 1);
}

#[test]
fn read_only_file_system_refuses_the_writer_and_serves_readers() {
    let Some(mount) = std::env::var_os(INSIDE) else {
        return on_a_small_disk("read_only_file_system_refuses_the_writer_and_serves_readers");
    };
    let mount = Path::new(&mount);
    let directory = mount.join("log");
    Log::open(&directory).unwrap().record(&flow(1, 0)).unwrap();
    let remount = |how: &str| {
        let status = std::process::Command::new("mount")
            .args(["-o", &format!("remount,bind,{how}")])
            .arg(mount)
            .status()
            .unwrap();
        assert!(status.success(), "remount,bind,{how}");
    };
    remount("ro");
    let refusal = Log::open(&directory).unwrap_err();
    assert!(
        refusal.to_string().to_lowercase().contains("read-only"),
        "{refusal}"
    );
    assert_eq!(all(&directory).unwrap().len(), 1);
    remount("rw");
    assert_eq!(
        Log::open(&directory)
            .unwrap()
            .record(&flow(2, 0))
            .unwrap()
            .0,
        1
    );
}

/// What the log has for records to come is there whatever others do with the disk.
#[test]
fn room_that_was_given_stays_when_others_fill_the_disk() {
    let Some(mount) = std::env::var_os(INSIDE) else {
        return on_a_small_disk("room_that_was_given_stays_when_others_fill_the_disk");
    };
    let mount = Path::new(&mount);
    let directory = mount.join("log");
    let log = Log::open(&directory).unwrap();
    let room = log.room();
    let _full = fs::write(mount.join("ballast"), vec![1; 4 * 1024 * 1024]).unwrap_err();
    let mut taken = 0_u64;
    while log.record(&flow(taken, 300)).is_ok() {
        taken += 1;
    }
    assert!(
        taken * 400 > room - 2 * 64 * 1024,
        "{taken} records in {room} bytes"
    );
    assert_eq!(all(&directory).unwrap().len() as u64, taken);
}
