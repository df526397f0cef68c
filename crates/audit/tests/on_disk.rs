//! With [`Durability::Disk`], a record is on the disk before anyone is told that it is kept, and who waits for the disk waits
//! together. What reaches the disk is what `strace` sees.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::Write;
use std::path::Path;

use common::{INSIDE, all, assert_passed, body, flow};
use ringfence_audit::{Durability, Log, Options};

const RECORDS: u64 = 40;
const THREADS: u64 = 8;
/// Says how durable the log of a body is.
const DURABLE: &str = "RINGFENCE_AUDIT_TEST_DURABLE";

fn open(directory: &Path) -> Log {
    let durability = match std::env::var_os(DURABLE) {
        Some(_) => Durability::Disk,
        None => Durability::Memory,
    };
    let log = Log::open_with(
        directory,
        Options {
            durability,
            ..Options::default()
        },
    )
    .unwrap();
    assert_eq!(log.durability(), durability);
    log
}

/// Says each record that is kept on stdout, by one write.
fn write(log: &Log, thread: u64) {
    for n in 0..RECORDS {
        let seq = log.record(&flow(n * THREADS + thread, 100)).unwrap();
        std::io::stdout()
            .lock()
            .write_all(format!("kept {seq}.\n").as_bytes())
            .unwrap();
    }
}

/// The calls that the body `name` makes, in the order in which they began and ended.
fn traced(name: &str, durable: bool) -> (tempfile::TempDir, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let mut body = body(
        name,
        &directory.path().join("log"),
        &[
            "strace",
            "-f",
            "-o",
            trace.to_str().unwrap(),
            "-e",
            "trace=write,fdatasync,fsync",
            // A disk that takes its time, as most do.
            "-e",
            "inject=fdatasync:delay_enter=10000",
        ],
    );
    if durable {
        body.env(DURABLE, "");
    }
    assert_passed(&body.output().expect("strace"));
    let lines = std::fs::read_to_string(&trace).unwrap();
    (directory, lines.lines().map(str::to_owned).collect())
}

fn synced(line: &str) -> bool {
    line.contains("fdatasync") && line.contains("= 0")
}

fn acknowledged(line: &str) -> bool {
    line.contains("\"kept ")
}

#[test]
fn a_record_is_on_the_disk_before_it_is_acknowledged() {
    if let Some(directory) = std::env::var_os(INSIDE) {
        return write(&open(Path::new(&directory)), 0);
    }
    let name = "a_record_is_on_the_disk_before_it_is_acknowledged";
    let (directory, calls) = traced(name, true);
    let mut on_the_disk = false;
    let mut count = 0;
    for call in &calls {
        if synced(call) {
            on_the_disk = true;
        } else if acknowledged(call) {
            assert!(
                std::mem::take(&mut on_the_disk),
                "{call} without a write-back before it:\n{}",
                calls.join("\n")
            );
            count += 1;
        }
    }
    assert_eq!(count, RECORDS);
    // The name of the segment is on the disk as well, before the first record in it is acknowledged.
    let named = calls.iter().position(|call| call.contains(" fsync("));
    assert!(
        named < calls.iter().position(|call| acknowledged(call)),
        "{named:?}"
    );
    assert!(named.is_some());
    assert_eq!(
        all(&directory.path().join("log")).unwrap().len() as u64,
        RECORDS
    );

    // What is kept in memory waits for nothing.
    let (_directory, calls) = traced(name, false);
    // The key of the segment is on the disk before that, whatever waits.
    let records = calls.iter().skip_while(|call| !acknowledged(call));
    assert_eq!(records.filter(|call| synced(call)).count(), 0);
    assert_eq!(
        calls.iter().filter(|call| acknowledged(call)).count() as u64,
        RECORDS
    );
}

#[test]
fn those_who_wait_for_the_disk_wait_together() {
    if let Some(directory) = std::env::var_os(INSIDE) {
        let log = open(Path::new(&directory));
        log.attend().unwrap();
        return std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let log = &log;
                scope.spawn(move || write(log, thread));
            }
        });
    }
    let (directory, calls) = traced("those_who_wait_for_the_disk_wait_together", true);
    let log = directory.path().join("log");
    assert_eq!(all(&log).unwrap().len() as u64, RECORDS * THREADS);
    let syncs = calls.iter().filter(|call| synced(call)).count() as u64;
    println!(
        "{syncs} write-backs for {} records of {THREADS} threads",
        RECORDS * THREADS
    );
    assert!(syncs >= RECORDS && syncs * 2 < RECORDS * THREADS, "{syncs}");
}
