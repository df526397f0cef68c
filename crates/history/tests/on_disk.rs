//! What is signed, and what takes the place of a segment, is on the disk before it has its name, and was read back. What reaches
//! the disk is what `strace` sees.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use ringfence_audit::Log;
use ringfence_audit::tree::Keeper;
use ringfence_history::Sealing;
use ringfence_model::flow::Flow;

/// The directory of the log, for the process that is looked at.
const INSIDE: &str = "RINGFENCE_HISTORY_TEST_DIRECTORY";
/// More than a segment takes.
const RECORDS: u64 = 80;

/// Runs the body of `test`, with more options of strace. Calls that ended well, in the order in which they did, each with the files
/// that it names.
fn traced(directory: &Path, test: &str, more: &[&str]) -> Vec<String> {
    let trace = directory.join("trace");
    let output = Command::new("strace")
        .args(["-f", "-y", "-s", "300", "-o", trace.to_str().unwrap()])
        .args([
            "-e",
            "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2",
        ])
        .args(more)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, directory.join("log"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let calls = std::fs::read_to_string(trace).unwrap();
    let calls = calls.lines().filter(|line| line.contains("= 0"));
    calls.map(str::to_owned).collect()
}

/// A log with a segment that can be sealed.
fn sign(directory: &Path) {
    let log = Log::open(directory).unwrap();
    for number in 0..RECORDS {
        let flow = Flow {
            time_ns: 1_000_000_000 + number,
            reason: "x".repeat(20_000),
            ..Flow::default()
        };
        log.record(&flow).unwrap();
    }
    let mut keeper = Keeper::open(directory, "node").unwrap();
    while keeper.turn().unwrap() {}
}

#[test]
fn nothing_has_a_name_before_it_is_on_the_disk() {
    if let Some(directory) = std::env::var_os(INSIDE) {
        let directory = Path::new(&directory);
        sign(directory);
        let mut sealing = Sealing::new(directory);
        assert!(sealing.turn(&|| true).unwrap().is_some());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "nothing_has_a_name_before_it_is_on_the_disk";
    let calls = traced(directory.path(), test, &[]);
    let at = |what: &dyn Fn(&str) -> bool| calls.iter().position(|call| what(call));
    let named = |to: &str| {
        let to = format!("{to}\"");
        let found = at(&|call| call.contains("rename") && call.contains(&to));
        found.unwrap_or_else(|| panic!("{to}: {calls:#?}"))
    };
    let synced = |file: &str, before: usize| {
        let found = at(&|call| call.contains("sync") && call.contains(file));
        assert!(found.is_some_and(|at| at < before), "{file}: {calls:#?}");
    };
    // A signature comes after all that it is of.
    let signed = named("log/checkpoint");
    synced("00000000000000000000.seg>", signed);
    synced("log/hot>", signed);
    synced("tile/0/000.p/80>", signed);
    synced("log/checkpoint.new>", signed);
    // What takes the place of a segment, and what is signed of it.
    let sealed = named("00000000000000000000.parquet");
    synced("00000000000000000000.unchecked.sealing>", sealed);
    let statement = named("00000000000000000000.sealed");
    synced("00000000000000000000.new>", statement);
    assert!(statement < sealed);
    let last = calls.last().unwrap();
    assert!(
        last.contains("sync") && last.contains("log/sealed>"),
        "{calls:#?}"
    );
}

#[test]
fn a_file_that_does_not_give_back_what_went_in_takes_no_segments_place() {
    if let Some(directory) = std::env::var_os(INSIDE) {
        let directory = Path::new(&directory);
        sign(directory);
        let made = directory.join("sealed/00000000000000000000.unchecked");
        let spoiler = std::thread::spawn({
            let made = made.clone();
            move || {
                let file = loop {
                    // Each rename takes its time: it is there before it is looked at.
                    match std::fs::OpenOptions::new().write(true).open(&made) {
                        Ok(file) => break file,
                        Err(_) => std::thread::sleep(std::time::Duration::from_millis(1)),
                    }
                };
                file.write_all_at(b"spoilt", 1000).unwrap();
            }
        });
        let turned = Sealing::new(directory).turn(&|| true);
        spoiler.join().unwrap();
        assert!(turned.is_err(), "{turned:?}");
        assert!(!made.exists() && !made.with_extension("parquet").exists());
        assert!(directory.join("hot/00000000000000000000.seg").exists());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "a_file_that_does_not_give_back_what_went_in_takes_no_segments_place";
    let slow = "inject=rename,renameat,renameat2:delay_exit=300000";
    traced(directory.path(), test, &["-e", slow]);
}
