//! `ringfence check`: can this machine hold compartments, and is the node on it well?

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use ringfence_model::HostName;
use ringfence_node::check::{self, Finding, Group, Outcome};
use serde::Serialize;

use crate::output::{Colour, EXIT_CHECK, Failure, Form, Paint, finish, json, safe, shows_unicode};
use crate::verbs::configuration::state_dir;

/// Between two looks of `--wait`.
const PAUSE: Duration = Duration::from_millis(250);

const EXAMPLES: &str = "\
Examples:
  ringfence check --pre                          before anything is installed or started
  ringfence check --pre --config estate          and whether the files there could be put in force
  ringfence check                                on call: the machine, and the node that runs on it
  ringfence check --wait 30s                     in a script, after `ringfence up … &`
  ringfence check -o json | jq -r '.groups[].checks[] | select(.outcome == \"fail\") | .id, .hint'

Everything is tried, nothing is concluded from a version: namespaces are made, the firewall is loaded into one of them, a \
program runs in a compartment that is thrown away again. Nothing is left behind, nothing of a running node is touched.

  √ ok     as it should be
  • info   to be known; nothing on this machine changes it
  ‼ warn   works, with less: the line below says what to do
  × fail   does not work: the line below says what to do

What depends on a step that failed is not shown. Each id has its section in docs/check.md.

Exit code: 0 nothing failed (warnings are no failure), 4 a check failed, 1 no answer could be given, 2 wrong usage.";

/// Checks this machine and the node on it, and says what to do about each thing that is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// Only what the machine must offer; needs no node
    #[arg(long)]
    pre: bool,
    /// State directory of the node [default: as `ringfence up` chooses it]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Directory with the resource files that the node will be started with: could they be put in force?
    #[arg(long, value_name = "DIR", requires = "pre")]
    config: Option<PathBuf>,
    /// Zone of the workloads, as `ringfence up` is given it
    #[arg(long, value_name = "NAME", default_value = "ringfence.internal", value_parser = HostName::new)]
    zone: HostName,
    /// Give the node so long until nothing fails, e.g. 30s
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "pre")]
    wait: Option<Duration>,
    /// For people, or one JSON object
    #[arg(short, long, value_enum, value_name = "FORM", default_value = "table")]
    output: Form,
}

/// What `-o json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    /// Nothing failed.
    ok: bool,
    groups: &'a [Group],
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|time| Duration::try_from(time).ok())
        .ok_or_else(|| "give a time such as 30s or 2m".to_owned())
}

pub(crate) fn run(args: CheckArgs) -> ExitCode {
    finish(look(args))
}

fn look(args: CheckArgs) -> Result<ExitCode, Failure> {
    let state = state_dir(args.state.as_ref())?;
    if let Some(patience) = args.wait {
        wait(&state, patience);
    }
    let groups = if args.pre {
        let config = args.config.as_deref();
        check::before(&state, config.map(|config| (config, &args.zone)))
    } else {
        check::all(&state)
    };
    let ok = groups.iter().all(Group::passed);
    let mut out = io::stdout().lock();
    match args.output {
        Form::Json => {
            let answer = Answer {
                ok,
                groups: &groups,
            };
            writeln!(out, "{}", json(&answer)?)?;
        }
        Form::Table => {
            table(&mut out, &groups)?;
            writeln!(out, "\n{}", summary(&groups))?;
        }
    }
    out.flush()?;
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_CHECK)
    })
}

/// Until nothing of the node fails, or time is up.
fn wait(state: &Path, patience: Duration) {
    let until = Instant::now() + patience;
    while !check::node(state).passed() && Instant::now() < until {
        std::thread::sleep(PAUSE);
    }
}

fn table(out: &mut impl Write, groups: &[Group]) -> io::Result<()> {
    let (paint, unicode) = (Paint::stdout(), shows_unicode());
    for (index, group) in groups.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        let name = safe(&group.name);
        writeln!(out, "{name}\n{}", "-".repeat(name.chars().count()))?;
        for check in &group.checks {
            line(out, check, paint, unicode)?;
        }
    }
    Ok(())
}

fn line(out: &mut impl Write, check: &Finding, paint: Paint, unicode: bool) -> io::Result<()> {
    let (mark, word, colour) = match check.outcome {
        Outcome::Ok => ("√", "ok  ", Colour::Green),
        Outcome::Info => ("•", "info", Colour::Dim),
        Outcome::Warn => ("‼", "warn", Colour::Yellow),
        Outcome::Fail => ("×", "fail", Colour::Red),
    };
    let mark = if unicode { mark } else { word };
    writeln!(
        out,
        "{} {} {}",
        paint.paint(colour, mark),
        safe(&check.text),
        paint.paint(Colour::Dim, &format!("[{}]", safe(&check.id)))
    )?;
    match &check.hint {
        Some(hint) => writeln!(
            out,
            "{:width$} hint: {}",
            "",
            safe(hint),
            width = mark.chars().count()
        ),
        None => Ok(()),
    }
}

fn summary(groups: &[Group]) -> String {
    let count = |outcome| {
        let checks = groups.iter().flat_map(|group| &group.checks);
        checks.filter(|check| check.outcome == outcome).count()
    };
    let (failed, warned) = (count(Outcome::Fail), count(Outcome::Warn));
    let warnings = match warned {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        many => format!(", {many} warnings"),
    };
    match failed {
        0 => format!("status: ok{warnings}"),
        1 => format!("status: 1 check failed{warnings}; what to do stands below its line"),
        many => format!("status: {many} checks failed{warnings}; what to do stands below each"),
    }
}
