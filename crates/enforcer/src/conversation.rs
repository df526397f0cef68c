//! What the relays of HTTP ask of a connection: the same steps as everywhere, for each request.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ringfence_model::flow::{Kind, Outcome};
use ringfence_model::path::Allowances;
use ringfence_model::resource::Recorded;
use ringfence_model::{HostName, Protocol, WorkloadId};
use ringfence_wire::foreign::Spoken;
use ringfence_wire::http2::Violation;

use crate::cause::Cause;
use crate::connection::Connection;
use crate::fields::Sent;
use crate::http::{Asked, Ended, Gate, Read, Refusal};
use crate::http2;
use crate::inforce::Stands;
use crate::judge::Admitted;
use crate::memory::Memory;
use crate::record::Ruling;
use crate::relay::{End, relay_begun};
use crate::request::{self, Decided, UnderWay};
use crate::slots::Slot;
use crate::upstream::{Upstream, close_in_order, reset_on_close};
use crate::watch::Watch;
use crate::whole::Whole;

/// Of a callee that is not known.
static NOTHING: Recorded = Recorded {
    headers: Vec::new(),
    query: Vec::new(),
};

/// An HTTP connection that was let in.
pub(crate) struct Conversation<'c> {
    connection: &'c Connection,
    /// `x-forwarded-client-cert`.
    caller: String,
    /// For the body that is being read before its request is decided.
    place: Mutex<Option<Slot>>,
}

impl<'c> Conversation<'c> {
    /// On `connection`, whose callee speaks HTTP.
    pub(crate) fn new(connection: &'c Connection) -> Self {
        let force = connection.node().current.load();
        let zone = force.zone.as_ref();
        let by = identity(zone, connection.to());
        let caller = format!("By={by};URI={}", identity(zone, connection.from()));
        Self {
            connection,
            caller,
            place: Mutex::default(),
        }
    }

    /// Decides one request, and records it: see [`Gate::admit`]. `held` is the place of its body, if that is being read.
    pub(crate) fn decide(
        &self,
        asked: &Asked<'_>,
        held: &mut Option<Slot>,
    ) -> Result<UnderWay, Refusal> {
        let connection = self.connection;
        let node = connection.node();
        let count = node.current.count();
        let force = node.current.load();
        let snapshot = &force.snapshot;
        let operation = || request::in_words(asked.operation());
        let mut callee = None;
        let judged = node.recorder.meters.decide.time(|| {
            let pair = connection.pair(&force)?;
            callee = Some(pair.to);
            request::decide(snapshot, pair, asked, node.clock.now())
        });
        let sent = Sent {
            query: asked.query,
            fields: asked.fields,
            record: callee.map_or(&NOTHING, |callee| &snapshot.workload(callee).record),
        };
        let held_before = held.take();
        let (under_way, admitted) = match judged {
            Ok(Decided::Yes(under_way, admitted)) => {
                let generation = snapshot.generation();
                let stands = Stands { count, generation };
                let under_way = under_way.stands_under(stands, admitted.recheck);
                let Some(under_way) = under_way.borrow(&connection.home().memory) else {
                    self.refuse(&operation(), self.no_memory(), Cause::Limit);
                    return Err(Refusal::Unavailable);
                };
                (under_way.hold(held_before), admitted)
            }
            Ok(Decided::BodyFirst) => {
                let (subject, home) = (connection.subject(), connection.home());
                let Some(taken) = home.body_slots.take() else {
                    let reason = format!(
                        "{} has {} bodies held for decisions already",
                        home.instance,
                        home.body_slots.limit()
                    );
                    let ruling = Ruling::without_rule(reason, snapshot.generation());
                    let ruling = ruling.because(Cause::Limit);
                    home.refused(&subject, Kind::Operation, &operation(), &ruling);
                    return Err(Refusal::Unavailable);
                };
                *held = Some(taken);
                return Err(Refusal::BodyFirst);
            }
            Err(denied) => {
                let (subject, home) = (connection.subject(), connection.home());
                let what = (&subject, Outcome::Deny);
                let sent = (&*node.recorder, &sent);
                home.refused_request(what, &operation(), &denied.ruling, sent);
                return Err(Refusal::Refused);
            }
        };
        let Admitted {
            outcome, ruling, ..
        } = admitted;
        if let Err(nobody) = connection.find_far(&force) {
            let ruling = Ruling {
                reason: nobody.to_string(),
                cause: nobody.cause(),
                ..ruling
            };
            let (subject, home) = (connection.subject(), connection.home());
            let (what, sent) = ((&subject, Outcome::Error), (&*node.recorder, &sent));
            home.refused_request(what, &operation(), &ruling, sent);
            return Err(Refusal::Unavailable);
        }
        let recorded = request::with_words(asked.operation(), |operation| {
            connection.record_operation(outcome, operation, &ruling, Some(&sent))
        });
        match recorded {
            Ok(()) => Ok(under_way),
            Err(_denied_and_counted_by_the_log) => Err(Refusal::Unavailable),
        }
    }

    /// Why something is refused that would have to be kept.
    fn no_memory(&self) -> String {
        let home = self.connection.home();
        format!(
            "{} has requests under way that hold {} bytes already",
            home.instance,
            home.memory.limit()
        )
    }

    /// Records what was refused before it could be decided.
    fn refuse(&self, what: &str, reason: String, cause: Cause) {
        let connection = self.connection;
        let generation = connection.node().current.load().snapshot.generation();
        let ruling = Ruling::without_rule(reason, generation).because(cause);
        let home = connection.home();
        home.refused(&connection.subject(), Kind::Operation, what, &ruling);
    }
}

/// The SPIFFE ID of a workload: `spiffe://ZONE/agent/NAME`.
fn identity(zone: Option<&HostName>, workload: &WorkloadId) -> String {
    let zone = zone.map_or("", HostName::as_str);
    format!("spiffe://{zone}/{}/{}", workload.kind, workload.name)
}

impl Gate for Conversation<'_> {
    /// Allowed and recorded; decided again when policy changes, or its time has come.
    type Permit = UnderWay;
    type Upstream = Upstream;

    fn allowances(&self) -> Allowances {
        let force = self.connection.node().current.load();
        match self.connection.pair(&force) {
            Ok(pair) => force.snapshot.workload(pair.to).path_allowances,
            // It will be denied; until then nothing is accepted that is not accepted everywhere.
            Err(_) => Allowances::default(),
        }
    }

    fn authority_ok(&self, authority: &str) -> bool {
        let force = self.connection.node().current.load();
        let pair = self.connection.pair(&force);
        pair.is_ok_and(|pair| force.snapshot.authority_names(pair.to, authority))
    }

    fn admit(&self, asked: &Asked<'_>) -> Result<UnderWay, Refusal> {
        let place = || self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = place().take();
        let admitted = self.decide(asked, &mut held);
        *place() = held;
        admitted
    }

    fn saw_fields(&self, permit: &UnderWay) -> bool {
        permit.was_seen()
    }

    fn refuse_malformed(&self, what: &str, reason: &str) {
        self.refuse(what, reason.to_owned(), Cause::Malformed);
    }

    fn refuse_foreign(&self, what: &str, seen: Spoken) {
        let (to, protocol) = (self.connection.to(), self.connection.protocol());
        let reason = format!("{to} speaks {protocol}, and its caller sent {seen}");
        self.refuse(what, reason, Cause::OtherProtocol);
    }

    fn upstream_failed(&self, reason: &str) {
        self.connection
            .note_trouble(format!("{} answered badly: {reason}", self.connection.to()));
    }

    async fn dial(&self) -> io::Result<Upstream> {
        self.connection.dial().await.map(Upstream::in_messages)
    }

    fn upstream_authority(&self) -> Option<String> {
        self.connection
            .endpoint()
            .map(crate::endpoint::Target::authority)
    }

    fn client_cert_header(&self) -> &str {
        &self.caller
    }

    async fn revoked(&self, permit: Option<&UnderWay>) {
        let _kept_by_the_connection = self.connection.watch(permit).await;
    }

    async fn carry(
        &self,
        permit: &UnderWay,
        client: &mut Whole,
        upstream: &mut Upstream,
        read: Read,
    ) -> Ended {
        let connection = self.connection;
        reset_on_close(&*client);
        upstream.must_not_end();
        let stop = connection.watch(Some(permit));
        let (end, moved) = relay_begun(client, upstream, [read.there, read.back], stop).await;
        connection.count(moved.sent, moved.received);
        match end {
            End::Finished => {
                upstream.may_end();
                close_in_order(&*client);
                Ended::Finished
            }
            End::Broken { .. } => Ended::WebSocketBroke,
            End::Stopped(_kept_by_the_connection) => Ended::Revoked,
        }
    }

    fn count(&self, sent: u64, received: u64) {
        self.connection.count(sent, received);
    }

    fn sent_on(&self, arrived: Instant) {
        let meters = &self.connection.node().recorder.meters;
        meters.delay.note(arrived);
    }
}

impl http2::Gate for Conversation<'_> {
    type Place = Slot;
    type Watch = Watch;

    fn is_grpc(&self) -> bool {
        self.connection.protocol() == Protocol::Grpc
    }

    fn admit_stream(
        &self,
        asked: &Asked<'_>,
        held: &mut Option<Slot>,
    ) -> Result<UnderWay, Refusal> {
        self.decide(asked, held)
    }

    fn scheme(&self) -> &'static str {
        match self.connection.endpoint() {
            Some(target) if target.is_tls() => "https",
            _ => "http",
        }
    }

    fn watch(&self) -> Watch {
        Watch::new(self.connection)
    }

    async fn changed(&self, watch: &mut Watch) {
        watch.changed(self.connection).await;
    }

    fn may_stay(&self, watch: &mut Watch) -> bool {
        match watch.check(self.connection, None) {
            Ok(()) => true,
            Err(cut) => {
                self.connection.end_by(cut);
                false
            }
        }
    }

    fn may_go_on(&self, watch: &mut Watch, permit: &UnderWay) -> bool {
        let Err(cut) = watch.check(self.connection, Some(permit)) else {
            return true;
        };
        let (subject, home) = (self.connection.subject(), self.connection.home());
        let operation = permit.operation();
        home.refused(&subject, Kind::Operation, &operation, &cut.ruling);
        false
    }

    fn has_time(&self, permit: &UnderWay) -> bool {
        permit.recheck().is_due()
    }

    fn note(&self, watch: &mut Watch, permit: &UnderWay) {
        watch.note(permit.recheck());
    }

    fn breach(&self, what: Option<&str>, violation: Violation) {
        let cause = match violation.is_excess() {
            true => Cause::Limit,
            false => Cause::Malformed,
        };
        self.refuse(what.unwrap_or("connection"), violation.to_string(), cause);
    }

    fn over_bound(&self, what: &str, reason: &str) {
        self.refuse(what, reason.to_owned(), Cause::Limit);
    }

    fn memory(&self) -> &Arc<Memory> {
        &self.connection.home().memory
    }

    fn out_of_memory(&self, what: &str) {
        self.refuse(what, self.no_memory(), Cause::Limit);
    }
}
