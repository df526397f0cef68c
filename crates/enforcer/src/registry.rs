//! The compartments that are armed, and how many connections live.
//!
//! Read without a lock when a connection looks for an instance; written when one comes or goes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use ringfence_compartment::inspect::NamespaceCookie;
use ringfence_model::{InstanceId, Name};

use crate::compartment::Compartment;
use crate::limits::COMPARTMENTS;

/// All armed compartments.
#[derive(Default)]
pub(crate) struct Registry {
    by_workload: ArcSwap<HashMap<Name, Instances>>,
    members: Mutex<HashMap<InstanceId, Member>>,
}

struct Member {
    namespace: NamespaceCookie,
    compartment: Arc<Compartment>,
}

/// The instances of one workload, and whose turn it is.
#[derive(Clone, Default)]
struct Instances {
    all: Arc<[Arc<Compartment>]>,
    turn: Arc<AtomicUsize>,
}

/// Why a compartment is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwelcome {
    /// Two compartments in one namespace would each hear what the other is told.
    #[error("its sockets are those of {0}")]
    NamespaceInUse(InstanceId),
    /// [`COMPARTMENTS`].
    #[error("{COMPARTMENTS} compartments are armed already; stop some, or start another node")]
    Full,
}

impl Registry {
    /// Enters a compartment. One of the same instance, left behind by a link that broke, is told to go.
    pub(crate) fn enter(
        &self,
        compartment: &Arc<Compartment>,
        namespace: NamespaceCookie,
    ) -> Result<(), Unwelcome> {
        let mut members = self.members();
        let instance = &compartment.instance;
        if let Some((holder, _)) = members
            .iter()
            .find(|(holder, member)| member.namespace == namespace && *holder != instance)
        {
            return Err(Unwelcome::NamespaceInUse(holder.clone()));
        }
        if members.len() >= COMPARTMENTS && !members.contains_key(instance) {
            return Err(Unwelcome::Full);
        }
        let member = Member {
            namespace,
            compartment: Arc::clone(compartment),
        };
        if let Some(before) = members.insert(instance.clone(), member) {
            before.compartment.leave("handed over again");
        }
        self.publish(&members);
        Ok(())
    }

    /// Enters a compartment of the tests' own, all of which are in one namespace.
    #[cfg(test)]
    pub(crate) fn enter_beside_others(
        &self,
        compartment: &Arc<Compartment>,
        namespace: NamespaceCookie,
    ) {
        let mut members = self.members();
        let member = Member {
            namespace,
            compartment: Arc::clone(compartment),
        };
        members.insert(compartment.instance.clone(), member);
        self.publish(&members);
    }

    /// Strikes a compartment out, unless its instance has been entered anew since.
    pub(crate) fn strike(&self, compartment: &Arc<Compartment>) {
        let mut members = self.members();
        let is_this = members
            .get(&compartment.instance)
            .is_some_and(|member| Arc::ptr_eq(&member.compartment, compartment));
        if is_this {
            members.remove(&compartment.instance);
            self.publish(&members);
        }
    }

    /// An instance of `workload`, in turn.
    pub(crate) fn choose(&self, workload: &Name) -> Option<Arc<Compartment>> {
        let by_workload = self.by_workload.load();
        let instances = by_workload.get(workload)?;
        let count = instances.all.len();
        let start = instances.turn.fetch_add(1, Ordering::Relaxed);
        (0..count)
            .map(|step| &instances.all[start.wrapping_add(step) % count])
            .find(|compartment| !compartment.has_left())
            .cloned()
    }

    /// All compartments.
    pub(crate) fn all(&self) -> Vec<Arc<Compartment>> {
        self.members()
            .values()
            .map(|member| Arc::clone(&member.compartment))
            .collect()
    }

    fn publish(&self, members: &HashMap<InstanceId, Member>) {
        let before = self.by_workload.load();
        let mut grouped: HashMap<Name, Vec<Arc<Compartment>>> = HashMap::new();
        for Member { compartment, .. } in members.values() {
            let name = compartment.workload.name.clone();
            grouped
                .entry(name)
                .or_default()
                .push(Arc::clone(compartment));
        }
        let next = grouped
            .into_iter()
            .map(|(name, mut all)| {
                all.sort_by(|a, b| a.instance.cmp(&b.instance));
                let turn = before
                    .get(&name)
                    .map(|group| Arc::clone(&group.turn))
                    .unwrap_or_default();
                (
                    name,
                    Instances {
                        all: all.into(),
                        turn,
                    },
                )
            })
            .collect();
        self.by_workload.store(Arc::new(next));
    }

    fn members(&self) -> MutexGuard<'_, HashMap<InstanceId, Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ringfence_compartment::inspect::{namespace, own_namespace};

    use crate::testing::{World, alone};

    use super::*;

    const ESTATE: &str =
        "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: { name: agent }\nspec: {}\n";

    fn instance(world: &World, name: &str) -> Arc<Compartment> {
        let before = world.compartment(ringfence_model::Kind::Agent, "agent");
        Compartment::new(
            &world.node,
            InstanceId(name.into()),
            before.workload.clone(),
            false,
        )
    }

    /// `COMPARTMENTS`: who is there stays, and may be handed over again.
    #[test]
    fn one_compartment_too_many_is_not_taken_and_those_that_are_there_go_on() {
        const HERE: &str = concat!(
            module_path!(),
            "::one_compartment_too_many_is_not_taken_and_those_that_are_there_go_on"
        );
        if !alone(HERE, "") {
            return;
        }
        let world = World::new(ESTATE);
        let (registry, own) = (&world.node.registry, own_namespace().unwrap());
        let other = namespace(std::io::stdin()).unwrap();
        let neighbour = instance(&world, "agent-1-0");
        // Members in one namespace, as only a test may have them.
        {
            let mut members = registry.members();
            for number in 0..COMPARTMENTS - 1 {
                let member = Member {
                    namespace: own,
                    compartment: Arc::clone(&neighbour),
                };
                members.insert(InstanceId(format!("agent-2-{number}").into()), member);
            }
            members.insert(
                neighbour.instance.clone(),
                Member {
                    namespace: own,
                    compartment: Arc::clone(&neighbour),
                },
            );
            registry.publish(&members);
        }
        let one_more = instance(&world, "agent-1-1");
        assert_eq!(registry.enter(&one_more, other), Err(Unwelcome::Full));
        assert_eq!(registry.all().len(), COMPARTMENTS);
        let found = registry.choose(&neighbour.workload.name).unwrap();
        assert!(Arc::ptr_eq(&found, &neighbour));
        registry.strike(&neighbour);
        assert_eq!(registry.enter(&one_more, other), Ok(()));
        // The same instance again takes its own place.
        let again = instance(&world, "agent-1-1");
        assert_eq!(registry.enter(&again, other), Ok(()));
        assert!(one_more.has_left() && !again.has_left());
        assert_eq!(registry.all().len(), COMPARTMENTS);
    }
}
