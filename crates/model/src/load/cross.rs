//! All documents together, and what each declares.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::API_VERSION;
use super::common::Reference;
use super::fields::{Fields, Reader};
use super::report::{Report, Text, position};
use super::shapes;
use super::tree::{self, Mark, Node, Value};
use crate::path::Allowances;
use crate::resource::{Agent, Guardrail, Labels, Policy, Service, Test};
use crate::{Diagnostics, Estate, HostName, Kind, Name, Position, Protocol};

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
pub(super) struct Declared {
    pub(super) kind: Kind,
    pub(super) at: Position,
    pub(super) offer: Offer,
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
    estate.guardrails.sort_by(|a, b| a.name.cmp(&b.name));
    estate.tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(estate)
}

pub(super) struct Loader<'a> {
    pub(super) base: Option<&'a Path>,
    pub(super) report: Report,
    pub(super) estate: Estate,
    pub(super) workloads: HashMap<Name, Declared>,
    pub(super) hosts: Vec<(HostName, Name, Position)>,
    pub(super) references: Vec<Reference>,
    /// Files, or documents, of which it is not known what they declare.
    pub(super) unreadable: Vec<String>,
    /// Some document of a readable file has no usable name or kind.
    pub(super) nameless: Option<Position>,
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
        self.report.count(trees.more);
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
        let Some(fields) = reader.fields(node, "the document", &shapes::DOCUMENT) else {
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
        let metadata = metadata(&mut reader, &fields);
        let spec = fields.get(&mut reader, "spec");
        let (Some(kind), Some((name, at, labels))) = (kind, metadata) else {
            // What is wrong in its spec is told in the same go; nothing else comes of it.
            if let (Some(kind), Some(spec), Ok(name)) = (kind, spec, Name::new("unnamed")) {
                match kind {
                    "Service" => drop(reader.service(name, spec.at, Some(spec), self.base)),
                    "Agent" => drop(reader.agent(name, spec.at, Some(spec))),
                    "Guardrail" => drop(reader.guardrail(name, spec.at, Some(spec))),
                    "Test" => drop(reader.test_resource(name, spec.at, Some(spec))),
                    _ => drop(reader.policy(name, spec.at, Some(spec))),
                }
            }
            return false;
        };
        let position = reader.at(at);
        if !labels.is_empty() && !matches!(kind, "Service" | "Agent") {
            let help = "remove them: only agents and services have labels";
            reader.error(at, format!("a {kind} has no labels"), help);
        }
        match kind {
            "Service" => {
                let draft = reader.service(name.clone(), at, spec, self.base);
                let offer = draft.as_ref().map_or(Offer::Unknown, |draft| draft.offer);
                if self.declare(name, Kind::Service, position, offer)
                    && let Some(draft) = draft
                {
                    let mut service = self.take(draft, |service: &Service| &service.name);
                    service.labels = labels;
                    self.estate.services.push(service);
                }
            }
            "Agent" => {
                let draft = reader.agent(name.clone(), at, spec);
                if self.declare(name, Kind::Agent, position, draft.offer) {
                    let mut agent = self.take(draft, |agent: &Agent| &agent.name);
                    agent.labels = labels;
                    self.estate.agents.push(agent);
                }
            }
            "Guardrail" => {
                if let Some(draft) = reader.guardrail(name, at, spec) {
                    let guardrail = self.take(draft, |guardrail: &Guardrail| &guardrail.name);
                    self.estate.guardrails.push(guardrail);
                }
            }
            "Test" => {
                if let Some(draft) = reader.test_resource(name, at, spec) {
                    let test = self.take(draft, |test: &Test| &test.name);
                    self.estate.tests.push(test);
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
}

fn kind(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<&'static str> {
    let node = fields.need(
        reader,
        "kind",
        "`kind: Service`, `kind: Agent`, `kind: Policy`, `kind: Guardrail` or `kind: Test`",
    )?;
    let written = reader.text(node, "kind")?;
    let known = shapes::KINDS
        .into_iter()
        .map(|(kind, _)| kind)
        .find(|kind| *kind == written);
    if known.is_none() {
        let kinds = shapes::KINDS.map(|(kind, _)| kind);
        let otherwise = format!("it is one of {}", kinds.join(", "));
        let help = crate::suggest::help(written, kinds, &otherwise);
        let message = format!("{written:?} is not a kind of resource");
        reader.error(node.at, message, help);
    }
    known
}

/// The name, where it stands, and the labels.
fn metadata(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<(Name, Mark, Labels)> {
    let node = fields.need(reader, "metadata", "`metadata: {name: payments}`")?;
    let fields = reader.fields(node, "metadata", &shapes::METADATA)?;
    let labels = fields
        .get(reader, "labels")
        .map(|node| reader.labels(node))
        .unwrap_or_default();
    let node = fields.need(reader, "name", "`name: payments`")?;
    let name = reader.name(node, "name")?;
    Some((name, node.at, labels))
}
