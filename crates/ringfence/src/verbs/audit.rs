//! `ringfence audit`: the flow log as evidence, for those who keep it, ask it, and pass it on.

mod checkpoint;
mod daily;
mod export;
mod fields;
mod pairs;
mod proof;
mod prune;
mod redact;
mod rows;
mod sql;
mod unused;
mod verify;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use ringfence_audit::plain::whole_text;
use ringfence_audit::tree::STATEMENT_MAX;

use crate::output::{Failure, finish};
use crate::verbs::configuration::state_dir;

const EXAMPLES: &str = "\
Examples:
  ringfence audit export --format ocsf --follow             send every record on, as it comes, to a security lake
  ringfence audit export --format csv --since 1d > day.csv  a day for a spreadsheet
  ringfence audit top --since 1h                            the busiest pairs of the last hour
  ringfence audit services payments                         who called it, what was denied, and why
  ringfence audit unused                                    permissions that no record shows in use
  ringfence audit checkpoint > kept.checkpoint              what the log is now, to be kept elsewhere
  ringfence audit verify --checkpoint kept.checkpoint       that it still is, and nothing was changed
  ringfence audit proof 847 > 847.tlog-proof                one record, for someone who has only the key
  ringfence audit match 847 header.authorization < value    whether this was the value that stands there as HMAC
  ringfence audit redact --before 30d --reason retention    nobody can tell any more what such values were
  ringfence audit prune --keep 90d --keep-size 50GiB        let the oldest go; what was proven stays proven
  ringfence audit sql \"DESCRIBE flows\"                    any other question

Each but `redact` and `prune` reads the log of a node, running or stopped, or a copy of its state directory, and changes nothing. Only the \
node's own user and root can read it. To look at it yourself: `ringfence observe`. docs/flows.md says what a record \
says.

Exit codes: 0 ok, 1 no log, or a part of it that cannot be read, 2 usage, 6 evidence does not verify.";

/// Checks the flow log, proves what is in it, and passes it on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    verb: AuditVerb,
}

#[derive(Debug, Subcommand)]
enum AuditVerb {
    Verify(verify::VerifyArgs),
    Proof(proof::ProofArgs),
    Checkpoint(checkpoint::CheckpointArgs),
    Export(export::ExportArgs),
    Top(daily::TopArgs),
    Services(daily::ServicesArgs),
    Agents(daily::AgentsArgs),
    Unused(unused::UnusedArgs),
    Match(fields::MatchArgs),
    Redact(redact::RedactArgs),
    Prune(prune::PruneArgs),
    Sql(sql::SqlArgs),
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

/// What signatures are held against.
#[derive(Debug, clap::Args)]
struct Key {
    /// Verifier key that was kept: a file, or its text (NAME+ID+KEY) [default: key.pub beside the log]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl Key {
    /// The key's text, if one was given.
    fn text(&self) -> Result<Option<String>, Failure> {
        let Some(key) = &self.key else {
            return Ok(None);
        };
        // Base64 has the sign as well.
        if key.splitn(3, '+').count() == 3 && !Path::new(key).exists() {
            return Ok(Some(key.clone()));
        }
        match kept_text(Path::new(key), STATEMENT_MAX) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(Failure::new(
                format!("{key} cannot be read: {error}"),
                "name a copy of the node's log/key.pub, or give its text",
            )),
        }
    }
}

/// A text that somebody kept, from a file or a pipe. One longer than `at_most` bytes is not read to its end.
fn kept_text(path: &Path, at_most: u64) -> io::Result<String> {
    whole_text(File::open(path)?, at_most)
}

/// Runs the verb.
pub(crate) fn run(args: AuditArgs) -> ExitCode {
    finish(match args.verb {
        AuditVerb::Verify(args) => verify::verify(&args),
        AuditVerb::Proof(args) => proof::proof(&args),
        AuditVerb::Checkpoint(args) => checkpoint::checkpoint(&args),
        AuditVerb::Export(args) => export::export(&args),
        AuditVerb::Top(args) => daily::top(&args),
        AuditVerb::Services(args) => daily::services(&args),
        AuditVerb::Agents(args) => daily::agents(&args),
        AuditVerb::Unused(args) => unused::unused(&args),
        AuditVerb::Match(args) => fields::check(&args),
        AuditVerb::Redact(args) => redact::redact(&args),
        AuditVerb::Prune(args) => prune::prune(&args),
        AuditVerb::Sql(args) => sql::sql(&args),
    })
}
