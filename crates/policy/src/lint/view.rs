//! The estate as lint looks at it: who stands where, and each side's rules by peer, parsed once.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::civil::Date;
use ringfence_model::operation::Pattern;
use ringfence_model::path::Allowances;
use ringfence_model::resource::{
    Agent, Entry, Forbids, Guardrail, OperationPattern, Policy, Selector, Service,
};
use ringfence_model::{Estate, Kind, Name, Position, Protocol, WorkloadId};

use crate::guardrail::with_websockets;

/// One operation of one entry.
#[derive(Debug)]
pub(crate) struct Rule<'a> {
    pub(crate) operation: &'a OperationPattern,
    pub(crate) pattern: Pattern,
}

impl Rule<'_> {
    /// Whether its last day has passed.
    pub(crate) fn ended(&self, today: Date) -> bool {
        self.operation.until.is_some_and(|until| until < today)
    }
}

/// What one side agrees to with one peer.
#[derive(Debug, Default)]
pub(crate) struct List<'a> {
    pub(crate) rules: Vec<Rule<'a>>,
    /// Its first entry.
    pub(crate) at: Option<&'a Position>,
}

impl List<'_> {
    /// Those that hold today.
    pub(crate) fn patterns(&self, today: Date) -> Vec<Pattern> {
        let live = self.rules.iter().filter(|rule| !rule.ended(today));
        live.map(|rule| rule.pattern.clone()).collect()
    }
}

/// By peer.
pub(crate) type Lists<'a> = BTreeMap<&'a Name, List<'a>>;

/// What a receiver does with those whom it does not name.
#[derive(Debug)]
pub(crate) enum Receives<'a> {
    /// A service without a list.
    Anyone,
    /// This list is complete. And the resource it stands in.
    Listed(Lists<'a>, String),
    /// An agent without policy.
    NoPolicy,
}

/// A workload, and what is said about it.
#[derive(Debug)]
pub(crate) struct Workload<'a> {
    pub(crate) id: WorkloadId,
    pub(crate) serves: Option<(Protocol, Allowances)>,
    pub(crate) service: Option<&'a Service>,
    /// Where its resource stands.
    pub(crate) at: &'a Position,
    pub(crate) policy: Option<&'a Policy>,
    pub(crate) initiates: Lists<'a>,
    pub(crate) receives: Receives<'a>,
}

/// A guardrail with its operations in the words of each protocol it meets.
#[derive(Debug)]
pub(crate) struct Bar<'a> {
    pub(crate) guardrail: &'a Guardrail,
    from: Option<HashSet<&'a Name>>,
    to: Option<HashSet<&'a Name>>,
}

impl Bar<'_> {
    /// Its operations as patterns for a receiver; those of other protocols left out.
    pub(crate) fn patterns(&self, serves: (Protocol, Allowances)) -> Vec<Pattern> {
        let parse =
            |operation: &OperationPattern| Pattern::parse(&operation.text, serves.0, serves.1).ok();
        let operations = self.guardrail.operations.iter().filter_map(parse);
        let forbids = self.guardrail.forbids;
        operations
            .flat_map(|pattern| with_websockets(pattern, forbids))
            .collect()
    }

    pub(crate) fn applies(&self, from: &Name, to: &Name) -> bool {
        let has = |names: &Option<HashSet<&Name>>, name| {
            names.as_ref().is_none_or(|names| names.contains(name))
        };
        has(&self.to, to) && has(&self.from, from)
    }

    pub(crate) fn denies(&self) -> bool {
        self.guardrail.forbids == Forbids::Listed
    }
}

/// All of it.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) estate: &'a Estate,
    pub(crate) today: Date,
    /// Sorted by name.
    pub(crate) workloads: BTreeMap<&'a Name, Workload<'a>>,
    pub(crate) bars: Vec<Bar<'a>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(estate: &'a Estate, today: Date) -> Self {
        let policies: HashMap<&WorkloadId, &Policy> = estate
            .policies
            .iter()
            .map(|policy| (&policy.subject, policy))
            .collect();
        let mut workloads = BTreeMap::new();
        for service in &estate.services {
            let serves = Some((service.protocol, service.path_allowances));
            add(
                &mut workloads,
                Kind::Service,
                &service.name,
                serves,
                Some(service),
                &service.at,
                &policies,
            );
        }
        for agent in &estate.agents {
            let serves = serves(agent);
            add(
                &mut workloads,
                Kind::Agent,
                &agent.name,
                serves,
                None,
                &agent.at,
                &policies,
            );
        }
        let mut view = Self {
            estate,
            today,
            workloads,
            bars: estate.guardrails.iter().map(bar).collect(),
        };
        view.read_lists();
        view
    }

    fn read_lists(&mut self) {
        let serves: HashMap<&Name, Option<(Protocol, Allowances)>> = self
            .workloads
            .iter()
            .map(|(name, workload)| (*name, workload.serves))
            .collect();
        for (name, workload) in &mut self.workloads {
            let peers = |entry: &Entry| serves.get(&entry.peer.name).copied().flatten();
            if let Some(policy) = workload.policy {
                workload.initiates = lists(&policy.initiate, peers);
            }
            let own = workload.serves;
            let stated = workload
                .service
                .and_then(|service| service.receive.as_deref());
            let of_policy = workload.policy.and_then(|policy| policy.receive.as_deref());
            workload.receives = match (stated, of_policy, workload.policy) {
                (Some(entries), ..) => {
                    Receives::Listed(lists(entries, |_| own), format!("service {name}"))
                }
                (None, Some(entries), Some(policy)) => {
                    Receives::Listed(lists(entries, |_| own), format!("policy {}", policy.name))
                }
                (None, _, Some(policy)) if workload.id.kind == Kind::Agent => {
                    Receives::Listed(Lists::new(), format!("policy {}", policy.name))
                }
                (None, ..) if workload.id.kind == Kind::Service => Receives::Anyone,
                _ => Receives::NoPolicy,
            };
        }
    }

    pub(crate) fn bars<'s>(
        &'s self,
        from: &'s Name,
        to: &'s Name,
    ) -> impl Iterator<Item = &'s Bar<'a>> {
        self.bars.iter().filter(move |bar| bar.applies(from, to))
    }
}

fn serves(agent: &Agent) -> Option<(Protocol, Allowances)> {
    let serves = agent.serves.as_ref()?;
    Some((serves.protocol, serves.path_allowances))
}

fn add<'a>(
    workloads: &mut BTreeMap<&'a Name, Workload<'a>>,
    kind: Kind,
    name: &'a Name,
    serves: Option<(Protocol, Allowances)>,
    service: Option<&'a Service>,
    at: &'a Position,
    policies: &HashMap<&WorkloadId, &'a Policy>,
) {
    let id = WorkloadId {
        kind,
        name: name.clone(),
    };
    let workload = Workload {
        policy: policies.get(&id).copied(),
        id,
        serves,
        service,
        at,
        initiates: Lists::new(),
        receives: Receives::NoPolicy,
    };
    workloads.insert(name, workload);
}

fn bar(guardrail: &Guardrail) -> Bar<'_> {
    let names = |selector| match selector {
        &Selector::All => None,
        Selector::Names(names) => Some(names.iter().collect()),
    };
    Bar {
        guardrail,
        from: names(&guardrail.from),
        to: names(&guardrail.to),
    }
}

/// A rule that does not parse is an error of the load, told there.
fn lists<'a>(
    entries: &'a [Entry],
    serves: impl Fn(&Entry) -> Option<(Protocol, Allowances)>,
) -> Lists<'a> {
    let mut lists = Lists::new();
    for entry in entries {
        let list = lists.entry(&entry.peer.name).or_default();
        list.at.get_or_insert(&entry.at);
        let Some((protocol, allowances)) = serves(entry) else {
            continue;
        };
        list.rules
            .extend(entry.operations.iter().filter_map(|operation| {
                let pattern = Pattern::parse(&operation.text, protocol, allowances).ok()?;
                Some(Rule { operation, pattern })
            }));
    }
    lists
}
