//! What every compartment and connection of this enforcer shares.

use std::sync::Arc;

use ringfence_compartment::inspect::NamespaceCookie;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::clock::Clock;
use crate::inforce::Current;
use crate::limits::{
    CONNECTIONS_PER_COMPARTMENT, DESCRIPTORS_PER_CONNECTION, DESCRIPTORS_RESERVED, FLOWS,
    SHARE_OF_ONE,
};
use crate::live::Live;
use crate::record::Recorder;
use crate::registry::Registry;
use crate::slots::Slots;

/// The enforcer's state. Nothing in it is locked on the way of a byte, but the log.
pub(crate) struct Node {
    /// The way to the log.
    pub(crate) recorder: Arc<Recorder>,
    /// The generation in force.
    pub(crate) current: Current,
    /// The time.
    pub(crate) clock: Clock,
    /// Who is armed.
    pub(crate) registry: Registry,
    /// What lives between whom.
    pub(crate) live: Arc<Live>,
    /// All connections, flows of datagrams among them.
    pub(crate) slots: Arc<Slots>,
    /// All flows of datagrams.
    pub(crate) flow_slots: Arc<Slots>,
    /// The network namespace of the host: no socket of a compartment is from here.
    pub(crate) host: NamespaceCookie,
}

impl Node {
    /// Without compartments, denying everything. `connections` bounds how many may live.
    pub(crate) fn new(
        recorder: Arc<Recorder>,
        host: NamespaceCookie,
        connections: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            recorder,
            current: Current::new(),
            clock: Clock::default(),
            registry: Registry::default(),
            live: Arc::default(),
            slots: Slots::new(connections),
            flow_slots: Slots::new(FLOWS),
            host,
        })
    }

    /// How many connections one compartment may have.
    pub(crate) fn share(&self) -> usize {
        (self.slots.limit() / SHARE_OF_ONE).clamp(1, CONNECTIONS_PER_COMPARTMENT)
    }
}

/// Raises the soft limit on descriptors to the hard one; gives the number of connections that fit.
pub(crate) fn room_for_connections() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        limit = raised;
    }
    connections_within(limit.current)
}

/// How many connections fit into so many descriptors. `None`: no limit on descriptors.
pub fn connections_within(descriptors: Option<u64>) -> usize {
    let Some(descriptors) = descriptors else {
        return usize::MAX;
    };
    let room = descriptors.saturating_sub(DESCRIPTORS_RESERVED) / DESCRIPTORS_PER_CONNECTION;
    usize::try_from(room)
        .unwrap_or(usize::MAX)
        .max(SHARE_OF_ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `CONNECTIONS_PER_COMPARTMENT`, `SHARE_OF_ONE`.
    #[test]
    fn a_compartment_has_a_part_of_what_there_is_and_never_more_than_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let log = ringfence_audit::Log::open(directory.path()).unwrap();
        let recorder = Arc::new(Recorder::new(log, 7));
        let host = ringfence_compartment::inspect::own_namespace().unwrap();
        let large = CONNECTIONS_PER_COMPARTMENT * SHARE_OF_ONE;
        for (all, share) in [
            (usize::MAX, CONNECTIONS_PER_COMPARTMENT),
            (large, CONNECTIONS_PER_COMPARTMENT),
            (large - 1, CONNECTIONS_PER_COMPARTMENT - 1),
            (SHARE_OF_ONE, 1),
            (1, 1),
        ] {
            let node = Node::new(Arc::clone(&recorder), host, all);
            let workload = ringfence_model::WorkloadId {
                kind: ringfence_model::Kind::Agent,
                name: ringfence_model::Name::new("agent").unwrap(),
            };
            let instance = ringfence_model::InstanceId("agent-1-1".into());
            let home = crate::compartment::Compartment::new(&node, instance, workload, false);
            let taken: Vec<_> = std::iter::from_fn(|| home.slots.take()).collect();
            assert_eq!(taken.len(), share, "of {all}");
        }
    }

    #[test]
    fn leaves_descriptors_for_all_else() {
        assert_eq!(connections_within(None), usize::MAX);
        assert_eq!(connections_within(Some(DESCRIPTORS_RESERVED + 3000)), 1000);
        assert_eq!(connections_within(Some(10)), SHARE_OF_ONE);
    }
}
