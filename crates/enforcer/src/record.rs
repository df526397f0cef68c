//! Builds the records of what workloads do, and takes them to the log.
//!
//! There are two ways in. [`Recorder::before`] is for what may only happen once it is recorded: its error denies.
//! [`Recorder::after`] is for what has happened, or was refused, already.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ringfence_audit::{Durability, Log, LogError, Seq};
use ringfence_model::flow::{Flow, Kind, Outcome, Side};
use ringfence_model::{Generation, InstanceId, OriginalDst, WorkloadId};

use crate::cause::Cause;
use crate::fields::Sent;
use crate::inforce::InForce;
use crate::limits::{RECORD_OPERATION, RECORD_TEXT};
use crate::meters::Meters;

/// Schema version of the records built here (`flow.proto`).
const SCHEMA: u32 = 1;

thread_local! {
    /// For the record that is written most, one for each request: its texts keep their memory from one to the next.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    record: Record,
    /// What the text of its original destination was made of.
    original: Option<OriginalDst>,
}

/// The one road to the flow log.
pub(crate) struct Recorder {
    log: Log,
    boot: String,
    connections: AtomicU64,
    /// What is counted for monitors.
    pub(crate) meters: Meters,
}

/// A record on its way to the log, with the fixed word that it is counted by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    flow: Flow,
    cause: Cause,
}

impl From<Flow> for Record {
    fn from(flow: Flow) -> Self {
        let cause = Cause::Other;
        Self { flow, cause }
    }
}

/// It is the flow, as the log takes it.
impl Deref for Record {
    type Target = Flow;

    fn deref(&self) -> &Flow {
        &self.flow
    }
}

impl DerefMut for Record {
    fn deref_mut(&mut self) -> &mut Flow {
        &mut self.flow
    }
}

impl Recorder {
    /// `boot` tells this run of the enforcer from every other.
    pub(crate) fn new(log: Log, boot: u64) -> Self {
        Self {
            log,
            boot: format!("{boot:016x}"),
            connections: AtomicU64::new(0),
            meters: Meters::new(),
        }
    }

    /// An id that no other connection has, of this run or another.
    pub(crate) fn connection_id(&self) -> String {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.boot)
    }

    /// Records what is about to happen. On `Err` it must not happen.
    pub(crate) fn before(&self, record: &Record) -> Result<(), LogError> {
        let taken = self.take(|| self.log.record(record));
        self.count(record, taken, true)
    }

    /// Records the operation that is about to be let through: [`Recorder::before`], without an allocation. `instance`: who
    /// serves it, if that is a compartment. `sent`: the values that came with it.
    pub(crate) fn before_operation(
        &self,
        subject: &Subject,
        instance: Option<&InstanceId>,
        outcome: Outcome,
        operation: &str,
        ruling: &Ruling,
        sent: Option<&Sent<'_>>,
    ) -> Result<(), LogError> {
        SCRATCH.with_borrow_mut(|Scratch { record, original }| {
            let same = *original == subject.original && original.is_some();
            let spelled = same.then(|| std::mem::take(&mut record.original_destination));
            *original = subject.original;
            let what = (Kind::Operation, outcome, operation);
            subject.write(record, what, ruling, spelled);
            if let Some(instance) = instance {
                record.destination_instance.clear();
                let _never_fails = write!(record.destination_instance, "{instance}");
                shorten(&mut record.destination_instance, RECORD_TEXT);
            }
            if let Some(sent) = sent
                && let Err(none) = self.with_fields(record, sent)
            {
                let refused = self.log.refuse(record, none);
                return self.count(record, refused, true);
            }
            self.before(record)
        })
    }

    /// Records what has happened, or did not happen. A log that cannot take it counts the gap and
    /// says so in a record of its own when it recovers; nothing passes on account of it.
    pub(crate) fn after(&self, record: &Record) -> Result<(), LogError> {
        let taken = self.take(|| self.log.record_after(record));
        self.meters.closed(record);
        self.count(record, taken, false)
    }

    fn take(&self, record: impl FnOnce() -> Result<Seq, LogError>) -> Result<Seq, LogError> {
        self.meters.append.time(|| match self.log.durability() {
            Durability::Memory => record(),
            // Who waits for the disk lets others run meanwhile, whose records it takes along.
            Durability::Disk => tokio::task::block_in_place(record),
        })
    }

    /// Puts in `record` what came with its operation. `Err`: some of it could not be, for want of a key, and is counted there.
    pub(crate) fn with_fields(&self, record: &mut Record, sent: &Sent<'_>) -> Result<(), LogError> {
        let mut none = Ok(());
        record.flow.fields_key = sent.write(&mut record.flow.fields, || {
            let key = self.log.field_key();
            key.map_err(|error| none = Err(error)).ok()
        });
        none
    }

    fn count(
        &self,
        record: &Record,
        taken: Result<Seq, LogError>,
        denied: bool,
    ) -> Result<(), LogError> {
        match taken {
            Ok(_) => self.meters.recorded(record, record.cause),
            Err(_) => self.meters.unrecorded(record, denied),
        }
        taken.map(drop)
    }

    /// The log itself, for its state.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }
}

/// What all records of one attempt have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    /// Name of the node.
    pub(crate) node: String,
    /// [`Recorder::connection_id`], or empty.
    pub(crate) connection: String,
    /// The workload whose door it came through.
    pub(crate) source: String,
    /// Its instance.
    pub(crate) source_instance: String,
    /// What the source is for.
    pub(crate) purpose: String,
    /// The workload it was going to, if it is one.
    pub(crate) destination: String,
    /// The instance that was chosen, if it runs in a compartment.
    pub(crate) destination_instance: String,
    /// Whether both ends are decided here.
    pub(crate) both: bool,
    /// Where the source was trying to go.
    pub(crate) original: Option<OriginalDst>,
    /// `http`, `tcp`, `udp`, `dns`.
    pub(crate) protocol: &'static str,
}

/// What a decision adds to a record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ruling {
    /// In words, for an operator.
    pub(crate) reason: String,
    /// `FILE:LINE`, or empty.
    pub(crate) rule: String,
    /// Under which it was decided.
    pub(crate) generation: Generation,
    /// `enforce`.
    pub(crate) mode: &'static str,
    /// The same reason in a fixed word.
    pub(crate) cause: Cause,
}

impl Ruling {
    /// By the enforcer itself, or by what is missing: no rule of a policy decided.
    pub(crate) fn without_rule(reason: String, generation: Generation) -> Self {
        Self {
            reason,
            rule: String::new(),
            generation,
            mode: "enforce",
            cause: Cause::Other,
        }
    }

    /// With the word that it is counted by.
    pub(crate) fn because(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }
}

impl Subject {
    /// The source alone, before anything is known of where it goes.
    pub(crate) fn of(force: &InForce, source: &WorkloadId, instance: &InstanceId) -> Self {
        Self {
            node: force.node.clone(),
            purpose: force.purpose(source).to_owned(),
            source: source.name.as_str().to_owned(),
            source_instance: instance.to_string(),
            ..Self::default()
        }
    }

    /// A record of kind `kind` about this attempt, stamped with the present.
    pub(crate) fn flow(
        &self,
        kind: Kind,
        outcome: Outcome,
        operation: &str,
        ruling: &Ruling,
    ) -> Record {
        let mut record = Record::default();
        self.write(&mut record, (kind, outcome, operation), ruling, None);
        record
    }

    /// Writes every field of `record`. `original`: its text, where that is at hand.
    fn write(
        &self,
        record: &mut Record,
        (kind, outcome, operation): (Kind, Outcome, &str),
        ruling: &Ruling,
        original: Option<String>,
    ) {
        let side = if self.both {
            Side::Both
        } else {
            Side::Initiator
        };
        record.cause = ruling.cause;
        // Every field by name: one that is new must not keep what the record before this one had.
        let Flow {
            schema,
            time_ns,
            node,
            side: its_side,
            kind: its_kind,
            connection,
            count,
            source,
            source_instance,
            destination,
            destination_instance,
            original_destination,
            protocol,
            operation: its_operation,
            outcome: its_outcome,
            reason,
            rule,
            generation,
            mode,
            task,
            purpose,
            bytes_sent,
            bytes_received,
            duration_ns,
            last_time_ns,
            fields,
            fields_key,
        } = &mut record.flow;
        (*schema, *time_ns, *count) = (SCHEMA, now_ns(), 1);
        (*its_side, *its_kind, *its_outcome) = (side.into(), kind.into(), outcome.into());
        *generation = ruling.generation.0;
        (*bytes_sent, *bytes_received, *duration_ns) = (0, 0, 0);
        (*last_time_ns, *fields_key) = (0, 0);
        fields.clear();
        for (field, text, limit) in [
            (node, self.node.as_str(), RECORD_TEXT),
            (connection, &self.connection, RECORD_TEXT),
            (source, &self.source, RECORD_TEXT),
            (source_instance, &self.source_instance, RECORD_TEXT),
            (destination, &self.destination, RECORD_TEXT),
            (
                destination_instance,
                &self.destination_instance,
                RECORD_TEXT,
            ),
            (protocol, self.protocol, RECORD_TEXT),
            (its_operation, operation, RECORD_OPERATION),
            (reason, &ruling.reason, RECORD_TEXT),
            (rule, &ruling.rule, RECORD_TEXT),
            (mode, ruling.mode, RECORD_TEXT),
            (task, "", RECORD_TEXT),
            (purpose, &self.purpose, RECORD_TEXT),
        ] {
            field.clear();
            field.push_str(upto(text, limit));
            if field.len() < text.len() {
                field.push_str(CUT);
            }
        }
        *original_destination = original.unwrap_or_else(|| {
            let to = self.original;
            to.map(|to| to.to_string()).unwrap_or_default()
        });
    }
}

/// A record of kind `event`: something the node or the enforcer did.
pub(crate) fn event(
    node: &str,
    subject: Option<&str>,
    operation: &str,
    reason: &str,
    ok: bool,
    generation: Generation,
) -> Record {
    Record::from(Flow {
        schema: SCHEMA,
        time_ns: now_ns(),
        node: bounded(node, RECORD_TEXT),
        kind: Kind::Event.into(),
        count: 1,
        source: bounded(subject.unwrap_or_default(), RECORD_TEXT),
        operation: bounded(operation, RECORD_OPERATION),
        outcome: if ok { Outcome::Allow } else { Outcome::Error }.into(),
        reason: bounded(reason, RECORD_TEXT),
        generation: generation.0,
        ..Flow::default()
    })
}

/// Nanoseconds since the Unix epoch; 0 before it.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}

/// Ends a text that was cut.
const CUT: &str = "…";

/// What stays of `text` where it may take at most `limit` bytes, [`CUT`] included: all of it, or up to a character.
fn upto(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    &text[..text.floor_char_boundary(limit.saturating_sub(CUT.len()))]
}

/// Cuts `text` in place.
fn shorten(text: &mut String, limit: usize) {
    let end = upto(text, limit).len();
    if end < text.len() {
        text.truncate(end);
        text.push_str(CUT);
    }
}

/// `text`, cut at a character boundary so that it takes at most `limit` bytes, `…` included.
pub(crate) fn bounded(text: &str, limit: usize) -> String {
    let mut bounded = text.to_owned();
    shorten(&mut bounded, limit);
    bounded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log refuses records over this many bytes.
    const RECORD_MAX: usize = 65_535;

    #[test]
    fn cuts_at_a_character() {
        assert_eq!(bounded("short", 10), "short");
        assert_eq!(bounded("0123456789", 10), "0123456789");
        assert_eq!(bounded("01234567890", 10), "0123456…");
        assert_eq!(bounded("ääääääääää", 10), "äää…");
        for limit in 3..20 {
            assert!(bounded("äöüäöüäöüäöü", limit).len() <= limit);
        }
    }

    /// `RECORD_OPERATION`, `RECORD_TEXT`.
    #[test]
    fn texts_of_a_record_are_whole_up_to_their_bounds_and_cut_beyond() {
        let id = WorkloadId {
            kind: ringfence_model::Kind::Agent,
            name: ringfence_model::Name::new("agent").unwrap(),
        };
        let instance = InstanceId("agent-1-1".into());
        let subject = Subject::of(&InForce::nothing(), &id, &instance);
        for (more, whole) in [(0, true), (1, false)] {
            let operation = "o".repeat(RECORD_OPERATION + more);
            let reason = "r".repeat(RECORD_TEXT + more);
            let ruling = Ruling::without_rule(reason.clone(), Generation(1));
            let flow = subject.flow(Kind::Operation, Outcome::Deny, &operation, &ruling);
            assert_eq!(
                (flow.operation == operation, flow.reason == reason),
                (whole, whole)
            );
            assert_eq!(flow.operation.len(), RECORD_OPERATION);
            assert_eq!(flow.reason.len(), RECORD_TEXT);
            assert_eq!(flow.reason.ends_with('…'), !whole);
        }
    }

    fn subject(name: &str) -> Subject {
        Subject {
            node: format!("node of {name}"),
            connection: format!("{name}-1"),
            source: name.to_owned(),
            source_instance: format!("{name}-1-1"),
            purpose: "tests".repeat(name.len()),
            destination: format!("whom {name} calls"),
            destination_instance: String::new(),
            both: name.len() > 3,
            original: Some(OriginalDst::new(
                format!("100.64.0.{}:80", name.len()).parse().unwrap(),
            )),
            protocol: "http",
        }
    }

    fn ruling(words: &str) -> Ruling {
        Ruling {
            reason: words.to_owned(),
            rule: format!("{words}:1"),
            generation: Generation(words.len() as u64),
            mode: "enforce",
            cause: Cause::Allowed,
        }
    }

    #[test]
    fn a_record_in_the_memory_of_another_is_as_one_of_its_own() {
        let mut used = Record::default();
        let one = (Kind::Close, Outcome::WouldDeny, "a long operation");
        subject("somebody").write(&mut used, one, &ruling("long words"), None);
        used.bytes_sent = 7;
        used.task = "left".into();
        used.fields = "left".into();
        (used.fields_key, used.last_time_ns) = (7, 7);
        let two = (Kind::Operation, Outcome::Allow, "GET /");
        subject("me").write(&mut used, two, &ruling("ok"), None);
        let mut own = subject("me").flow(two.0, two.1, two.2, &ruling("ok"));
        own.time_ns = used.time_ns;
        assert_eq!(*used, *own);
    }

    #[test]
    fn the_record_of_an_operation_allocates_nothing_once_there_was_one() {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Recorder::new(Log::open(directory.path()).unwrap(), 1);
        let (subject, ruling) = (subject("caller"), ruling("by a rule"));
        let instance = InstanceId("web-1-1".into());
        let named = ringfence_model::resource::Recorded {
            headers: vec!["x-tenant".to_owned()],
            query: vec!["page".to_owned()],
        };
        let field = |name, value| ringfence_wire::http1::Field { name, value };
        let sent = Sent {
            query: Some(b"page=2&token=s3cr3t"),
            fields: &[
                field("host", b"web"),
                field("Authorization", b"Bearer s3cr3t"),
                field("X-Tenant", b"acme"),
            ],
            record: &named,
        };
        let record = |operation| {
            recorder
                .before_operation(
                    &subject,
                    Some(&instance),
                    Outcome::Allow,
                    operation,
                    &ruling,
                    Some(&sent),
                )
                .unwrap();
        };
        record("GET /customers/42");
        let counted =
            allocation_counter::measure(|| (0..50).for_each(|_| record("GET /customers")));
        assert_eq!(counted.count_total, 0, "{counted:?}");
        let mut reader = ringfence_audit::Reader::open(directory.path()).unwrap();
        let mut last = None;
        while let Some((_, flow)) = reader.read().unwrap() {
            last = Some(flow);
        }
        let last = last.unwrap();
        assert_eq!(last.operation, "GET /customers");
        assert_eq!(last.destination_instance, "web-1-1");
        assert!(last.fields.starts_with("query.page=2 query~"), "{last:?}");
        assert!(last.fields.ends_with(" header.x-tenant=acme"), "{last:?}");
        assert!(!last.fields.contains("s3cr3t") && last.fields_key > 0);
        assert_eq!(last.original_destination, "100.64.0.6:80");
    }

    #[test]
    fn never_exceeds_what_the_log_takes() {
        let long = "€".repeat(100_000);
        let subject = Subject {
            node: long.clone(),
            connection: "0123456789abcdef-18446744073709551615".to_owned(),
            source: long.clone(),
            source_instance: long.clone(),
            purpose: long.clone(),
            destination: long.clone(),
            destination_instance: long.clone(),
            both: true,
            original: Some(OriginalDst::new("[fd52:6600::1]:65535".parse().unwrap())),
            protocol: "http",
        };
        let ruling = Ruling {
            reason: long.clone(),
            rule: long.clone(),
            generation: Generation(u64::MAX),
            mode: "enforce",
            cause: Cause::Other,
        };
        let mut flow = subject.flow(Kind::Close, Outcome::WouldDeny, &long, &ruling);
        flow.bytes_sent = u64::MAX;
        flow.bytes_received = u64::MAX;
        flow.duration_ns = u64::MAX;
        flow.count = u64::MAX;
        assert!(prost::Message::encoded_len(&*flow) <= RECORD_MAX);
    }
}
