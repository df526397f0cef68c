//! The compiled estate: immutable, shared, asked.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use jiff::civil::Date;
use ringfence_model::operation::Pattern;
use ringfence_model::path::Allowances;
use ringfence_model::resource::{Endpoint, Labels, ModeKind, OperationPattern, Recorded};
use ringfence_model::{Generation, HostName, Name, Position, Protocol, VirtualAddr, WorkloadId};

use crate::condition::Condition;
use crate::guardrail::Guardrail;
use crate::trie::{Root, Tries};
use crate::verdict::RuleRef;

/// Index of a workload within one snapshot. In any other snapshot it names nobody, and every question about it is denied:
/// look the name up again ([`Snapshot::find`]) when the generation changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadIx {
    pub(crate) index: u32,
    /// [`Snapshot::tag`] of its snapshot.
    pub(crate) tag: u32,
}

/// Stable addresses of all workloads of the zone.
pub type AddressBook = BTreeMap<Name, VirtualAddr>;

/// An immutable compiled estate. Cheap to share (`Arc<Snapshot>`), never changed.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) generation: Generation,
    /// Different for every snapshot of a process.
    pub(crate) tag: u32,
    pub(crate) workloads: Vec<Workload>,
    /// In the order of `workloads`.
    pub(crate) facts: Vec<Facts>,
    /// By resource name.
    pub(crate) by_name: HashMap<Name, u32>,
    /// By every name a workload answers to.
    pub(crate) by_host: HashMap<HostName, u32>,
    /// By virtual address.
    pub(crate) by_ip: HashMap<IpAddr, u32>,
    /// By literal address of an endpoint.
    pub(crate) by_endpoint: HashMap<SocketAddr, u32>,
    /// By initiator and receiver, see [`pair_key`].
    pub(crate) pairs: HashMap<u64, Pair, BuildHasherDefault<PairHasher>>,
    pub(crate) tries: Tries,
    pub(crate) rules: Vec<Rule>,
    /// Rules that have a condition or an end, list by list, the most specific first.
    pub(crate) conditional: Vec<Conditional>,
    /// Pairs of rules of which one is conditional and that share an operation, see [`Pair::timed`].
    pub(crate) timed: Vec<(RuleRef, RuleRef)>,
    pub(crate) guardrails: Vec<Guardrail>,
}

/// What the data plane needs to know of a workload.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Kind and name.
    pub id: WorkloadId,
    /// Where it is found.
    pub address: VirtualAddr,
    /// What it serves, if anything.
    pub serves: Option<(Protocol, u16)>,
    /// All names it answers to: NAME, NAME.ZONE, hosts. Lower case.
    pub names: Vec<HostName>,
    /// Path forms it accepts.
    pub path_allowances: Allowances,
    /// What of its requests may be read in the flow log.
    pub record: Recorded,
    /// Empty: it runs in a compartment.
    pub endpoints: Vec<Endpoint>,
    /// What it is for.
    pub purpose: Option<String>,
}

/// What decisions need to know of a workload beside its pairs.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Name of its policy.
    pub(crate) policy: Option<Name>,
    /// Mode of its policy, and when that softens the policy's refusals: from the first time until before the second.
    pub(crate) soft: Option<Soft>,
    /// Its `receive` list stands in its policy, not in the service itself.
    pub(crate) receives_by_policy: bool,
    /// Whom it takes when no list of its own names the initiator.
    pub(crate) others: Others,
    /// For conditions.
    pub(crate) spiffe_id: Box<str>,
    /// For conditions.
    pub(crate) owner: Option<Box<str>>,
    /// For conditions.
    pub(crate) labels: Labels,
    /// First second (Unix) at which it is denied because its exemption has ended; and the last day of the exemption.
    pub(crate) lapse: Option<Lapse>,
    /// All it may initiate, by peer, for explanations.
    pub(crate) initiate: Vec<(u32, List)>,
    /// All it receives, by peer.
    pub(crate) receive: Vec<(u32, List)>,
}

/// `mode: learn` or `mode: shadow`, and when it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Soft {
    pub(crate) kind: ModeKind,
    pub(crate) from: Timestamp,
    /// The first second at which it enforces.
    pub(crate) end: Timestamp,
}

/// What a receiver does with initiators that its lists do not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// A service without any list.
    Welcome,
    /// Its list is complete.
    NotListed,
    /// An agent without policy.
    NoPolicy,
}

/// The end of an exemption.
#[derive(Clone, Debug)]
pub(crate) struct Lapse {
    pub(crate) from: Timestamp,
    pub(crate) last_day: Date,
    pub(crate) at: Position,
}

/// What both ends say about one initiator and one receiver.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pair {
    pub(crate) initiate: Option<List>,
    pub(crate) receive: Option<List>,
    /// Two rules without condition or end that share an operation no guardrail without condition forbids; the second is
    /// none where the receiver has no list.
    pub(crate) meet: Option<(RuleRef, RuleRef)>,
    /// The same for rules of which one is conditional: this many of [`Snapshot::timed`] from here on.
    pub(crate) timed: (u32, u32),
}

/// The operations one side agrees to with one peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    /// Of its rules without condition or end.
    pub(crate) root: Root,
    /// Its rules are `rules[first..first + count]`, those of `root` first.
    pub(crate) first: u32,
    pub(crate) count: u32,
    /// The others: this many of [`Snapshot::conditional`] from here on.
    pub(crate) conditional: (u32, u32),
}

/// A rule with a condition or an end.
#[derive(Debug)]
pub(crate) struct Conditional {
    pub(crate) pattern: Pattern,
    pub(crate) rule: RuleRef,
}

impl List {
    pub(crate) fn rule(&self, position: u32) -> RuleRef {
        RuleRef::new(self.first + position)
    }
}

/// One operation of one entry.
#[derive(Debug)]
pub(crate) struct Rule {
    /// As written.
    pub(crate) text: Box<str>,
    pub(crate) at: Position,
    /// The first second at which it matches nothing any more.
    pub(crate) end: Option<Timestamp>,
    pub(crate) when: Option<Condition>,
}

impl Rule {
    /// Without condition or end.
    pub(crate) fn plain(operation: &OperationPattern) -> Self {
        Self {
            text: operation.text.as_str().into(),
            at: operation.at.clone(),
            end: None,
            when: None,
        }
    }
}

/// Key of an ordered pair of workloads.
pub(crate) fn pair_key(from: u32, to: u32) -> u64 {
    u64::from(from) << 32 | u64::from(to)
}

/// Mixes the one `u64` of a pair key. Keys are indices we gave out ourselves, so nobody can choose colliding ones.
#[derive(Default)]
pub(crate) struct PairHasher(u64);

impl Hasher for PairHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        // The multiplier of splitmix64's first step; the table uses high and low bits, so fold them.
        let mixed = (self.0 ^ key).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Snapshot {
    /// No workloads at all: denies everything.
    pub fn empty() -> Self {
        Self {
            generation: Generation(0),
            tag: crate::compile::next_tag(),
            workloads: Vec::new(),
            facts: Vec::new(),
            by_name: HashMap::new(),
            by_host: HashMap::new(),
            by_ip: HashMap::new(),
            by_endpoint: HashMap::new(),
            pairs: HashMap::default(),
            tries: Tries::default(),
            rules: Vec::new(),
            conditional: Vec::new(),
            timed: Vec::new(),
            guardrails: Vec::new(),
        }
    }

    /// Which version of policy this is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// All workloads, sorted by name.
    pub fn workloads(&self) -> impl ExactSizeIterator<Item = WorkloadIx> + '_ {
        (0..self.workloads.len() as u32).map(|index| WorkloadIx {
            index,
            tag: self.tag,
        })
    }

    /// By the name of the resource, exactly.
    pub fn find(&self, name: &str) -> Option<WorkloadIx> {
        self.by_name.get(name).map(|&index| self.ix(index))
    }

    /// What is known of a workload of this snapshot.
    ///
    /// # Panics
    ///
    /// When `ix` comes from another snapshot with more workloads. [`Snapshot::get`] does not.
    pub fn workload(&self, ix: WorkloadIx) -> &Workload {
        &self.workloads[ix.index as usize]
    }

    /// What is known of a workload, if `ix` is of this snapshot.
    pub fn get(&self, ix: WorkloadIx) -> Option<&Workload> {
        if ix.tag == self.tag {
            self.workloads.get(ix.index as usize)
        } else {
            None
        }
    }

    pub(crate) fn ix(&self, index: u32) -> WorkloadIx {
        WorkloadIx {
            index,
            tag: self.tag,
        }
    }

    pub(crate) fn rule_at(&self, rule: RuleRef) -> Option<&Rule> {
        self.rules.get(rule.index()?)
    }
}
