//! `ringfence audit proof`: that a record is in the log, for someone who has nothing but the verifier key.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use prost::Message;
use ringfence_audit::Seq;
use ringfence_audit::tree::{self, PROOF_MAX, PUBLIC_KEY, ProofError, STATEMENT_MAX, check_proof};
use ringfence_history::Records;
use ringfence_model::FlowRecord;
use ringfence_model::flow::Flow;

use super::{Key, Whose, kept_text};
use crate::output::{EXIT_EVIDENCE, Failure, say};
use crate::verbs::flows;

const EXAMPLES: &str = "\
Examples:
  ringfence audit proof 847 > 847.tlog-proof                        the record, and that it is in the log
  ringfence audit proof --check 847.tlog-proof --key bank-1.pub     on any machine: prints the record if it holds

The form is https://c2sp.org/tlog-proof: the record itself (protobuf) as extra data, its number, the hashes that lead to the \
root, the signed checkpoint. It stays valid when the record is pruned. The verifier key is log/key.pub in the state \
directory of the node: keep it where the node cannot write.

See docs/evidence.md.

Exit codes: 0 ok, 1 no such record, or not signed yet, 2 usage, 6 it does not verify.";

/// Write a proof that a record is in the log, or check one
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ProofArgs {
    #[command(flatten)]
    whose: Whose,
    /// Number of the record
    #[arg(value_name = "SEQ", required_unless_present = "check")]
    seq: Option<u64>,
    /// Check a proof instead (`-`: from standard input), and print its record as JSON
    #[arg(long, value_name = "FILE", conflicts_with = "seq")]
    check: Option<PathBuf>,
    #[command(flatten)]
    key: Key,
}

/// Runs the verb.
pub(super) fn proof(args: &ProofArgs) -> Result<ExitCode, Failure> {
    match (&args.check, args.seq) {
        (Some(file), _) => check(file, args),
        (None, Some(seq)) => write(Seq(seq), &args.whose.log()?),
        (None, None) => Ok(ExitCode::SUCCESS),
    }
}

fn write(seq: Seq, log: &Path) -> Result<ExitCode, Failure> {
    let mut reader = Records::open(log).map_err(flows::failure)?;
    let found = reader.skip_to(seq).map_err(flows::failure)?;
    let leaf = match reader.leaf().map_err(flows::failure)? {
        Some((at, leaf)) if found && at == seq => leaf.to_vec(),
        _ => {
            return Err(Failure::new(
                format!("there is no record {seq} in {}", log.display()),
                "`ringfence observe --last 1 -o json` shows the latest; older ones may have been pruned",
            ));
        }
    };
    match tree::proof(log, seq, &leaf) {
        Ok(text) => {
            io::stdout().write_all(text.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ ProofError::NotYet { .. }) => Err(Failure::plain(error)),
        Err(error) => refused(&error),
    }
}

fn check(file: &Path, args: &ProofArgs) -> Result<ExitCode, Failure> {
    let file = if file.as_os_str() == "-" {
        Path::new("/dev/stdin")
    } else {
        file
    };
    let text = kept_text(file, PROOF_MAX as u64).map_err(|error| {
        Failure::new(
            format!("{} cannot be read: {error}", file.display()),
            "name a file that `ringfence audit proof SEQ` wrote",
        )
    })?;
    let public = match args.key.text()? {
        Some(public) => public,
        None => {
            let path = args.whose.log()?.join(PUBLIC_KEY);
            kept_text(&path, STATEMENT_MAX).map_err(|error| {
                Failure::new(
                    format!("{}: {error}", path.display()),
                    "name the verifier key that you kept with --key",
                )
            })?
        }
    };
    match check_proof(&text, &public) {
        Ok((seq, leaf, held)) => {
            let flow = Flow::decode(&leaf[..]).map_err(Failure::plain)?;
            let record = FlowRecord::new(seq.0, &flow).map_err(Failure::plain)?;
            say(format!(
                "record {seq} is one of the {} that {} has signed",
                held.size, held.origin
            ));
            writeln!(io::stdout(), "{}", flows::json(&record)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &ProofError) -> Result<ExitCode, Failure> {
    say(error);
    Ok(ExitCode::from(EXIT_EVIDENCE))
}
