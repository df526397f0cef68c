//! `ringfence policy diff`: what two configurations allow differently.

mod git;
mod print;
mod side;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::civil::Date;
use ringfence_model::HostName;
use ringfence_policy::{Change, Diff, Direction, facts};

use super::progress::Progress;
use super::{as_of, counted, zone};
use crate::output::{EXIT_DENIED, Failure, say};
use print::{Format, Printer};
use side::{Side, Which};

const EXAMPLES: &str = "\
Examples:
  ringfence policy diff estate.old estate                   two directories, or two files
  ringfence policy diff --git HEAD estate                   what the changes to estate since the last commit mean
  ringfence policy diff --git origin/main -o markdown estate
                                                            a table for a pull request
  ringfence policy diff --running estate                    what the node would decide differently once it takes estate
  ringfence policy diff --git main --fail-on widened estate
                                                            in CI: exit code 3 where more may become possible

A row is a set of operations: one pattern without those after `except`, with an example of them that really is decided
differently. `opened` was impossible and is possible, `closed` the reverse; `loosened` and `tightened` are possible on both
sides, now in more or fewer cases. Conditions are told as they are written; nobody knows when they hold. Files that mean the
same are no difference, however they are written.

Exit code: 0, differences or none; 3 where --fail-on says so; 1 when one of the two does not load. docs/diff.md has more.";

/// Say what becomes possible or impossible between two configurations
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DiffArgs {
    /// OLD and NEW: directories with resource files, or single files; with --git or --running, NEW alone
    #[arg(value_name = "PATH", num_args = 0..=2)]
    paths: Vec<PathBuf>,
    /// OLD is what NEW was in this revision of its git repository
    #[arg(long, value_name = "REV", conflicts_with = "running")]
    git: Option<String>,
    /// OLD is what the node enforces; NEW is by default what it reads
    #[arg(long)]
    running: bool,
    /// State directory of that node [default: as `ringfence up` chooses it]
    #[arg(long, value_name = "DIR", requires = "running")]
    state: Option<PathBuf>,
    /// Zone whose names the workloads answer to [default: the node's, or ringfence.internal]
    #[arg(long, value_name = "NAME", value_parser = zone)]
    zone: Option<HostName>,
    /// Compare as of this day (UTC) [default: today]
    #[arg(long, value_name = "DATE")]
    on: Option<Date>,
    /// End with exit code 3 where more may become possible, or where anything differs
    #[arg(long, value_enum, default_value = "none", value_name = "WHEN")]
    fail_on: FailOn,
    /// For people, for a pull request, or one JSON object per row
    #[arg(
        short,
        long,
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    None,
    Widened,
    Any,
}

/// Runs the verb.
pub(super) fn diff(args: &DiffArgs) -> Result<ExitCode, Failure> {
    let [old, new] = sides(args)?;
    let zone = side::zone_of(args.zone.as_ref(), &new, args.state.as_ref())?;
    let (_, now) = as_of(args.on)?;
    // Both are looked at, so that all that is wrong is told at once.
    let (old, new) = (old.load(&zone), new.load(&zone));
    let (Some(old), Some(new)) = (old?, new?) else {
        return Ok(ExitCode::from(crate::output::EXIT_ERROR));
    };
    let diff = Diff::new(&old.snapshot, &new.snapshot, now);
    let mut out = io::stdout().lock();
    let mut printer = Printer::new(args.output);
    let all = counted(diff.pairs(), "pair", "pairs");
    let mut progress = Progress::new(format!("compared % of {all}"));
    for changes in diff.changes() {
        progress.step();
        for change in &changes {
            printer.change(&mut out, change)?;
        }
    }
    for fact in facts(&old.estate, &new.estate) {
        printer.fact(&mut out, &fact)?;
    }
    let found = printer.finish(&mut out, [&old.name, &new.name])?;
    out.flush()?;
    if diff.left_out() > 0 {
        say(format!(
            "{} pairs were not looked at, because policies in learn or shadow let everything pass between too many; \
             there may be more differences",
            diff.left_out()
        ));
    }
    let widened = found.widened || diff.left_out() > 0;
    Ok(match args.fail_on {
        FailOn::Widened if widened => {
            say("more becomes possible, or may; --fail-on widened ends with exit code 3");
            ExitCode::from(EXIT_DENIED)
        }
        FailOn::Any if found.any || widened => {
            say("the two differ; --fail-on any ends with exit code 3");
            ExitCode::from(EXIT_DENIED)
        }
        _ => ExitCode::SUCCESS,
    })
}

/// What is compared with what.
fn sides(args: &DiffArgs) -> Result<[Side; 2], Failure> {
    let usage = |what: &str, fix: &str| Failure::Usage {
        what: what.to_owned(),
        fix: fix.to_owned(),
    };
    match (args.paths.as_slice(), &args.git, args.running) {
        ([old, new], None, false) => Ok([Which::Path(old.clone()), Which::Path(new.clone())]),
        ([new], Some(revision), _) => Ok([
            Which::Revision(revision.clone(), new.clone()),
            Which::Path(new.clone()),
        ]),
        ([new], None, true) => Ok([Which::Running(args.state.clone()), Which::Path(new.clone())]),
        ([], None, true) => Ok([
            Which::Running(args.state.clone()),
            Which::Configured(args.state.clone()),
        ]),
        ([_, _], ..) => Err(usage(
            "two paths are named, and OLD is something else already",
            "name NEW alone: ringfence policy diff --git HEAD estate",
        )),
        _ => Err(usage(
            "it is not said what is compared with what",
            "name both: ringfence policy diff OLD NEW, or --git REV NEW, or --running",
        )),
    }
    .map(|both| both.map(Side::of))
}

/// What was found, for exit codes.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    any: bool,
    widened: bool,
}

impl Found {
    fn change(&mut self, change: &Change) {
        self.any = true;
        self.widened |= change.effect.widens() || !change.certain;
    }

    fn fact(&mut self, direction: Direction) {
        self.any |= direction != Direction::Note;
        self.widened |= matches!(direction, Direction::Widens | Direction::Unknown);
    }
}
