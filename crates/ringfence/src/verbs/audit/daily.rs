//! `ringfence audit top`, `services`, `agents`: the questions of every day, each a view of the same sums.

use std::cmp::Reverse;
use std::process::ExitCode;

use super::pairs::{Pair, Part, instant, pairs};
use super::rows::Rows;
use crate::output::{Failure, safe, say};

const TOP_EXAMPLES: &str = "\
Examples:
  ringfence audit top                             who talks to whom most
  ringfence audit top -n 5 --since 1h             in the last hour
  ringfence audit top -o json | jq 'select(.denied > 0)'

ATTEMPTS counts connections, requests and what walls refused, folded ones in full; - as DESTINATION is what belongs to no \
workload.

See docs/asking.md.

Exit codes: 0, 1 no log, or a part of it that cannot be read, 2 usage.";

const SERVICES_EXAMPLES: &str = "\
Examples:
  ringfence audit services                        who called each service, what was denied, and why
  ringfence audit services payments --since 1d    one of them, since yesterday
  ringfence audit services -o json | jq -r 'select(.denied > 0) | .source' | sort -u

WHY is the most frequent reason of the denials; -o json has all of them.

See docs/asking.md.

Exit codes: 0, 1 no log, or a part of it that cannot be read, 2 usage.";

const AGENTS_EXAMPLES: &str = "\
Examples:
  ringfence audit agents                          what each workload called, what was denied, and why
  ringfence audit agents assistant --since 10m    one of them, just now

WHY is the most frequent reason of the denials; -o json has all of them. - as DESTINATION is what belongs to no workload.

See docs/asking.md.

Exit codes: 0, 1 no log, or a part of it that cannot be read, 2 usage.";

/// Show the busiest pairs of workloads
#[derive(Debug, clap::Args)]
#[command(after_help = TOP_EXAMPLES)]
pub(super) struct TopArgs {
    #[command(flatten)]
    part: Part,
    /// How many
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    number: usize,
    #[command(flatten)]
    rows: Rows,
}

/// Show who called each service, what was denied, and why
#[derive(Debug, clap::Args)]
#[command(after_help = SERVICES_EXAMPLES)]
pub(super) struct ServicesArgs {
    /// Only this one
    name: Option<String>,
    #[command(flatten)]
    part: Part,
    #[command(flatten)]
    rows: Rows,
}

/// Show what each workload called, what was denied, and why
#[derive(Debug, clap::Args)]
#[command(after_help = AGENTS_EXAMPLES)]
pub(super) struct AgentsArgs {
    /// Only this one
    name: Option<String>,
    #[command(flatten)]
    part: Part,
    #[command(flatten)]
    rows: Rows,
}

/// Runs `top`.
pub(super) fn top(args: &TopArgs) -> Result<ExitCode, Failure> {
    let mut pairs = pairs(&args.part.history()?, args.part.span()?)?;
    pairs.sort_by(|a, b| (Reverse(a.attempts), a.ends()).cmp(&(Reverse(b.attempts), b.ends())));
    pairs.truncate(args.number);
    args.rows.print(
        &pairs,
        &[
            "SOURCE",
            "DESTINATION",
            "ATTEMPTS",
            "DENIED",
            "SENT",
            "RECEIVED",
            "LAST",
        ],
        |pair| {
            vec![
                pair.source.clone(),
                pair.destination.clone(),
                pair.attempts.to_string(),
                pair.denied.to_string(),
                pair.bytes_sent.to_string(),
                pair.bytes_received.to_string(),
                last(pair),
            ]
        },
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `services`.
pub(super) fn services(args: &ServicesArgs) -> Result<ExitCode, Failure> {
    let mut pairs = pairs(&args.part.history()?, args.part.span()?)?;
    pairs.retain(|pair| match &args.name {
        Some(name) => pair.destination == *name,
        None => !pair.destination.is_empty(),
    });
    note_absence(&pairs, args.name.as_deref(), "called");
    pairs.sort_by(|a, b| by(&a.destination, a).cmp(&by(&b.destination, b)));
    let columns = ["DESTINATION", "SOURCE", "ATTEMPTS", "DENIED", "LAST", "WHY"];
    args.rows.print(&pairs, &columns, |pair| {
        row(&pair.destination, &pair.source, pair)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `agents`.
pub(super) fn agents(args: &AgentsArgs) -> Result<ExitCode, Failure> {
    let mut pairs = pairs(&args.part.history()?, args.part.span()?)?;
    pairs.retain(|pair| match &args.name {
        Some(name) => pair.source == *name,
        None => !pair.source.is_empty(),
    });
    note_absence(&pairs, args.name.as_deref(), "a caller");
    pairs.sort_by(|a, b| by(&a.source, a).cmp(&by(&b.source, b)));
    let columns = ["SOURCE", "DESTINATION", "ATTEMPTS", "DENIED", "LAST", "WHY"];
    args.rows.print(&pairs, &columns, |pair| {
        row(&pair.source, &pair.destination, pair)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// An empty table looks the same for a name that nobody has.
fn note_absence(pairs: &[Pair], name: Option<&str>, as_what: &str) {
    if let (true, Some(name)) = (pairs.is_empty(), name) {
        say(format!(
            "no record of that time has `{}` as {as_what}; `ringfence audit top` shows who is there",
            safe(name)
        ));
    }
}

impl Pair {
    fn ends(&self) -> (&str, &str) {
        (&self.source, &self.destination)
    }
}

/// By one end, then the busiest first.
fn by<'a>(end: &'a str, pair: &'a Pair) -> (&'a str, Reverse<u64>, (&'a str, &'a str)) {
    (end, Reverse(pair.attempts), pair.ends())
}

fn row(end: &str, other: &str, pair: &Pair) -> Vec<String> {
    let why = pair.denials.first().map(|denial| denial.reason.clone());
    vec![
        end.to_owned(),
        other.to_owned(),
        pair.attempts.to_string(),
        pair.denied.to_string(),
        last(pair),
        why.unwrap_or_default(),
    ]
}

fn last(pair: &Pair) -> String {
    format!("{:.3}", instant(pair.last))
}
