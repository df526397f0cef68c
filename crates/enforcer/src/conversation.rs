//! What the HTTP relay asks of a connection: the same steps as everywhere, for each request.

use std::future::Future;
use std::io;
use std::time::Instant;

use ringfence_model::flow::{Kind, Outcome};
use ringfence_model::path::Allowances;
use ringfence_model::{CanonicalPath, HostName, WorkloadId};
use ringfence_policy::Operation;

use crate::cause::Cause;
use crate::connection::Connection;
use crate::http::{Gate, Refusal};
use crate::judge;
use crate::record::Ruling;
use crate::upstream::Upstream;

/// An HTTP connection that was let in.
pub(crate) struct Conversation<'c> {
    connection: &'c Connection,
    /// `x-forwarded-client-cert`.
    caller: String,
}

/// A request that was allowed and recorded, kept so that it can be decided again when policy changes.
pub(crate) struct Permit {
    method: String,
    path: CanonicalPath,
}

impl<'c> Conversation<'c> {
    /// On `connection`, whose callee speaks HTTP.
    pub(crate) fn new(connection: &'c Connection) -> Self {
        let force = connection.node().current.load();
        let zone = force.zone.as_ref();
        let by = identity(zone, connection.to());
        let caller = format!("By={by};URI={}", identity(zone, connection.from()));
        Self { connection, caller }
    }
}

/// The SPIFFE ID of a workload: `spiffe://ZONE/agent/NAME`.
fn identity(zone: Option<&HostName>, workload: &WorkloadId) -> String {
    let zone = zone.map_or("", HostName::as_str);
    format!("spiffe://{zone}/{}/{}", workload.kind, workload.name)
}

impl Gate for Conversation<'_> {
    type Permit = Permit;
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

    fn saw_fields(&self, _permit: &Permit) -> bool {
        false
    }

    fn admit(&self, asked: &crate::http::Asked<'_>) -> Result<Permit, Refusal> {
        let (method, path) = (asked.method, asked.path);
        let connection = self.connection;
        let force = connection.node().current.load();
        let snapshot = &force.snapshot;
        let operation = format!("{method} {}", path.as_str());
        let judged = connection.node().recorder.meters.decide.time(|| {
            let pair = connection.pair(snapshot)?;
            judge::may(snapshot, pair, Operation::Http { method, path })
        });
        let ruling = match judged {
            Ok(ruling) => ruling,
            Err(denied) => {
                let (subject, home) = (connection.subject(), connection.home());
                home.refused(&subject, Kind::Operation, &operation, &denied.ruling, 0);
                return Err(Refusal::Refused);
            }
        };
        if let Err(nobody) = connection.find_far(&force) {
            let ruling = Ruling {
                reason: nobody.to_string(),
                cause: nobody.cause(),
                ..ruling
            };
            let flow =
                connection
                    .subject()
                    .flow(Kind::Operation, Outcome::Error, &operation, &ruling);
            // The request goes nowhere, recorded or not; the log counts what it cannot take.
            let _counted_by_the_log = connection.node().recorder.after(&flow);
            return Err(Refusal::Unavailable);
        }
        let flow = connection
            .subject()
            .flow(Kind::Operation, Outcome::Allow, &operation, &ruling);
        match connection.node().recorder.before(&flow) {
            Ok(()) => Ok(Permit {
                method: method.to_owned(),
                path: path.clone(),
            }),
            Err(_denied_and_counted_by_the_log) => Err(Refusal::Unavailable),
        }
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

    fn dial(&self) -> impl Future<Output = io::Result<Upstream>> + Send {
        self.connection.dial()
    }

    fn upstream_authority(&self) -> Option<String> {
        self.connection
            .endpoint()
            .map(crate::endpoint::Target::authority)
    }

    fn client_cert_header(&self) -> String {
        self.caller.clone()
    }

    async fn revoked(&self, permit: Option<&Permit>) {
        let under_way = permit.map(|permit| (permit.method.as_str(), &permit.path));
        let _kept_by_the_connection = self.connection.watch(under_way).await;
    }

    fn count(&self, sent: u64, received: u64) {
        self.connection.count(sent, received);
    }

    fn sent_on(&self, arrived: Instant) {
        let meters = &self.connection.node().recorder.meters;
        meters.delay.note(arrived);
    }
}
