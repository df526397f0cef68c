//! `ringfence porter`: a child of the node, between it and what launchers of other users send. Nobody else starts it.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use ringfence_compartment::confine::confine_enforcer;
use ringfence_compartment::spawn::{CONTROL_FD, take_control};
use ringfence_compartment::{channel, porter};

use crate::output::{EXIT_ERROR, Failure, finish};

/// Carries descriptors of other users' launchers; started by `ringfence up`.
#[derive(Debug, clap::Args)]
pub(crate) struct PorterArgs {
    /// User and group to become
    #[arg(long, value_name = "ID")]
    run_as: Option<u32>,
}

pub(crate) fn run(args: &PorterArgs) -> ExitCode {
    let (launcher, enforcer) = match ends() {
        Ok(ends) => ends,
        Err(failure) => return finish(Err(failure)),
    };
    let carried = confine_enforcer(args.run_as, &[])
        .map_err(Failure::plain)
        .map(|_| porter::carry(&launcher, &enforcer));
    // Nothing is closed before the process is: that may never return.
    std::process::exit(match carried {
        // A side that broke off is how it always ends.
        Ok(_) => 0,
        Err(failure) => {
            finish(Err(failure));
            EXIT_ERROR.into()
        }
    })
}

/// The channels to launcher and enforcer, which the node sends first.
fn ends() -> Result<(OwnedFd, OwnedFd), Failure> {
    let nobody = |cause: &dyn std::fmt::Display| {
        Failure::new(
            format!("there is no node at descriptor {CONTROL_FD}: {cause}"),
            "start a node with `ringfence up`; it starts its porters itself",
        )
    };
    let control = take_control().map_err(|cause| nobody(&cause))?;
    let packet = channel::recv::<String>(&control)
        .map_err(|cause| nobody(&cause))?
        .ok_or_else(|| nobody(&"it has gone"))?;
    match <[OwnedFd; 2]>::try_from(packet.descriptors) {
        Ok([launcher, enforcer]) => Ok((launcher, enforcer)),
        Err(_) => Err(nobody(&"it sent no two channels")),
    }
}
