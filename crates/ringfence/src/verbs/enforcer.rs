//! `ringfence enforcer`: the node's child. Nobody else starts it.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use ringfence_compartment::spawn::CONTROL_FD;
use rustix::process::{PidfdFlags, PidfdGetfdFlags};

use crate::output::{Failure, finish};

/// The data plane of a node; started by `ringfence up`.
#[derive(Debug, clap::Args)]
pub(crate) struct EnforcerArgs {
    /// Directory of the flow log
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// User and group to become
    #[arg(long, value_name = "ID")]
    run_as: Option<u32>,
}

pub(crate) fn run(args: EnforcerArgs) -> ExitCode {
    finish(
        control().map(|control| {
            ExitCode::from(ringfence_enforcer::serve(control, args.log, args.run_as))
        }),
    )
}

/// The channel to the node, which is there under a number that both sides know.
fn control() -> Result<OwnedFd, Failure> {
    let alone = |error: rustix::io::Errno| {
        Failure::new(
            format!("there is no node at descriptor {CONTROL_FD}: {error}"),
            "start a node with `ringfence up`; it starts its enforcer itself",
        )
    };
    // Taken through a descriptor of ourselves: a bare number may not be turned into an owned one without `unsafe`.
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .map_err(alone)?;
    let control =
        rustix::process::pidfd_getfd(own, CONTROL_FD, PidfdGetfdFlags::empty()).map_err(alone)?;
    match rustix::net::sockopt::socket_type(&control) {
        Ok(rustix::net::SocketType::SEQPACKET) => Ok(control),
        Ok(_) => Err(alone(rustix::io::Errno::PROTOTYPE)),
        Err(error) => Err(alone(error)),
    }
}
