//! The program that `ringfence audit sql` starts.
#![forbid(unsafe_code)]

use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ringfence_model::text::safe_lines;
use ringfence_query::{Asked, Format, MEMORY_STANDARD, QueryError, confine, stand_back};

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
        visible_alias = "format",
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
    let memory = args.memory << 20;
    stand_back(memory)?;
    let asked = Asked::open(&args.log)?;
    confine(&args.log)?;
    // What broke is said once, in our words.
    std::panic::set_hook(Box::new(|_| {}));
    let mut out = BufWriter::new(io::stdout());
    for records in asked.ask(&args.sql, memory, args.output, &mut out)? {
        eprintln!(
            "ringfence: records {} to {} are not in the log, and the answer is without them",
            records.start,
            records.end - 1
        );
    }
    Ok(())
}
