//! `ringfence audit redact`: values that stand in records as HMACs become nobody's, for good.

use std::io::{self, Write};
use std::process::ExitCode;

use ringfence_node::{RedactWish, Redacted, ask_redaction};

use super::Whose;
use crate::output::{EXIT_ERROR, Failure, Form, json, safe, say};
use crate::verbs::configuration::state_dir;
use crate::verbs::flows::moment;
use crate::verbs::quarantine::unmet_words;
use crate::verbs::reason::reason;

const EXAMPLES: &str = "\
Examples:
  ringfence audit redact --before 2026-11-01 --reason 'retention, 30 days'
  ringfence audit redact --before 90d --reason 'retention' --dry-run        which keys would go
  ringfence audit redact --keys 84700..91200 --reason 'erasure request 4711'

The flow log has values of header fields and query parameters as HMACs, unless the service's resource names them. The keys of \
these lie beside the log, one for each segment and day; a record names its own (`fieldsKey`). This deletes keys, so that \
nobody can find out any more what such an HMAC was made of, not by trying values either. Records, proofs and checkpoints stay \
as they are, and `ringfence audit verify` holds. What stands in a record in clear stays there.

A key goes when all of its use was before the time. One that is in use is replaced first. Copies of keys that somebody made \
are not deleted. Who did it, and why, is recorded first; without that, nothing is deleted. The node must be running.

See docs/flows.md.

Exit codes: 0 done, also when there was nothing to delete, 1 not done, or not all, 2 usage.";

/// Delete the keys of values that stand in the log as HMACs
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group(clap::ArgGroup::new("which").required(true).multiple(true)))]
pub(super) struct RedactArgs {
    #[command(flatten)]
    whose: Whose,
    /// Keys that were used only before this time (2026-11-01, 90d)
    #[arg(long, value_name = "TIME", value_parser = moment::parse, group = "which")]
    before: Option<jiff::Timestamp>,
    /// Keys of these numbers, as records name them: N, or N..M, both included
    #[arg(long, value_name = "N..M", value_parser = numbers, group = "which")]
    keys: Option<(u64, u64)>,
    /// Why, for the record: one line
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Change nothing: tell which keys would go
    #[arg(long)]
    dry_run: bool,
    /// For people, or one JSON object
    #[arg(short, long, value_enum, value_name = "FORM", default_value = "table")]
    output: Form,
}

fn numbers(text: &str) -> Result<(u64, u64), String> {
    let forms = || "write a number, or two: 84700, 84700..91200".to_owned();
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.parse::<u64>().map_err(|_| forms());
    match (number(first)?, number(last)?) {
        (first, last) if first <= last => Ok((first, last)),
        _ => Err("the second number is the smaller one".to_owned()),
    }
}

/// Runs the verb.
pub(super) fn redact(args: &RedactArgs) -> Result<ExitCode, Failure> {
    let state = state_dir(args.whose.state.as_ref())?;
    let (first, last) = args.keys.unwrap_or((0, u64::MAX));
    let wish = RedactWish {
        first,
        last,
        before_ns: args
            .before
            .map(|before| u64::try_from(before.as_nanosecond()).unwrap_or(0)),
        reason: args.reason.clone(),
        dry_run: args.dry_run,
    };
    let redacted = ask_redaction(&state, wish).map_err(|unmet| unmet_words(unmet, &state))?;
    let mut out = io::stdout().lock();
    match args.output {
        Form::Json => writeln!(out, "{}", json(&redacted)?)?,
        Form::Table => writeln!(out, "{}", in_words(&redacted))?,
    }
    out.flush()?;
    Ok(match &redacted.trouble {
        None => ExitCode::SUCCESS,
        Some(trouble) => {
            say(safe(trouble));
            ExitCode::from(EXIT_ERROR)
        }
    })
}

fn in_words(redacted: &Redacted) -> String {
    let verb = match redacted.dry_run {
        true => "would be deleted",
        false => "deleted",
    };
    match (redacted.keys, redacted.first, redacted.last) {
        (0, _, _) => format!("no key {verb}"),
        (1, Some(number), _) => format!("1 key {verb}: {number}"),
        (keys, Some(first), Some(last)) => format!("{keys} keys {verb}, from {first} to {last}"),
        (keys, _, _) => format!("{keys} keys {verb}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_keys_as_people_write_them() {
        assert_eq!(numbers("7"), Ok((7, 7)));
        assert_eq!(numbers("7..9"), Ok((7, 9)));
        for text in ["", "9..7", "..", "7..", "-1", "a..b"] {
            assert!(numbers(text).is_err(), "{text}");
        }
    }
}
