//! What a launcher saw and no door did: refused by a wall, or reset while no enforcer was there.

use ringfence_compartment::link::Attempt;
use ringfence_model::OriginalDst;
use ringfence_model::flow::{Kind, Outcome};

use crate::cause::Cause;
use crate::compartment::Compartment;
use crate::inforce::InForce;
use crate::limits::RECORD_TEXT;
use crate::node::Node;
use crate::record::{Record, Ruling, Subject, bounded, now_ns};

/// Records them, in order. They have been refused already; the log counts what it cannot take.
pub(crate) fn record(node: &Node, home: &Compartment, attempts: &[Attempt]) {
    let force = node.current.load();
    for attempt in attempts {
        let (kind, cause) = sort(attempt);
        home.reported(kind, cause, flow(&force, home, attempt));
    }
}

fn sort(attempt: &Attempt) -> (Kind, Cause) {
    if attempt.wall {
        (Kind::Wall, Cause::Wall)
    } else {
        (Kind::Connection, Cause::EnforcerAway)
    }
}

/// Who it was is known from the link it came on; what it was is the launcher's word.
fn flow(force: &InForce, home: &Compartment, attempt: &Attempt) -> Record {
    let snapshot = &force.snapshot;
    let original = attempt.destination.map(OriginalDst::new);
    let mut subject = Subject::of(force, &home.workload, &home.instance);
    subject.original = original;
    let to = original.and_then(|to| {
        snapshot
            .route(to)
            .or_else(|| snapshot.resolve_address(to.ip()))
    });
    if let Some(to) = to {
        subject.destination = snapshot.workload(to).id.name.to_string();
    }
    let (kind, cause) = sort(attempt);
    let ruling = Ruling::without_rule(attempt.reason.clone(), snapshot.generation()).because(cause);
    let mut flow = subject.flow(kind, Outcome::Deny, &attempt.operation, &ruling);
    flow.protocol = bounded(&attempt.protocol, RECORD_TEXT);
    flow.count = attempt.count.max(1);
    // A launcher's clock is ours; a time to come is a lie.
    let now = now_ns();
    flow.time_ns = attempt.time_ns.min(now);
    if flow.count > 1 {
        flow.last_time_ns = attempt.last_ns.clamp(flow.time_ns, now);
    }
    flow
}
