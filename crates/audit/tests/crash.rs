//! `kill -9` of the writer at any moment loses no record that was acknowledged.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use common::{INSIDE, all, body, flow};
use ringfence_audit::{Log, Repair};

const ROUNDS: u64 = 12;
const THREADS: u64 = 3;
/// Records a child acknowledges before its last moments begin: it is killed while it writes, not while it starts.
const WARM: usize = 20;
/// Longest wait for them, on a machine that is busy.
const WARM_WITHIN: Duration = Duration::from_secs(60);

/// Writes for ever, and says each acknowledged record on stdout: `ack SEQ NUMBER`.
fn write_until_killed(directory: &Path) {
    let log = Log::open(directory).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                for n in 0_u64.. {
                    let number = n * THREADS + thread + u64::from(std::process::id()) * 1_000_000;
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

#[test]
fn kill_9_loses_no_acknowledged_record() {
    if let Some(directory) = std::env::var_os(INSIDE) {
        return write_until_killed(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut child = body("kill_9_loses_no_acknowledged_record", directory.path(), &[])
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
                        // Nobody waits any more when it took too long.
                        let _ = warm.send(());
                    }
                }
                line.clear();
            }
            acks
        });
        let writes = warmed.recv_timeout(WARM_WITHIN);
        std::thread::sleep(Duration::from_millis(1 + 13 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let acks = reader.join().unwrap();
        assert!(
            writes.is_ok(),
            "round {round}: the child acknowledged {} records in {WARM_WITHIN:?}",
            acks.len()
        );
        for (seq, number) in acks {
            let before = acknowledged.insert(seq, number);
            assert_eq!(
                before, None,
                "record {seq} was acknowledged twice: the first is lost"
            );
        }

        let log = Log::open(directory.path()).unwrap();
        for repair in log.repairs() {
            assert!(matches!(repair, Repair::Void { .. }), "{repair}");
        }
        drop(log);
    }
    let flows = all(directory.path()).unwrap();
    let last = *acknowledged.keys().last().unwrap();
    assert!(
        flows.len() as u64 > last,
        "record {last} is gone, {} are there",
        flows.len()
    );
    for (seq, number) in &acknowledged {
        let index = usize::try_from(*seq).unwrap();
        assert_eq!(flows[index].bytes_sent.to_string(), *number, "record {seq}");
    }
}
