//! `kill -9` of the enforcer, and of node and enforcer, at random moments under load: every request that the *server* saw has its
//! record, numbers have no gap, a place that was reserved and never completed says so, and `audit verify` has no doubt.
//!
//! Some dozen kills by default; `RINGFENCE_KILLS=1000` is the whole thousand, `scripts/kill-a-thousand-times` runs it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;
mod e2e_traffic;

use std::time::{Duration, Instant};

use e2e_support::options;
use e2e_traffic::{Recorded, Traffic, seen};
use ringfence_testbed::Node;

/// Kills, where nobody asks for more.
const KILLS: u64 = 44;
/// One in so many is of the whole node. In between an enforcer that keeps ending is started later each time.
const NODE_EVERY: u64 = 4;
/// Longest that an enforcer lives, from when all compartments are watched.
const LIVES: u64 = 250;
/// Processes of callers.
const CALLERS: usize = 2;

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

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The enforcer that there is now, serving or not.
fn enforcer_now(node: &Node) -> Option<u32> {
    let status = node.status().ok()?.1;
    let pid = status["enforcer"]["pid"].as_u64()?;
    u32::try_from(pid).ok()
}

#[test]
fn kill_9_at_any_moment_loses_no_request_that_the_server_saw() {
    let kills = number_from("RINGFENCE_KILLS").unwrap_or(KILLS);
    let seed = number_from("RINGFENCE_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap().as_nanos() as u64
    });
    println!("RINGFENCE_SEED={seed}");
    let mut chance = Chance(seed);
    let mut node = options().start().unwrap();
    let mut traffic = Traffic::start(&node, CALLERS);
    let begun = Instant::now();
    let mut killed = (0_u64, 0_u64);
    let mut longest = Duration::ZERO;
    while killed.0 + killed.1 < kills {
        // Mostly while it serves; sometimes while it starts, and mends its log.
        let whole = (killed.0 + killed.1) % NODE_EVERY == NODE_EVERY - 1;
        if whole || chance.below(4) > 0 {
            node.await_enforcer_after(0).unwrap();
        }
        std::thread::sleep(Duration::from_micros(chance.below(1000 * LIVES)));
        if whole {
            node.kill().unwrap();
            let since = Instant::now();
            node.up().unwrap();
            longest = longest.max(since.elapsed());
            killed.1 += 1;
        } else if let Some(pid) = enforcer_now(&node)
            && node.host().signal("KILL", pid).is_ok()
        {
            killed.0 += 1;
        }
    }
    let took = begun.elapsed();
    node.await_enforcer_after(0).unwrap();
    // It goes on as before.
    std::thread::sleep(Duration::from_millis(300));
    let (answered, failed) = traffic.end();
    node.stop().unwrap();

    let numbers = seen(&node);
    let log = Recorded::read(node.state());
    println!(
        "killed {} enforcers and {} nodes within {:.0} s; the server saw {} requests, callers {answered} answers and {failed} \
         failures; {} records, {} void; a node was up again within {:.2} s",
        killed.0,
        killed.1,
        took.as_secs_f64(),
        numbers.len(),
        log.records,
        log.void,
        longest.as_secs_f64()
    );
    log.has_all(&numbers);
    assert_eq!(
        log.void, log.said_void,
        "a void place that the log does not tell of"
    );
    // The test is about something.
    assert!(
        answered <= numbers.len() as u64 && numbers.len() as u64 > 20 * kills,
        "{answered}"
    );
    assert!(failed > kills / 2, "{failed}");

    let verified = node.verb("audit verify", &["-o", "json"]).unwrap();
    assert_eq!(
        verified.code,
        Some(0),
        "{}{}",
        verified.stdout,
        verified.stderr
    );
    let report: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!(report["void"], log.void);
    assert_eq!(
        (&report["checked"], &report["signed"]),
        (&log.records.into(), &log.records.into())
    );
}
