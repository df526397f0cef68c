//! Datagrams from one workload to another, or to an endpoint: the same steps as for a connection, for each flow.
//!
//! A flow is a client's address and port and where it sends to, in one compartment. Its first datagram is judged and
//! recorded as a connection is (`connection.rs`), and only then sent on; those that follow belong to it until it has
//! been idle for too long (`limits.rs`), is cut by a change of policy, or loses one of its compartments. Then its close
//! is recorded. What is refused meets silence.
//!
//! `queue.rs` holds what waits, `reach.rs` finds the receiver, `flow.rs` is the life of one flow.

mod flow;
mod limits;
mod queue;
mod reach;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringfence_model::flow::Kind;

use crate::cause::Cause;
use crate::compartment::Compartment;
use crate::connection::{Arrival, Connection, Opened};
use crate::node::Node;
use crate::record::Ruling;
use crate::slots::Slot;

pub(crate) use limits::Timeouts;
pub(crate) use queue::{Flows, Key};
pub(crate) use reach::Place;

/// Takes one datagram that came to the door: it joins its flow, or begins one, or is refused. Never waits.
///
/// `answers` sends to the client from any address.
pub(crate) fn receive(
    node: &Arc<Node>,
    home: &Arc<Compartment>,
    answers: &Arc<OwnedFd>,
    key: Key,
    payload: &[u8],
    timeouts: Timeouts,
) {
    if home.flows.offer(key, payload) {
        return;
    }
    let (places, first) = match (places(node, home), home.flows.keep(payload)) {
        (Ok(places), Some(first)) => (places, first),
        (Err(reason), _) => return refuse(node, home, key, Cause::Limit, reason),
        (Ok(_), None) => {
            let reason = format!("{} has too much waiting already", home.instance);
            return refuse(node, home, key, Cause::Limit, reason);
        }
    };
    let Opened::Yes(connection) = Connection::open(node, home, key.original, Arrival::Datagram)
    else {
        return;
    };
    let mail = Flows::begin(home, key, first);
    let answers = Arc::clone(answers);
    home.turns.spawn(async move {
        flow::live(*connection, mail, answers, timeouts).await;
        drop(places);
    });
}

/// A place among the compartment's flows, among those of the node, and for the descriptor.
fn places(node: &Node, home: &Compartment) -> Result<(Slot, [Slot; 2], [Slot; 2]), String> {
    let own = home.flow_slots.take().ok_or_else(|| {
        format!(
            "{} has {} flows already",
            home.instance,
            home.flow_slots.limit()
        )
    })?;
    let all = node.flow_slots.share(&home.flows_of_node).ok_or_else(|| {
        format!(
            "{} has as many of the node's {} flows as it leaves to others",
            home.instance,
            node.flow_slots.limit()
        )
    })?;
    let descriptor = node.slots.share(&home.of_node).ok_or_else(|| {
        format!(
            "{} has as many of the node's {} connections as it leaves to others",
            home.instance,
            node.slots.limit()
        )
    })?;
    Ok((own, all, descriptor))
}

/// Refuses a datagram before policy is asked.
pub(crate) fn refuse(node: &Node, home: &Compartment, key: Key, cause: Cause, reason: String) {
    let force = node.current.load();
    let ruling = Ruling::without_rule(reason, force.snapshot.generation()).because(cause);
    let subject = home.subject(&force, key.original, "udp");
    home.refused(&subject, Kind::Connection, "send", &ruling);
}

#[cfg(test)]
mod tests;
