//! Counts what passes, for monitors: on the way of every attempt, without a lock and without an allocation.
//!
//! All numbers only grow, from the start of this enforcer. They are added to in no order with one another (relaxed),
//! so a reader may see a connection closed a moment before it sees it opened; each single number is exact. Decisions
//! are counted where the log takes their record, so they add up to what the log says.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use ringfence_compartment::figures::{self, BOUNDS_NS, Figures};
use ringfence_model::flow::{Flow, Kind, Outcome};

use crate::cause::{CAUSES, Cause};

const KINDS: [(Kind, &str); 3] = [
    (Kind::Connection, "connection"),
    (Kind::Operation, "operation"),
    (Kind::Wall, "wall"),
];
const OUTCOMES: [(Outcome, &str); 4] = [
    (Outcome::Allow, "allow"),
    (Outcome::Deny, "deny"),
    (Outcome::WouldDeny, "would-deny"),
    (Outcome::Error, "error"),
];
/// The last stands for what a launcher calls otherwise.
const PROTOCOLS: [&str; 8] = ["http", "http2", "grpc", "tls", "tcp", "udp", "dns", "other"];
const DECISIONS: usize = KINDS.len() * PROTOCOLS.len() * OUTCOMES.len() * CAUSES.len();

/// What became of a DNS query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dns {
    /// An address, or a name for one.
    Found,
    /// The name is there, what was asked of it is not.
    NoData,
    /// There is no such name, for this asker.
    NxDomain,
    /// The log did not take the query.
    ServFail,
    /// It could not be read; answered where that can be done.
    Malformed,
    /// Too many: silence.
    Dropped,
}

const DNS: [(Dns, &str); 6] = [
    (Dns::Found, "found"),
    (Dns::NoData, "no-data"),
    (Dns::NxDomain, "nxdomain"),
    (Dns::ServFail, "servfail"),
    (Dns::Malformed, "malformed"),
    (Dns::Dropped, "dropped"),
];

/// All counters of an enforcer.
pub(crate) struct Meters {
    decisions: Box<[AtomicU64; DECISIONS]>,
    opened: [AtomicU64; PROTOCOLS.len()],
    closed: [AtomicU64; PROTOCOLS.len()],
    sent: AtomicU64,
    received: AtomicU64,
    dns: [AtomicU64; DNS.len()],
    unrecorded_denied: AtomicU64,
    unrecorded_after: AtomicU64,
    /// Time that decisions take.
    pub(crate) decide: Timer,
    /// Time that the log takes for a record.
    pub(crate) append: Timer,
    /// From a request's head to the first byte sent on.
    pub(crate) delay: Timer,
}

impl Meters {
    /// All zero.
    pub(crate) fn new() -> Self {
        Self {
            decisions: Box::new([const { AtomicU64::new(0) }; DECISIONS]),
            opened: Default::default(),
            closed: Default::default(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            dns: Default::default(),
            unrecorded_denied: AtomicU64::new(0),
            unrecorded_after: AtomicU64::new(0),
            decide: Timer::new(),
            append: Timer::new(),
            delay: Timer::new(),
        }
    }

    /// The log has taken `flow`.
    pub(crate) fn recorded(&self, flow: &Flow, cause: Cause) {
        let protocol = protocol(flow);
        let kind = KINDS.iter().position(|(kind, _)| *kind == flow.kind());
        let outcome = OUTCOMES
            .iter()
            .position(|(outcome, _)| *outcome == flow.outcome());
        let (Some(kind), Some(outcome)) = (kind, outcome) else {
            return;
        };
        if let Some(counter) = self
            .decisions
            .get(place(kind, protocol, outcome, cause as usize))
        {
            // Records leave an unset count to the log, which makes it one.
            counter.fetch_add(flow.count.max(1), Relaxed);
        }
        let let_in = matches!(flow.outcome(), Outcome::Allow | Outcome::WouldDeny);
        if flow.kind() == Kind::Connection && let_in {
            self.opened[protocol].fetch_add(1, Relaxed);
        }
    }

    /// A connection of this record has ended, whether the log took that or not.
    pub(crate) fn closed(&self, flow: &Flow) {
        if flow.kind() == Kind::Close {
            self.closed[protocol(flow)].fetch_add(1, Relaxed);
        }
    }

    /// The log did not take `flow`; `denied` says that it was denied for that.
    pub(crate) fn unrecorded(&self, flow: &Flow, denied: bool) {
        let counter = if denied {
            &self.unrecorded_denied
        } else {
            &self.unrecorded_after
        };
        counter.fetch_add(flow.count.max(1), Relaxed);
    }

    /// Payload was relayed.
    pub(crate) fn relayed(&self, sent: u64, received: u64) {
        self.sent.fetch_add(sent, Relaxed);
        self.received.fetch_add(received, Relaxed);
    }

    /// A DNS query was dealt with.
    pub(crate) fn resolved(&self, became: Dns) {
        self.dns[became as usize].fetch_add(1, Relaxed);
    }

    /// All numbers, as the node is told.
    pub(crate) fn figures(&self) -> Figures {
        let mut decisions = Vec::new();
        for (k, (_, kind)) in KINDS.iter().enumerate() {
            for (p, protocol) in PROTOCOLS.iter().enumerate() {
                for (o, (_, outcome)) in OUTCOMES.iter().enumerate() {
                    for (c, cause) in CAUSES.iter().enumerate() {
                        let counter = self.decisions.get(place(k, p, o, c));
                        let count = counter.map_or(0, |counter| counter.load(Relaxed));
                        if count > 0 {
                            decisions.push(figures::Decisions {
                                kind: (*kind).to_owned(),
                                protocol: (*protocol).to_owned(),
                                outcome: (*outcome).to_owned(),
                                reason: cause.word().to_owned(),
                                count,
                            });
                        }
                    }
                }
            }
        }
        let connections = PROTOCOLS.iter().zip(self.opened.iter().zip(&self.closed));
        Figures {
            decisions,
            connections: connections
                .map(|(protocol, (opened, closed))| figures::Connections {
                    protocol: (*protocol).to_owned(),
                    // In this order: what is read as closed is never more than what is read as opened.
                    closed: closed.load(Relaxed),
                    opened: opened.load(Relaxed),
                })
                .collect(),
            bytes_sent: self.sent.load(Relaxed),
            bytes_received: self.received.load(Relaxed),
            dns: DNS
                .iter()
                .zip(&self.dns)
                .map(|((_, word), counter)| ((*word).to_owned(), counter.load(Relaxed)))
                .collect(),
            unrecorded_denied: self.unrecorded_denied.load(Relaxed),
            unrecorded_after: self.unrecorded_after.load(Relaxed),
            decide: self.decide.timing(),
            append: self.append.timing(),
            delay: self.delay.timing(),
        }
    }
}

fn place(kind: usize, protocol: usize, outcome: usize, cause: usize) -> usize {
    ((kind * PROTOCOLS.len() + protocol) * OUTCOMES.len() + outcome) * CAUSES.len() + cause
}

fn protocol(flow: &Flow) -> usize {
    PROTOCOLS
        .iter()
        .position(|word| *word == flow.protocol)
        .unwrap_or(PROTOCOLS.len() - 1)
}

/// A histogram of durations with fixed buckets.
pub(crate) struct Timer {
    buckets: [AtomicU64; BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

impl Timer {
    fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BOUNDS_NS.len() + 1],
            sum_ns: AtomicU64::new(0),
        }
    }

    /// Does `work` and takes down how long it took.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.note(began);
        done
    }

    /// What `began` has come to its end.
    pub(crate) fn note(&self, began: Instant) {
        let ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NS.partition_point(|bound| *bound < ns);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    fn timing(&self) -> figures::Timing {
        figures::Timing {
            buckets: self
                .buckets
                .iter()
                .map(|bucket| bucket.load(Relaxed))
                .collect(),
            sum_ns: self.sum_ns.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn flow(kind: Kind, outcome: Outcome, protocol: &str, count: u64) -> Flow {
        Flow {
            kind: kind.into(),
            outcome: outcome.into(),
            protocol: protocol.to_owned(),
            count,
            ..Flow::default()
        }
    }

    #[test]
    fn counts_by_kind_protocol_outcome_and_cause_and_folded_ones_each() {
        let meters = Meters::new();
        let deny = flow(Kind::Operation, Outcome::Deny, "http", 40);
        meters.recorded(&deny, Cause::ReceiverNotNamed);
        meters.recorded(
            &flow(Kind::Wall, Outcome::Deny, "system call", 0),
            Cause::Wall,
        );
        meters.recorded(
            &flow(Kind::Connection, Outcome::Allow, "tcp", 1),
            Cause::Allowed,
        );
        // Neither an event nor a close is a decision.
        meters.recorded(&flow(Kind::Event, Outcome::Error, "", 1), Cause::Other);
        let close = flow(Kind::Close, Outcome::Allow, "tcp", 1);
        meters.recorded(&close, Cause::Other);
        meters.closed(&close);
        let figures = meters.figures();
        let decided: Vec<_> = figures
            .decisions
            .iter()
            .map(|d| {
                (
                    d.kind.as_str(),
                    d.protocol.as_str(),
                    d.outcome.as_str(),
                    d.reason.as_str(),
                    d.count,
                )
            })
            .collect();
        assert_eq!(
            decided,
            [
                ("connection", "tcp", "allow", "allowed", 1),
                ("operation", "http", "deny", "receiver-not-named", 40),
                ("wall", "other", "deny", "wall", 1),
            ]
        );
        let tcp = figures.connections.iter().find(|c| c.protocol == "tcp");
        assert_eq!(tcp.map(|tcp| (tcp.opened, tcp.closed)), Some((1, 1)));
    }

    #[test]
    fn places_are_all_different() {
        let mut seen = std::collections::BTreeSet::new();
        for kind in 0..KINDS.len() {
            for protocol in 0..PROTOCOLS.len() {
                for outcome in 0..OUTCOMES.len() {
                    for cause in 0..CAUSES.len() {
                        seen.insert(place(kind, protocol, outcome, cause));
                    }
                }
            }
        }
        assert_eq!(seen.len(), DECISIONS);
        assert_eq!(seen.last(), Some(&(DECISIONS - 1)));
    }

    #[test]
    fn words_of_dns_stand_at_their_numbers() {
        for (place, (became, _)) in DNS.iter().enumerate() {
            assert_eq!(*became as usize, place);
        }
    }

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let timer = Timer::new();
        let now = Instant::now();
        timer.note(now + Duration::from_secs(60));
        assert_eq!(timer.timing().buckets[0], 1, "not negative, nor huge");
        timer.note(now - Duration::from_secs(10));
        let timing = timer.timing();
        assert_eq!((timing.buckets[BOUNDS_NS.len()], timing.count()), (1, 2));
        assert!(timing.sum_ns >= 10_000_000_000);
    }

    #[test]
    fn counting_allocates_nothing() {
        let meters = Meters::new();
        let flow = flow(Kind::Operation, Outcome::Allow, "http", 1);
        let info = allocation_counter::measure(|| {
            for _ in 0..100 {
                meters
                    .decide
                    .time(|| meters.recorded(&flow, Cause::Allowed));
                meters.relayed(1, 1);
            }
        });
        assert_eq!(info.count_total, 0);
    }
}
