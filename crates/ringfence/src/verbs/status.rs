//! `ringfence status`: how a node stands, and what is wrong with it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use comfy_table::Table;
use ringfence_model::resource::ModeKind;
use ringfence_node::status::{Declared, Degraded, EnforcerStatus, LogStatus, Status, Workload};
use ringfence_node::{Origin, ask_status};
use serde::Serialize;

use crate::output::{Colour, Failure, Form, Paint, finish, json, plain_table, safe};
use crate::verbs::configuration::state_dir;

/// Something is not as it should be; what that means is in the answer.
const EXIT_DEGRADED: u8 = 5;

const EXAMPLES: &str = "\
Examples:
  ringfence status
  ringfence status -o json | jq -r '.workloads[].instance'
  ringfence status > /dev/null || echo degraded

Exit code 0 when all is well, 5 when degraded: not running, the enforcer down, a configuration rejected, or a log that \
takes nothing. Each reason comes with what to do about it; docs/operating.md has them all.";

/// Shows how a node stands: policy in force, who runs, the log, and what is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// State directory of the node [default: as `ringfence up` chooses it]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// For people, or one JSON object
    #[arg(short, long, value_enum, value_name = "FORM", default_value = "table")]
    output: Form,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Running {
        running: bool,
        #[serde(flatten)]
        status: &'a Status,
    },
    Absent {
        running: bool,
        state: &'a Path,
        degraded: [Degraded; 1],
    },
}

pub(crate) fn run(args: StatusArgs) -> ExitCode {
    finish(show(args))
}

fn show(args: StatusArgs) -> Result<ExitCode, Failure> {
    let state = state_dir(args.state.as_ref())?;
    let status = ask_status(&state).map_err(|error| {
        let fix = match error.kind() {
            ErrorKind::PermissionDenied => "ask as root or as the owner of the node",
            ErrorKind::TimedOut => {
                "look at what the node says on standard error; end it with `kill -9` if it hangs"
            }
            _ => "check that `ringfence up` runs there, from the same binary",
        };
        Failure::new(
            format!("the node of {} cannot be asked: {error}", state.display()),
            fix,
        )
    })?;
    let absent = Degraded::new(
        format!(
            "no node is running on the state directory {}",
            state.display()
        ),
        format!(
            "start one with `ringfence up --config DIR --state {}`",
            state.display()
        ),
    );
    let mut out = io::stdout().lock();
    let degraded = status
        .as_ref()
        .is_none_or(|status| !status.degraded.is_empty());
    match (args.output, &status) {
        (Form::Json, _) => {
            let answer = match &status {
                Some(status) => Answer::Running {
                    running: true,
                    status,
                },
                None => Answer::Absent {
                    running: false,
                    state: &state,
                    degraded: [absent],
                },
            };
            writeln!(out, "{}", json(&answer)?)?;
        }
        (Form::Table, Some(status)) => table(&mut out, status)?,
        (Form::Table, None) => reason(&mut out, &absent)?,
    }
    out.flush()?;
    Ok(if degraded {
        ExitCode::from(EXIT_DEGRADED)
    } else {
        ExitCode::SUCCESS
    })
}

fn table(out: &mut impl Write, status: &Status) -> io::Result<()> {
    for (name, text) in [
        ("node", node(status)),
        ("state", status.state.display().to_string()),
        ("metrics", status.metrics.join(", ")),
        ("enforcer", enforcer(&status.enforcer)),
        ("policy", policy(status)),
        ("log", log(&status.log)),
    ] {
        writeln!(out, "{name:<9} {}", safe(&text))?;
    }
    for one in &status.quarantined {
        let until = match one.until {
            Some(until) => format!("until {until:.0}"),
            None => "until it is released".to_owned(),
        };
        let stray = match status.estate.iter().any(|known| known.name == one.name) {
            true => "",
            false => " (policy in force does not name it)",
        };
        let word = Paint::stdout()
            .paint(Colour::Red, "quarantine")
            .into_owned();
        let text = format!(
            "{}{stray} since {:.0}, {until}, by {}: {}",
            one.name, one.since, one.by, one.reason
        );
        writeln!(out, "{word} {}", safe(&text))?;
    }
    for note in &status.notes {
        writeln!(out, "{:<9} {}", "note", safe(note))?;
    }
    if !status.estate.is_empty() {
        writeln!(out, "\n{}", estate(&status.estate))?;
    }
    if !status.workloads.is_empty() {
        writeln!(out, "\n{}\n", instances(&status.workloads))?;
        for (who, walls) in walls(&status.workloads) {
            writeln!(out, "walls of {}: {}", safe(&who), safe(&walls))?;
        }
    }
    if !status.degraded.is_empty() {
        writeln!(out)?;
    }
    status
        .degraded
        .iter()
        .try_for_each(|degraded| reason(out, degraded))
}

fn node(status: &Status) -> String {
    let Status {
        node,
        zone,
        version,
        pid,
        since,
        ..
    } = status;
    format!("{node}, zone {zone}, version {version}, process {pid}, since {since:.0}")
}

fn enforcer(enforcer: &EnforcerStatus) -> String {
    let mut text = enforcer.state.as_str().to_owned();
    if let Some(since) = enforcer.since {
        text += &format!(" since {since:.0}");
    }
    if let Some(pid) = enforcer.pid {
        text += &format!(", process {pid}, connections {}", enforcer.connections);
    }
    text += &format!(", restarts {}", enforcer.restarts);
    if let (Some(at), Some(how)) = (enforcer.last_end_at, &enforcer.last_end) {
        text += &format!(", the last one ended {at:.0}: {how}");
    }
    text
}

fn policy(status: &Status) -> String {
    let policy = &status.policy;
    let config = status.config.display();
    let from = match policy.origin {
        Origin::Config => format!("from {config}"),
        Origin::LastGood => format!("last good of an earlier run; {config} is rejected"),
        Origin::Nothing => format!("none: everything is denied; reads {config}"),
    };
    let since = match policy.since {
        Some(since) => format!(" since {since:.0}"),
        None => String::new(),
    };
    // As much of it as is needed to see that two differ.
    let digest = policy.digest.get(..12).unwrap_or(&policy.digest);
    format!(
        "generation {}{since}, services {}, agents {}, policies {}, {from}, digest {digest}",
        policy.generation, policy.services, policy.agents, policy.policies
    )
}

fn log(log: &LogStatus) -> String {
    let mut text = match (log.head, &log.trouble) {
        (_, Some(trouble)) => format!("takes nothing: {trouble}"),
        (Some(head), None) => format!("next record {head}"),
        (None, None) => "nothing is known while the enforcer is not up".to_owned(),
    };
    if let Some(lost) = &log.lost {
        text += &format!(", lost: {lost}");
    }
    match (&log.unsigned, log.signed) {
        (Some(trouble), _) => text += &format!(", not signed: {trouble}"),
        (None, Some(signed)) => text += &format!(", {signed} signed"),
        (None, None) => {}
    }
    if log.durability == "disk" {
        text += ", each record on the disk first";
    }
    match (&log.unsealed, log.sealed) {
        (Some(trouble), _) => text += &format!(", not sealed: {trouble}"),
        (None, Some(1..)) => {
            text += &format!(", {} sealed", log.sealed.unwrap_or_default());
        }
        (None, _) => {}
    }
    if let Some(size) = log.bytes {
        text += &format!(", {}", bytes(size));
    }
    if let Some(reserved) = log.reserved {
        text += &format!(", {} reserved", bytes(reserved));
    }
    if let Some(free) = log.free {
        text += &format!(", {} free on the disk", bytes(free));
    }
    text
}

/// In the unit that leaves one to four digits before the point.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} bytes");
    }
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

fn estate(estate: &[Declared]) -> String {
    let mut table = plain_table();
    table.set_header(["DECLARED", "RUNNING", "MODE", "REVIEW BY"]);
    for declared in estate {
        let runs = match declared.instances {
            _ if declared.endpoints => "at endpoints".to_owned(),
            0 => "not running".to_owned(),
            1 => "1 instance".to_owned(),
            count => format!("{count} instances"),
        };
        let mode = match (declared.mode, declared.mode_until) {
            (None, _) => "no policy".to_owned(),
            (Some(mode), Some(until)) if mode != ModeKind::Enforce => {
                format!("{} until {until}", mode.as_str())
            }
            (Some(mode), _) => mode.as_str().to_owned(),
        };
        let mode = match declared.quarantined {
            true => format!("{mode}, in quarantine"),
            false => mode,
        };
        let review = match (declared.review_by, declared.review_overdue) {
            (None, _) => "-".to_owned(),
            (Some(by), false) => by.to_string(),
            (Some(by), true) => format!("{by}, overdue"),
        };
        table.add_row([
            format!("{} {}", declared.kind, declared.name),
            runs,
            mode,
            review,
        ]);
    }
    lines(&table)
}

fn instances(workloads: &[Workload]) -> String {
    let mut table = plain_table();
    table.set_header([
        "INSTANCE",
        "WORKLOAD",
        "SINCE",
        "STARTED BY",
        "RUNS AS",
        "PID",
        "DOORS",
        "CONNECTIONS",
        "LAUNCHER",
        "PROGRAM",
    ]);
    for workload in workloads {
        let state = match workload {
            workload if !workload.connected => "not connected",
            workload if !workload.known => "unknown to policy",
            workload if !workload.armed => "not armed",
            _ => "armed",
        };
        let version = match workload.version.as_str() {
            "" => "-",
            version => version,
        };
        table.add_row([
            safe(&workload.instance.0).into_owned(),
            format!("{} {}", workload.kind, workload.name),
            format!("{:.0}", workload.since),
            format!("uid {}", workload.uid),
            format!("uid {}", workload.compartment_uid),
            workload.pid.to_string(),
            state.to_owned(),
            workload.connections.to_string(),
            safe(version).into_owned(),
            safe(&workload.command).into_owned(),
        ]);
    }
    lines(&table)
}

/// Who has which walls: most often all the same, and then said once.
fn walls(workloads: &[Workload]) -> Vec<(String, String)> {
    let mut groups: BTreeMap<&[String], Vec<&str>> = BTreeMap::new();
    for workload in workloads {
        groups
            .entry(&workload.walls)
            .or_default()
            .push(&workload.instance.0);
    }
    let alone = groups.len() == 1;
    groups
        .into_iter()
        .map(|(walls, who)| {
            let who = match (alone, who.as_slice()) {
                (true, [_, _, ..]) => "all instances".to_owned(),
                _ => who.join(", "),
            };
            let walls = match walls {
                [] => "none is reported yet".to_owned(),
                walls => walls.join("; "),
            };
            (who, walls)
        })
        .collect()
}

fn lines(table: &Table) -> String {
    let lines = table
        .lines()
        .map(|line| {
            line.strip_prefix(' ')
                .unwrap_or(&line)
                .trim_end()
                .to_owned()
        })
        .collect::<Vec<_>>();
    lines.join("\n")
}

fn reason(out: &mut impl Write, degraded: &Degraded) -> io::Result<()> {
    let paint = Paint::stdout();
    writeln!(
        out,
        "{} {} · {}",
        paint.paint(Colour::Red, "degraded "),
        safe(&degraded.reason),
        safe(&degraded.fix)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        for (count, shown) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1_536_000, "1.4 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(bytes(count), shown);
        }
    }
}
