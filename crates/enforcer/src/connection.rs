//! One connection that policy lets open, from its first record to its last.
//!
//! The order never changes: who, where, may they meet, record, dial, relay, close record. A connection watches for
//! news *before* the check that lets its bytes move, so no change of policy can fall between the two.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use ringfence_audit::LogError;
use ringfence_model::flow::{Kind, Outcome};
use ringfence_model::{Generation, OriginalDst, Protocol, WorkloadId};
use ringfence_policy::Recheck;
use tokio::net::TcpStream;

use crate::cause::Cause;
use crate::compartment::Compartment;
use crate::datagrams::Place;
use crate::endpoint::Target;
use crate::far::{Far, Nobody, Way};
use crate::fields::Sent;
use crate::inforce::{InForce, Stands};
use crate::judge::{self, Admitted, Denied, Pair};
use crate::live::Lives;
use crate::node::Node;
use crate::record::{Ruling, Subject};
use crate::request::UnderWay;
use crate::upstream::{Stream, Upstream};
use crate::vigil::Vigil;

/// A connection that was let in.
pub(crate) struct Connection {
    node: Arc<Node>,
    home: Arc<Compartment>,
    original: OriginalDst,
    to: WorkloadId,
    protocol: Protocol,
    arrival: Arrival,
    subject: Subject,
    began: Instant,
    far: OnceLock<Far>,
    /// Of TLS that passes unread: the server name it was let in by.
    server_name: OnceLock<String>,
    cut: Arc<AtomicBool>,
    ended_by: Mutex<Option<Cut>>,
    trouble: Mutex<Option<String>>,
    /// Under what it has passed as a connection, where that does not depend on time.
    stands: Mutex<Option<Stands>>,
    /// The two ends in what was in force when that was asked last.
    known: Mutex<Option<(Weak<InForce>, Pair)>>,
    vigil: Mutex<Vigil>,
    sent: AtomicU64,
    received: AtomicU64,
    _lives: Lives,
}

/// How an attempt came to the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A TCP connection.
    Connection,
    /// The first datagram of a flow.
    Datagram,
}

impl Arrival {
    /// What it is, as policy and records name it.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Connection => "connect",
            Self::Datagram => "send",
        }
    }

    /// What carries it.
    fn carrier(self) -> &'static str {
        match self {
            Self::Connection => "tcp",
            Self::Datagram => "udp",
        }
    }

    /// Whether `protocol` is spoken this way.
    pub(crate) fn carries(self, protocol: Protocol) -> bool {
        match self {
            Self::Connection => protocol != Protocol::Udp,
            Self::Datagram => protocol == Protocol::Udp,
        }
    }
}

/// Why a connection must end before its time.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    outcome: Outcome,
    pub(crate) ruling: Ruling,
}

/// What became of an attempt to open a connection.
pub(crate) enum Opened {
    /// Recorded. Bytes may move.
    Yes(Box<Connection>),
    /// Policy says no; recorded.
    Denied,
    /// Policy would say yes, but there is nobody, or the log takes nothing; recorded as far as possible.
    Failed,
}

impl Connection {
    /// Decides and records. Nothing has moved when this returns, and nothing has been dialled.
    pub(crate) fn open(
        node: &Arc<Node>,
        home: &Arc<Compartment>,
        original: OriginalDst,
        arrival: Arrival,
    ) -> Opened {
        let force = node.current.load();
        let snapshot = &force.snapshot;
        let mut subject = home.subject(&force, original, arrival.carrier());
        let judged = node.recorder.meters.decide.time(|| {
            let pair = judge::pair(&force, &home.workload, original)?;
            let now = node.clock.now();
            Ok((pair, judge::may_connect(snapshot, pair, arrival, now)?))
        });
        let (pair, admitted) = match judged {
            Ok(allowed) => allowed,
            Err(Denied { to, ruling }) => {
                if let Some(to) = to.map(|to| snapshot.workload(to)) {
                    subject.destination = to.id.name.to_string();
                    if let Some((protocol, _)) = to.serves
                        && arrival.carries(protocol)
                    {
                        subject.protocol = protocol.as_str();
                    }
                }
                subject.connection = node.recorder.connection_id();
                home.refused(&subject, Kind::Connection, arrival.operation(), &ruling);
                return Opened::Denied;
            }
        };
        let to = snapshot.workload(pair.to).id.clone();
        subject.destination = to.name.to_string();
        subject.protocol = pair.protocol.as_str();
        subject.connection = node.recorder.connection_id();
        subject.both = force.endpoints(&to.name).is_none();
        let lives = node.live.enter(&home.workload.name, &to.name, arrival);
        let connection = Self {
            node: Arc::clone(node),
            home: Arc::clone(home),
            original,
            to,
            protocol: pair.protocol,
            arrival,
            subject,
            began: Instant::now(),
            far: OnceLock::new(),
            server_name: OnceLock::new(),
            cut: Arc::default(),
            ended_by: Mutex::default(),
            trouble: Mutex::default(),
            stands: Mutex::default(),
            known: Mutex::default(),
            vigil: Mutex::default(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            _lives: lives,
        };
        let Admitted {
            outcome, ruling, ..
        } = admitted;
        // A protocol with requests answers for itself when nobody is there; an opaque connection can only be reset, a
        // datagram dropped.
        if let Err(nobody) = connection.find_far(&force)
            && !pair.protocol.has_requests()
        {
            let ruling = Ruling {
                reason: nobody.to_string(),
                cause: nobody.cause(),
                ..ruling
            };
            home.failed(
                &connection.subject(),
                Kind::Connection,
                arrival.operation(),
                &ruling,
            );
            return Opened::Failed;
        }
        let flow =
            connection
                .subject()
                .flow(Kind::Connection, outcome, arrival.operation(), &ruling);
        match node.recorder.before(&flow) {
            Ok(()) => Opened::Yes(Box::new(connection)),
            Err(_denied_and_counted_by_the_log) => Opened::Failed,
        }
    }

    /// What the callee speaks.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The callee.
    pub(crate) fn to(&self) -> &WorkloadId {
        &self.to
    }

    /// The caller.
    pub(crate) fn from(&self) -> &WorkloadId {
        &self.home.workload
    }

    /// The compartment of the caller.
    pub(crate) fn home(&self) -> &Compartment {
        &self.home
    }

    /// The state of the enforcer.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// What all its records have in common, with the instance chosen by now.
    pub(crate) fn subject(&self) -> Subject {
        let mut subject = self.subject.clone();
        if let Some(instance) = self.far.get().and_then(Far::instance) {
            subject.destination_instance = instance.to_string();
        }
        subject
    }

    /// Records an operation on it that is about to be let through, with what came with it. On `Err` it must not be.
    pub(crate) fn record_operation(
        &self,
        outcome: Outcome,
        operation: &str,
        ruling: &Ruling,
        sent: Option<&Sent<'_>>,
    ) -> Result<(), LogError> {
        let instance = self.far.get().and_then(Far::instance);
        let recorder = &self.node.recorder;
        recorder.before_operation(&self.subject, instance, outcome, operation, ruling, sent)
    }

    /// The two ends in what is in force, provided that they still are what they were when this connection opened, and
    /// that neither is quarantined.
    pub(crate) fn pair(&self, force: &Arc<InForce>) -> Result<Pair, Denied> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // The answer rests on nothing but what is in force, which never changes: another generation, or another list of who is
        // quarantined, stands elsewhere, and not in this place as long as somebody has an eye on it.
        if let Some((of, pair)) = &*known
            && std::ptr::eq(of.as_ptr(), Arc::as_ptr(force))
        {
            return Ok(*pair);
        }
        *known = None;
        let snapshot = &force.snapshot;
        let pair = judge::pair(force, &self.home.workload, self.original)?;
        if snapshot.workload(pair.to).id == self.to && pair.protocol == self.protocol {
            *known = Some((Arc::downgrade(force), pair));
            return Ok(pair);
        }
        let ruling = Ruling::without_rule(
            format!("{} is no longer what it was", self.to),
            snapshot.generation(),
        );
        Err(Denied {
            to: Some(pair.to),
            ruling,
        })
    }

    /// Decides on a server name, once, and records the decision. From here on it is decided again with everything else.
    pub(crate) fn admit_name(&self, name: &str) -> bool {
        let node = &self.node;
        let force = node.current.load();
        let _decided_once = self.server_name.set(name.to_owned());
        let operation = self.arrival.operation();
        let judged = node.recorder.meters.decide.time(|| {
            let pair = self.pair(&force)?;
            self.may_be_connected(&force, pair)
        });
        let Admitted {
            outcome, ruling, ..
        } = match judged {
            Ok(admitted) => admitted,
            Err(denied) => {
                let subject = self.subject();
                self.home
                    .refused(&subject, Kind::Operation, operation, &denied.ruling);
                return false;
            }
        };
        let ruling = Ruling {
            reason: format!("{}; server name {name}", ruling.reason),
            ..ruling
        };
        self.record_operation(outcome, operation, &ruling, None)
            .is_ok()
    }

    /// *May they* be connected, by the server name too, where there is one.
    fn may_be_connected(&self, force: &InForce, pair: Pair) -> Result<Admitted, Denied> {
        let snapshot = &force.snapshot;
        if let Some(name) = self.server_name.get()
            && !snapshot.authority_names(pair.to, name)
        {
            let reason = format!("server name {name} is not one of {}", self.to);
            let ruling = Ruling::without_rule(reason, snapshot.generation());
            return Err(Denied {
                to: Some(pair.to),
                ruling: ruling.because(Cause::UnknownName),
            });
        }
        judge::may_connect(snapshot, pair, self.arrival, self.node.clock.now())
    }

    /// Chooses whom to dial, unless that is settled.
    pub(crate) fn find_far(&self, force: &InForce) -> Result<(), Nobody> {
        if self.far.get().is_none() {
            let far = Far::choose(
                force,
                &self.node.registry,
                &self.home.workload.name,
                &self.to.name,
                self.protocol,
            )?;
            // Two requests of one connection are never under way at once, so nobody was faster.
            let _settled = self.far.set(far);
        }
        Ok(())
    }

    /// A fresh connection to the far end.
    pub(crate) async fn dial(&self) -> io::Result<Upstream> {
        let dialled = self.dial_far().await;
        if let Err(cause) = &dialled {
            self.note_trouble(format!("{} is not reached: {cause}", self.to));
        }
        dialled.map(|stream| Upstream::new(stream, Arc::clone(&self.cut)))
    }

    /// The far end has let the caller down. The last such reason stands in the close record, also when the
    /// connection went on after it.
    pub(crate) fn note_trouble(&self, reason: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    async fn dial_far(&self) -> io::Result<Stream> {
        match self.far.get() {
            Some(far) => far.dial(|| self.way()).await,
            None => {
                let nobody = Nobody::NotRunning(self.to.name.clone());
                Err(io::Error::new(io::ErrorKind::NotFound, nobody.to_string()))
            }
        }
    }

    /// Where datagrams for the far end may be sent: see [`Far::places`].
    pub(crate) async fn places(&self, part: usize) -> Option<io::Result<Vec<Place>>> {
        self.far.get()?.places(part, || self.way()).await
    }

    /// Whom it goes to, once that is settled.
    pub(crate) fn far(&self) -> Option<&Far> {
        self.far.get()
    }

    /// Who calls whom, by the generation in force now.
    fn way(&self) -> io::Result<Way> {
        let force = self.node.current.load();
        let snapshot = &force.snapshot;
        let no = |reason| io::Error::new(io::ErrorKind::PermissionDenied, reason);
        let pair = self
            .pair(&force)
            .map_err(|denied| no(denied.ruling.reason))?;
        let callee = snapshot.workload(pair.to);
        let (_, port) = callee
            .serves
            .ok_or_else(|| no(format!("{} serves nothing", self.to)))?;
        let caller = snapshot.workload(pair.from).address;
        Ok(Way {
            caller,
            callee: callee.address,
            port,
        })
    }

    /// The endpoint in use, or the first in line; `None` towards a compartment.
    pub(crate) fn endpoint(&self) -> Option<&Target> {
        self.far.get()?.endpoint()
    }

    /// Resolves, at once or later, when it may not go on: policy has changed, a rule's time has come, or one end has
    /// left. `under_way` is the request that must stay allowed; without one, what must stay allowed is that the two
    /// may meet.
    pub(crate) async fn watch(&self, under_way: Option<&UnderWay>) -> Cut {
        let mut passed = None;
        loop {
            // Before the check, so that no change falls between the two.
            let mark = self.vigil().listen(self);
            let count = self.node.current.count();
            let checked = match self.stands(under_way, count) {
                Some(stands) => Ok((stands.generation, Recheck::default())),
                None => self.check(under_way, passed),
            };
            let recheck = match checked {
                Ok((generation, recheck)) => {
                    passed = Some(generation);
                    if under_way.is_none() && !recheck.is_due() {
                        let stands = Stands { count, generation };
                        *self.stands.lock().unwrap_or_else(PoisonError::into_inner) = Some(stands);
                    }
                    recheck
                }
                Err(cut) => {
                    self.end_by(cut.clone());
                    return cut;
                }
            };
            tokio::select! {
                biased;
                () = poll_fn(|cx| self.vigil().poll(cx, mark)) => {}
                () = self.node.clock.reached(recheck) => {}
            }
        }
    }

    fn vigil(&self) -> MutexGuard<'_, Vigil> {
        self.vigil.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing has happened, `count` being that of the news so far, since the same was decided: then it stands. Asked
    /// for each request, so that one that was decided a moment ago is not decided twice.
    fn stands(&self, under_way: Option<&UnderWay>, count: u64) -> Option<Stands> {
        let stands = match under_way {
            Some(request) => request.stands(),
            None => *self.stands.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let here = |compartment: &Compartment| compartment.reason_left().is_none();
        stands.filter(|stands| stands.count == count).filter(|_| {
            here(&self.home) && self.far.get().and_then(Far::compartment).is_none_or(here)
        })
    }

    /// The reason why it must end, for its last record; and its other end sees a reset.
    pub(crate) fn end_by(&self, cut: Cut) {
        self.cut.store(true, Ordering::Release);
        *self.ended_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut);
    }

    /// Whether it may go on; without a request: whether the two may meet. `passed`: the generation under which it has passed
    /// before.
    pub(crate) fn check(
        &self,
        under_way: Option<&UnderWay>,
        passed: Option<Generation>,
    ) -> Result<(Generation, Recheck), Cut> {
        let force = self.node.current.load();
        let snapshot = &force.snapshot;
        let departed = |compartment: &Compartment| match compartment.reason_left() {
            None => Ok(()),
            Some(reason) => Err(Cut {
                outcome: Outcome::Allow,
                ruling: Ruling::without_rule(
                    format!("{}: {reason}", compartment.instance),
                    snapshot.generation(),
                ),
            }),
        };
        departed(&self.home)?;
        if let Some(far) = self.far.get().and_then(Far::compartment) {
            departed(far)?;
        }
        let revoked = |denied: Denied| {
            let generation = snapshot.generation();
            let why = &denied.ruling.reason;
            let reason = match denied.ruling.cause {
                Cause::Quarantined => why.clone(),
                _ if passed == Some(generation) => format!("its time is over: {why}"),
                _ => format!("revoked by generation {generation}: {why}"),
            };
            Cut {
                outcome: Outcome::Deny,
                ruling: Ruling {
                    reason,
                    ..denied.ruling
                },
            }
        };
        let pair = self.pair(&force).map_err(revoked)?;
        let now = self.node.clock.now();
        let admitted = match under_way {
            None => self.may_be_connected(&force, pair),
            Some(request) => request.may_go_on(snapshot, pair, now),
        }
        .map_err(revoked)?;
        if self
            .far
            .get()
            .is_none_or(|far| far.is_declared(&force, &self.to.name))
        {
            return Ok((snapshot.generation(), admitted.recheck));
        }
        Err(revoked(Denied {
            to: Some(pair.to),
            ruling: Ruling::without_rule(
                format!("{} is no longer found where it was", self.to),
                snapshot.generation(),
            ),
        }))
    }

    /// Counts payload that has moved.
    pub(crate) fn count(&self, sent: u64, received: u64) {
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.received.fetch_add(received, Ordering::Relaxed);
        self.node.recorder.meters.relayed(sent, received);
    }

    /// The last record. A cut says why it was; so does a service that failed; otherwise `reason` stands.
    pub(crate) fn close(&self, outcome: Outcome, reason: String) -> Result<(), LogError> {
        let generation = self.node.current.load().snapshot.generation();
        let ended_by = self
            .ended_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let trouble = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (outcome, ruling) = match (ended_by, trouble) {
            // An end that leaves before the connection is closed does not take with it what had failed.
            (
                Some(Cut {
                    outcome: Outcome::Allow,
                    ruling,
                }),
                Some(trouble),
            ) => {
                let reason = format!("{trouble}; {}", ruling.reason);
                (Outcome::Error, Ruling { reason, ..ruling })
            }
            (Some(cut), _) => (cut.outcome, cut.ruling),
            (None, trouble) => {
                let outcome = if trouble.is_some() {
                    Outcome::Error
                } else {
                    outcome
                };
                let reason = trouble.unwrap_or(reason);
                (outcome, Ruling::without_rule(reason, generation))
            }
        };
        let mut flow = self.subject().flow(Kind::Close, outcome, "close", &ruling);
        flow.bytes_sent = self.sent.load(Ordering::Relaxed);
        flow.bytes_received = self.received.load(Ordering::Relaxed);
        flow.duration_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.node.recorder.after(&flow)
    }
}

/// Makes the caller see a reset, whatever is on its way.
pub(crate) fn reset(client: TcpStream) {
    crate::upstream::reset_on_close(&client);
}
