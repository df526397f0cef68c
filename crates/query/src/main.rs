//! The program that `ringfence audit sql` starts.
#![forbid(unsafe_code)]

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ringfence_model::text::safe_lines;
use ringfence_query::{Format, MEMORY_STANDARD, QueryError, ask};

const EXIT_ERROR: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// Asks a flow log in SQL. `ringfence audit sql` finds the log and starts this.
#[derive(Parser)]
#[command(name = "ringfence-query", version)]
struct Arguments {
    /// Directory of the log: `log` in the state directory of a node
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// How to print rows
    #[arg(
        short,
        long,
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    output: Format,
    /// Memory that the query may take, in MiB
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_STANDARD >> 20, value_parser = mebibytes)]
    memory: usize,
    /// The question: SELECT … FROM flows …
    sql: String,
}

fn mebibytes(text: &str) -> Result<usize, String> {
    let most = usize::MAX >> 20;
    let number: Option<usize> = text.parse().ok();
    number
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| "a number of MiB, from 1 on".to_owned())
}

fn main() -> ExitCode {
    let args = Arguments::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read it has enough.
        Err(QueryError::Output(cause)) if cause.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ringfence: {}", safe_lines(&error.to_string()));
            ExitCode::from(if error.is_usage() {
                EXIT_USAGE
            } else {
                EXIT_ERROR
            })
        }
    }
}

fn run(args: &Arguments) -> Result<(), QueryError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let stdout = io::stdout();
    if args.output == Format::Csv && stdout.is_terminal() {
        // CSV has no way to write down what a terminal would obey.
        let mut rows = Vec::new();
        runtime.block_on(ask(
            &args.log,
            &args.sql,
            args.memory << 20,
            args.output,
            &mut rows,
        ))?;
        let shown = safe_lines(&String::from_utf8_lossy(&rows).replace("\r\n", "\n"));
        return Ok(stdout.lock().write_all(shown.as_bytes())?);
    }
    let mut out = BufWriter::new(stdout.lock());
    runtime.block_on(ask(
        &args.log,
        &args.sql,
        args.memory << 20,
        args.output,
        &mut out,
    ))
}
