//! `ringfence quarantine` and `ringfence release`: a workload is taken out, and comes back.

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Span, SpanRelativeTo};
use ringfence_node::containment::{Outcome, Unmet, What, Wish, contain};
use serde::Serialize;

use crate::output::{Colour, Failure, Form, Paint, finish, json, safe};
use crate::verbs::configuration::state_dir;
use crate::verbs::reason::reason;

/// It is in force, and something about it is not as it should be.
const EXIT_DEGRADED: u8 = 5;

const EXAMPLES: &str = "\
Examples:
  ringfence quarantine billing-agent --reason 'reads what it never read, ticket 4711'
  ringfence quarantine billing-agent --reason 'looked at by ann' --ttl 2h
  ringfence quarantine billing-agent --reason test --dry-run     what it would cut
  ringfence status                                               who is in quarantine
  ringfence release billing-agent --reason 'was a false alarm'

Both directions are denied from that moment, in every mode, for all its instances and for those started later; what lives \
is cut at once. Its processes go on, for whoever looks at them. It outlives restarts and reloads, until it is released or \
its time is over. Said again of the same workload, reason and end are replaced; without --ttl it lasts until a release. \
docs/quarantine.md has all of it.

Exit code 0 when it is in force, all is cut, on record and kept for a restart; 5 when it is in force and one of these is \
missing, which is said; 1 when it is not in force.";

const RELEASE_EXAMPLES: &str = "\
Examples:
  ringfence release billing-agent --reason 'was a false alarm'
  ringfence release billing-agent --reason test --dry-run        what is in force

Policy alone decides again. What was cut is not opened again by itself. Exit code 0 when it is done; 5 when it is done and \
not on record or not kept for a restart; 1 when it is not done. docs/quarantine.md has all of it.";

/// Cuts an agent or a service off: both directions, at once, until it is released.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct QuarantineArgs {
    /// The agent or service
    #[arg(value_name = "NAME")]
    name: String,
    /// Why, for the record and for who comes next: one line
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// End by itself after this time (90s, 10m, 2h, 3d)
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    ttl: Option<u64>,
    #[command(flatten)]
    common: Common,
}

/// Ends the quarantine of an agent or a service.
#[derive(Debug, clap::Args)]
#[command(after_help = RELEASE_EXAMPLES)]
pub(crate) struct ReleaseArgs {
    /// The agent or service
    #[arg(value_name = "NAME")]
    name: String,
    /// Why, for the record and for who comes next: one line
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// State directory of the node [default: as `ringfence up` chooses it]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Change nothing: tell what would come of it
    #[arg(long)]
    dry_run: bool,
    /// For people, or one JSON object
    #[arg(short, long, value_enum, value_name = "FORM", default_value = "table")]
    output: Form,
}

/// A length of time, in seconds.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let forms = || "write a length of time: 90s, 10m, 2h, 3d".to_owned();
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.contains("ago") {
        return Err(forms());
    }
    let span: Span = text.parse().map_err(|_| forms())?;
    let length: SignedDuration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| forms())?;
    match u64::try_from(length.as_secs()) {
        Ok(0) | Err(_) => Err("a second is the shortest".to_owned()),
        Ok(seconds) => Ok(seconds),
    }
}

pub(crate) fn quarantine(args: QuarantineArgs) -> ExitCode {
    let what = What::Quarantine { seconds: args.ttl };
    finish(ask(args.name, args.reason, what, &args.common))
}

pub(crate) fn release(args: ReleaseArgs) -> ExitCode {
    finish(ask(args.name, args.reason, What::Release, &args.common))
}

fn ask(name: String, reason: String, what: What, common: &Common) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let state = state_dir(common.state.as_ref())?;
    let wish = Wish {
        name,
        what,
        reason,
        dry_run: common.dry_run,
    };
    let outcome = contain(&state, wish).map_err(|unmet| unmet_words(unmet, &state))?;
    let took = began.elapsed();
    let missing = missing(&outcome);
    let mut out = io::stdout().lock();
    match common.output {
        Form::Json => {
            let shown = Shown {
                outcome: &outcome,
                command_ns: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
                missing: &missing,
            };
            writeln!(out, "{}", json(&shown)?)?;
        }
        Form::Table => {
            table(&mut out, &outcome, took)?;
            let paint = Paint::stdout();
            for (what, fix) in &missing {
                let word = paint.paint(Colour::Red, "missing  ");
                writeln!(out, "{word} {} · {}", safe(what), safe(fix))?;
            }
        }
    }
    out.flush()?;
    Ok(if missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_DEGRADED)
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    /// From the start of this command to the answer.
    command_ns: u64,
    /// What is not as it should be, each with what to do.
    missing: &'a [(String, String)],
}

pub(super) fn unmet_words(unmet: Unmet, state: &std::path::Path) -> Failure {
    let place = state.display();
    match unmet {
        Unmet::Absent => Failure::new(
            format!("no node is running on the state directory {place}"),
            "nothing passes there while none runs; start one with `ringfence up`, or name another with `--state DIR`",
        ),
        Unmet::Refused { reason, fix } => match fix {
            Some(fix) => Failure::new(reason, fix),
            None => Failure::new(
                reason,
                "ask as the user of the node; with a node of an earlier version stop it instead: `kill PID` cuts everything",
            ),
        },
        Unmet::Io(error) => {
            let fix = match error.kind() {
                ErrorKind::PermissionDenied => {
                    "ask as the user of the node, as root too: `sudo -u '#UID' ringfence …` with the owner of its state directory"
                }
                ErrorKind::TimedOut => {
                    "it may be in force or not: `ringfence status` tells; if the node hangs, end it with `kill -9`, which \
                     cuts everything"
                }
                _ => "check that `ringfence up` runs there, from the same binary",
            };
            Failure::new(format!("the node of {place} cannot be asked: {error}"), fix)
        }
    }
}

/// What an operator must know who takes it for done.
fn missing(outcome: &Outcome) -> Vec<(String, String)> {
    let released = outcome.now.is_none() && !outcome.dry_run;
    let stands = match released {
        true => "it is released",
        false => "it is in force",
    };
    let mut missing = Vec::new();
    if let Some(away) = &outcome.away {
        missing.push((
            away.clone(),
            "look again with `ringfence status` in a moment".to_owned(),
        ));
    }
    if outcome.left > 0 {
        missing.push((
            format!(
                "{} connections or flows pass nothing, and are not closed yet",
                outcome.left
            ),
            "`ringfence status` shows how many live; if they stay, end the enforcer with `kill -9`: it is started again \
             with the quarantine"
                .to_owned(),
        ));
    }
    if outcome.recorded == Some(false) {
        missing.push((
            format!("{stands}, but the flow log did not take the record of it"),
            "write down who did what and when; `ringfence status` says what ails the log"
                .to_owned(),
        ));
    }
    if let Some(trouble) = &outcome.unkept {
        let after = match released {
            true => "would quarantine it again",
            false => "would set it free",
        };
        missing.push((
            format!("{stands}, but not written down, and a restart of the node {after}: {trouble}"),
            "make room in the state directory: it is tried again every second".to_owned(),
        ));
    }
    missing
}

fn table(out: &mut impl Write, outcome: &Outcome, took: Duration) -> io::Result<()> {
    let name = &outcome.name;
    let mut line = |word: &str, text: &str| writeln!(out, "{word:<9} {}", safe(text));
    let verb = match (&outcome.before, &outcome.now, outcome.dry_run) {
        (None, Some(_), false) => "is in quarantine",
        (None, Some(_), true) => "would be in quarantine; nothing was done",
        (Some(_), Some(_), false) => "was in quarantine already; reason and end are replaced",
        (Some(_), Some(_), true) => {
            "is in quarantine; reason and end would be replaced; nothing was done"
        }
        (_, None, false) => "is released: policy alone decides",
        (_, None, true) => "would be released; nothing was done",
    };
    line(name.as_str(), verb)?;
    if let Some(now) = &outcome.now {
        let until = match now.until {
            Some(until) => format!("until {until:.0}"),
            None => "until it is released".to_owned(),
        };
        line(
            "since",
            &format!("{:.0}, {until}, by {}", now.since, now.by),
        )?;
        line("reason", &now.reason)?;
    }
    if let Some(before) = &outcome.before {
        let text = format!(
            "since {:.0}, by {}: {}",
            before.since, before.by, before.reason
        );
        line("before", &text)?;
    }
    if !outcome.known {
        line("note", "the policy in force does not name it")?;
    }
    if outcome.now.is_none() {
        return Ok(());
    }
    let running = match outcome.instances {
        0 => "no instance runs here".to_owned(),
        1 => "1 instance goes on running, walled in".to_owned(),
        count => format!("{count} instances go on running, walled in"),
    };
    line("running", &running)?;
    let Some(cut) = &outcome.cut else {
        return Ok(());
    };
    let mut text = format!(
        "connections {}, flows of datagrams {}",
        cut.connections, cut.flows
    );
    if let Some(took_ns) = outcome.took_ns {
        let closed = Duration::from_nanos(took_ns);
        text += &format!(
            ", all closed {:.1} ms after the enforcer was told, {:.1} ms after the command",
            closed.as_secs_f64() * 1000.0,
            took.as_secs_f64() * 1000.0
        );
    }
    line(if outcome.dry_run { "would cut" } else { "cut" }, &text)?;
    for peer in &cut.peers {
        let text = format!(
            "{} → {}: {} connections, {} flows",
            peer.from, peer.to, peer.connections, peer.flows
        );
        line("", &text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_as_people_write_them() {
        for (text, length) in [
            ("90s", 90),
            ("10m", 600),
            ("2h", 7200),
            ("3d", 259_200),
            ("1h 30m", 5400),
        ] {
            assert_eq!(seconds(text), Ok(length), "{text}");
        }
        for text in ["", "0s", "-5m", "10", "soon", "2h ago", "10ms"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
