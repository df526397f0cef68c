//! The generation in force: read without a lock by every connection, replaced whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use ringfence_model::{Diagnostics, Generation, HostName, Name, Protocol, WorkloadId};
use ringfence_policy::Snapshot;
use tokio::sync::watch;

use crate::Assignment;
use crate::endpoint::{EndpointError, Target};
use crate::quarantine::Quarantined;

/// One generation, compiled, with what it takes to serve it, and who is quarantined while it is in force.
#[derive(Clone)]
pub(crate) struct InForce {
    /// Decides.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Denied before it is asked.
    pub(crate) quarantined: Arc<Quarantined>,
    /// Name of the node, for records. Empty before the first generation.
    pub(crate) node: String,
    /// For identities; `None` before the first generation.
    pub(crate) zone: Option<HostName>,
    endpoints: Arc<HashMap<Name, Arc<[Target]>>>,
}

/// Why a generation is not taken. What was in force stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// The resources do not compile, or their own tests fail.
    #[error("{0}")]
    Policy(#[from] Diagnostics),
    /// An endpoint cannot be used.
    #[error("endpoint of {service} ({place}): {cause}")]
    Endpoint {
        /// Whose.
        service: Name,
        /// Where it is declared.
        place: String,
        /// What is wrong.
        cause: Box<EndpointError>,
    },
}

impl InForce {
    /// Nothing may reach anything.
    pub(crate) fn nothing() -> Self {
        Self {
            snapshot: Arc::new(Snapshot::empty()),
            quarantined: Arc::default(),
            node: String::new(),
            zone: None,
            endpoints: Arc::default(),
        }
    }

    /// What a workload is for, for records; empty for one that says nothing of it, or is not in the estate.
    pub(crate) fn purpose(&self, of: &WorkloadId) -> &str {
        let found = self.snapshot.find(of.name.as_str());
        let found = found.map(|ix| self.snapshot.workload(ix));
        let own = found.filter(|workload| workload.id == *of);
        own.and_then(|workload| workload.purpose.as_deref())
            .unwrap_or_default()
    }

    /// Compiles what the node handed over; runs the policies' own tests.
    pub(crate) fn compile(generation: Generation, assignment: &Assignment) -> Result<Self, Unfit> {
        let Assignment {
            node,
            zone,
            estate,
            addresses,
            files,
        } = assignment;
        let addresses: BTreeMap<_, _> = addresses.clone();
        let snapshot = Snapshot::compile(generation, zone, estate, &addresses)?;
        let mut endpoints = HashMap::new();
        for service in estate
            .services
            .iter()
            .filter(|service| !service.endpoints.is_empty())
        {
            let targets = service
                .endpoints
                .iter()
                .map(|endpoint| {
                    Target::new(endpoint, service.protocol, files).map_err(|cause| {
                        Unfit::Endpoint {
                            service: service.name.clone(),
                            place: endpoint.at.to_string(),
                            cause: Box::new(cause),
                        }
                    })
                })
                .collect::<Result<Arc<[_]>, _>>()?;
            endpoints.insert(service.name.clone(), targets);
        }
        Ok(Self {
            snapshot: Arc::new(snapshot),
            quarantined: Arc::default(),
            node: node.clone(),
            zone: Some(zone.clone()),
            endpoints: Arc::new(endpoints),
        })
    }

    /// Endpoints of `name`; `None`: it runs in compartments.
    pub(crate) fn endpoints(&self, name: &Name) -> Option<&Arc<[Target]>> {
        self.endpoints.get(name)
    }

    /// Protocol and port on which `name` is called, when it runs in compartments.
    pub(crate) fn served_inside(&self, name: &Name) -> Option<(Protocol, u16)> {
        if self.endpoints.contains_key(name) {
            return None;
        }
        let index = self.snapshot.find(name.as_str())?;
        self.snapshot.workload(index).serves
    }
}

/// Under what something was decided: as long as there is no more news than this, it would be decided again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stands {
    /// [`Current::count`], asked before the decision.
    pub(crate) count: u64,
    /// The generation.
    pub(crate) generation: Generation,
}

/// The place where the generation in force is found, and news of its change.
pub(crate) struct Current {
    now: ArcSwap<InForce>,
    news: watch::Sender<u64>,
    /// The same number, for those who only look.
    count: AtomicU64,
}

impl Current {
    /// Denies everything until the first [`Current::replace`].
    pub(crate) fn new() -> Self {
        Self {
            now: ArcSwap::from_pointee(InForce::nothing()),
            news: watch::Sender::new(0),
            count: AtomicU64::new(0),
        }
    }

    /// What decides at this moment. Not to be held across an await.
    pub(crate) fn load(&self) -> Guard<Arc<InForce>> {
        self.now.load()
    }

    /// Puts a generation in force, then wakes every connection to check itself against it. Who is quarantined stays so.
    pub(crate) fn replace(&self, next: InForce) {
        self.now.rcu(|now| InForce {
            quarantined: Arc::clone(&now.quarantined),
            ..next.clone()
        });
        self.recheck();
    }

    /// Quarantines these and nobody else, under the generation in force and all later ones, and wakes every connection.
    pub(crate) fn quarantine(&self, list: Quarantined) {
        let list = Arc::new(list);
        self.now.rcu(|now| InForce {
            quarantined: Arc::clone(&list),
            ..InForce::clone(now)
        });
        self.recheck();
    }

    /// Wakes every connection: time has passed, and a verdict may depend on it.
    pub(crate) fn recheck(&self) {
        // In here nobody else counts, and nobody has been woken yet.
        self.news.send_modify(|count| {
            *count += 1;
            self.count.store(*count, Ordering::SeqCst);
        });
    }

    /// How much news there has been. Asked *before* [`Current::load`], see [`Stands`].
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// News from here on. Subscribe *before* [`Current::load`]: then no change can fall in between.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}
