//! `ringfence audit sql`: hands the question to the program that answers it.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::ValueEnum;

use super::Whose;
use crate::output::Failure;

/// The program. Its engine takes minutes to build, and no other part of Ringfence needs it.
const PROGRAM: &str = "ringfence-query";

const EXAMPLES: &str = "\
Examples:
  ringfence audit sql \"SELECT source, destination, sum(count) AS n FROM flows WHERE outcome = 'deny'
                       GROUP BY source, destination ORDER BY n DESC\"
  ringfence audit sql \"SELECT time, source, operation, reason FROM flows
                       WHERE time > now() - INTERVAL '10 minutes' AND kind = 'wall'\"
  ringfence audit sql -o json \"SELECT * FROM flows WHERE connection = '0f1e2d3c4b5a6978-17' ORDER BY seq\"
  ringfence audit sql \"DESCRIBE flows\"

There is one table, flows, with columns named like the keys of `ringfence observe -o json`, case included; docs/sealed.md \
lists them with their types. Attempts are the sum of count over the kinds connection, operation and wall. Only \
questions are taken: nothing is changed, and no other file is read. The records are those that are there when it starts.

Exit codes: 0 also when no row is found; 1 no log, a part of it that cannot be read, or more memory needed than given; 2 \
usage, and what is no question or no SQL.";

/// Ask the flow log in SQL
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SqlArgs {
    #[command(flatten)]
    whose: Whose,
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
    /// Memory that the query may take, in MiB [default: 512]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    memory: Option<u32>,
    /// The question
    sql: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Columns under a header
    Table,
    /// One JSON object per line; keys without a value are left out
    Json,
    /// RFC 4180, with a header
    Csv,
}

/// Runs the verb: becomes the other program, so that what it prints, its exit code and ctrl-c are its own.
pub(super) fn sql(args: &SqlArgs) -> Result<ExitCode, Failure> {
    let output = match args.output {
        Format::Table => "table",
        Format::Json => "json",
        Format::Csv => "csv",
    };
    let program = beside().unwrap_or_else(|| PROGRAM.into());
    let mut command = Command::new(&program);
    command
        .arg("--log")
        .arg(args.whose.log()?)
        .args(["--output", output]);
    if let Some(memory) = args.memory {
        command.arg("--memory").arg(memory.to_string());
    }
    let cause = command.arg("--").arg(&args.sql).exec();
    let fix = match std::env::current_exe() {
        Ok(own) => format!("beside {} or in PATH", own.display()),
        Err(_) => "in PATH".to_owned(),
    };
    Err(match cause.kind() {
        std::io::ErrorKind::NotFound => Failure::new(
            format!("the program that answers, {PROGRAM}, is not installed"),
            format!(
                "build it with `make query` and put it {fix}; observe, audit top, services, agents \
                 and unused do without it"
            ),
        ),
        _ => Failure::new(
            format!("{} cannot be started: {cause}", program.display()),
            format!("put one that can {fix}"),
        ),
    })
}

/// The one that was built with this program.
fn beside() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.parent()?.join(PROGRAM);
    program.exists().then_some(program)
}
