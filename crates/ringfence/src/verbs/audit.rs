//! `ringfence audit`: the flow log as evidence, for those who keep it, ask it, and pass it on.

mod daily;
mod export;
mod pairs;
mod unused;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::output::{Failure, finish};
use crate::verbs::configuration::state_dir;

const EXAMPLES: &str = "\
Examples:
  ringfence audit export --format ocsf --follow             send every record on, as it comes, to a security lake
  ringfence audit export --format csv --since 1d > day.csv  a day for a spreadsheet
  ringfence audit top --since 1h                            the busiest pairs of the last hour
  ringfence audit services payments                         who called it, what was denied, and why
  ringfence audit unused                                    permissions that no record shows in use

Each reads the log of a node, running or stopped, or a copy of its state directory, and changes nothing. Only the \
node's own user and root can read it. To look at it yourself: `ringfence observe`. docs/flows.md says what a record \
says.

Exit codes: 0 ok, 1 no log, or a part of it that cannot be read, 2 usage.";

/// Passes the flow log on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    verb: AuditVerb,
}

#[derive(Debug, Subcommand)]
enum AuditVerb {
    Export(export::ExportArgs),
    Top(daily::TopArgs),
    Services(daily::ServicesArgs),
    Agents(daily::AgentsArgs),
    Unused(unused::UnusedArgs),
}

/// Whose log is meant.
#[derive(Debug, clap::Args)]
struct Whose {
    /// State directory of the node, or a copy of it [default: as `ringfence up` chooses it]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Whose {
    /// The directory of the log.
    fn log(&self) -> Result<PathBuf, Failure> {
        Ok(state_dir(self.state.as_ref())?.join("log"))
    }
}

/// Runs the verb.
pub(crate) fn run(args: AuditArgs) -> ExitCode {
    finish(match args.verb {
        AuditVerb::Export(args) => export::export(&args),
        AuditVerb::Top(args) => daily::top(&args),
        AuditVerb::Services(args) => daily::services(&args),
        AuditVerb::Agents(args) => daily::agents(&args),
        AuditVerb::Unused(args) => unused::unused(&args),
    })
}
