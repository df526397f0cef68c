//! `kill -9` of the writer at any moment, a thousand times, loses no record that was acknowledged.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{INSIDE, body, flow};
use ringfence_audit::tree::{self, Keeper};
use ringfence_audit::{Log, Reader, Repair};
use ringfence_model::flow::Kind;

/// Kills, and how many of them one log takes.
const ROUNDS: u64 = 1000;
const ROUNDS_OF_A_LOG: u64 = 50;
const THREADS: u64 = 3;
/// Records a child acknowledges before its last moments begin, where it is killed while it writes.
const WARM: usize = 20;
/// Longest wait for them, on a machine that is busy.
const WARM_WITHIN: Duration = Duration::from_secs(60);
/// Number of the round, for the child.
const ROUND: &str = "RINGFENCE_AUDIT_TEST_ROUND";

/// Writes for ever, and says each acknowledged record on stdout: `ack SEQ NUMBER`.
fn write_until_killed(directory: &Path) {
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let log = Log::open(directory).unwrap();
    for repair in log.repairs() {
        assert!(matches!(repair, Repair::Void { .. }), "{repair}");
    }
    log.attend().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                for n in 0_u64.. {
                    let number = n * THREADS + thread + round * 1_000_000;
                    // Mostly small, now and then near the limit: a large write is killed half-way more often.
                    let padding = if n % 97 == 0 {
                        60_000
                    } else {
                        usize::try_from(n % 300).unwrap()
                    };
                    let seq = log.record(&flow(number, padding)).unwrap();
                    let line = format!("ack {seq} {number}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

/// Chance that is the same each time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % bound
    }
}

/// Starts a writer, kills it, and gives what it acknowledged.
fn round(number: u64, directory: &Path, chance: &mut Chance) -> Vec<(u64, String)> {
    let mut child = body("kill_9_loses_no_acknowledged_record", directory, &[])
        .env(ROUND, number.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = BufReader::new(child.stdout.take().unwrap());
    let (warm, warmed) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut acks = Vec::new();
        let mut line = String::new();
        // A line without its end was cut by the kill: a cut number would be a wrong one.
        while pipe.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            let words: Vec<&str> = line.trim_end().split(' ').collect();
            if let ["ack", seq, number] = words[..] {
                acks.push((seq.parse::<u64>().unwrap(), number.to_owned()));
                if acks.len() == WARM {
                    // Nobody waits any more when it took too long, or was not waited for.
                    let _ = warm.send(());
                }
            }
            line.clear();
        }
        acks
    });
    // One in four is killed at any moment of its start, and of what it mends; the others while they write.
    if chance.below(4) == 0 {
        std::thread::sleep(Duration::from_micros(chance.below(12_000)));
    } else {
        let writes = warmed.recv_timeout(WARM_WITHIN);
        std::thread::sleep(Duration::from_micros(chance.below(8_000)));
        assert!(
            writes.is_ok(),
            "round {number}: it did not write within {WARM_WITHIN:?}"
        );
    }
    assert_eq!(
        child.try_wait().unwrap(),
        None,
        "round {number}: it ended by itself"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn kill_9_loses_no_acknowledged_record() {
    if let Some(directory) = std::env::var_os(INSIDE) {
        return write_until_killed(Path::new(&directory));
    }
    let mut chance = Chance(u64::from(std::process::id()));
    let begun = Instant::now();
    let (mut records, mut kept, mut void) = (0_u64, 0, 0_u64);
    for first in (0..ROUNDS).step_by(usize::try_from(ROUNDS_OF_A_LOG).unwrap()) {
        let directory = tempfile::tempdir().unwrap();
        let mut acknowledged = BTreeMap::new();
        for number in first..first + ROUNDS_OF_A_LOG {
            for (seq, number) in round(number, directory.path(), &mut chance) {
                let before = acknowledged.insert(seq, number);
                assert_eq!(
                    before, None,
                    "record {seq} was acknowledged twice: the first is lost"
                );
            }
        }
        // What the last one left is mended, and told of before the next record.
        let log = Log::open(directory.path()).unwrap();
        log.record(&flow(0, 0)).unwrap();
        drop(log);
        kept += acknowledged.len();
        let (mut voids, mut told) = (0, 0);
        let mut reader = Reader::open(directory.path()).unwrap();
        while let Some((seq, flow)) = reader.read().unwrap() {
            records += 1;
            match flow.kind() {
                Kind::Void => voids += 1,
                Kind::Event => {
                    assert!(flow.reason.contains("its place is void"), "{}", flow.reason);
                    told += 1;
                }
                _ => {}
            }
            if let Some(number) = acknowledged.remove(&seq.0) {
                assert_eq!(flow.bytes_sent.to_string(), number, "record {seq}");
            }
        }
        assert_eq!(acknowledged, BTreeMap::new(), "acknowledged, and not there");
        // A writer that is killed before its first record has told nobody of what it mended.
        assert!(told <= voids, "{told} of {voids}");
        void += voids;
        let mut keeper = Keeper::open(directory.path(), "bank-1").unwrap();
        while keeper.turn().unwrap() {}
        let report = tree::verify(directory.path());
        assert!(report.doubts.is_empty(), "{:?}", report.doubts);
        assert_eq!(report.void, voids);
    }
    println!(
        "{ROUNDS} kills within {:.0} s: {kept} of {records} records were acknowledged, {void} places are void",
        begun.elapsed().as_secs_f64()
    );
}
