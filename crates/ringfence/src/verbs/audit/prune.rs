//! `ringfence audit prune`: the oldest sealed records go, on somebody's word.

use std::io::{self, Write};
use std::process::ExitCode;

use jiff::Timestamp;
use ringfence_history::{Keep, Pruned};
use ringfence_node::{PruneWish, ask_pruning};

use super::Whose;
use super::pairs::instant;
use crate::output::{Failure, Form, json};
use crate::verbs::configuration::state_dir;
use crate::verbs::quarantine::{seconds, unmet_words};

const EXAMPLES: &str = "\
Examples:
  ringfence audit prune --keep 90d                          what is older than 90 days
  ringfence audit prune --keep-size 50GiB                   the oldest, until sealed files take 50 GiB at most
  ringfence audit prune --keep 90d --keep-size 50GiB -o json    both, as from a timer
  ringfence audit prune --keep 7d --dry-run                 what would go

Whole sealed files go, the oldest first, and never one that stands behind another that stays; a file goes by its age when its \
latest record is older. A segment is sealed when it is full or a day old. The tree over all records and its checkpoints \
stay: a proof that was written before (`ringfence audit proof`) still holds, and `ringfence audit verify` knows what was \
pruned, as the node signs it. The log records who did it. The node must be running.

See docs/sealed.md.

Exit codes: 0 done, also when there was nothing to prune, 1 not done, 2 usage.";

/// Remove the oldest sealed records
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group(clap::ArgGroup::new("which").required(true).multiple(true)))]
pub(super) struct PruneArgs {
    #[command(flatten)]
    whose: Whose,
    /// Keep what is not older than this (12h, 90d)
    #[arg(long, value_name = "DURATION", value_parser = seconds, group = "which")]
    keep: Option<u64>,
    /// Keep the newest sealed files, of so many bytes together (500MiB, 50GiB)
    #[arg(long, value_name = "SIZE", value_parser = size, group = "which")]
    keep_size: Option<u64>,
    /// Change nothing: tell what would go
    #[arg(long)]
    dry_run: bool,
    /// For people, or one JSON object
    #[arg(short, long, value_enum, value_name = "FORM", default_value = "table")]
    output: Form,
}

/// Runs the verb.
pub(super) fn prune(args: &PruneArgs) -> Result<ExitCode, Failure> {
    let state = state_dir(args.whose.state.as_ref())?;
    let since_ns = args.keep.map(|seconds| {
        let now = u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0);
        now.saturating_sub(seconds.saturating_mul(1_000_000_000))
    });
    let wish = PruneWish {
        keep: Keep {
            since_ns,
            bytes: args.keep_size,
        },
        dry_run: args.dry_run,
    };
    let pruned = ask_pruning(&state, wish).map_err(|unmet| unmet_words(unmet, &state))?;
    let mut out = io::stdout().lock();
    match args.output {
        Form::Json => writeln!(out, "{}", json(&pruned)?)?,
        Form::Table => table(&mut out, &pruned, args.dry_run)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn table(out: &mut impl Write, pruned: &Pruned, dry_run: bool) -> io::Result<()> {
    let mut line = |word: &str, text: String| writeln!(out, "{word:<8} {text}");
    match (pruned.first, pruned.last) {
        (Some(first), Some(last)) => line(
            if dry_run { "would go" } else { "pruned" },
            format!(
                "records {first} to {last}, the latest of {:.0}: {} sealed files, {} bytes",
                instant(pruned.latest_ns.unwrap_or(0)),
                pruned.files,
                pruned.bytes
            ),
        )?,
        _ => line(
            "pruned",
            "nothing: no sealed file is beyond what is to be kept".to_owned(),
        )?,
    }
    line(
        "kept",
        format!(
            "{} sealed files, {} bytes, and all that is not sealed yet",
            pruned.kept_files, pruned.kept_bytes
        ),
    )
}

/// A number of bytes.
fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u32); 5] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("B", 0)];
    let forms = || "write a size: 500MiB, 50GiB, 1TiB".to_owned();
    let (number, shift) = UNITS
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .ok_or_else(forms)?;
    let number: u64 = number.trim_end().parse().map_err(|_| forms())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "that is more than any disk has".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("0B", 0),
            ("17B", 17),
            ("500MiB", 500 << 20),
            ("50 GiB", 50 << 30),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "50", "GiB", "-1GiB", "1.5GiB", "50G", "99999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
