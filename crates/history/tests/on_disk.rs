//! What is signed, and what takes the place of a segment, is on the disk before it has its name. What reaches the disk is what
//! `strace` sees.

#![allow(clippy::unwrap_used)]

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

/// Calls that ended well, in the order in which they did, each with the files that it names.
fn traced(directory: &Path) -> Vec<String> {
    let trace = directory.join("trace");
    let test = "nothing_has_a_name_before_it_is_on_the_disk";
    let output = Command::new("strace")
        .args(["-f", "-y", "-s", "300", "-o", trace.to_str().unwrap()])
        .args([
            "-e",
            "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2",
        ])
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

#[test]
fn nothing_has_a_name_before_it_is_on_the_disk() {
    if let Some(directory) = std::env::var_os(INSIDE) {
        let directory = Path::new(&directory);
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
        let mut sealing = Sealing::new(directory);
        assert!(sealing.turn(&|| true).unwrap().is_some());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let calls = traced(directory.path());
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
