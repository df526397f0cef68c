//! `ringfence policy explain`: how one operation is decided, and by which line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;
use ringfence_model::resource::With;
use ringfence_model::suggest::nearest;
use ringfence_model::{HostName, Position};
use ringfence_node::{Configuration, ask_status, default_dir};
use ringfence_policy::{Answer, Explanation, Moment, Ruled, Snapshot, batch, read_with};

use super::{compile, counted, unloadable, zone};
use crate::output::{Colour, EXIT_DENIED, Failure, Paint, json, safe, say};
use crate::verbs::configuration;

/// Longest line of a resource file that is shown, in characters.
const LINE_SHOWN: usize = 120;
/// Longest line of a resource file that is looked at, in bytes.
const LINE_READ: u64 = 64 * 1024;
/// Longest context that is read from a file, in bytes.
const WITH_MAX: u64 = 1024 * 1024;

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  ringfence policy explain --config estate \\
      --from assistant --to library --op 'DELETE /books/1'
  ringfence policy explain --from assistant --to library --op 'GET /books' \\
      --with '{\"body\":{\"amount\":50}}'                            where a condition asks what is sent
  ringfence policy explain --from assistant --to library           may they meet at all, as the node's files say
  ringfence policy explain --config estate --batch - < questions.jsonl
  ringfence observe --verdict deny -o json | ringfence policy explain --batch - | jq 'select(.outcome != .was)'
                                                                   what today's policy would decide differently

A question is one line: {\"from\":\"assistant\",\"to\":\"library\",\"op\":\"GET /books/1\"}, and perhaps \"with\":{…} as for --with.
An answer is one line: {\"outcome\":\"deny\",\"reason\":\"…\",\"rule\":null}; where it hangs on what was not supplied, \
\"conditional\":true and \"needs\":[…] as well.
A flow record asks about its source, destination and operation; its answer says seq, from, to, op and `was` as well.

Without --config, RINGFENCE_CONFIG names the directory, or else the node is asked which one it reads; then the node's \
quarantines count too (not with --batch). Files that are named are judged by themselves.

Exit code: 0 allow, 3 deny; with --batch 0 when every line was answered; 1 when the configuration does not load.
docs/policy.md says how it is decided.";

/// Say whether an operation is allowed, and which rule decides
///
/// The same code decides here as in a running node.
#[derive(Debug, clap::Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub(crate) struct ExplainArgs {
    /// Directory with the resource files [default: the node's]
    #[arg(long, value_name = "DIR", env = "RINGFENCE_CONFIG")]
    config: Option<PathBuf>,
    /// State directory of the node to ask for it [default: as `ringfence up` chooses it]
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    state: Option<PathBuf>,
    /// Who starts it: an agent or service
    #[arg(long, value_name = "NAME", required_unless_present = "batch")]
    from: Option<String>,
    /// Who is called: an agent or service
    #[arg(long, value_name = "NAME", required_unless_present = "batch")]
    to: Option<String>,
    /// What is done: `METHOD /path` for http, `connect` for tcp. Without it: whether they may meet at all
    #[arg(long, value_name = "OPERATION")]
    op: Option<String>,
    /// What conditions see, as JSON: request (host, query, headers), now, task, args, body, each optional; or @FILE, or @- for
    /// stdin
    #[arg(long, value_name = "JSON", value_parser = with, conflicts_with = "batch")]
    with: Option<With>,
    /// Answer a question per line of FILE (`-`: stdin), one JSON line each, in order; flow records of `observe -o json`
    /// are questions too
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "op", "output"])]
    batch: Option<PathBuf>,
    /// Zone whose names the workloads answer to [default: the node's, or ringfence.internal]
    #[arg(long, value_name = "NAME", value_parser = zone)]
    zone: Option<HostName>,
    /// For people, or one JSON object
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The value of `--with`: the context itself, or `@FILE`.
fn with(text: &str) -> Result<With, String> {
    let read = match text.strip_prefix('@') {
        None => Ok(text.to_owned()),
        Some("-") => whole(io::stdin()),
        Some(file) => File::open(file).and_then(whole),
    };
    let read = read.map_err(|error| format!("it cannot be read: {error}"))?;
    read_with(&read).map_err(|error| format!("{error}; {}", error.help))
}

/// All of it, and not the part that it may have.
fn whole(from: impl Read) -> io::Result<String> {
    let text = io::read_to_string(from.take(WITH_MAX + 1))?;
    match text.len() as u64 {
        ..=WITH_MAX => Ok(text),
        _ => Err(io::Error::other(format!(
            "it is larger than {WITH_MAX} bytes"
        ))),
    }
}

/// Runs the verb.
pub(super) fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let Configuration { config, zone } = configuration::chosen(
        args.config.as_ref(),
        args.zone.as_ref(),
        args.state.as_ref(),
    )?;
    let (_, snapshot) = match compile(&config, &zone) {
        Ok(compiled) => compiled,
        Err(errors) => return Ok(unloadable(&errors, &config)),
    };
    match args {
        ExplainArgs {
            batch: Some(file), ..
        } => {
            answer_batch(&snapshot, file)?;
            Ok(ExitCode::SUCCESS)
        }
        ExplainArgs {
            from: Some(from),
            to: Some(to),
            op,
            with,
            ..
        } => {
            let moment = Moment::supplied(with.as_ref(), Timestamp::now()).map_err(|error| {
                Failure::Usage {
                    what: format!("--with: {error}"),
                    fix: error.help,
                }
            })?;
            let explanation = match op {
                Some(op) => snapshot.explain_text(from, to, op, &moment),
                None => snapshot.explain_meeting(from, to, moment.now),
            };
            let explanation = match on_the_node(args, &snapshot, [from, to]) {
                Some(quarantined) => taken_out(explanation, &quarantined),
                None => explanation,
            };
            let mut out = io::stdout().lock();
            match args.output {
                Format::Json => writeln!(out, "{}", json(&Answer::from(&explanation))?)?,
                Format::Text => {
                    let asked = op.as_deref().unwrap_or("any operation");
                    let question = format!("{from} → {to} : {asked}");
                    print_explanation(&mut out, &question, &explanation, &config)?;
                }
            }
            out.flush()?;
            for name in [from, to] {
                if let Some(meant) = meant(&snapshot, name) {
                    say(format!(
                        "help: {name} is not in {}; did you mean {meant}?",
                        config.display()
                    ));
                }
            }
            Ok(if explanation.allowed {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(EXIT_DENIED)
            })
        }
        // clap has already asked for them.
        _ => Err(Failure::new(
            "--from and --to are needed",
            "or give questions with --batch FILE",
        )),
    }
}

/// Whoever of the two is in quarantine on the node whose files these are, in words. Files that are named by the user are
/// those of no node.
fn on_the_node(args: &ExplainArgs, snapshot: &Snapshot, names: [&str; 2]) -> Option<String> {
    if args.config.is_some() {
        return None;
    }
    let state = args.state.clone().or_else(|| default_dir().ok())?;
    let status = ask_status(&state).ok()??;
    names.iter().find_map(|name| {
        let workload = snapshot.find(name).or_else(|| snapshot.resolve(name))?;
        let id = &snapshot.workload(workload).id;
        let one = status.quarantined.iter().find(|one| one.name == id.name)?;
        Some(format!(
            "{id} is in quarantine since {:.0}, by {}: {}",
            one.since, one.by, one.reason
        ))
    })
}

/// What a quarantine leaves of a verdict.
fn taken_out(explanation: Explanation, quarantined: &str) -> Explanation {
    let policy = format!(
        "policy alone says {}: {}",
        explanation.ruled.as_str(),
        explanation.reason
    );
    Explanation {
        allowed: false,
        ruled: Ruled::Deny,
        reason: format!("{quarantined}; {policy}"),
        conditional: false,
        needs: Vec::new(),
        ..explanation
    }
}

/// The name that a name which is nobody's was probably meant to be.
fn meant<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a str> {
    if snapshot
        .find(name)
        .or_else(|| snapshot.resolve(name))
        .is_some()
    {
        return None;
    }
    let names = snapshot
        .workloads()
        .map(|ix| snapshot.workload(ix).id.name.as_str());
    nearest(name, names)
}

fn answer_batch(snapshot: &Snapshot, file: &Path) -> Result<(), Failure> {
    let reader: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        let opened = File::open(file).map_err(|e| {
            Failure::new(
                format!("{} cannot be opened: {e}", file.display()),
                "name a file with one JSON question per line, or `-`",
            )
        })?;
        Box::new(opened)
    };
    match batch(snapshot, reader, io::stdout()) {
        Ok(summary) => {
            if summary.passed_over > 0 {
                say(format!(
                    "passed over {}: closes, walls and events ask policy nothing",
                    counted(
                        usize::try_from(summary.passed_over).unwrap_or(usize::MAX),
                        "record",
                        "records"
                    )
                ));
            }
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::OutletClosed),
        Err(e) => Err(Failure::new(
            format!("the questions were not all answered: {e}"),
            "answers so far are good; ask the rest again",
        )),
    }
}

/// `allow`, `would-deny` or `deny`, why, and the rule with its text.
fn print_explanation(
    out: &mut impl Write,
    question: &str,
    explanation: &Explanation,
    config: &Path,
) -> Result<(), Failure> {
    let paint = Paint::stdout();
    let verdict = match explanation.ruled {
        Ruled::Allow => paint.paint(Colour::Green, "allow"),
        Ruled::WouldDeny => paint.paint(Colour::Yellow, "would-deny"),
        Ruled::Deny => paint.paint(Colour::Red, "deny"),
    };
    writeln!(out, "{verdict}  {}", safe(question))?;
    writeln!(out, "  reason   {}", safe(&explanation.reason))?;
    if let Some(rule) = &explanation.rule {
        writeln!(out, "  rule     {}", safe(&rule.to_string()))?;
        print_source(out, config, rule)?;
    }
    if explanation.conditional {
        writeln!(out, "  needs    {}", safe(&explanation.needs.join(", ")))?;
        writeln!(
            out,
            "           give it with --with JSON: docs/conditions.md"
        )?;
    }
    if let Some((nearest, difference)) = &explanation.nearest {
        writeln!(
            out,
            "  nearest  {}: {}",
            safe(&nearest.to_string()),
            safe(difference)
        )?;
        print_source(out, config, nearest)?;
    }
    Ok(())
}

/// The line of a resource file, as it stands there now.
fn print_source(out: &mut impl Write, config: &Path, at: &Position) -> Result<(), Failure> {
    if let Some(line) = source_line(config, at) {
        let shown: String = line.trim().chars().take(LINE_SHOWN).collect();
        writeln!(out, "             {}", safe(&shown))?;
    }
    Ok(())
}

/// `None` when the file has changed or gone since it was loaded: the place is printed all the same.
fn source_line(config: &Path, at: &Position) -> Option<String> {
    let path = config.join(&*at.file);
    // A FIFO that took the file's place meanwhile would block.
    if !std::fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut reader = BufReader::new(File::open(path).ok()?);
    for _ in 1..at.line {
        reader.skip_until(b'\n').ok()?;
    }
    let mut line = Vec::new();
    reader.take(LINE_READ).read_until(b'\n', &mut line).ok()?;
    Some(String::from_utf8_lossy(&line).into_owned())
}
