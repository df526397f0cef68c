//! A compartment without a node: the launcher's own way from grant to exit code, for `ringfence check`.
//!
//! A child process stands where the enforcer would: it examines every descriptor as the enforcer does, and arms.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use ringfence_model::resource::Filesystem;
use ringfence_model::{Generation, InstanceId, Kind, Name, VirtualAddr, WorkloadId};

use super::enclose::Score;
use super::node::Claimed;
use super::streams::Streams;
use super::{LaunchRequest, environment, hints, signals, start, watch};
use crate::error::{OrRefuse, Refusal};
use crate::inside::limits;
use crate::link::{Bounds, FromEnforcer, Grant, ToEnforcer};
use crate::{channel, inspect, privileges, sys};

const FIX: &str = "raise the limit of open files, then try again";
/// Whom the compartment holds.
const NAME: &str = "ringfence-check";

/// What a node would grant to a workload without policy. `outer_id` as in [`Grant`].
pub(crate) fn grant(outer_id: Option<u32>) -> Grant {
    let Ok(name) = Name::new(NAME) else {
        unreachable!("a name by the rules, held to them by a test")
    };
    Grant {
        instance: InstanceId(NAME.into()),
        workload: WorkloadId {
            kind: Kind::Agent,
            name,
        },
        address: VirtualAddr {
            v4: Ipv4Addr::new(100, 64, 0, 1),
            v6: Ipv6Addr::new(0xfd52, 0x6600, 0, 0, 0, 0, 0, 1),
        },
        fqdn: format!("{NAME}.invalid"),
        outer_id,
        filesystem: Filesystem::default(),
        forbidden: Vec::new(),
        generation: Generation(0),
        pinned: false,
        bounds: Bounds::default(),
        quarantined: false,
        encloses: false,
    }
}

/// Runs `program` in a compartment to its end, and takes the compartment down. Gives its exit code.
///
/// Takes this process's privileges, as a launcher does: to be called in one that is thrown away.
pub(crate) fn trial(outer_id: Option<u32>, program: &str) -> Result<u8, Refusal> {
    let score = Score::open();
    privileges::close_to_others().or_refuse("a launcher", FIX)?;
    limits::no_core_dumps()?;
    let caught = signals::catch(&[])?;
    hints::preconditions()?;
    let request = LaunchRequest {
        state: PathBuf::from("/"),
        name: NAME.to_owned(),
        command: vec![program.into()],
        workdir: None,
        user: None,
        env: Vec::new(),
    };
    let environment = environment::build(&request)?;
    let streams = Streams {
        given: [Some(null()?), Some(null()?), Some(null()?)],
        pumps: Vec::new(),
        terminal: None,
        interactive: false,
    };
    // Held to the end: a node that hangs up is looked for again.
    let (node, _far_node) = channel::pair().or_refuse("a channel", FIX)?;
    let (link, far_link) = channel::pair().or_refuse("a channel", FIX)?;
    if let sys::Cloned::Child = sys::clone_process(0).or_refuse("a channel", FIX)? {
        let served = sys::close_all_but(&[far_link.as_raw_fd()]).and_then(|()| stand_in(&far_link));
        sys::exit_now(u8::from(served.is_err()))
    }
    drop(far_link);
    let claimed = Claimed {
        node,
        grant: grant(outer_id),
        program: None,
        link,
    };
    let given = start::Given {
        streams,
        environment,
        ignored_signals: Vec::new(),
        score,
    };
    let started = start::start(&request, claimed, given, &caught)?;
    watch::Launcher::new(request, started, caught).run()
}

fn null() -> Result<OwnedFd, Refusal> {
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null");
    Ok(opened.or_refuse("the standard streams", FIX)?.into())
}

fn stand_in(link: &OwnedFd) -> io::Result<()> {
    privileges::die_with_parent()?;
    let host = inspect::own_namespace()?;
    let (mut wrong, mut messages) = (None, 0);
    while let Some(packet) = channel::recv::<ToEnforcer>(link)? {
        let answer = match packet.message {
            ToEnforcer::Sockets { sockets } => {
                for (socket, descriptor) in sockets.into_iter().zip(packet.descriptors) {
                    let found = inspect::check(socket, &descriptor, host);
                    wrong = wrong.or(found.err().map(|cause| cause.to_string()));
                }
                continue;
            }
            ToEnforcer::Arm { .. } => match wrong.take() {
                Some(reason) => FromEnforcer::Rejected { reason },
                None => FromEnforcer::Armed,
            },
            ToEnforcer::Attempts { .. } => {
                messages += 1;
                FromEnforcer::Recorded { messages }
            }
        };
        channel::send(link, &answer, &[])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn its_grant_is_one() {
        assert_eq!(super::grant(None).workload.name.to_string(), super::NAME);
    }
}
