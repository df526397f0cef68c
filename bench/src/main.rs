//! The programs that `bench/run` measures with: a decision asked a great many times, clients, and what they talk to.
//!
//! Each prints one JSON object on standard output and judges nothing: rounds, peers and ratios are the business of
//! `bench/run`. They know nothing of Ringfence (but `decide`, which asks its policy engine, and `append`, which writes its log), so that what stands
//! between a client and a server can be anything or nothing.
#![forbid(unsafe_code)]

mod append;
mod ask;
mod decide;
mod estate;
mod hold;
mod rate;
mod spread;
mod step;
mod stream;
mod streams;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures, and prints one JSON object.")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Append(append::AppendArgs),
    Decide(decide::DecideArgs),
    Rate(rate::RateArgs),
    Source(stream::SourceArgs),
    Sink(stream::SinkArgs),
    Hold(hold::HoldArgs),
    Streams(streams::StreamsArgs),
    StreamSink(streams::StreamSinkArgs),
    Ask(ask::AskArgs),
    Step(step::StepArgs),
}

/// Many connections need many descriptors, and what a process starts with is often less than it may have.
fn open_many() -> io::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

fn main() -> ExitCode {
    let told = match Arguments::parse().what {
        What::Append(args) => append::run(&args),
        What::Decide(args) => decide::run(&args),
        What::Rate(args) => rate::run(&args),
        What::Source(args) => stream::source(&args),
        What::Sink(args) => stream::sink(&args),
        What::Hold(args) => hold::run(&args),
        What::Streams(args) => streams::source(&args),
        What::StreamSink(args) => streams::sink(&args),
        What::Ask(args) => ask::run(&args),
        What::Step(args) => step::run(&args),
    };
    match told.and_then(|told| print(&told)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringfence-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(told: &serde_json::Value) -> io::Result<()> {
    use io::Write;
    writeln!(io::stdout(), "{told}")
}
