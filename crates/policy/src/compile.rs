//! From resources to tables.
//!
//! The loader has checked most of this already; it is checked again here, because an estate may come from elsewhere and a
//! snapshot must never be made of one that does not hold together. Equal lists of operations share one tree, however many
//! policies repeat them.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use ringfence_model::operation::Pattern;
use ringfence_model::path::Allowances;
use ringfence_model::resource::{Entry, OperationPattern, Policy};
use ringfence_model::{
    Diagnostic, Diagnostics, Estate, Generation, HostName, Kind, Name, Position, Protocol,
    VirtualAddr, WorkloadId,
};

use crate::names::endpoint_key;
use crate::snapshot::{AddressBook, List, Others, Rule, Snapshot, pair_key};
use crate::source::Source;
use crate::trie::Root;

/// A number no other snapshot of this process has, until 2³² of them were made.
pub(crate) fn next_tag() -> u32 {
    static TAGS: AtomicU32 = AtomicU32::new(0);
    TAGS.fetch_add(1, Ordering::Relaxed)
}

/// Addresses for an estate that no node holds yet, by the order of names: good for `explain` and `lint`, not stable.
pub fn provisional_addresses(estate: &Estate) -> AddressBook {
    let mut names: Vec<&Name> = estate
        .services
        .iter()
        .map(|service| &service.name)
        .collect();
    names.extend(estate.agents.iter().map(|agent| &agent.name));
    names.sort_unstable();
    names.dedup();
    const V4: u32 = u32::from_be_bytes([100, 64, 0, 0]);
    const V6: u128 = 0xfd52_6600 << 96;
    let address = |(index, name): (usize, &Name)| {
        let v4 = Ipv4Addr::from_bits(V4 + index as u32 + 1);
        (
            name.clone(),
            VirtualAddr {
                v4,
                v6: Ipv6Addr::from_bits(V6 + index as u128 + 1),
            },
        )
    };
    names.into_iter().enumerate().map(address).collect()
}

impl Snapshot {
    /// Compiles; runs every policy's own tests; any error rejects the whole.
    ///
    /// The tests are run as of a day on which every exemption still holds: an exemption that has ended denies, it does not
    /// reject the generation.
    pub fn compile(
        generation: Generation,
        zone: &HostName,
        estate: &Estate,
        addresses: &AddressBook,
    ) -> Result<Self, Diagnostics> {
        let mut compiler = Compiler::new(generation);
        compiler.refuse_unenforced(estate);
        compiler.add_workloads(zone, estate, addresses);
        if compiler.errors.is_empty() {
            compiler.add_lists(estate);
            compiler.join_pairs();
        }
        let Compiler {
            snapshot,
            mut errors,
            ..
        } = compiler;
        if snapshot.tries.is_overfull() || snapshot.rules.len() >= u32::MAX as usize {
            errors.push(plain(
                "the estate has more rules than one snapshot can hold",
                "split the zone",
            ));
        }
        if errors.is_empty() {
            errors = crate::selftest::run(&snapshot, estate);
        }
        if errors.is_empty() {
            Ok(snapshot)
        } else {
            Err(Diagnostics(errors))
        }
    }
}

fn plain(message: &str, help: &str) -> Diagnostic {
    Diagnostic {
        at: None,
        message: message.to_owned(),
        text: None,
        help: Some(help.to_owned()),
        also: None,
    }
}

fn at(position: &Position, message: String, help: &str) -> Diagnostic {
    Diagnostic {
        at: Some(position.clone()),
        ..plain(&message, help)
    }
}

/// Equal lists are one: by protocol, allowances and the texts.
type ListKey<'a> = (Protocol, [bool; 5], Vec<&'a str>);

struct Compiler<'a> {
    snapshot: Snapshot,
    errors: Vec<Diagnostic>,
    /// Where each workload stands, in the order of indices.
    places: Vec<&'a Position>,
    lists: HashMap<ListKey<'a>, Root>,
    patterns: HashMap<Root, Vec<Pattern>>,
}

impl<'a> Compiler<'a> {
    /// What can be read but not decided yet must not load.
    fn refuse_unenforced(&mut self, estate: &Estate) {
        const HELP: &str = "remove it: this version does not enforce it";
        for guardrail in &estate.guardrails {
            self.error(
                &guardrail.at,
                "guardrails are not supported yet".to_owned(),
                HELP,
            );
        }
        for policy in &estate.policies {
            if policy.mode.kind != Default::default() {
                self.error(
                    &policy.mode.at,
                    "this mode is not supported yet".to_owned(),
                    HELP,
                );
            }
        }
        let listed = estate.policies.iter().flat_map(|policy| {
            policy
                .initiate
                .iter()
                .chain(policy.receive.iter().flatten())
        });
        let own = estate
            .services
            .iter()
            .flat_map(|service| service.receive.iter().flatten());
        for operation in listed.chain(own).flat_map(|entry| &entry.operations) {
            if operation.when.is_some() || operation.until.is_some() {
                self.error(
                    &operation.at,
                    "when and until are not supported yet".to_owned(),
                    HELP,
                );
            }
        }
    }

    fn new(generation: Generation) -> Self {
        Self {
            snapshot: Snapshot {
                generation,
                ..Snapshot::empty()
            },
            errors: Vec::new(),
            places: Vec::new(),
            lists: HashMap::new(),
            patterns: HashMap::new(),
        }
    }

    fn error(&mut self, position: &Position, message: String, help: &str) {
        self.errors.push(at(position, message, help));
    }

    fn add_workloads(&mut self, zone: &HostName, estate: &'a Estate, addresses: &AddressBook) {
        let services = estate.services.iter().map(Source::Service);
        let mut sources: Vec<Source<'a>> = services
            .chain(estate.agents.iter().map(Source::Agent))
            .collect();
        sources.sort_by_key(|source| source.name());
        for source in sources {
            self.add_workload(zone, source, addresses);
        }
        for policy in &estate.policies {
            let Some(index) = self.index(&policy.subject) else {
                let message = format!(
                    "policy {} is about {}, which does not exist",
                    policy.name, policy.subject
                );
                self.error(
                    &policy.at,
                    message,
                    "name an agent or a service of this zone",
                );
                continue;
            };
            let facts = &mut self.snapshot.facts[index as usize];
            if facts.policy.is_some() {
                let message = format!("{} has two policies", policy.subject);
                self.error(&policy.at, message, "join them into one");
                continue;
            }
            facts.policy = Some(policy.name.clone());
            facts.others = match (facts.others, &policy.receive) {
                (Others::Welcome, None) => Others::Welcome,
                _ => Others::NotListed,
            };
        }
    }

    fn add_workload(&mut self, zone: &HostName, source: Source<'a>, addresses: &AddressBook) {
        let index = self.snapshot.workloads.len() as u32;
        let name = source.name();
        if let Some(&first) = self.snapshot.by_name.get(name) {
            let also = self.places[first as usize].clone();
            self.errors.push(Diagnostic {
                also: Some(also),
                ..at(
                    source.at(),
                    format!("two workloads are called {name}"),
                    "rename one",
                )
            });
            return;
        }
        let Some(&address) = addresses.get(name) else {
            let message = format!("{} has no virtual address", source.id());
            self.error(
                source.at(),
                message,
                "this is an error of the node; restart it",
            );
            return;
        };
        let names = self.names(zone, &source);
        for host in &names {
            if let Some(first) = self.snapshot.by_host.insert(host.clone(), index) {
                let also = self
                    .places
                    .get(first as usize)
                    .copied()
                    .unwrap_or(source.at())
                    .clone();
                self.errors.push(Diagnostic {
                    also: Some(also),
                    ..at(
                        source.at(),
                        format!("two workloads answer to {host}"),
                        "take it from the hosts of one",
                    )
                });
            }
        }
        for ip in [IpAddr::V4(address.v4), IpAddr::V6(address.v6)] {
            if self.snapshot.by_ip.insert(ip, index).is_some() {
                let message = format!("{ip} is the virtual address of two workloads");
                self.error(
                    source.at(),
                    message,
                    "this is an error of the node; restart it",
                );
            }
        }
        for literal in source
            .endpoints()
            .iter()
            .filter_map(|endpoint| endpoint.literal())
        {
            if self
                .snapshot
                .by_endpoint
                .insert(endpoint_key(literal), index)
                .is_some()
            {
                let message = format!("{literal} is an endpoint of two services");
                self.error(source.at(), message, "declare it once");
            }
        }
        self.snapshot.by_name.insert(name.clone(), index);
        self.snapshot.facts.push(source.facts());
        self.snapshot
            .workloads
            .push(source.workload(address, names));
        self.places.push(source.at());
    }

    fn names(&mut self, zone: &HostName, source: &Source<'a>) -> Vec<HostName> {
        let name = source.name();
        let mut names = Vec::with_capacity(2 + source.hosts().len());
        for text in [name.to_string(), format!("{name}.{zone}")] {
            match HostName::new(&text) {
                Ok(host) => names.push(host),
                Err(error) => {
                    self.error(
                        source.at(),
                        error.to_string(),
                        "choose a shorter name or zone",
                    );
                }
            }
        }
        for host in source.hosts() {
            if !names.contains(host) {
                names.push(host.clone());
            }
        }
        names
    }

    fn index(&self, id: &WorkloadId) -> Option<u32> {
        let &index = self.snapshot.by_name.get(&id.name)?;
        (self.snapshot.workloads[index as usize].id.kind == id.kind).then_some(index)
    }

    fn add_lists(&mut self, estate: &'a Estate) {
        for policy in &estate.policies {
            let Some(subject) = self.index(&policy.subject) else {
                continue;
            };
            self.add_list(subject, &policy.initiate, Side::Initiate);
            self.add_list(
                subject,
                policy.receive.as_deref().unwrap_or_default(),
                Side::Receive,
            );
        }
        let listed: HashMap<&WorkloadId, &Policy> = estate
            .policies
            .iter()
            .filter(|policy| policy.receive.is_some())
            .map(|policy| (&policy.subject, policy))
            .collect();
        for service in &estate.services {
            let id = WorkloadId {
                kind: Kind::Service,
                name: service.name.clone(),
            };
            let (Some(index), Some(entries)) = (self.index(&id), &service.receive) else {
                continue;
            };
            if let Some(policy) = listed.get(&id) {
                let message = format!("{id} has a receive list, and its policy has one too");
                self.error(&policy.at, message, "keep one of them");
                continue;
            }
            self.add_list(index, entries, Side::Receive);
        }
    }

    /// Entries for one peer are one set.
    fn add_list(&mut self, subject: u32, entries: &'a [Entry], side: Side) {
        let mut by_peer: BTreeMap<u32, Vec<&'a OperationPattern>> = BTreeMap::new();
        for entry in entries {
            match self.index(&entry.peer) {
                Some(peer) => by_peer.entry(peer).or_default().extend(&entry.operations),
                None => self.error(
                    &entry.at,
                    format!("{} does not exist", entry.peer),
                    "name an agent or a service of this zone",
                ),
            }
        }
        for (peer, operations) in by_peer {
            let (from, to) = match side {
                Side::Initiate => (subject, peer),
                Side::Receive => (peer, subject),
            };
            let Some(list) = self.list(to, &operations) else {
                continue;
            };
            let pair = self.snapshot.pairs.entry(pair_key(from, to)).or_default();
            let facts = &mut self.snapshot.facts[subject as usize];
            match side {
                Side::Initiate => {
                    pair.initiate = Some(list);
                    facts.initiate.push((peer, list));
                }
                Side::Receive => {
                    pair.receive = Some(list);
                    facts.receive.push((peer, list));
                }
            }
        }
    }

    fn list(&mut self, callee: u32, operations: &[&'a OperationPattern]) -> Option<List> {
        let callee = &self.snapshot.workloads[callee as usize];
        let Some((protocol, _)) = callee.serves else {
            let message = format!("{} serves nothing", callee.id);
            let place = operations.first().map(|operation| &operation.at)?;
            self.error(
                place,
                message,
                "say what it serves: `serves: {protocol: http, port: 9000}`",
            );
            return None;
        };
        let allowances = callee.path_allowances;
        let texts = operations
            .iter()
            .map(|operation| operation.text.as_str())
            .collect();
        let key = (protocol, flags(allowances), texts);
        let root = match self.lists.get(&key) {
            Some(&root) => root,
            None => {
                let patterns = self.parse(operations, protocol, allowances)?;
                let root = self.snapshot.tries.add(&patterns);
                self.patterns.insert(root, patterns);
                self.lists.insert(key, root);
                root
            }
        };
        let first = self.snapshot.rules.len() as u32;
        self.snapshot
            .rules
            .extend(operations.iter().map(|operation| Rule {
                text: operation.text.as_str().into(),
                at: operation.at.clone(),
            }));
        Some(List {
            root,
            first,
            count: operations.len() as u32,
        })
    }

    /// `None` when one of them does not parse.
    fn parse(
        &mut self,
        operations: &[&OperationPattern],
        protocol: Protocol,
        allowances: Allowances,
    ) -> Option<Vec<Pattern>> {
        let mut patterns = Vec::with_capacity(operations.len());
        for operation in operations {
            match Pattern::parse(&operation.text, protocol, allowances) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => self.error(&operation.at, error.to_string(), &error.help()),
            }
        }
        (patterns.len() == operations.len()).then_some(patterns)
    }

    /// Finds, for each pair, an operation both ends allow.
    fn join_pairs(&mut self) {
        let mut known: HashMap<(Root, Root), Option<(u32, u32)>> = HashMap::new();
        let patterns = &self.patterns;
        for pair in self.snapshot.pairs.values_mut() {
            let Some(initiate) = pair.initiate else {
                continue;
            };
            pair.meet = match pair.receive {
                None => (initiate.count > 0).then_some((0, 0)),
                Some(receive) => *known
                    .entry((initiate.root, receive.root))
                    .or_insert_with(|| {
                        overlap(patterns.get(&initiate.root)?, patterns.get(&receive.root)?)
                    }),
            };
        }
    }
}

fn overlap(ours: &[Pattern], theirs: &[Pattern]) -> Option<(u32, u32)> {
    ours.iter().zip(0..).find_map(|(our, a)| {
        let b = theirs.iter().position(|their| our.overlaps(their))?;
        Some((a, b as u32))
    })
}

fn flags(allowances: Allowances) -> [bool; 5] {
    let Allowances {
        encoded_slash,
        encoded_backslash,
        empty_segment,
        semicolon,
        raw_non_ascii,
    } = allowances;
    [
        encoded_slash,
        encoded_backslash,
        empty_segment,
        semicolon,
        raw_non_ascii,
    ]
}

#[derive(Clone, Copy)]
enum Side {
    Initiate,
    Receive,
}
