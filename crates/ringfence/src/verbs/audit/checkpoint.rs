//! `ringfence audit checkpoint`: the signed tree head, to be kept elsewhere.

use std::io::{self, Write};
use std::process::ExitCode;

use ringfence_audit::tree::{TreeError, checkpoint_text};
use ringfence_history::OWNERS_ONLY;

use super::Whose;
use crate::output::Failure;

const EXAMPLES: &str = "\
Examples:
  ringfence audit checkpoint > kept.checkpoint                    now, to be kept on another machine
  ringfence audit verify --checkpoint kept.checkpoint             later: nothing it counted was changed or taken back

The form is a signed note (https://c2sp.org/tlog-checkpoint): name of the log, number of records, root of the tree over \
them, when it was signed. The node signs within a second of a record, and once more when it stops.

See docs/evidence.md.

Exit codes: 0 ok, 1 there is none, or not one that holds for the key beside it.";

/// Print the latest signed checkpoint of the log
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckpointArgs {
    #[command(flatten)]
    whose: Whose,
}

/// Runs the verb.
pub(super) fn checkpoint(args: &CheckpointArgs) -> Result<ExitCode, Failure> {
    let log = args.whose.log()?;
    let text = checkpoint_text(&log).map_err(|error| match &error {
        TreeError::File { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(error, OWNERS_ONLY)
        }
        TreeError::Inconsistent(_) => Failure::plain(error),
        _ => Failure::new(
            format!("{} has no checkpoint that holds: {error}", log.display()),
            "a node signs its log while it runs: start it with `ringfence up`, or name its state with --state",
        ),
    })?;
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
