//! `ringfence audit unused`: permissions that nobody has used.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use ringfence_history::{Asked, History, Span};
use ringfence_model::{HostName, Outcome, Position, Protocol, RecordKind};
use ringfence_node::Configuration;
use ringfence_policy::{Reach, reach};
use serde::Serialize;

use super::pairs::{Part, failure, instant};
use super::rows::Rows;
use crate::output::{Failure, say};
use crate::verbs::configuration::chosen;
use crate::verbs::policy::{compile, unloadable, zone};

const EXAMPLES: &str = "\
Examples:
  ringfence audit unused                              what today's policy allows and no record shows
  ringfence audit unused --since 30d -o json > unused.jsonl
  ringfence audit unused --config estate --state copy the log of a copied state directory against files elsewhere

A row is what both ends allow today, as `ringfence policy list` has it. It is used when an operation in it was let \
through, whatever allowed it at the time. How long the records reach back is said on standard error: a permission that is \
needed once a year looks unused in a log of a month.

See docs/asking.md.

Exit codes: 0 also when all are used, 1 no log, or a configuration that does not load, 2 usage.";

/// List permissions that were never used
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UnusedArgs {
    #[command(flatten)]
    part: Part,
    /// Directory with the resource files [default: the node's]
    #[arg(long, value_name = "DIR", env = "RINGFENCE_CONFIG")]
    config: Option<PathBuf>,
    /// Zone whose names the workloads answer to [default: the node's, or ringfence.internal]
    #[arg(long, value_name = "NAME", value_parser = zone)]
    zone: Option<HostName>,
    #[command(flatten)]
    rows: Rows,
}

/// A line of `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    from: &'a str,
    to: &'a str,
    protocol: Protocol,
    operation: &'a str,
    when: &'a [String],
    rule: &'a Position,
    receive_rule: Option<&'a Position>,
}

/// Runs the verb.
pub(super) fn unused(args: &UnusedArgs) -> Result<ExitCode, Failure> {
    let state = args.part.state();
    let Configuration { config, zone } = chosen(args.config.as_ref(), args.zone.as_ref(), state)?;
    let snapshot = match compile(&config, &zone) {
        Ok((_, snapshot)) => snapshot,
        Err(errors) => return Ok(unloadable(&errors, &config)),
    };
    let allowed = reach(&snapshot, Timestamp::now());
    let history = args.part.history()?;
    let seen = seen(&history, args.part.span()?, &allowed)?;
    let rows: Vec<Row<'_>> = allowed
        .iter()
        .zip(&seen.used)
        .filter(|(_, used)| !**used)
        .map(|(permission, _)| row(permission))
        .collect();
    let columns = ["FROM", "TO", "OPERATION", "WHEN", "RULE"];
    args.rows.print(&rows, &columns, |row| {
        vec![
            row.from.to_owned(),
            row.to.to_owned(),
            row.operation.to_owned(),
            row.when.join(" && "),
            row.rule.to_string(),
        ]
    })?;
    say(if seen.last == 0 {
        format!(
            "{} permissions, and no record to compare them with",
            allowed.len()
        )
    } else {
        format!(
            "{} of {} permissions were not used in the records from {:.0} to {:.0}",
            rows.len(),
            allowed.len(),
            instant(seen.first),
            instant(seen.last)
        )
    });
    Ok(ExitCode::SUCCESS)
}

/// What records show.
struct Seen {
    /// Of each permission, whether it was used.
    used: Vec<bool>,
    first: u64,
    last: u64,
}

fn seen(history: &History, span: Span, allowed: &[Reach]) -> Result<Seen, Failure> {
    let mut between: HashMap<&str, HashMap<&str, Vec<usize>>> = HashMap::new();
    for (place, permission) in allowed.iter().enumerate() {
        let to = between.entry(permission.from.name.as_str()).or_default();
        let places = to.entry(permission.to.name.as_str()).or_default();
        places.push(place);
    }
    let asked = Asked {
        keys: &["source", "destination", "kind", "outcome"],
        detail: Some("operation"),
        span,
    };
    let nothing = || Seen {
        used: vec![false; allowed.len()],
        first: u64::MAX,
        last: 0,
    };
    let parts = history.fold(&asked, nothing, |seen, group| {
        seen.first = seen.first.min(group.sums().first_ns);
        seen.last = seen.last.max(group.sums().last_ns);
        let &[source, destination, kind, outcome] = group.words() else {
            return;
        };
        // A connection that was refused, or a request, has shown nothing of what is allowed.
        let passed = matches!(
            Outcome::from_word(outcome),
            Some(Outcome::Allow | Outcome::Error)
        );
        let Some(kind) = RecordKind::from_word(kind).filter(|_| passed) else {
            return;
        };
        let places = between.get(source).and_then(|to| to.get(destination));
        let mut open: Vec<usize> = places.into_iter().flatten().copied().collect();
        open.retain(|place| !seen.used[*place]);
        if open.is_empty() {
            return;
        }
        let is_request = kind == RecordKind::Operation;
        group.each_detail(|operation| {
            open.retain(|place| {
                let used = allowed[*place].holds(is_request, operation);
                seen.used[*place] |= used;
                !used
            });
            if open.is_empty() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
    });
    let mut seen = nothing();
    for part in parts.map_err(failure)? {
        seen.first = seen.first.min(part.first);
        seen.last = seen.last.max(part.last);
        let both = seen.used.iter_mut().zip(part.used);
        both.for_each(|(used, more)| *used |= more);
    }
    Ok(seen)
}

fn row(permission: &Reach) -> Row<'_> {
    Row {
        from: permission.from.name.as_str(),
        to: permission.to.name.as_str(),
        protocol: permission.protocol,
        operation: &permission.operation,
        when: &permission.when,
        rule: &permission.rule,
        receive_rule: permission.receive_rule.as_ref(),
    }
}
