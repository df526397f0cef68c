//! DNS at the door: names the workload may reach, and nothing else. There is no resolver behind it to tunnel through.

use jiff::Timestamp;
use ringfence_model::OriginalDst;
use ringfence_model::flow::{Kind, Outcome};
use ringfence_policy::{Recheck, WorkloadIx};
use ringfence_wire::dns::{self, Answer, Query, Transport};

use crate::cause::Cause;
use crate::compartment::Compartment;
use crate::inforce::InForce;
use crate::judge::{self, Admitted, Denied};
use crate::meters::Dns;
use crate::node::Node;
use crate::record::{Ruling, Subject};

/// Answers one message, sent to `server`. `None` is silence.
///
/// The query is on record before the answer exists. `connection` is the id of the connection it came on, if any.
pub(crate) fn answer(
    node: &Node,
    home: &Compartment,
    server: OriginalDst,
    connection: &str,
    message: &[u8],
    transport: Transport,
) -> Option<Vec<u8>> {
    let force = node.current.load();
    let meters = &node.recorder.meters;
    let mut subject = home.subject(&force, server, "dns");
    subject.connection = connection.to_owned();
    let refuse = |subject: &Subject, operation: &str, ruling: Ruling| {
        home.refused(subject, Kind::Operation, operation, &ruling);
    };
    if !home.dns_rate.allows() {
        refuse(
            &subject,
            "resolve",
            plain(&force, "too many queries within a second").because(Cause::Limit),
        );
        meters.resolved(Dns::Dropped);
        return None;
    }
    let query = match dns::read(message) {
        Ok(query) => query,
        Err(rejected) => {
            refuse(
                &subject,
                "resolve",
                plain(&force, &rejected.reason.to_string()).because(Cause::Malformed),
            );
            meters.resolved(Dns::Malformed);
            return rejected.answer;
        }
    };
    let operation = format!("resolve {} {}", query.kind(), query.name());
    let now = node.clock.now();
    let (to, admitted) = match meters.decide.time(|| find(&force, home, &query, now)) {
        Ok(found) => found,
        Err(Denied { to, ruling }) => {
            if let Some(to) = to {
                subject.destination = force.snapshot.workload(to).id.name.to_string();
            }
            refuse(&subject, &operation, ruling);
            meters.resolved(Dns::NxDomain);
            return Some(query.answer(Answer::NxDomain, transport));
        }
    };
    let workload = force.snapshot.workload(to);
    subject.destination = workload.id.name.to_string();
    let flow = subject.flow(
        Kind::Operation,
        admitted.outcome,
        &operation,
        &admitted.ruling,
    );
    if node.recorder.before(&flow).is_err() {
        meters.resolved(Dns::ServFail);
        return Some(query.answer(Answer::ServFail, transport));
    }
    let canonical = force
        .zone
        .as_ref()
        .map(|zone| format!("{}.{zone}", workload.id.name));
    let answer = match (query.kind(), query.reverse(), &canonical) {
        (dns::Kind::A, None, _) => Answer::A(workload.address.v4),
        (dns::Kind::Aaaa, None, _) => Answer::Aaaa(workload.address.v6),
        (dns::Kind::Ptr, Some(_), Some(name)) => Answer::Ptr(name),
        _ => Answer::NoData,
    };
    meters.resolved(match answer {
        Answer::NoData => Dns::NoData,
        _ => Dns::Found,
    });
    Some(query.answer(answer, transport))
}

/// The workload a query is about, provided that the asker may reach it, or is it.
fn find(
    force: &InForce,
    home: &Compartment,
    query: &Query,
    now: Timestamp,
) -> Result<(WorkloadIx, Admitted), Denied> {
    let snapshot = &force.snapshot;
    let from = judge::who(force, &home.workload)?;
    let to = match query.reverse() {
        Some(address) => snapshot.resolve_address(address),
        None => snapshot.resolve(query.name()),
    };
    let Some(to) = to else {
        return Err(Denied {
            to: None,
            ruling: plain(force, "no workload answers to this name").because(Cause::UnknownName),
        });
    };
    if from == to {
        let itself = Admitted {
            outcome: Outcome::Allow,
            ruling: plain(force, "its own name").because(Cause::Allowed),
            recheck: Recheck::default(),
        };
        return Ok((to, itself));
    }
    judge::free(force, &snapshot.workload(to).id, Some(to))?;
    judge::may_meet(snapshot, from, to, now).map(|admitted| (to, admitted))
}

fn plain(force: &InForce, reason: &str) -> Ruling {
    let generation = force.snapshot.generation();
    Ruling::without_rule(reason.to_owned(), generation)
}
