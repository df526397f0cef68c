//! `ringfence enforcer`: the node's child. Nobody else starts it.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use ringfence_compartment::spawn::CONTROL_FD;

use crate::output::{Failure, finish};
use crate::verbs::up::Kept;

/// The data plane of a node; started by `ringfence up`.
#[derive(Debug, clap::Args)]
pub(crate) struct EnforcerArgs {
    /// Directory of the flow log
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// User and group to become
    #[arg(long, value_name = "ID")]
    run_as: Option<u32>,
    /// When a record counts as kept
    #[arg(long, value_enum, default_value = "memory", value_name = "WHERE")]
    durability: Kept,
}

pub(crate) fn run(args: EnforcerArgs) -> ExitCode {
    finish(control().map(|control| {
        let durability = args.durability.into();
        ExitCode::from(ringfence_enforcer::serve(
            control,
            args.log,
            args.run_as,
            durability,
        ))
    }))
}

/// The channel to the node, which is there under a number that both sides know.
fn control() -> Result<OwnedFd, Failure> {
    ringfence_compartment::spawn::take_control().map_err(|error| {
        Failure::new(
            format!("there is no node at descriptor {CONTROL_FD}: {error}"),
            "start a node with `ringfence up`; it starts its enforcer itself",
        )
    })
}
