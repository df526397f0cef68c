//! From resources to tables.
//!
//! The loader has checked most of this already; it is checked again here, because an estate may come from elsewhere and a
//! snapshot must never be made of one that does not hold together. Equal lists of operations share one tree, however many
//! policies repeat them.

mod guardrails;
mod join;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use ringfence_model::operation::{Pattern, Segment};
use ringfence_model::path::Allowances;
use ringfence_model::resource::{self, Entry, OperationPattern, Policy};
use ringfence_model::{
    Diagnostic, Diagnostics, Estate, Generation, HostName, Kind, Name, Position, Protocol,
    VirtualAddr, WorkloadId,
};

use crate::condition::{self, Allowed, CompileError, Condition, names_of};
use crate::names::endpoint_key;
use crate::snapshot::{AddressBook, Conditional, List, Others, Rule, Snapshot, pair_key};
use crate::source::{Source, day_after, soft};
use crate::trie::Root;
use crate::verdict::RuleRef;

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
    /// Compiles; runs all tests; any error, and any test that does not hold, rejects the whole.
    ///
    /// The tests are run as of a day on which every exemption still holds: an exemption that has ended denies, it does not
    /// reject the generation.
    pub fn compile(
        generation: Generation,
        zone: &HostName,
        estate: &Estate,
        addresses: &AddressBook,
    ) -> Result<Self, Diagnostics> {
        let snapshot = Self::compile_untested(generation, zone, estate, addresses)?;
        match crate::testing::failures(&snapshot, estate) {
            failures if failures.is_empty() => Ok(snapshot),
            failures => Err(Diagnostics(failures)),
        }
    }

    /// Compiles without running tests: to ask how each of them does ([`Snapshot::test`]). Never to be enforced.
    pub fn compile_untested(
        generation: Generation,
        zone: &HostName,
        estate: &Estate,
        addresses: &AddressBook,
    ) -> Result<Self, Diagnostics> {
        let mut compiler = Compiler::new(generation);
        compiler.add_workloads(zone, estate, addresses);
        if compiler.errors.is_empty() {
            compiler.add_lists(estate);
            compiler.add_guardrails(estate);
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
type ListKey<'a> = (Protocol, [bool; 7], Vec<&'a str>);

struct Compiler<'a> {
    snapshot: Snapshot,
    errors: Vec<Diagnostic>,
    /// Where each workload stands, in the order of indices.
    places: Vec<&'a Position>,
    lists: HashMap<ListKey<'a>, Root>,
    patterns: HashMap<Root, Vec<Pattern>>,
}

impl<'a> Compiler<'a> {
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
            facts.soft = soft(&policy.mode);
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
        self.snapshot.facts.push(source.facts(zone));
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
        let (plain, conditional): (Vec<_>, Vec<_>) = operations
            .iter()
            .copied()
            .partition(|operation| operation.when.is_none() && operation.until.is_none());
        let texts = plain
            .iter()
            .map(|operation| operation.text.as_str())
            .collect();
        let key = (protocol, flags(allowances), texts);
        let root = match self.lists.get(&key) {
            Some(&root) => root,
            None => {
                let patterns = self.parse(&plain, protocol, allowances)?;
                let root = self.snapshot.tries.add(&patterns);
                self.patterns.insert(root, patterns);
                self.lists.insert(key, root);
                root
            }
        };
        let first = self.snapshot.rules.len() as u32;
        let patterns = self.parse(&conditional, protocol, allowances)?;
        for operation in &plain {
            self.snapshot.rules.push(Rule::plain(operation));
        }
        let mut rules = Vec::with_capacity(conditional.len());
        for (operation, pattern) in conditional.iter().zip(patterns) {
            let when = match &operation.when {
                Some(when) => Some(self.condition(when, Some(protocol), &pattern)?),
                None => None,
            };
            let rule = RuleRef::new(self.snapshot.rules.len() as u32);
            self.snapshot.rules.push(Rule {
                end: operation.until.map(day_after),
                when,
                ..Rule::plain(operation)
            });
            rules.push(Conditional { pattern, rule });
        }
        rules.sort_by_key(|conditional| specificity(&conditional.pattern));
        let place = (self.snapshot.conditional.len() as u32, rules.len() as u32);
        self.snapshot.conditional.extend(rules);
        Some(List {
            root,
            first,
            count: operations.len() as u32,
            conditional: place,
        })
    }

    fn condition(
        &mut self,
        when: &resource::Condition,
        protocol: Option<Protocol>,
        pattern: &Pattern,
    ) -> Option<Condition> {
        let (_, names) = names_of(pattern);
        let allowed = Allowed {
            protocol,
            names: &names,
        };
        match condition::compile(&when.text, &allowed) {
            Ok(condition) => Some(condition),
            Err(CompileError { message, help }) => {
                self.error(&when.at, message, &help);
                None
            }
        }
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
}

/// Orders patterns the most specific first, as a walk finds them.
fn specificity(pattern: &Pattern) -> (bool, Vec<u8>) {
    match pattern {
        Pattern::Connect | Pattern::Send => (false, Vec::new()),
        Pattern::Http(http) | Pattern::Grpc(http) => {
            let segments = http.segments.iter().map(|segment| match segment {
                Segment::Literal(_) => 0,
                Segment::One(_) => 1,
            });
            (
                http.method.is_none(),
                segments.chain(http.rest.then_some(2)).collect(),
            )
        }
    }
}

fn flags(allowances: Allowances) -> [bool; 7] {
    let Allowances {
        encoded_slash,
        encoded_backslash,
        empty_segment,
        semicolon,
        raw_non_ascii,
        double_escape,
        not_utf8,
    } = allowances;
    [
        encoded_slash,
        encoded_backslash,
        empty_segment,
        semicolon,
        raw_non_ascii,
        double_escape,
        not_utf8,
    ]
}

#[derive(Clone, Copy)]
enum Side {
    Initiate,
    Receive,
}
