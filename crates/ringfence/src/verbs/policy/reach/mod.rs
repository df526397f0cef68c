//! `ringfence policy reach`: what a workload that was taken over gets at, also through others.

mod dot;
mod layout;
mod picture;
mod svg;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::civil::Date;
use ringfence_model::resource::ReachCase;
use ringfence_model::{Kind, Position, Protocol};
use ringfence_node::Configuration;
use ringfence_policy::{Edge, Radius, Reached, Softened, Web, softened};
use serde::Serialize;

use super::list::known;
use super::progress::Progress;
use super::{Asked, as_of, compile, counted, unloadable};
use crate::output::{Failure, json, plain_table, print_table, safe, say};
use picture::Picture;

/// Most operations between two that the table shows; `-o json` has more.
const OPERATIONS_SHOWN: usize = 3;

const EXAMPLES: &str = "\
Examples:
  ringfence policy reach --config estate                    how far each workload reaches, the farthest first
  ringfence policy reach --config estate --from assistant   whom a steered assistant gets at, and on which way
  ringfence policy reach --config estate --from assistant --hops 1
                                                            only whom it reaches itself
  ringfence policy reach --config estate --from assistant -o svg > assistant.svg
  ringfence policy reach --config estate -o dot | dot -Tpdf > estate.pdf

Who holds a workload reaches each one to which it may do anything at all; what that one does may then be steered, so its
own reach is added, and so on: a hop is one connection. Both ends, guardrails and dates count as they are today (UTC);
conditions count as if they were true, and so does what a policy in learn or shadow lets pass. Both are told.
`ringfence policy list` has every operation of direct reach.

Exit code: 0; 1 when the configuration does not load. docs/reach.md has more, and how to test for it.";

/// Say what a workload that was taken over could reach, directly and through others
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReachArgs {
    #[command(flatten)]
    asked: Asked,
    /// The agent or service that was taken over [default: each of them]
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Most connections on the way [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(ReachCase::HOPS_MAX)))]
    hops: Option<u32>,
    /// As of this day (UTC) [default: today]
    #[arg(long, value_name = "DATE")]
    on: Option<Date>,
    /// For people, one JSON object per row, a graph for Graphviz, or a picture
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
enum Format {
    Table,
    Json,
    Dot,
    Svg,
}

/// A line of `-o json` with `--from`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    from: &'a str,
    to: &'a str,
    to_kind: Kind,
    hops: u32,
    /// Null: on every way something depends on a condition.
    hops_without_conditions: Option<u32>,
    path: Vec<Step<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Step<'a> {
    from: &'a str,
    to: &'a str,
    protocol: Option<Protocol>,
    operations: &'a [String],
    example: Option<&'a str>,
    when: &'a [String],
    until: Option<Date>,
    mode: Option<&'a str>,
    certain: bool,
    rule: Option<&'a Position>,
    receive_rule: Option<&'a Position>,
}

/// A line of `-o json` without `--from`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    from: &'a str,
    from_kind: Kind,
    direct: usize,
    all: usize,
    without_conditions: usize,
    hops: u32,
}

/// Runs the verb.
pub(super) fn reach(args: &ReachArgs) -> Result<ExitCode, Failure> {
    let Configuration { config, zone } = args.asked.chosen()?;
    let (estate, snapshot) = match compile(&config, &zone) {
        Ok(compiled) => compiled,
        Err(errors) => return Ok(unloadable(&errors, &config)),
    };
    if let Some(name) = &args.from {
        known(&estate, name)?;
    }
    let (today, now) = as_of(args.on)?;
    let mut web = Web::new(&snapshot, now);
    let from = args.from.as_deref().and_then(|name| snapshot.find(name));
    let mut out = io::stdout().lock();
    match (args.output, from) {
        (Format::Table | Format::Json, Some(from)) => {
            let reached = web.spread(from, args.hops);
            let ways: Vec<(&Reached, Vec<Edge>)> = reached
                .iter()
                .map(|it| (it, picture::steps(&mut web, &it.path)))
                .collect();
            let from = snapshot.workload(from).id.name.as_str();
            if args.output == Format::Json {
                for (reached, steps) in &ways {
                    writeln!(out, "{}", json(&row(from, reached, steps))?)?;
                }
            } else {
                table(&mut out, &ways)?;
                let all = counted(
                    snapshot.workloads().len().saturating_sub(1),
                    "other",
                    "others",
                );
                writeln!(out, "{from} reaches {} of {all}", ways.len())?;
            }
        }
        (Format::Table | Format::Json, None) => {
            let all = counted(snapshot.workloads().len(), "workload", "workloads");
            let mut progress = Progress::new(format!("looked from % of {all}"));
            let mut all: Vec<Radius> = Vec::new();
            for from in snapshot.workloads() {
                progress.step();
                all.extend(web.radius(from, args.hops));
            }
            all.sort_by(|a, b| (b.all, b.hops, &a.from.name).cmp(&(a.all, a.hops, &b.from.name)));
            if args.output == Format::Json {
                for radius in &all {
                    writeln!(out, "{}", json(&line(radius))?)?;
                }
            } else {
                summary(&mut out, &all)?;
            }
        }
        (Format::Dot, from) => {
            let picture = Picture::of(&snapshot, &mut web, from, args.hops);
            out.write_all(dot::document(&picture).as_bytes())?;
        }
        (Format::Svg, from) => {
            let whole = snapshot.workloads().len();
            readable(if from.is_none() { whole } else { 0 })?;
            let picture = Picture::of(&snapshot, &mut web, from, args.hops);
            readable(picture.nodes.len())?;
            out.write_all(svg::document(&picture).as_bytes())?;
        }
    }
    out.flush()?;
    for Softened {
        policy,
        mode,
        until,
    } in &softened(&estate, today)
    {
        say(format!(
            "policy {policy} is in mode {mode} until {until}: what it refuses passes, and counts as reachable until then"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// A picture of more is not made.
fn readable(workloads: usize) -> Result<(), Failure> {
    if workloads <= svg::NODES_MAX {
        return Ok(());
    }
    Err(Failure::new(
        format!(
            "a picture of {workloads} workloads can be read by nobody; {} is the most",
            svg::NODES_MAX
        ),
        "choose with --from and --hops, or take -o dot or -o json",
    ))
}

fn row<'a>(from: &'a str, reached: &'a Reached, steps: &'a [Edge]) -> Row<'a> {
    let step = |edge: &'a Edge| Step {
        from: edge.from.name.as_str(),
        to: edge.to.name.as_str(),
        protocol: edge.protocol,
        operations: &edge.operations,
        example: edge.example.as_deref(),
        when: &edge.depends.when,
        until: edge.depends.until,
        mode: edge.depends.mode,
        certain: edge.certain,
        rule: edge.rule.as_ref(),
        receive_rule: edge.receive_rule.as_ref(),
    };
    Row {
        from,
        to: reached.to.name.as_str(),
        to_kind: reached.to.kind,
        hops: reached.hops,
        hops_without_conditions: reached.plain_hops,
        path: steps.iter().map(step).collect(),
    }
}

fn line(radius: &Radius) -> Line<'_> {
    Line {
        from: radius.from.name.as_str(),
        from_kind: radius.from.kind,
        direct: radius.direct,
        all: radius.all,
        without_conditions: radius.plain,
        hops: radius.hops,
    }
}

/// Columns that say nothing in any row are left out.
fn table(out: &mut impl Write, ways: &[(&Reached, Vec<Edge>)]) -> io::Result<()> {
    let whens: Vec<String> = ways.iter().map(|(_, steps)| marks(steps)).collect();
    let marked = whens.iter().any(|it| !it.is_empty());
    let mut table = plain_table();
    let mut header = vec!["HOPS", "WORKLOAD", "BY WAY OF", "OPERATIONS"];
    header.extend(marked.then_some("IF"));
    table.set_header(header);
    for ((reached, steps), when) in ways.iter().zip(whens) {
        let way: Vec<String> = steps.iter().map(hop).collect();
        let operations = steps.last().map_or_else(String::new, operations);
        let mut line = vec![
            reached.hops.to_string(),
            format!("{} {}", reached.to.kind, reached.to.name),
            way.join(" → "),
            operations,
        ];
        line.extend(marked.then_some(when));
        table.add_row(line.into_iter().map(|cell| safe(&cell).into_owned()));
    }
    print_table(out, &table)
}

/// `payments : POST /v1/payments`
fn hop(edge: &Edge) -> String {
    let example = edge.example.as_deref().unwrap_or("perhaps something");
    format!("{} : {example}", edge.to.name)
}

fn operations(edge: &Edge) -> String {
    let shown: Vec<&str> = edge
        .operations
        .iter()
        .take(OPERATIONS_SHOWN)
        .map(String::as_str)
        .collect();
    let mut text = shown.join(", ");
    if edge.operations.len() > OPERATIONS_SHOWN {
        text += &format!(", {} more", edge.operations.len() - OPERATIONS_SHOWN);
    }
    text
}

/// On what the example way depends.
pub(super) fn marks(steps: &[Edge]) -> String {
    let mut words: Vec<String> = Vec::new();
    for step in steps {
        let to = &step.to.name;
        for when in &step.depends.when {
            words.push(format!("{to}: {when}"));
        }
        if let Some(mode) = step.depends.mode {
            words.push(format!("{to}: mode {mode}"));
        }
        if let Some(until) = step.depends.until {
            words.push(format!("{to}: until {until}"));
        }
        if !step.certain {
            words.push(format!("{to}: perhaps; a bound of the search was reached"));
        }
    }
    words.join("; ")
}

fn summary(out: &mut impl Write, all: &[Radius]) -> io::Result<()> {
    let conditions = all.iter().any(|it| it.plain != it.all);
    let mut table = plain_table();
    let mut header = vec!["WORKLOAD", "DIRECTLY", "IN ALL"];
    header.extend(conditions.then_some("WITHOUT CONDITIONS"));
    header.push("HOPS");
    table.set_header(header);
    for radius in all {
        let mut line = vec![
            format!("{} {}", radius.from.kind, radius.from.name),
            radius.direct.to_string(),
            radius.all.to_string(),
        ];
        line.extend(conditions.then(|| radius.plain.to_string()));
        line.push(radius.hops.to_string());
        table.add_row(line);
    }
    print_table(out, &table)
}
