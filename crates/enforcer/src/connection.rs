//! One connection that policy lets open, from its first record to its last.
//!
//! The order never changes: who, where, may they meet, record, dial, relay, close record. A connection watches for
//! news *before* the check that lets its bytes move, so no change of policy can fall between the two.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use ringfence_audit::LogError;
use ringfence_model::flow::{Kind, Outcome};
use ringfence_model::{CanonicalPath, Name, OriginalDst, Protocol, WorkloadId};
use ringfence_policy::{Operation, Snapshot};
use tokio::net::TcpStream;

use crate::compartment::Compartment;
use crate::endpoint::{self, Target};
use crate::inforce::InForce;
use crate::judge::{self, Denied, Pair};
use crate::node::Node;
use crate::record::{Ruling, Subject};
use crate::slots::Slot;
use crate::upstream::{Stream, Upstream};

/// A connection that was let in.
pub(crate) struct Connection {
    node: Arc<Node>,
    home: Arc<Compartment>,
    original: OriginalDst,
    to: WorkloadId,
    protocol: Protocol,
    subject: Subject,
    began: Instant,
    far: OnceLock<Far>,
    cut: Arc<AtomicBool>,
    ended_by: Mutex<Option<Cut>>,
    trouble: Mutex<Option<String>>,
    sent: AtomicU64,
    received: AtomicU64,
}

/// The other end.
enum Far {
    /// A compartment of this node, and the place this connection takes in it.
    Inside(Arc<Compartment>, #[allow(dead_code, reason = "held, to be given back on drop")] Slot),
    /// Endpoints, and which of them was dialled last (from 1; 0: none).
    Outside(Arc<[Target]>, AtomicUsize),
}

/// Why a connection must end before its time.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    outcome: Outcome,
    ruling: Ruling,
}

/// Why nobody can be dialled.
#[derive(Debug)]
pub(crate) enum Nobody {
    /// No instance.
    NotRunning(Name),
    /// Its only candidate has no place left.
    Crowded(Name),
}

impl fmt::Display for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nobody::NotRunning(name) => write!(f, "no instance of {name} is running"),
            Nobody::Crowded(name) => write!(f, "{name} has as many connections as it may"),
        }
    }
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
    pub(crate) fn open(node: &Arc<Node>, home: &Arc<Compartment>, original: OriginalDst) -> Opened {
        let force = node.current.load();
        let snapshot = &force.snapshot;
        let mut subject = home.subject(&force.node, original, "tcp");
        let judged = judge::pair(snapshot, &home.workload, original)
            .and_then(|pair| Ok((pair, judge::may_connect(snapshot, pair)?)));
        let (pair, ruling) = match judged {
            Ok(allowed) => allowed,
            Err(Denied { to, ruling }) => {
                if let Some(to) = to.map(|to| snapshot.workload(to)) {
                    subject.destination = to.id.name.to_string();
                    if let Some((protocol, _)) = to.serves {
                        subject.protocol = word(protocol);
                    }
                }
                subject.connection = node.recorder.connection_id();
                home.refused(&subject, Kind::Connection, "connect", &ruling, 0);
                return Opened::Denied;
            }
        };
        let to = snapshot.workload(pair.to).id.clone();
        let purpose = &snapshot.workload(pair.from).purpose;
        subject.purpose = purpose.clone().unwrap_or_default();
        subject.destination = to.name.to_string();
        subject.protocol = word(pair.protocol);
        subject.connection = node.recorder.connection_id();
        subject.both = force.endpoints(&to.name).is_none();
        let connection = Self {
            node: Arc::clone(node),
            home: Arc::clone(home),
            original,
            to,
            protocol: pair.protocol,
            subject,
            began: Instant::now(),
            far: OnceLock::new(),
            cut: Arc::default(),
            ended_by: Mutex::default(),
            trouble: Mutex::default(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        };
        // HTTP answers for itself when nobody is there; an opaque connection can only be reset.
        if let Err(nobody) = connection.find_far(&force)
            && pair.protocol == Protocol::Tcp
        {
            let ruling = Ruling { reason: nobody.to_string(), ..ruling };
            let flow =
                connection.subject().flow(Kind::Connection, Outcome::Error, "connect", &ruling);
            // Nothing happens on account of it; the log counts what it cannot take.
            let _counted_by_the_log = node.recorder.after(&flow);
            return Opened::Failed;
        }
        let flow = connection.subject().flow(Kind::Connection, Outcome::Allow, "connect", &ruling);
        match node.recorder.before(&flow) {
            Ok(()) => Opened::Yes(Box::new(connection)),
            Err(_denied_and_counted_by_the_log) => Opened::Failed,
        }
    }

    /// What the callee speaks.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Where the caller was going.
    pub(crate) fn original(&self) -> OriginalDst {
        self.original
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
        if let Some(Far::Inside(far, _)) = self.far.get() {
            subject.destination_instance = far.instance.to_string();
        }
        subject
    }

    /// The two ends in `snapshot`, provided that they still are what they were when this connection opened.
    pub(crate) fn pair(&self, snapshot: &Snapshot) -> Result<Pair, Denied> {
        let pair = judge::pair(snapshot, &self.home.workload, self.original)?;
        if snapshot.workload(pair.to).id == self.to && pair.protocol == self.protocol {
            return Ok(pair);
        }
        let ruling = Ruling {
            reason: format!("{} is no longer what it was", self.to),
            rule: String::new(),
            generation: snapshot.generation(),
            mode: "enforce",
        };
        Err(Denied { to: Some(pair.to), ruling })
    }

    /// Chooses whom to dial, unless that is settled. An instance that was chosen stays for good: its end is this
    /// connection's end.
    pub(crate) fn find_far(&self, force: &InForce) -> Result<(), Nobody> {
        if self.far.get().is_some() {
            return Ok(());
        }
        let name = &self.to.name;
        let far = match force.endpoints(name) {
            Some(targets) => Far::Outside(Arc::clone(targets), AtomicUsize::new(0)),
            None => {
                let chosen = self.node.registry.choose(name);
                let chosen = chosen.ok_or_else(|| Nobody::NotRunning(name.clone()))?;
                let slot = chosen.slots.take().ok_or_else(|| Nobody::Crowded(name.clone()))?;
                Far::Inside(chosen, slot)
            }
        };
        // Someone else was faster only if two requests of one connection were under way, which HTTP/1.1 is not.
        let _settled = self.far.set(far);
        Ok(())
    }

    /// A fresh connection to the far end.
    pub(crate) async fn dial(&self) -> io::Result<Upstream> {
        let dialled = self.dial_far().await;
        let trouble = dialled.as_ref().err().map(|cause| format!("{} is not reached: {cause}", self.to));
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        dialled.map(|stream| Upstream::new(stream, Arc::clone(&self.cut)))
    }

    async fn dial_far(&self) -> io::Result<Stream> {
        match self.far.get() {
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                Nobody::NotRunning(self.to.name.clone()).to_string(),
            )),
            Some(Far::Outside(targets, dialled)) => {
                let (index, stream) = endpoint::dial(targets).await?;
                dialled.store(index + 1, Ordering::Release);
                Ok(stream)
            }
            Some(Far::Inside(far, _)) => {
                let (caller, own, port) = {
                    let force = self.node.current.load();
                    let snapshot = &force.snapshot;
                    let pair = self.pair(snapshot).map_err(|denied| {
                        io::Error::new(io::ErrorKind::PermissionDenied, denied.ruling.reason)
                    })?;
                    let callee = snapshot.workload(pair.to);
                    let port = callee.serves.map(|(_, port)| port);
                    let port = port.ok_or(io::ErrorKind::PermissionDenied)?;
                    (snapshot.workload(pair.from).address, callee.address, port)
                };
                Ok(Stream::Plain(far.inbound.dial(caller, own, port).await?))
            }
        }
    }

    /// The endpoint in use, or the first in line; `None` towards a compartment.
    pub(crate) fn endpoint(&self) -> Option<&Target> {
        match self.far.get()? {
            Far::Inside(..) => None,
            Far::Outside(targets, dialled) => {
                targets.get(dialled.load(Ordering::Acquire).saturating_sub(1))
            }
        }
    }

    /// Resolves, at once or later, when it may not go on. `under_way` is the operation that must stay allowed;
    /// without one, what must stay allowed is that the two may meet.
    pub(crate) async fn watch(&self, under_way: Option<(&str, &CanonicalPath)>) -> Cut {
        let mut news = self.node.current.subscribe();
        let mut home = self.home.departure();
        let mut far = match self.far.get() {
            Some(Far::Inside(far, _)) => far.departure(),
            _ => self.home.departure(),
        };
        loop {
            if let Err(cut) = self.check(under_way) {
                self.cut.store(true, Ordering::Release);
                *self.ended_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut.clone());
                return cut;
            }
            // None of the senders can be gone: `self` holds them all.
            tokio::select! {
                _ = news.changed() => {}
                _ = home.changed() => {}
                _ = far.changed() => {}
            }
        }
    }

    fn check(&self, under_way: Option<(&str, &CanonicalPath)>) -> Result<(), Cut> {
        let force = self.node.current.load();
        let snapshot = &force.snapshot;
        let departed = |compartment: &Compartment| match compartment.reason_left() {
            None => Ok(()),
            Some(reason) => Err(Cut {
                outcome: Outcome::Allow,
                ruling: Ruling {
                    reason: format!("{}: {reason}", compartment.instance),
                    rule: String::new(),
                    generation: snapshot.generation(),
                    mode: "enforce",
                },
            }),
        };
        departed(&self.home)?;
        if let Some(Far::Inside(far, _)) = self.far.get() {
            departed(far)?;
        }
        let revoked = |denied: Denied| {
            let generation = snapshot.generation();
            let reason = format!("revoked by generation {generation}: {}", denied.ruling.reason);
            Cut { outcome: Outcome::Deny, ruling: Ruling { reason, ..denied.ruling } }
        };
        let pair = self.pair(snapshot).map_err(revoked)?;
        match under_way {
            None => judge::may_connect(snapshot, pair),
            Some((method, path)) => judge::may(snapshot, pair, Operation::Http { method, path }),
        }
        .map_err(revoked)?;
        if self.far_is_as_declared(&force) {
            return Ok(());
        }
        Err(revoked(Denied {
            to: Some(pair.to),
            ruling: Ruling {
                reason: format!("{} is no longer found where it was", self.to),
                rule: String::new(),
                generation: snapshot.generation(),
                mode: "enforce",
            },
        }))
    }

    fn far_is_as_declared(&self, force: &InForce) -> bool {
        let declared = force.endpoints(&self.to.name);
        match (self.far.get(), declared) {
            (None, _) | (Some(Far::Inside(..)), None) => true,
            (Some(Far::Inside(..)), Some(_)) | (Some(Far::Outside(..)), None) => false,
            (Some(Far::Outside(targets, dialled)), Some(declared)) => {
                let Some(dialled) = dialled.load(Ordering::Acquire).checked_sub(1) else {
                    // Not dialled yet: the old list must still be the list.
                    return targets.len() == declared.len()
                        && targets.iter().zip(declared.iter()).all(|(old, new)| old.is(new));
                };
                targets.get(dialled).is_some_and(|old| declared.iter().any(|new| old.is(new)))
            }
        }
    }

    /// Counts payload that has moved.
    pub(crate) fn count(&self, sent: u64, received: u64) {
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.received.fetch_add(received, Ordering::Relaxed);
    }

    /// Makes the far end see a reset, however the upstream is dropped.
    pub(crate) fn break_off(&self) {
        self.cut.store(true, Ordering::Release);
    }

    /// The last record. A cut says why it was; so does a dial that failed; otherwise `reason` stands.
    pub(crate) fn close(&self, outcome: Outcome, reason: String) -> Result<(), LogError> {
        let generation = self.node.current.load().snapshot.generation();
        let ended_by = self.ended_by.lock().unwrap_or_else(PoisonError::into_inner).take();
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (outcome, ruling) = match (ended_by, trouble) {
            (Some(cut), _) => (cut.outcome, cut.ruling),
            (None, trouble) => {
                let outcome = if trouble.is_some() { Outcome::Error } else { outcome };
                let reason = trouble.unwrap_or(reason);
                (outcome, Ruling { reason, rule: String::new(), generation, mode: "enforce" })
            }
        };
        let mut flow = self.subject().flow(Kind::Close, outcome, "close", &ruling);
        flow.bytes_sent = self.sent.load(Ordering::Relaxed);
        flow.bytes_received = self.received.load(Ordering::Relaxed);
        flow.duration_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.node.recorder.after(&flow)
    }
}

/// The protocol as records name it.
fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Tcp => "tcp",
    }
}

/// Makes the caller see a reset, whatever is on its way.
pub(crate) fn reset(client: TcpStream) {
    crate::upstream::reset_on_close(&client);
}
