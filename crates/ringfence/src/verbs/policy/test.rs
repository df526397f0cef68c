//! `ringfence policy test`: every test, and how it does.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use ringfence_model::{Diagnostics, Generation, Position, load};
use ringfence_node::Configuration;
use ringfence_policy::{Claimed, Snapshot, TestReport, provisional_addresses};
use serde::Serialize;

use super::{Asked, counted, junit, unloadable};
use crate::output::{Colour, EXIT_DENIED, Failure, Paint, json, safe, say};

const EXAMPLES: &str = "\
Examples:
  ringfence policy test --config estate
  ringfence policy test --config estate --filter payments
  ringfence policy test --config estate -o junit > policy-tests.xml

A test is {to: NAME, allow: OPERATION} or {from: NAME, deny: OPERATION} among the `tests` of a policy, or a resource:
  kind: Test
  metadata: { name: nobody-deletes }
  spec: { from: assistant, to: library, deny: \"DELETE /books/1\" }
One may also say what must stay out of reach, directly and through others: {from: assistant, unreachable: payments}, perhaps
with `hops: 3`; or what must not, with `reachable`.

Exit code: 0 all hold, 3 one does not; 1 when the configuration does not load for another reason. docs/policy.md says how tests are written.";

/// Run the tests of policies and of `kind: Test`, and tell how each does
///
/// The same tests run at every load, where one that does not hold keeps the new configuration out.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    asked: Asked,
    /// Only tests whose line (policy, workloads, operation) holds this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// For people, one JSON object per test, or JUnit XML
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    #[value(alias = "table")]
    Text,
    Json,
    Junit,
}

/// A line of `-o json`.
#[derive(Serialize)]
struct Line<'a> {
    passed: bool,
    of: &'a str,
    from: &'a str,
    to: &'a str,
    op: Option<&'a str>,
    hops: Option<u32>,
    expected: &'static str,
    reason: &'a str,
    rule: Option<&'a Position>,
    at: &'a Position,
    help: Option<&'a str>,
}

/// Runs the verb.
pub(super) fn test(args: &TestArgs) -> Result<ExitCode, Failure> {
    let Configuration { config, zone } = args.asked.chosen()?;
    let sources = load::read(&config);
    let compiled = sources.load().and_then(|estate| {
        let addresses = provisional_addresses(&estate);
        let snapshot = Snapshot::compile_untested(Generation(0), &zone, &estate, &addresses)
            .map_err(|errors| sources.quote(errors))?;
        Ok::<_, Diagnostics>((estate, snapshot))
    });
    let (estate, snapshot) = match compiled {
        Ok(compiled) => compiled,
        Err(errors) => return Ok(unloadable(&errors, &config)),
    };
    let wanted = |report: &TestReport| {
        let filter = args.filter.as_deref().unwrap_or_default();
        title(report).contains(filter)
    };
    let reports: Vec<TestReport> = snapshot.test(&estate).filter(wanted).collect();
    if reports.is_empty() {
        if let Some(filter) = &args.filter {
            return Err(Failure::new(
                format!("no test has {filter:?} in its line"),
                "run without --filter to see the lines",
            ));
        }
        say("there are no tests: add `tests` to a policy, or a resource of kind Test");
    }
    let failed = reports
        .iter()
        .filter(|report| report.failure.is_some())
        .count();
    let mut out = io::stdout().lock();
    match args.output {
        Format::Text => text(&mut out, &reports, failed)?,
        Format::Json => {
            for report in &reports {
                writeln!(out, "{}", json(&line(report))?)?;
            }
        }
        Format::Junit => {
            let mut suites: BTreeMap<&str, Vec<&TestReport>> = BTreeMap::new();
            for report in &reports {
                suites.entry(&report.of).or_default().push(report);
            }
            out.write_all(junit::document(&suites).as_bytes())?;
        }
    }
    out.flush()?;
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_DENIED),
    })
}

/// `policy assistant: assistant → library : GET /books/42 allow`
fn title(report: &TestReport) -> String {
    format!("{}: {}", report.of, claim(report))
}

/// `assistant → library : GET /books/42 allow`
pub(super) fn claim(report: &TestReport) -> String {
    let TestReport { from, to, .. } = report;
    match &report.claimed {
        Claimed::Operation { text, .. } => format!("{from} → {to} : {text} {}", report.expected()),
        Claimed::Reach { hops, .. } => {
            let within = hops.map_or_else(String::new, |hops| {
                format!(" within {}", counted(hops as usize, "hop", "hops"))
            });
            format!("{from} → {to} : {}{within}", report.expected())
        }
    }
}

fn line(report: &TestReport) -> Line<'_> {
    let failure = report.failure.as_ref();
    let (op, hops) = match &report.claimed {
        Claimed::Operation { text, .. } => (Some(text.as_str()), None),
        Claimed::Reach { hops, .. } => (None, *hops),
    };
    Line {
        passed: failure.is_none(),
        of: &report.of,
        from: &report.from,
        to: &report.to,
        op,
        hops,
        expected: report.expected(),
        reason: &report.reason,
        rule: report.rule.as_ref(),
        at: &report.at,
        help: failure.and_then(|failure| failure.help.as_deref()),
    }
}

fn text(out: &mut impl Write, reports: &[TestReport], failed: usize) -> Result<(), Failure> {
    let paint = Paint::stdout();
    for report in reports {
        let Some(failure) = &report.failure else {
            let word = paint.paint(Colour::Green, "ok  ");
            writeln!(out, "{word}  {}", safe(&title(report)))?;
            continue;
        };
        let word = paint.paint(Colour::Red, "FAIL");
        writeln!(out, "{word}  {}", safe(&title(report)))?;
        let at = &report.at;
        writeln!(
            out,
            "      --> {}:{}:{}",
            safe(&at.file),
            at.line,
            at.column
        )?;
        writeln!(out, "      = {}", safe(&report.reason))?;
        if let Some(help) = &failure.help {
            writeln!(out, "      = help: {}", safe(help))?;
        }
    }
    writeln!(
        out,
        "{}: {} passed, {failed} failed",
        counted(reports.len(), "test", "tests"),
        reports.len() - failed
    )?;
    Ok(())
}
