//! The compiled estate: immutable, shared, asked.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use jiff::civil::Date;
use ringfence_model::path::Allowances;
use ringfence_model::resource::Endpoint;
use ringfence_model::{Generation, HostName, Name, Position, Protocol, VirtualAddr, WorkloadId};

use crate::trie::{Root, Tries};
use crate::verdict::{Operation, Reason, RuleRef, Verdict};

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
    /// Whom it takes when no list of its own names the initiator.
    pub(crate) others: Others,
    /// First second (Unix) at which it is denied because its exemption has ended; and the last day of the exemption.
    pub(crate) lapse: Option<Lapse>,
    /// All it may initiate, by peer, for explanations.
    pub(crate) initiate: Vec<(u32, List)>,
    /// All it receives, by peer.
    pub(crate) receive: Vec<(u32, List)>,
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
    /// Positions, within the two lists, of two patterns that share an operation; the second is unused where the receiver
    /// has no list.
    pub(crate) meet: Option<(u32, u32)>,
}

/// The operations one side agrees to with one peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) root: Root,
    /// Its patterns are `rules[first..first + count]`.
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl List {
    pub(crate) fn rule(&self, position: u32) -> RuleRef {
        RuleRef::new(self.first + position)
    }
}

/// One operation of one entry, for people.
#[derive(Debug)]
pub(crate) struct Rule {
    /// As written.
    pub(crate) text: Box<str>,
    pub(crate) at: Position,
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

    /// Is there any operation both ends allow? What connections (before the first byte) and DNS ask.
    ///
    /// Exact: `allow` means that some operation would be allowed by [`Snapshot::decide`], `deny` that none would.
    pub fn may_meet(&self, from: WorkloadIx, to: WorkloadIx, now: Timestamp) -> Verdict {
        self.judge(from, to, None, now)
    }

    /// May `from` do `operation` to `to`? One hash look-up and one walk for each end; no allocation, no lock.
    pub fn decide(
        &self,
        from: WorkloadIx,
        to: WorkloadIx,
        operation: Operation<'_>,
        now: Timestamp,
    ) -> Verdict {
        self.judge(from, to, Some(operation), now)
    }

    pub(crate) fn judge(
        &self,
        from: WorkloadIx,
        to: WorkloadIx,
        operation: Option<Operation<'_>>,
        now: Timestamp,
    ) -> Verdict {
        let (Some(_), Some(receiver)) = (self.get(from), self.get(to)) else {
            return Verdict::deny(Reason::Unknown);
        };
        match (receiver.serves, operation) {
            (None, _) => return Verdict::deny(Reason::NothingServed),
            (Some((protocol, _)), Some(operation)) if operation.protocol() != protocol => {
                return Verdict::deny(Reason::OtherProtocol);
            }
            _ => {}
        }
        let (Some(source), Some(target)) = (
            self.facts.get(from.index as usize),
            self.facts.get(to.index as usize),
        ) else {
            return Verdict::deny(Reason::Unknown);
        };
        let pair = self
            .pairs
            .get(&pair_key(from.index, to.index))
            .copied()
            .unwrap_or_default();
        let Some(initiate) = pair.initiate else {
            return Verdict::deny(match source.policy {
                None => Reason::InitiatorWithoutPolicy,
                Some(_) => Reason::ReceiverNotNamed,
            });
        };
        if pair.receive.is_none() {
            match target.others {
                Others::Welcome => {}
                Others::NotListed => return Verdict::deny(Reason::InitiatorNotReceived),
                Others::NoPolicy => return Verdict::deny(Reason::ReceiverWithoutPolicy),
            }
        }
        let (initiated, received) = match operation {
            None => match pair.meet {
                Some(meet) => meet,
                None => return Verdict::deny(Reason::NothingInCommon),
            },
            Some(operation) => {
                let Some(initiated) = self.tries.find(initiate.root, operation) else {
                    return Verdict::deny(Reason::OperationNotInitiated);
                };
                let received = match pair.receive {
                    None => 0,
                    Some(list) => match self.tries.find(list.root, operation) {
                        Some(received) => received,
                        None => {
                            return Verdict {
                                initiate: initiate.rule(initiated),
                                ..Verdict::deny(Reason::OperationNotReceived)
                            };
                        }
                    },
                };
                (initiated, received)
            }
        };
        let lapsed = target.lapse.as_ref().is_some_and(|lapse| now >= lapse.from);
        Verdict {
            reason: if lapsed {
                Reason::ExemptionLapsed
            } else {
                Reason::Allowed
            },
            initiate: initiate.rule(initiated),
            receive: pair
                .receive
                .map_or(RuleRef::NONE, |list| list.rule(received)),
        }
    }

    /// Where the rule stands that a verdict of this snapshot rests on: the initiator's rule when it is allowed, the
    /// exemption when that has ended; none when it is denied for want of a rule.
    pub fn rule(&self, verdict: &Verdict, to: WorkloadIx) -> Option<&Position> {
        match verdict.reason {
            Reason::Allowed => self.rule_at(verdict.initiate).map(|rule| &rule.at),
            Reason::ExemptionLapsed => self
                .facts
                .get(to.index as usize)?
                .lapse
                .as_ref()
                .map(|lapse| &lapse.at),
            _ => None,
        }
    }

    pub(crate) fn rule_at(&self, rule: RuleRef) -> Option<&Rule> {
        self.rules.get(rule.index()?)
    }
}
