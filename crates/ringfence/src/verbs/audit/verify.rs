//! `ringfence audit verify`: whether the log is what was signed.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use ringfence_audit::tree::{Report, STATEMENT_MAX, Stretch, Verifier};
use ringfence_history::{OWNERS_ONLY, feed};
use serde::Serialize;

use super::{Key, Whose, kept_text};
use crate::output::{EXIT_EVIDENCE, Failure, Form, json, safe, say};

const EXAMPLES: &str = "\
Examples:
  ringfence audit verify                                            this node's log, running or stopped
  ringfence audit verify --state /mnt/copy --key bank-1.pub         a copy, against the key that you kept
  ringfence audit verify --checkpoint kept.checkpoint               that nothing was taken back since you kept that

What is checked: the numbers of records without a gap, the checksum of each, its hash against the tree, the tree against its root, \
the signature of that, each sealed file against what the node signed of it, and that the clock did not go back unsaid. The key beside the log proves that nobody without \
the node's secret key changed it; one that you kept, and a checkpoint that you kept, prove it of the node itself. Records \
that were pruned are not missed where the node signed that they were; those after the latest checkpoint (of a second; of more than a minute is a doubt) nobody has signed.

See docs/evidence.md.

Exit codes: 0 no doubt, 1 no log, or no record from --from to --to, 2 usage, 6 any doubt: the first bad record is named first.";

/// Check that the log is what was signed
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    key: Key,
    /// A checkpoint that was kept elsewhere: the log must begin with what it counted
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Hold only records from this number on against the tree
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// Hold only records up to this number against the tree
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// Form of the output
    #[arg(short, long, value_enum, value_name = "FORM", default_value = "table")]
    output: Form,
}

/// As JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    ok: bool,
    log: Option<&'a str>,
    signed: Option<u64>,
    root: Option<String>,
    signed_at: Option<&'a str>,
    first: Option<u64>,
    last: Option<u64>,
    checked: u64,
    attempts: u64,
    void: u64,
    lost: u64,
    unsigned: u64,
    sealed_files: u64,
    pruned: Option<ShownPruned<'a>>,
    tiles: u64,
    clock_set_back: &'a [u64],
    doubts: Vec<ShownDoubt<'a>>,
    more_doubts: u64,
}

/// On whose word the oldest records went.
#[derive(Serialize)]
struct ShownPruned<'a> {
    before: u64,
    time: &'a str,
    by: &'a str,
}

#[derive(Serialize)]
struct ShownDoubt<'a> {
    seq: Option<u64>,
    what: &'a str,
}

/// Runs the verb.
pub(super) fn verify(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let log = args.whose.log()?;
    if let Err(error) = log.metadata()
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        let what = format!("{} cannot be read: {error}", log.display());
        return Err(Failure::new(what, OWNERS_ONLY));
    }
    if !log.is_dir() {
        return Err(Failure::new(
            format!("there is no flow log in {}", log.display()),
            "name the state directory of a node, or a copy of it, with --state",
        ));
    }
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(Failure::Usage {
            what: format!("record {from} of --from comes after record {to} of --to"),
            fix: "exchange them; both are included".to_owned(),
        });
    }
    let public = args.key.text()?;
    let only = Stretch {
        from: args.from.unwrap_or(0),
        to: args.to.map_or(u64::MAX, |to| to.saturating_add(1)),
    };
    let mut verifier = Verifier::open(&log, public.as_deref(), only);
    if let Some(kept) = &args.checkpoint {
        let text = kept_text(kept, STATEMENT_MAX).map_err(|error| {
            Failure::new(
                format!("{} cannot be read: {error}", kept.display()),
                "name a file that `ringfence audit checkpoint` printed",
            )
        })?;
        verifier.kept(text.as_bytes(), public.as_deref());
    }
    feed(&log, &mut verifier);
    let report = verifier.finish();
    if report.checked == 0
        && report.doubts.is_empty()
        && let (Some(records), true) = (report.records, args.from.is_some() || args.to.is_some())
    {
        return Err(Failure::new(
            "none of these records is in the log, so nothing would be checked",
            format!("it has records {} to {}", records.from, records.to - 1),
        ));
    }
    let mut out = io::stdout().lock();
    match args.output {
        Form::Json => writeln!(out, "{}", json(&shown(&report))?)?,
        Form::Table => table(&mut out, &report, public.is_some())?,
    }
    for doubt in &report.doubts {
        match doubt.seq {
            Some(seq) => say(format!("record {seq}: {}", doubt.what)),
            None => say(&doubt.what),
        }
    }
    if report.more > 0 {
        say(format!("and {} doubts more", report.more));
    }
    Ok(if report.doubts.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_EVIDENCE)
    })
}

fn shown(report: &Report) -> Shown<'_> {
    let held = report.checkpoint.as_ref();
    Shown {
        ok: report.doubts.is_empty(),
        log: held.map(|held| held.origin.as_str()),
        signed: held.map(|held| held.size),
        root: held.map(|held| held.root.to_string()),
        signed_at: held.and_then(|held| held.time.as_deref()),
        first: report.records.map(|records| records.from),
        last: report.records.map(|records| records.to - 1),
        checked: report.checked,
        attempts: report.attempts,
        void: report.void,
        lost: report.lost,
        unsigned: report.unsigned,
        sealed_files: report.sealed,
        pruned: report.pruned.as_ref().map(|said| ShownPruned {
            before: said.before,
            time: &said.time,
            by: &said.by,
        }),
        tiles: report.tiles,
        clock_set_back: &report.clock,
        doubts: report
            .doubts
            .iter()
            .map(|doubt| ShownDoubt {
                seq: doubt.seq,
                what: &doubt.what,
            })
            .collect(),
        more_doubts: report.more,
    }
}

fn table(out: &mut impl Write, report: &Report, key_was_kept: bool) -> io::Result<()> {
    let mut line = |name: &str, text: String| writeln!(out, "{name:<12} {}", safe(&text));
    if let Some(held) = &report.checkpoint {
        line("log", held.origin.clone())?;
        let when = held.time.as_deref().unwrap_or("an unknown time");
        line(
            "checkpoint",
            format!("{} records, signed {when}", held.size),
        )?;
        line("root", held.root.to_string())?;
    }
    line(
        "key",
        if key_was_kept {
            "the one you gave".to_owned()
        } else {
            "the one beside the log (give the one you kept with --key)".to_owned()
        },
    )?;
    line(
        "records",
        match report.records {
            None => "none".to_owned(),
            Some(records) => format!(
                "{} to {}, {} held against the tree, {} attempts",
                records.from,
                records.to - 1,
                report.checked - report.unsigned,
                report.attempts
            ),
        },
    )?;
    if report.sealed > 0 {
        line("sealed", format!("{} files read", report.sealed))?;
    }
    if let Some(pruned) = &report.pruned {
        line(
            "pruned",
            format!(
                "records before {}, at {}, by {}",
                pruned.before, pruned.time, pruned.by
            ),
        )?;
    }
    line("tiles", format!("{} read", report.tiles))?;
    if report.unsigned > 0 {
        line(
            "not signed",
            format!("{} after the checkpoint", report.unsigned),
        )?;
    }
    if report.void > 0 {
        line(
            "void",
            format!("{} records were never completed", report.void),
        )?;
    }
    if report.lost > 0 {
        line(
            "lost",
            format!(
                "{} records, which the disk did not keep, as the log says itself",
                report.lost
            ),
        )?;
    }
    for seq in &report.clock {
        line(
            "clock",
            format!("set back before record {seq}, as the log says itself"),
        )?;
    }
    line(
        "result",
        if report.doubts.is_empty() {
            "no doubt".to_owned()
        } else {
            format!("{} doubts", report.doubts.len() as u64 + report.more)
        },
    )
}
