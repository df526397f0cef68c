//! `ringfence policy lint`: errors, which keep a configuration from loading, and findings, which do not.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ringfence_model::{Diagnostic, Diagnostics, Estate, Generation, HostName, Position, load};
use ringfence_node::Configuration;
use ringfence_policy::{Finding, Level, Snapshot, provisional_addresses};
use serde::Serialize;

use super::{Asked, counted, sarif};
use crate::output::{
    Colour, EXIT_CHECK, EXIT_ERROR, Failure, Paint, json, safe, safe_json, safe_lines, say,
};

const EXAMPLES: &str = "\
Examples:
  ringfence policy lint --config estate
  ringfence policy lint --config estate --failure-threshold warning -o sarif > lint.sarif
  ringfence policy lint --explain RF1003

A finding is let stand by a comment on its line or just above it:
  # ringfence: allow RF1104 it is public, see ADR 12

Exit code: 0; 1 when the configuration does not load; 4 when a finding reaches the threshold. docs/lint has a page for every code.";

/// Check the resource files, run the policies' tests, and tell what is probably not meant
///
/// Prints every error with its place, the text there, and the fix: with one, the configuration does not load. Then every
/// finding, with its code: findings never stop a load.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LintArgs {
    #[command(flatten)]
    asked: Asked,
    /// Print the page of the manual about a code, such as RF1003, and do nothing else
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    /// Findings of this level and above make the exit code 4
    #[arg(long, value_enum, default_value = "error", value_name = "LEVEL")]
    failure_threshold: Threshold,
    /// For people, one JSON object per line, or SARIF 2.1.0 for code scanning
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    #[value(alias = "table")]
    Text,
    Json,
    Sarif,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Threshold {
    Error,
    Warning,
    Info,
    None,
}

impl Threshold {
    fn reached(self, level: Level) -> bool {
        match self {
            Self::Error => level >= Level::Error,
            Self::Warning => level >= Level::Warning,
            Self::Info => true,
            Self::None => false,
        }
    }
}

/// All that was found.
#[derive(Default)]
pub(super) struct Report {
    /// What keeps the configuration from loading.
    pub(super) errors: Vec<Diagnostic>,
    /// What does not.
    pub(super) findings: Vec<Finding>,
    /// How many findings comments let stand.
    allowed: usize,
    /// What loads, for the last line.
    counts: String,
}

/// A line of `-o json`: an error, whose code is null, or a finding.
#[derive(Serialize)]
struct Line<'a> {
    level: Level,
    code: Option<&'static str>,
    resource: Option<&'a str>,
    message: &'a str,
    at: Option<&'a Position>,
    text: Option<&'a str>,
    also: Option<&'a Position>,
    help: Option<&'a str>,
}

/// Runs the verb.
pub(super) fn lint(args: &LintArgs) -> Result<ExitCode, Failure> {
    if let Some(id) = &args.explain {
        return explain(id);
    }
    let Configuration { config, zone } = args.asked.chosen()?;
    let sources = load::read(&config);
    let report = match sources.load() {
        Ok(estate) => look(&estate, &sources, &zone),
        Err(Diagnostics(errors)) => Report {
            errors,
            ..Report::default()
        },
    };
    let mut out = io::stdout().lock();
    match args.output {
        Format::Text => text(&mut out, &report)?,
        Format::Json => lines(&mut out, &report)?,
        Format::Sarif => {
            let document = sarif::document(&report, &config).to_string();
            writeln!(out, "{}", safe_json(&document))?;
        }
    }
    out.flush()?;
    if !report.errors.is_empty() {
        say(format!(
            "{} in {}",
            counted(report.errors.len(), "error", "errors"),
            config.display()
        ));
        return Ok(ExitCode::from(EXIT_ERROR));
    }
    let reached = report
        .findings
        .iter()
        .filter(|finding| args.failure_threshold.reached(finding.level))
        .count();
    Ok(match reached {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_CHECK),
    })
}

fn look(estate: &Estate, sources: &load::Sources, zone: &HostName) -> Report {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let addresses = provisional_addresses(estate);
    let errors = match Snapshot::compile(Generation(0), zone, estate, &addresses) {
        Ok(_) => Vec::new(),
        Err(errors) => sources.quote(errors).0,
    };
    let found = ringfence_policy::lint(estate, today);
    let (findings, allowed) = ringfence_policy::allowed(found, sources.texts());
    Report {
        errors,
        findings,
        allowed: allowed.len(),
        counts: format!(
            "{}, {}, {}",
            counted(estate.services.len(), "service", "services"),
            counted(estate.agents.len(), "agent", "agents"),
            counted(estate.policies.len(), "policy", "policies"),
        ),
    }
}

/// `<level> [CODE] (<resource>) <message>`, the place and the fix below; errors first, as the load tells them.
fn text(out: &mut impl Write, report: &Report) -> Result<(), Failure> {
    let paint = Paint::stdout();
    for error in &report.errors {
        writeln!(out, "{}\n", safe_lines(&error.to_string()))?;
    }
    for finding in &report.findings {
        let colour = match finding.level {
            Level::Error => Colour::Red,
            Level::Warning => Colour::Yellow,
            Level::Info => Colour::Dim,
        };
        let at =
            |at: &Position| safe(&format!("{}:{}:{}", at.file, at.line, at.column)).into_owned();
        writeln!(
            out,
            "{} [{}] ({}) {}\n   --> {}",
            paint.paint(colour, finding.level.as_str()),
            finding.code.id,
            safe(&finding.resource),
            safe(&finding.message),
            at(&finding.at),
        )?;
        if let Some(also) = &finding.also {
            writeln!(out, "   = also at {}", at(also))?;
        }
        writeln!(out, "   = help: {}\n", safe(&finding.help))?;
    }
    if report.errors.is_empty() {
        let mut words = format!("{}: no errors", report.counts);
        for (level, one, many) in [
            (
                Level::Error,
                "finding of level error",
                "findings of level error",
            ),
            (Level::Warning, "warning", "warnings"),
            (Level::Info, "note", "notes"),
        ] {
            let count = report
                .findings
                .iter()
                .filter(|finding| finding.level == level)
                .count();
            if count > 0 {
                words = format!("{words}, {}", counted(count, one, many));
            }
        }
        if report.allowed > 0 {
            words = format!("{words}, {} let stand by comments", report.allowed);
        }
        writeln!(out, "{words}")?;
    }
    Ok(())
}

fn lines(out: &mut impl Write, report: &Report) -> Result<(), Failure> {
    for error in &report.errors {
        let line = Line {
            level: Level::Error,
            code: None,
            resource: None,
            message: &error.message,
            at: error.at.as_ref(),
            text: error.text.as_deref(),
            also: error.also.as_ref(),
            help: error.help.as_deref(),
        };
        writeln!(out, "{}", json(&line)?)?;
    }
    for finding in &report.findings {
        let line = Line {
            level: finding.level,
            code: Some(finding.code.id),
            resource: Some(&finding.resource),
            message: &finding.message,
            at: Some(&finding.at),
            text: None,
            also: finding.also.as_ref(),
            help: Some(&finding.help),
        };
        writeln!(out, "{}", json(&line)?)?;
    }
    Ok(())
}

fn explain(id: &str) -> Result<ExitCode, Failure> {
    let Some(code) = ringfence_policy::code(id) else {
        return Err(Failure::new(
            format!("there is no code {id:?}"),
            "write it as lint prints it, in brackets: RF1003",
        ));
    };
    let mut out = io::stdout().lock();
    out.write_all(code.page.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
