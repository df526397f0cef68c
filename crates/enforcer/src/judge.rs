//! Who, where, may they: the same three questions for a fresh connection and for one that lives.

use std::fmt::Write;

use jiff::Timestamp;
use ringfence_model::flow::Outcome;
use ringfence_model::{OriginalDst, Position, Protocol, WorkloadId};
use ringfence_policy::{
    Explanation, Moment, Operation, Recheck, Ruled, Seen, Snapshot, Verdict, WorkloadIx,
};

use crate::cause::Cause;
use crate::connection::Arrival;
use crate::inforce::InForce;
use crate::record::Ruling;

/// Who talks to whom, within one snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    /// The workload behind the door.
    pub(crate) from: WorkloadIx,
    /// The workload that was called.
    pub(crate) to: WorkloadIx,
    /// What the callee speaks.
    pub(crate) protocol: Protocol,
}

/// A yes, in the words of the record, and for how long it is known to hold.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    /// [`Outcome::Allow`], or [`Outcome::WouldDeny`] where a policy is only learning or tried.
    pub(crate) outcome: Outcome,
    /// For the record.
    pub(crate) ruling: Ruling,
    /// When to ask again.
    pub(crate) recheck: Recheck,
}

/// A no, in the words of the record. The workload learns none of them.
#[derive(Clone, Debug)]
pub(crate) struct Denied {
    /// The workload it was about, if the destination is one.
    pub(crate) to: Option<WorkloadIx>,
    /// For the record.
    pub(crate) ruling: Ruling,
}

impl Denied {
    fn here(snapshot: &Snapshot, to: Option<WorkloadIx>, cause: Cause, reason: String) -> Self {
        let generation = snapshot.generation();
        Self {
            to,
            ruling: Ruling::without_rule(reason, generation).because(cause),
        }
    }
}

/// *Who*: the workload of a compartment, as the snapshot knows it. Nobody who is quarantined.
pub(crate) fn who(force: &InForce, source: &WorkloadId) -> Result<WorkloadIx, Denied> {
    let snapshot = &force.snapshot;
    let from = snapshot
        .find(source.name.as_str())
        .filter(|&ix| snapshot.workload(ix).id == *source)
        .ok_or_else(|| {
            Denied::here(
                snapshot,
                None,
                Cause::NotInEstate,
                format!("{source} is not in the estate"),
            )
        });
    free(force, source, None)?;
    from
}

/// No to one that is quarantined, before any rule is asked. `to`: for the record.
pub(crate) fn free(
    force: &InForce,
    workload: &WorkloadId,
    to: Option<WorkloadIx>,
) -> Result<(), Denied> {
    let Some(why) = force.quarantined.why(&workload.name) else {
        return Ok(());
    };
    let reason = format!("{workload} is quarantined {why}");
    Err(Denied::here(
        &force.snapshot,
        to,
        Cause::Quarantined,
        reason,
    ))
}

/// *Where*: the workload at an original destination, and what it speaks. Whoever may go on has asked this, so a
/// quarantine of either end is found here, whatever else is asked of the two.
pub(crate) fn pair(
    force: &InForce,
    source: &WorkloadId,
    original: OriginalDst,
) -> Result<Pair, Denied> {
    let snapshot = &force.snapshot;
    let from = who(force, source).map_err(|denied| Denied {
        to: snapshot.route(original),
        ..denied
    })?;
    if is_door(original) {
        return Err(Denied::here(
            snapshot,
            None,
            Cause::OwnDoor,
            "the enforcer's own door".to_owned(),
        ));
    }
    let Some(to) = snapshot.route(original) else {
        let to = snapshot.resolve_address(original.ip());
        let (cause, reason) = match to {
            Some(to) => (
                Cause::UndeclaredPort,
                format!("{} declares no such port", snapshot.workload(to).id),
            ),
            None => (
                Cause::UnknownDestination,
                "no workload has this address".to_owned(),
            ),
        };
        return Err(Denied::here(snapshot, to, cause, reason));
    };
    free(force, &snapshot.workload(to).id, Some(to))?;
    match snapshot.workload(to).serves {
        Some((protocol, _)) => Ok(Pair { from, to, protocol }),
        None => {
            let reason = format!("{} serves nothing", snapshot.workload(to).id);
            Err(Denied::here(
                snapshot,
                Some(to),
                Cause::NothingServed,
                reason,
            ))
        }
    }
}

/// *May they* open a connection, or a flow of datagrams: for an opaque protocol that is the operation itself, for one that is read it is
/// whether any operation between the two could be allowed.
pub(crate) fn may_connect(
    snapshot: &Snapshot,
    pair: Pair,
    arrival: Arrival,
    now: Timestamp,
) -> Result<Admitted, Denied> {
    let operation = match (arrival, pair.protocol) {
        (Arrival::Connection, protocol) if protocol.has_requests() => {
            return may_meet(snapshot, pair.from, pair.to, now);
        }
        // To one that takes datagrams nobody connects, and the other way about: denied, in words.
        (Arrival::Connection, _) => Operation::Connect,
        (Arrival::Datagram, _) => Operation::Send,
    };
    may(
        snapshot,
        pair,
        operation,
        &Moment::at(now, Seen::Connection),
    )
}

/// *May they meet*: whether any operation at all could be allowed.
pub(crate) fn may_meet(
    snapshot: &Snapshot,
    from: WorkloadIx,
    to: WorkloadIx,
    now: Timestamp,
) -> Result<Admitted, Denied> {
    let verdict = snapshot.may_meet(from, to, now);
    ruled(snapshot, to, &verdict, || {
        snapshot.words(from, to, None, &verdict)
    })
}

/// *May they*: one operation.
pub(crate) fn may(
    snapshot: &Snapshot,
    pair: Pair,
    operation: Operation<'_>,
    moment: &Moment<'_>,
) -> Result<Admitted, Denied> {
    let verdict = snapshot.decide(pair.from, pair.to, operation, moment);
    ruled(snapshot, pair.to, &verdict, || {
        snapshot.words(pair.from, pair.to, Some(operation), &verdict)
    })
}

/// The verdict decides; words are looked for only when it is not a plain yes.
fn ruled(
    snapshot: &Snapshot,
    to: WorkloadIx,
    verdict: &Verdict,
    words: impl FnOnce() -> Explanation,
) -> Result<Admitted, Denied> {
    let generation = snapshot.generation();
    let cause = verdict.reason().into();
    let recheck = verdict.recheck();
    if verdict.ruled() == Ruled::Allow {
        let rule = snapshot.rule(verdict, to);
        let ruling = Ruling {
            reason: verdict.reason().as_str().to_owned(),
            rule: rule.map(spelled).unwrap_or_default(),
            generation,
            mode: verdict.mode().as_str(),
            cause,
        };
        return Ok(Admitted {
            outcome: Outcome::Allow,
            ruling,
            recheck,
        });
    }
    let Explanation {
        mut reason,
        rule,
        nearest,
        ..
    } = words();
    if let Some((at, differs)) = nearest {
        reason = format!("{reason}; nearest rule {at}: {differs}");
    }
    let ruling = Ruling {
        reason,
        rule: rule.map(|at| at.to_string()).unwrap_or_default(),
        generation,
        mode: verdict.mode().as_str(),
        cause,
    };
    if verdict.is_allowed() {
        Ok(Admitted {
            outcome: Outcome::WouldDeny,
            ruling,
            recheck,
        })
    } else {
        Err(Denied {
            to: Some(to),
            ruling,
        })
    }
}

/// `FILE:LINE`, in memory that need not grow for most.
fn spelled(at: &Position) -> String {
    let mut text = String::with_capacity(64);
    // Writing to a text cannot fail.
    let _ = write!(text, "{at}");
    text
}

/// Whether a destination is an address of our own in the compartment. No workload lives there.
pub(crate) fn is_door(original: OriginalDst) -> bool {
    ringfence_compartment::address::is_door(original.socket_addr())
}
