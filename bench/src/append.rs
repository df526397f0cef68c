//! The flow log: what a record costs whoever waits for it, and how many a core takes and signs.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use ringfence_audit::tree::{Keeper, verify};
use ringfence_audit::{Durability, Log, Options, Seq};
use ringfence_model::flow::{Flow, Kind, Outcome, Side};
use serde_json::{Value, json};

#[derive(Args)]
pub(crate) struct AppendArgs {
    /// Where the log is made, and removed again unless it is to be kept
    #[arg(long)]
    directory: PathBuf,
    /// Records
    #[arg(long, default_value_t = 2_000_000)]
    records: u64,
    /// Writers at a time
    #[arg(long, default_value_t = 1)]
    threads: u64,
    /// Let the tree grow and be signed at the same time
    #[arg(long)]
    tree: bool,
    /// Wait for the disk with every record
    #[arg(long)]
    disk: bool,
    /// Leave the log, as DIRECTORY/log
    #[arg(long)]
    keep: bool,
}

/// The record of one request, as the enforcer makes it.
fn flow(number: u64) -> Flow {
    Flow {
        schema: 1,
        time_ns: 1_795_000_000_000_000_000 + number * 7_919,
        node: "bank-1".into(),
        side: Side::Both.into(),
        kind: Kind::Operation.into(),
        connection: format!("9c1f3a5be02d7746-{}", number / 20),
        count: 1,
        source: "customer-service".into(),
        source_instance: "customer-service-1".into(),
        destination: "customer-data".into(),
        destination_instance: "customer-data-1".into(),
        original_destination: "100.64.0.3:8080".into(),
        protocol: "http".into(),
        operation: format!("GET /customers/{}", number % 10_000),
        outcome: Outcome::Allow.into(),
        rule: "policies.yaml:12".into(),
        generation: 3,
        mode: "enforce".into(),
        purpose: "answers customers' questions".into(),
        ..Flow::default()
    }
}

pub(crate) fn run(args: &AppendArgs) -> io::Result<Value> {
    if args.keep {
        return measure(args, &args.directory.join("log"));
    }
    let place = args
        .directory
        .join(format!("append-{}", std::process::id()));
    let measured = measure(args, &place);
    // Also after a failure: it may be a large part of the disk.
    let removed = std::fs::remove_dir_all(&place);
    let measured = measured?;
    removed?;
    Ok(measured)
}

fn measure(args: &AppendArgs, place: &std::path::Path) -> io::Result<Value> {
    let other = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
    let durability = if args.disk {
        Durability::Disk
    } else {
        Durability::Memory
    };
    let options = Options {
        durability,
        ..Options::default()
    };
    let log = Log::open_with(place, options).map_err(|e| other(&e))?;
    log.attend()?;
    let each = args.records / args.threads;
    let written = AtomicBool::new(false);
    let started = Instant::now();
    let (latencies, appended, signed) = thread::scope(|scope| {
        let writers: Vec<_> = (0..args.threads)
            .map(|thread| {
                let log = &log;
                scope.spawn(move || write(log, thread * each, each))
            })
            .collect();
        let tree = args.tree.then(|| {
            let (written, log) = (&written, &log);
            scope.spawn(move || sign(place, log, written))
        });
        let mut latencies = Vec::new();
        for writer in writers {
            let told = writer
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a writer failed")));
            latencies.extend(told?);
        }
        let appended = started.elapsed();
        written.store(true, Ordering::Release);
        if let Some(tree) = tree {
            tree.join()
                .unwrap_or_else(|_| Err(io::Error::other("the keeper failed")))?;
        }
        Ok::<_, io::Error>((latencies, appended, started.elapsed()))
    })?;
    let count = each * args.threads;
    if log.head() != Seq(count) {
        return Err(io::Error::other(format!(
            "{} of {count} records are there",
            log.head()
        )));
    }
    let bytes = log.bytes();
    drop(log);
    let mut verified = Value::Null;
    if args.tree {
        let before = Instant::now();
        let report = verify(place);
        let took = before.elapsed();
        if !report.doubts.is_empty() || report.checked != count || report.unsigned != 0 {
            return Err(io::Error::other(format!("{report:?}")));
        }
        verified = json!(count as f64 / took.as_secs_f64());
    }
    let mut latencies = latencies;
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    Ok(json!({
        "records": count,
        "threads": args.threads,
        "bytesPerRecord": bytes as f64 / count as f64,
        "perSecond": count as f64 / appended.as_secs_f64(),
        "signedPerSecond": args.tree.then(|| count as f64 / signed.as_secs_f64()),
        "verifiedPerSecond": verified,
        "nsMedian": at(0.5),
        "nsP99": at(0.99),
        "nsP999": at(0.999),
        "nsClock": clock(),
    }))
}

/// Nanoseconds that each record took, the clock's own included.
fn write(log: &Log, first: u64, count: u64) -> io::Result<Vec<u32>> {
    let mut flow = flow(first);
    let mut latencies = Vec::with_capacity(usize::try_from(count).map_err(io::Error::other)?);
    let mut before = Instant::now();
    for number in first..first + count {
        flow.time_ns += 7_919;
        flow.bytes_sent = number;
        log.record(&flow)
            .map_err(|e| io::Error::other(e.to_string()))?;
        let after = Instant::now();
        let took = after.duration_since(before).as_nanos();
        latencies.push(u32::try_from(took).unwrap_or(u32::MAX));
        before = after;
    }
    Ok(latencies)
}

fn sign(place: &std::path::Path, log: &Log, written: &AtomicBool) -> io::Result<()> {
    let other = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
    let mut keeper = Keeper::open(place, "bench").map_err(|e| other(&e))?;
    loop {
        let last = written.load(Ordering::Acquire);
        let behind = keeper.turn().map_err(|e| other(&e))?;
        if last && keeper.signed() == log.head() {
            return Ok(());
        }
        if !behind {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What looking at the clock takes.
fn clock() -> f64 {
    const LOOKS: u32 = 100_000;
    let started = Instant::now();
    for _ in 0..LOOKS {
        std::hint::black_box(Instant::now());
    }
    started.elapsed().as_nanos() as f64 / f64::from(LOOKS)
}
