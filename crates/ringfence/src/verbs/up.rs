//! `ringfence up`: a node in the foreground.

use std::path::PathBuf;
use std::process::ExitCode;

use ringfence_model::HostName;
use ringfence_node::{Loopback, UpOptions};

use crate::output::{Failure, finish};

/// Longest name of a node, in bytes.
const NODE_NAME_MAX: usize = 253;

const EXAMPLES: &str = "\
Examples:
  ringfence init estate && ringfence up --config estate
  ringfence up --config estate --state /tmp/try
  ringfence run assistant -- curl -sS http://library:8000/      (in another terminal)
  ./ringfence-2 up --config estate --takeover                   (the new binary, while the old one serves)

It prints one line on standard output when it serves, and everything else on standard error. Changes of the files are \
picked up when saved: the whole new generation or none. SIGHUP reads them at once, SIGTERM and SIGINT stop the node. \
docs/operating.md has the rest.";

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
    /// Replace the node that serves this state now: an upgrade, with agents running. Everything is tried first; a binary or a
    /// configuration that would not serve leaves the running node alone
    #[arg(long)]
    takeover: bool,
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
        takeover,
    } = args;
    let up = ringfence_node::up(UpOptions {
        config,
        state,
        zone,
        node,
        metrics,
        metrics_gid,
        takeover,
    });
    finish(up.map(|()| ExitCode::SUCCESS).map_err(|error| {
        let fix = error.fix();
        Failure::new(error, fix)
    }))
}
