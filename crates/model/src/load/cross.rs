//! All documents together: what each declares, and what they say about each other.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::common::Reference;
use super::fields::{Fields, Reader, Shape};
use super::report::{Report, Text, position};
use super::tree::{self, Mark, Node, Value};
use super::{API_VERSION, suggest};
use crate::operation::{Concrete, Pattern};
use crate::path::Allowances;
use crate::resource::{Agent, Entry, OperationPattern, Policy, Service, TestPeer};
use crate::{Diagnostics, Estate, HostName, Kind, Name, Position, Protocol, WorkloadId};

const KINDS: [&str; 3] = ["Service", "Agent", "Policy"];
/// Of versions to come.
const LATER_KINDS: [&str; 2] = ["Guardrail", "Test"];

/// One resource, with what is needed to check it against the others.
pub(super) struct Draft<T> {
    pub(super) resource: T,
    pub(super) offer: Offer,
    pub(super) hosts: Vec<(HostName, Position)>,
    pub(super) references: Vec<Reference>,
}

/// What a workload serves, as far as its resource could be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Offer {
    Nothing,
    Known(Protocol, Allowances),
    /// Its resource has an error there, which is reported already.
    Unknown,
}

/// A name and who has it.
struct Declared {
    kind: Kind,
    at: Position,
    offer: Offer,
}

/// Loads all files. `report` holds what could not be read.
pub(super) fn load(
    files: &[(Arc<str>, Arc<str>)],
    base: Option<&Path>,
    report: Report,
) -> Result<Estate, Diagnostics> {
    let mut unreadable: BTreeSet<String> = report.files().map(str::to_owned).collect();
    let mut loader = Loader::new(base, report);
    for (name, text) in files {
        if !loader.file(name, text) {
            unreadable.insert(name.to_string());
        }
    }
    loader.unreadable = unreadable.into_iter().collect();
    loader.check();
    let Loader {
        mut estate, report, ..
    } = loader;
    if !report.is_empty() {
        return Err(report.finish());
    }
    estate.services.sort_by(|a, b| a.name.cmp(&b.name));
    estate.agents.sort_by(|a, b| a.name.cmp(&b.name));
    estate.policies.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(estate)
}

struct Loader<'a> {
    base: Option<&'a Path>,
    report: Report,
    estate: Estate,
    workloads: HashMap<Name, Declared>,
    hosts: Vec<(HostName, Name, Position)>,
    references: Vec<Reference>,
    /// Files, or documents, of which it is not known what they declare.
    unreadable: Vec<String>,
    /// Some document of a readable file has no usable name or kind.
    nameless: Option<Position>,
}

impl<'a> Loader<'a> {
    fn new(base: Option<&'a Path>, report: Report) -> Self {
        Self {
            base,
            report,
            estate: Estate::default(),
            workloads: HashMap::new(),
            hosts: Vec::new(),
            references: Vec::new(),
            unreadable: Vec::new(),
            nameless: None,
        }
    }

    /// Whether it could be read to its end.
    fn file(&mut self, name: &Arc<str>, text: &Arc<str>) -> bool {
        let text = Text::new(name.clone(), text.clone());
        let trees = tree::parse(text.as_str());
        self.report.add_text(text);
        for fault in trees.faults {
            self.report.push_also(
                position(name, fault.at),
                fault.message,
                fault.help,
                fault.also.map(|also| position(name, also)),
            );
        }
        for document in &trees.documents {
            if !matches!(document.value, Value::Null) && !self.document(name, document) {
                self.nameless.get_or_insert(position(name, document.at));
            }
        }
        !trees.broken
    }

    /// Whether it is known what the document declares.
    fn document(&mut self, file: &Arc<str>, node: &Node) -> bool {
        let mut reader = Reader {
            file,
            report: &mut self.report,
        };
        let shape = Shape {
            known: &["apiVersion", "kind", "metadata", "spec"],
            later: &["status"],
        };
        let Some(fields) = reader.fields(node, "the document", &shape) else {
            return false;
        };
        let example = format!("`apiVersion: {API_VERSION}`");
        if let Some(node) = fields.need(&mut reader, "apiVersion", &example)
            && let Some(version) = reader.text(node, "apiVersion")
            && version != API_VERSION
        {
            let message = format!("apiVersion {version:?} is not known");
            reader.error(node.at, message, format!("write {API_VERSION}"));
        }
        let kind = kind(&mut reader, &fields);
        let name = name(&mut reader, &fields);
        let (Some(kind), Some((name, at))) = (kind, name) else {
            return false;
        };
        let spec = fields.get(&mut reader, "spec");
        let position = reader.at(at);
        match kind {
            "Service" => {
                let draft = reader.service(name.clone(), at, spec, self.base);
                let offer = draft.as_ref().map_or(Offer::Unknown, |draft| draft.offer);
                if self.declare(name, Kind::Service, position, offer)
                    && let Some(draft) = draft
                {
                    let service = self.take(draft, |service: &Service| &service.name);
                    self.estate.services.push(service);
                }
            }
            "Agent" => {
                let draft = reader.agent(name.clone(), at, spec);
                if self.declare(name, Kind::Agent, position, draft.offer) {
                    let agent = self.take(draft, |agent: &Agent| &agent.name);
                    self.estate.agents.push(agent);
                }
            }
            _ => {
                if let Some(draft) = reader.policy(name, at, spec) {
                    let policy = self.take(draft, |policy: &Policy| &policy.name);
                    self.estate.policies.push(policy);
                }
            }
        }
        true
    }

    fn take<T>(&mut self, draft: Draft<T>, name: impl Fn(&T) -> &Name) -> T {
        let own = name(&draft.resource).clone();
        self.hosts.extend(
            draft
                .hosts
                .into_iter()
                .map(|(host, at)| (host, own.clone(), at)),
        );
        self.references.extend(draft.references);
        draft.resource
    }

    /// Whether the name was free.
    fn declare(&mut self, name: Name, kind: Kind, at: Position, offer: Offer) -> bool {
        if let Some(first) = self.workloads.get(&name) {
            let (message, also) = (format!("two workloads are called {name}"), first.at.clone());
            let help = "rename one: names are unique across agents and services".to_owned();
            self.report.push_also(at, message, help, Some(also));
            return false;
        }
        self.workloads.insert(name, Declared { kind, at, offer });
        true
    }

    fn check(&mut self) {
        self.check_hosts();
        self.check_endpoints();
        self.check_policies();
        self.check_references();
        let estate = std::mem::take(&mut self.estate);
        for policy in &estate.policies {
            self.check_operations(policy);
            self.check_tests(policy);
        }
        for service in &estate.services {
            self.check_entries(
                &service.name,
                service.receive.as_deref().unwrap_or_default(),
                false,
            );
        }
        self.estate = estate;
    }

    fn check_hosts(&mut self) {
        let mut owners: HashMap<HostName, (Name, Position)> = HashMap::new();
        for (name, declared) in &self.workloads {
            if let Ok(host) = HostName::new(name.as_str()) {
                owners.insert(host, (name.clone(), declared.at.clone()));
            }
        }
        for (host, name, at) in std::mem::take(&mut self.hosts) {
            match owners.get(&host) {
                Some((owner, _)) if *owner == name => {}
                Some((owner, also)) => {
                    let message = format!("{host} already leads to {owner}");
                    let help =
                        "take it from one of them: a host name leads to one workload".to_owned();
                    self.report.push_also(at, message, help, Some(also.clone()));
                }
                None => {
                    owners.insert(host, (name, at));
                }
            }
        }
    }

    /// A literal address leads to one service.
    fn check_endpoints(&mut self) {
        let mut seen: HashMap<std::net::SocketAddr, &Position> = HashMap::new();
        for endpoint in self
            .estate
            .services
            .iter()
            .flat_map(|service| &service.endpoints)
        {
            let Some(literal) = endpoint.literal() else {
                continue;
            };
            let literal = crate::OriginalDst::new(literal).socket_addr();
            if let Some(first) = seen.insert(literal, &endpoint.at) {
                let message = format!("{literal} is an endpoint twice");
                let help = "declare it once".to_owned();
                self.report
                    .push_also(endpoint.at.clone(), message, help, Some(first.clone()));
            }
        }
    }

    fn check_policies(&mut self) {
        let mut names: HashMap<&Name, &Position> = HashMap::new();
        let mut subjects: HashMap<&WorkloadId, &Position> = HashMap::new();
        for policy in &self.estate.policies {
            if let Some(first) = names.insert(&policy.name, &policy.at) {
                let message = format!("two policies are called {}", policy.name);
                let help = "rename one".to_owned();
                self.report
                    .push_also(policy.at.clone(), message, help, Some(first.clone()));
            }
            if let Some(first) = subjects.insert(&policy.subject, &policy.at) {
                let message = format!("{} has two policies", policy.subject);
                let help = "join them into one".to_owned();
                self.report
                    .push_also(policy.at.clone(), message, help, Some(first.clone()));
            }
            let receiver = self.estate.services.iter().find(|service| {
                policy.subject.kind == Kind::Service && service.name == policy.subject.name
            });
            if policy.receive.is_some()
                && let Some(service) = receiver
                && service.receive.is_some()
            {
                let message = format!("{} has a receive list of its own", policy.subject);
                let help = "keep the list in the service or in its policy".to_owned();
                self.report
                    .push_also(policy.at.clone(), message, help, Some(service.at.clone()));
            }
        }
    }

    fn check_references(&mut self) {
        let mut unchecked: Vec<Reference> = Vec::new();
        for reference in std::mem::take(&mut self.references) {
            let Reference {
                name,
                kind,
                called,
                at,
            } = &reference;
            match self.workloads.get(name) {
                Some(declared) if kind.is_some_and(|kind| kind != declared.kind) => {
                    let message =
                        format!("{name} is not {}", article(kind.unwrap_or(declared.kind)));
                    let help = format!("write `{}: {name}`", declared.kind);
                    self.report
                        .push_also(at.clone(), message, help, Some(declared.at.clone()));
                }
                Some(declared) => {
                    if *called && matches!(declared.offer, Offer::Nothing) {
                        let message = format!("{} {name} serves nothing", declared.kind);
                        let help =
                            format!("add `serves: {{protocol: http, port: 9000}}` to {name}");
                        self.report
                            .push_also(at.clone(), message, help, Some(declared.at.clone()));
                    }
                }
                None if !self.unreadable.is_empty() || self.nameless.is_some() => {
                    unchecked.push(reference);
                }
                None => {
                    let what = kind.map_or("agent or service".to_owned(), |kind| kind.to_string());
                    let names = self.workloads.keys().map(Name::as_str);
                    let help =
                        suggest::help(name.as_str(), names, "declare it, or remove what names it");
                    self.report.push(
                        at.clone(),
                        format!("there is no {what} called {name}"),
                        help,
                    );
                }
            }
        }
        self.say_unchecked(&unchecked);
    }

    /// Once, instead of an error for each name that a file may declare which cannot be read.
    fn say_unchecked(&mut self, unchecked: &[Reference]) {
        let Some(first) = unchecked.first() else {
            return;
        };
        let names: BTreeSet<&str> = unchecked
            .iter()
            .map(|reference| reference.name.as_str())
            .collect();
        let more = match names.len() {
            1 => format!("{} was", first.name),
            count => format!("{} and {} other names were", first.name, count - 1),
        };
        let why = match (self.unreadable.as_slice(), &self.nameless) {
            ([file], _) => format!("{file} cannot be read"),
            ([file, rest @ ..], _) => {
                format!("{file} and {} other files cannot be read", rest.len())
            }
            ([], Some(at)) => format!("the resource at {at} has no usable kind and name"),
            ([], None) => return,
        };
        let message = format!("{more} not looked up, because {why}");
        self.report
            .push(first.at.clone(), message, "mend that first".to_owned());
    }

    fn offer(&self, name: &Name) -> Option<(Protocol, Allowances)> {
        match self.workloads.get(name)?.offer {
            Offer::Known(protocol, allowances) => Some((protocol, allowances)),
            Offer::Nothing | Offer::Unknown => None,
        }
    }

    fn check_operations(&mut self, policy: &Policy) {
        let subject = &policy.subject.name;
        self.check_entries(subject, &policy.initiate, true);
        let receive = policy.receive.as_deref().unwrap_or_default();
        let serves_nothing = self
            .workloads
            .get(subject)
            .is_some_and(|declared| matches!(declared.offer, Offer::Nothing));
        if let Some(first) = receive.first()
            && serves_nothing
        {
            let message = format!("{} receives, but serves nothing", policy.subject);
            let help = format!("add `serves: {{protocol: http, port: 9000}}` to {subject}");
            let also = self
                .workloads
                .get(subject)
                .map(|declared| declared.at.clone());
            self.report.push_also(first.at.clone(), message, help, also);
        }
        self.check_entries(subject, receive, false);
    }

    /// Operations are those of the callee: of each peer, or of the subject.
    fn check_entries(&mut self, subject: &Name, entries: &[Entry], peers_called: bool) {
        for entry in entries {
            let callee = if peers_called {
                &entry.peer.name
            } else {
                subject
            };
            let Some((protocol, allowances)) = self.offer(callee) else {
                continue;
            };
            for OperationPattern { text, at } in &entry.operations {
                if let Err(error) = Pattern::parse(text, protocol, allowances) {
                    let message = format!("operation for {callee}: {error}");
                    self.report.push(at.clone(), message, error.help());
                }
            }
        }
    }

    /// A path that is always refused is fit for a test that expects so; anything else must be an operation.
    fn check_tests(&mut self, policy: &Policy) {
        for test in &policy.tests {
            let callee = match &test.peer {
                TestPeer::To(peer) => peer,
                TestPeer::From(_) => &policy.subject.name,
            };
            let Some((protocol, allowances)) = self.offer(callee) else {
                continue;
            };
            if let Err(error) = Concrete::parse(&test.operation, protocol, allowances)
                && (test.allow || !error.is_refused_path())
            {
                let message = format!("operation for {callee}: {error}");
                self.report.push(test.at.clone(), message, error.help());
            }
        }
    }
}

fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::Agent => "an agent",
        Kind::Service => "a service",
    }
}

fn kind(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<&'static str> {
    let node = fields.need(
        reader,
        "kind",
        "`kind: Service`, `kind: Agent` or `kind: Policy`",
    )?;
    let written = reader.text(node, "kind")?;
    let known = KINDS.into_iter().find(|kind| *kind == written);
    if known.is_none() {
        if LATER_KINDS.contains(&written) {
            let message = format!("kind {written} is not supported yet");
            let help =
                "remove the document: what it would restrict is not enforced by this version";
            reader.error(node.at, message, help);
        } else {
            let help = suggest::help(written, KINDS, "it is Service, Agent or Policy");
            reader.error(
                node.at,
                format!("{written:?} is not a kind of resource"),
                help,
            );
        }
    }
    known
}

/// The name, and where it stands.
fn name(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<(Name, Mark)> {
    let node = fields.need(reader, "metadata", "`metadata: {name: payments}`")?;
    let shape = Shape {
        known: &["name"],
        later: &["labels", "annotations"],
    };
    let fields = reader.fields(node, "metadata", &shape)?;
    let node = fields.need(reader, "name", "`name: payments`")?;
    let name = reader.name(node, "name")?;
    Some((name, node.at))
}
