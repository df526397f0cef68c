//! `ringfence policy list`: who may reach what.

use std::collections::HashMap;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use ringfence_model::suggest::nearest;
use ringfence_model::{Estate, Kind, Position, Protocol};
use ringfence_node::Configuration;
use ringfence_policy::{Reach, Softened, reach, softened};
use serde::Serialize;

use super::{Asked, compile, unloadable};
use crate::output::{Failure, json, plain_table, print_table, safe, say};
use crate::verbs::csv;

const EXAMPLES: &str = "\
Examples:
  ringfence policy list --config estate                        what each workload may start
  ringfence policy list --config estate --by service --to payments
                                                               who may call payments, for what
  ringfence policy list --config estate -o csv > reach.csv

A row is what both ends allow today (UTC), and no guardrail forbids. WHEN must hold beside; a guardrail that is named
forbids a part of the row, or all of it while its condition holds. docs/policy.md says who decides.

Exit code: 0; 1 when the configuration does not load.";

/// List who may reach what, as both ends and guardrails leave it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    asked: Asked,
    /// Sort by who starts it, or by who is called
    #[arg(long, value_enum, default_value = "agent", value_name = "END")]
    by: By,
    /// Only what this agent or service may start
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Only what may be done to this agent or service
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// For people, one JSON object per row, or CSV (RFC 4180)
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
enum By {
    Agent,
    Service,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Csv,
}

/// A line of `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    from: &'a str,
    from_kind: Kind,
    to: &'a str,
    to_kind: Kind,
    protocol: Protocol,
    operation: &'a str,
    when: &'a [String],
    until: Option<Date>,
    guardrails: &'a [String],
    /// The softer mode of the two ends' policies.
    mode: &'a str,
    rule: &'a Position,
    receive_rule: Option<&'a Position>,
}

const COLUMNS: [&str; 12] = [
    "from",
    "fromKind",
    "to",
    "toKind",
    "protocol",
    "operation",
    "when",
    "until",
    "guardrails",
    "mode",
    "rule",
    "receiveRule",
];

/// Runs the verb.
pub(super) fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let Configuration { config, zone } = args.asked.chosen()?;
    let (estate, snapshot) = match compile(&config, &zone) {
        Ok(compiled) => compiled,
        Err(errors) => return Ok(unloadable(&errors, &config)),
    };
    for name in [&args.from, &args.to].into_iter().flatten() {
        known(&estate, name)?;
    }
    let now = Timestamp::now();
    let today = now.to_zoned(TimeZone::UTC).date();
    let is =
        |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
    let mut reach = reach(&snapshot, now);
    reach
        .retain(|row| is(&args.from, row.from.name.as_str()) && is(&args.to, row.to.name.as_str()));
    if args.by == By::Service {
        reach.sort_by(|a, b| (&a.to.name, &a.from.name).cmp(&(&b.to.name, &b.from.name)));
    }
    let soft = softened(&estate, today);
    let modes = modes(&estate, &soft);
    let rows: Vec<Row<'_>> = reach.iter().map(|reach| row(reach, &modes)).collect();
    let mut out = io::stdout().lock();
    match args.output {
        Format::Table => table(&mut out, &rows, args.by)?,
        Format::Json => {
            for row in &rows {
                writeln!(out, "{}", json(row)?)?;
            }
        }
        Format::Csv => {
            csv::line(&mut out, COLUMNS.map(str::to_owned))?;
            for row in &rows {
                csv::line(&mut out, cells(row))?;
            }
        }
    }
    out.flush()?;
    for Softened {
        policy,
        mode,
        until,
    } in &soft
    {
        say(format!(
            "policy {policy} is in mode {mode} until {until}: what it refuses passes, is recorded, and is not listed"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn known(estate: &Estate, name: &str) -> Result<(), Failure> {
    let services = estate.services.iter().map(|it| it.name.as_str());
    let names: Vec<&str> = services
        .chain(estate.agents.iter().map(|it| it.name.as_str()))
        .collect();
    if names.contains(&name) {
        return Ok(());
    }
    let help = match nearest(name, names) {
        Some(near) => format!("did you mean {near}?"),
        None => "name an agent or a service of the configuration".to_owned(),
    };
    Err(Failure::new(
        format!("there is no workload called {name:?}"),
        help,
    ))
}

/// Modes of workloads whose policy softens.
fn modes<'a>(estate: &'a Estate, soft: &'a [Softened]) -> HashMap<&'a str, &'static str> {
    let by_policy: HashMap<&str, &'static str> = soft
        .iter()
        .map(|it| (it.policy.as_str(), it.mode))
        .collect();
    let policies = estate.policies.iter();
    policies
        .filter_map(|it| Some((it.subject.name.as_str(), *by_policy.get(it.name.as_str())?)))
        .collect()
}

fn row<'a>(reach: &'a Reach, modes: &HashMap<&str, &'static str>) -> Row<'a> {
    let (from, to) = (reach.from.name.as_str(), reach.to.name.as_str());
    Row {
        from,
        from_kind: reach.from.kind,
        to,
        to_kind: reach.to.kind,
        protocol: reach.protocol,
        operation: &reach.operation,
        when: &reach.when,
        until: reach.until,
        guardrails: &reach.guardrails,
        mode: modes
            .get(from)
            .or_else(|| modes.get(to))
            .copied()
            .unwrap_or("enforce"),
        rule: &reach.rule,
        receive_rule: reach.receive_rule.as_ref(),
    }
}

fn cells(row: &Row<'_>) -> [String; 12] {
    [
        row.from.to_owned(),
        row.from_kind.to_string(),
        row.to.to_owned(),
        row.to_kind.to_string(),
        row.protocol.to_string(),
        row.operation.to_owned(),
        row.when.join(" && "),
        row.until
            .map_or_else(String::new, |until| until.to_string()),
        row.guardrails.join(" "),
        row.mode.to_owned(),
        row.rule.to_string(),
        row.receive_rule
            .map_or_else(String::new, Position::to_string),
    ]
}

/// Columns that say nothing in any row are left out.
fn table(out: &mut impl Write, rows: &[Row<'_>], by: By) -> io::Result<()> {
    let mut ends = vec!["FROM", "TO"];
    if by == By::Service {
        ends.reverse();
    }
    let conditions = rows.iter().any(|row| !row.when.is_empty());
    let untils = rows.iter().any(|row| row.until.is_some());
    let guardrails = rows.iter().any(|row| !row.guardrails.is_empty());
    let modes = rows.iter().any(|row| row.mode != "enforce");
    let mut table = plain_table();
    let mut header = ends;
    header.push("OPERATION");
    for (shown, title) in [
        (conditions, "WHEN"),
        (untils, "UNTIL"),
        (guardrails, "GUARDRAILS"),
        (modes, "MODE"),
    ] {
        if shown {
            header.push(title);
        }
    }
    table.set_header(header);
    for row in rows {
        let cells = cells(row);
        let [from, _, to, _, _, operation, when, until, rails, mode, ..] = &cells;
        let mut line = vec![from, to];
        if by == By::Service {
            line.reverse();
        }
        line.push(operation);
        for (shown, cell) in [
            (conditions, when),
            (untils, until),
            (guardrails, rails),
            (modes, mode),
        ] {
            if shown {
                line.push(cell);
            }
        }
        table.add_row(line.into_iter().map(|cell| safe(cell).into_owned()));
    }
    print_table(out, &table)
}
