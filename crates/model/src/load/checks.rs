//! What resources say about each other: names, hosts, references, operations.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use super::common::Reference;
use super::cross::{Loader, Offer};
use crate::operation::{Concrete, Pattern};
use crate::path::Allowances;
use crate::resource::{Entry, Guardrail, OperationPattern, Policy, Selector, Service, TestPeer};
use crate::{HostName, Kind, Name, OriginalDst, Position, Protocol, WorkloadId};

/// Most names that are compared with an unknown one, in search of what was meant; fewer for each that follows.
const COMPARED_MAX: usize = 10_000;

impl Loader<'_> {
    pub(super) fn check(&mut self) {
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
        for guardrail in &estate.guardrails {
            self.check_guardrail(guardrail);
        }
        for case in estate.tests.iter().flat_map(|test| &test.cases) {
            self.check_test(&case.to, &case.operation, case.allow, &case.at);
        }
        self.check_names(
            "policies",
            estate.policies.iter().map(|it| (&it.name, &it.at)),
        );
        self.check_names(
            "guardrails",
            estate.guardrails.iter().map(|it| (&it.name, &it.at)),
        );
        self.check_names("tests", estate.tests.iter().map(|it| (&it.name, &it.at)));
        self.estate = estate;
    }

    /// No two resources of a kind that is no workload share a name.
    fn check_names<'e>(
        &mut self,
        what: &str,
        names: impl Iterator<Item = (&'e Name, &'e Position)>,
    ) {
        let mut seen: HashMap<&Name, &Position> = HashMap::new();
        for (name, at) in names {
            if let Some(first) = seen.insert(name, at) {
                let message = format!("two {what} are called {name}");
                self.report.push_also(
                    at.clone(),
                    message,
                    "rename one".to_owned(),
                    Some(first.clone()),
                );
            }
        }
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
        let mut seen: HashMap<SocketAddr, &Position> = HashMap::new();
        for endpoint in self
            .estate
            .services
            .iter()
            .flat_map(|service| &service.endpoints)
        {
            let Some(literal) = endpoint.literal() else {
                continue;
            };
            let literal = OriginalDst::new(literal).socket_addr();
            if let Some(first) = seen.insert(literal, &endpoint.at) {
                let message = format!("{literal} is an endpoint twice");
                let help = "declare it once".to_owned();
                self.report
                    .push_also(endpoint.at.clone(), message, help, Some(first.clone()));
            }
        }
    }

    fn check_policies(&mut self) {
        let services: HashMap<&Name, &Service> = self
            .estate
            .services
            .iter()
            .map(|service| (&service.name, service))
            .collect();
        let mut subjects: HashMap<&WorkloadId, &Position> = HashMap::new();
        for policy in &self.estate.policies {
            if let Some(first) = subjects.insert(&policy.subject, &policy.at) {
                let message = format!("{} has two policies", policy.subject);
                let help = "join them into one".to_owned();
                self.report
                    .push_also(policy.at.clone(), message, help, Some(first.clone()));
            }
            let receiver = services
                .get(&policy.subject.name)
                .filter(|_| policy.subject.kind == Kind::Service);
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
        let mut compared = COMPARED_MAX;
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
                    let names = self.workloads.keys().map(Name::as_str).take(compared);
                    compared = compared.saturating_sub(COMPARED_MAX / 100);
                    let help = crate::suggest::help(
                        name.as_str(),
                        names,
                        "declare it, or remove what names it",
                    );
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
            for OperationPattern { text, at, .. } in &entry.operations {
                if let Err(error) = Pattern::parse(text, protocol, allowances) {
                    let message = format!("operation for {callee}: {error}");
                    self.report.push(at.clone(), message, error.help());
                }
            }
        }
    }

    fn check_tests(&mut self, policy: &Policy) {
        for test in &policy.tests {
            let callee = match &test.peer {
                TestPeer::To(peer) => peer,
                TestPeer::From(_) => &policy.subject.name,
            };
            self.check_test(callee, &test.operation, test.allow, &test.at);
        }
    }

    /// A path that is always refused is fit for a test that expects so; anything else must be an operation.
    fn check_test(&mut self, callee: &Name, operation: &str, allow: bool, at: &Position) {
        let Some((protocol, allowances)) = self.offer(callee) else {
            return;
        };
        if let Err(error) = Concrete::parse(operation, protocol, allowances)
            && (allow || !error.is_refused_path())
        {
            let message = format!("operation for {callee}: {error}");
            self.report.push(at.clone(), message, error.help());
        }
    }

    /// Each operation must be one of some receiver: of a named one, or of any protocol where all are meant.
    fn check_guardrail(&mut self, guardrail: &Guardrail) {
        let receivers: Vec<(Protocol, Allowances)> = match &guardrail.to {
            Selector::All => Protocol::ALL
                .map(|protocol| (protocol, Allowances::ALL))
                .to_vec(),
            Selector::Names(names) => {
                let offers: Vec<_> = names.iter().filter_map(|name| self.offer(name)).collect();
                // Of some it is not known what they speak, which is reported already.
                if offers.is_empty() {
                    return;
                }
                offers
            }
        };
        for OperationPattern { text, at, .. } in &guardrail.operations {
            let mut error = None;
            let fits = receivers.iter().any(|&(protocol, allowances)| {
                Pattern::parse(text, protocol, allowances)
                    .map_err(|cause| error.get_or_insert(cause).clone())
                    .is_ok()
            });
            if let Some(error) = error.filter(|_| !fits) {
                let message = format!("operation of guardrail {}: {error}", guardrail.name);
                self.report.push(at.clone(), message, error.help());
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
