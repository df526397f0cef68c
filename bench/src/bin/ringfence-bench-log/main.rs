//! Measures the sealed form of the flow log: how quickly leaves become a file, how small it is, how quickly they come back.
//!
//! Prints one JSON object. Only sealing and reading are timed, each on the one thread that does it; making up the traffic is not.
#![forbid(unsafe_code)]

mod traffic;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use ringfence_archive::{SealedReader, ZSTD_LEVEL, file_name, seal};
use ringfence_model::FlowRecord;
use ringfence_model::flow::Flow;
use traffic::Traffic;

#[derive(Parser)]
#[command(about = "Seals records of a busy node, reads them back, and prints one JSON object.")]
struct Arguments {
    /// How many records
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Records of a file
    #[arg(long, default_value_t = 1_000_000)]
    per_file: u64,
    /// Directory for the sealed files, which stay there
    #[arg(long)]
    to: PathBuf,
    /// Also tell how large the same leaves are in one zstd frame of the same level
    #[arg(long)]
    frame: bool,
    /// Records as JSON lines to standard output instead
    #[arg(long)]
    json: bool,
}

#[derive(Default, serde::Serialize)]
struct Told {
    records: u64,
    leaf_bytes: u64,
    sealed_bytes: u64,
    frame_bytes: u64,
    kept_whole: u64,
    seal_seconds: f64,
    read_seconds: f64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringfence-bench-log: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut traffic = Traffic::new();
    if args.json {
        return print(traffic, args.records);
    }
    std::fs::create_dir_all(&args.to)?;
    let mut told = Told::default();
    let (mut sealing, mut reading) = (Duration::ZERO, Duration::ZERO);
    while told.records < args.records {
        let count = args.per_file.min(args.records - told.records);
        let leaves: Vec<Vec<u8>> = traffic
            .by_ref()
            .take(count as usize)
            .map(|flow| leaf(&flow))
            .collect();
        let path = args.to.join(file_name(told.records));
        let start = Instant::now();
        let summary = seal(told.records, &leaves, [0; 32], &path)?;
        sealing += start.elapsed();
        let start = Instant::now();
        let mut reader = SealedReader::open(&path)?;
        let mut expected = leaves.iter();
        while let Some((_, leaf)) = reader.read()? {
            if expected.next().map(Vec::as_slice) != Some(leaf) {
                return Err("a leaf has come back changed".into());
            }
        }
        reading += start.elapsed();
        if expected.next().is_some() {
            return Err("a leaf has not come back".into());
        }
        if args.frame {
            told.frame_bytes += zstd::bulk::compress(&leaves.concat(), ZSTD_LEVEL)?.len() as u64;
        }
        told.records += summary.records;
        told.leaf_bytes += summary.leaf_bytes;
        told.sealed_bytes += summary.file_bytes;
        told.kept_whole += summary.kept_whole;
    }
    (told.seal_seconds, told.read_seconds) = (sealing.as_secs_f64(), reading.as_secs_f64());
    println!("{}", serde_json::to_string(&told)?);
    Ok(())
}

fn print(traffic: Traffic, records: u64) -> Result<(), Box<dyn Error>> {
    use std::io::Write;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (seq, flow) in (0..records).zip(traffic) {
        serde_json::to_writer(&mut out, &FlowRecord::new(seq, &flow)?)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

fn leaf(flow: &Flow) -> Vec<u8> {
    prost::Message::encode_to_vec(flow)
}
