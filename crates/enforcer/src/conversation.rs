//! What the HTTP relay asks of a connection: the same steps as everywhere, for each request.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ringfence_model::flow::Kind;
use ringfence_model::path::Allowances;
use ringfence_model::{HostName, WorkloadId};

use crate::cause::Cause;
use crate::connection::Connection;
use crate::http::{Asked, Gate, Refusal};
use crate::inforce::Stands;
use crate::judge::Admitted;
use crate::record::Ruling;
use crate::request::{self, Decided, UnderWay};
use crate::slots::Slot;
use crate::upstream::Upstream;

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
        match self.connection.pair(&force.snapshot) {
            Ok(pair) => force.snapshot.workload(pair.to).path_allowances,
            // It will be denied; until then nothing is accepted that is not accepted everywhere.
            Err(_) => Allowances::default(),
        }
    }

    fn authority_ok(&self, authority: &str) -> bool {
        let force = self.connection.node().current.load();
        let pair = self.connection.pair(&force.snapshot);
        pair.is_ok_and(|pair| force.snapshot.authority_names(pair.to, authority))
    }

    fn admit(&self, asked: &Asked<'_>) -> Result<UnderWay, Refusal> {
        let connection = self.connection;
        let node = connection.node();
        let count = node.current.count();
        let force = node.current.load();
        let snapshot = &force.snapshot;
        let operation = || [asked.method, " ", asked.path.as_str()].concat();
        let judged = node.recorder.meters.decide.time(|| {
            let pair = connection.pair(snapshot)?;
            request::decide(snapshot, pair, asked, node.clock.now())
        });
        let place = || self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let held = place().take();
        let (under_way, admitted) = match judged {
            Ok(Decided::Yes(under_way, admitted)) => {
                let generation = snapshot.generation();
                let stands = Stands { count, generation };
                let under_way = under_way.stands_under(stands, admitted.recheck);
                (under_way.hold(held), admitted)
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
                    home.refused(&subject, Kind::Operation, &operation(), &ruling, 0);
                    return Err(Refusal::Unavailable);
                };
                *place() = Some(taken);
                return Err(Refusal::BodyFirst);
            }
            Err(denied) => {
                let (subject, home) = (connection.subject(), connection.home());
                home.refused(&subject, Kind::Operation, &operation(), &denied.ruling, 0);
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
            home.failed(&subject, Kind::Operation, &operation(), &ruling, 0);
            return Err(Refusal::Unavailable);
        }
        match connection.record_operation(outcome, &operation(), &ruling) {
            Ok(()) => Ok(under_way),
            Err(_denied_and_counted_by_the_log) => Err(Refusal::Unavailable),
        }
    }

    fn saw_fields(&self, permit: &UnderWay) -> bool {
        permit.was_seen()
    }

    fn refuse_malformed(&self, what: &str, reason: &str) {
        let connection = self.connection;
        let ruling = Ruling::without_rule(
            reason.to_owned(),
            connection.node().current.load().snapshot.generation(),
        )
        .because(Cause::Malformed);
        connection
            .home()
            .refused(&connection.subject(), Kind::Operation, what, &ruling, 0);
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

    fn client_cert_header(&self) -> String {
        self.caller.clone()
    }

    async fn revoked(&self, permit: Option<&UnderWay>) {
        let _kept_by_the_connection = self.connection.watch(permit).await;
    }

    fn count(&self, sent: u64, received: u64) {
        self.connection.count(sent, received);
    }

    fn sent_on(&self, arrived: Instant) {
        let meters = &self.connection.node().recorder.meters;
        meters.delay.note(arrived);
    }
}
