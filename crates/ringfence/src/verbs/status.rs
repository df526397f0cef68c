//! `ringfence status`: how a node stands, and what is wrong with it.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use ringfence_node::status::{Degraded, Status};
use ringfence_node::{Origin, ask_status, default_dir};
use serde::Serialize;

use crate::output::{Colour, Failure, Paint, finish, safe, safe_json};

/// Something is not as it should be; what that means is in the answer.
const EXIT_DEGRADED: u8 = 5;

const EXAMPLES: &str = "\
Examples:
  ringfence status
  ringfence status -o json | jq -r '.workloads[].instance'
  ringfence status > /dev/null || echo degraded

Exit code 0 when all is well, 5 when degraded: not running, the enforcer down, a configuration rejected, or a log that \
takes nothing. Each reason comes with what to do about it.";

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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Table,
    Json,
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
    let state = match args.state {
        Some(state) => state,
        None => default_dir().map_err(|error| {
            let fix = error.fix();
            Failure::new(error, fix)
        })?,
    };
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
            let json = serde_json::to_string(&answer).map_err(io::Error::from)?;
            writeln!(out, "{}", safe_json(&json))?;
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
    let Status {
        node,
        zone,
        pid,
        since,
        policy,
        enforcer,
        log,
        ..
    } = status;
    let from = match policy.origin {
        Origin::Config => format!("from {}", status.config.display()),
        Origin::LastGood => format!(
            "last good of an earlier run; {} is rejected",
            status.config.display()
        ),
        Origin::Nothing => format!(
            "none: everything is denied; reads {}",
            status.config.display()
        ),
    };
    let lines = [
        (
            "node",
            format!("{node}, zone {zone}, process {pid}, since {since:.0}"),
        ),
        (
            "policy",
            format!(
                "generation {}, services {}, agents {}, policies {}, {from}",
                policy.generation, policy.services, policy.agents, policy.policies
            ),
        ),
        (
            "enforcer",
            match enforcer.pid {
                Some(pid) => format!(
                    "process {pid}, {}, connections {}, restarts {}",
                    if enforcer.serving {
                        "serving"
                    } else {
                        "starting"
                    },
                    enforcer.connections,
                    enforcer.restarts
                ),
                None => format!("down, restarts {}", enforcer.restarts),
            },
        ),
        (
            "log",
            match (log.head, &log.trouble) {
                (_, Some(trouble)) => format!("takes nothing: {trouble}"),
                (Some(head), None) => format!("next record {head}"),
                (None, None) => "nothing is known while the enforcer is not up".to_owned(),
            },
        ),
        ("state", status.state.display().to_string()),
    ];
    for (name, text) in lines {
        writeln!(out, "{name:<9} {}", safe(&text))?;
    }
    for note in &status.notes {
        writeln!(out, "{:<9} {}", "note", safe(note))?;
    }
    if !status.workloads.is_empty() {
        writeln!(out, "\n{}", workloads(status))?;
    }
    if !status.degraded.is_empty() {
        writeln!(out)?;
    }
    status
        .degraded
        .iter()
        .try_for_each(|degraded| reason(out, degraded))
}

fn workloads(status: &Status) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "INSTANCE", "WORKLOAD", "UID", "PID", "SINCE", "STATE", "COMMAND",
    ]);
    for workload in &status.workloads {
        let state = match workload {
            workload if !workload.connected => "not connected",
            workload if !workload.known => "unknown to policy",
            workload if !workload.armed => "not armed",
            _ => "armed",
        };
        table.add_row([
            safe(&workload.instance.0).into_owned(),
            format!("{} {}", workload.kind, workload.name),
            workload.uid.to_string(),
            workload.pid.to_string(),
            format!("{:.0}", workload.since),
            state.to_owned(),
            safe(&workload.command).into_owned(),
        ]);
    }
    let lines = table
        .lines()
        .map(|line| line.trim_end().to_owned())
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
