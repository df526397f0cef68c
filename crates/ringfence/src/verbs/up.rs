//! `ringfence up`: a node in the foreground.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use ringfence_audit::Durability;
use ringfence_model::HostName;
use ringfence_node::{Enforced, Loopback, NodeError, Rehearsal, UpOptions};

use crate::output::{Failure, finish, safe, say};

/// Longest name of a node, in bytes.
const NODE_NAME_MAX: usize = 253;

const EXAMPLES: &str = "\
Examples:
  ringfence init estate && ringfence up --config estate
  ringfence up --config estate --state /tmp/try
  ringfence up --config estate --durability disk                a power failure costs no record
  ringfence up --config estate --dry-run                        would it start, and what would it enforce?
  ringfence run assistant -- curl -sS http://library:8000/      (in another terminal)
  ./ringfence-2 up --config estate --takeover                   (the new binary, while the old one serves)

It prints one line on standard output when it serves, and everything else on standard error. Changes of the files are \
picked up when saved: the whole new generation or none. SIGHUP reads them at once, SIGTERM and SIGINT stop the node. \
docs/operating.md has the rest.

Exit codes: 0 stopped by a signal (--dry-run: it would enforce these files), 1 it cannot start (--dry-run: or would not \
enforce them), 2 usage.";

/// Runs a node on this machine: enforces the policy in a directory until stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpArgs {
    /// Directory with the resource files (services, agents, policies)
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// Where the node keeps its log and its numbers [default: /var/lib/ringfence for root, else ringfence under the
    /// XDG state directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Zone of the workloads: each answers to NAME.ZONE
    #[arg(long, value_name = "NAME", default_value = "ringfence.internal", value_parser = HostName::new)]
    zone: HostName,
    /// Name of this node in the records [default: the host's name]
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    node: Option<String>,
    /// Serve metrics on this port of the loopback too, for Prometheus; they are always on the socket that `status` names
    #[arg(long, value_name = "127.0.0.1:PORT")]
    metrics: Option<Loopback>,
    /// Group, by number, that may read the metrics' socket besides root (a node of root only)
    #[arg(long, value_name = "GID")]
    metrics_gid: Option<u32>,
    /// Where a record must be before what it describes may happen: in the kernel's memory, where `kill -9` of anything loses none,
    /// or on the disk, where a power failure loses none either and each decision waits for the disk
    #[arg(long, value_enum, value_name = "WHERE", default_value = "memory")]
    durability: Kept,
    /// Replace the node that serves this state now: an upgrade, with agents running. Everything is tried first; a binary or a
    /// configuration that would not serve leaves the running node alone
    #[arg(long)]
    takeover: bool,
    /// Check state and files, say what would be enforced, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// When a record counts as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kept {
    /// In the kernel's page cache; written back within a second
    Memory,
    /// On the disk
    Disk,
}

impl From<Kept> for Durability {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Memory => Durability::Memory,
            Kept::Disk => Durability::Disk,
        }
    }
}

fn node_name(text: &str) -> Result<String, String> {
    if text.is_empty()
        || text.len() > NODE_NAME_MAX
        || text.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        return Err(format!("use 1 to {NODE_NAME_MAX} bytes without spaces"));
    }
    Ok(text.to_owned())
}

pub(crate) fn run(args: UpArgs) -> ExitCode {
    let UpArgs {
        config,
        state,
        zone,
        node,
        metrics,
        metrics_gid,
        durability,
        takeover,
        dry_run,
    } = args;
    let options = UpOptions {
        config,
        state,
        zone,
        node,
        metrics,
        metrics_gid,
        durability: durability.into(),
        takeover,
    };
    let failure = |error: NodeError| {
        let fix = error.fix();
        Failure::new(error, fix)
    };
    finish(if dry_run {
        let rehearsal = ringfence_node::rehearse(&options).map_err(failure);
        rehearsal.and_then(|rehearsal| tell(&rehearsal))
    } else {
        let up = ringfence_node::up(options).map_err(failure);
        up.map(|()| ExitCode::SUCCESS)
    })
}

/// Of a dry run: 0 when the files would be enforced, 1 when something else would be.
fn tell(rehearsal: &Rehearsal) -> Result<ExitCode, Failure> {
    let Rehearsal {
        config,
        state,
        fresh,
        policy,
        last_good,
    } = rehearsal;
    match policy {
        Ok(Enforced {
            services,
            agents,
            policies,
        }) => {
            let made = if *fresh { ", which would be made" } else { "" };
            let line = format!(
                "dry run: would enforce services {services}, agents {agents}, policies {policies} of {} · state {}{made} · nothing was changed",
                config.display(),
                state.display()
            );
            let mut out = io::stdout().lock();
            writeln!(out, "{}", safe(&line))?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Err(errors) => {
            say(errors);
            let instead = if *last_good {
                "the last good generation of an earlier run would serve"
            } else {
                "everything would be denied"
            };
            Err(Failure::new(
                format!("the files of {} are rejected: {instead}", config.display()),
                "mend them; `ringfence policy lint` checks them as well",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_name_of_so_many_bytes_and_no_spaces() {
        let longest = "n".repeat(NODE_NAME_MAX);
        assert_eq!(node_name(&longest), Ok(longest.clone()));
        let longer = format!("{longest}n");
        for wrong in [longer.as_str(), "", "a b", "a\u{7}"] {
            assert!(node_name(wrong).unwrap_err().contains("253"), "{wrong}");
        }
    }
}
