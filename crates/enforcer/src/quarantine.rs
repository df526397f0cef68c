//! Who is quarantined: both directions are denied, in every mode, whatever policy says.
//!
//! The node keeps the list and hands it over whole. Here it stands beside the snapshot in what is in force
//! (`inforce.rs`), and is asked before any rule is (`judge.rs`): by the same look, so that no generation that is taken
//! at the same time can slip in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ringfence_compartment::link::{Quarantine, ToNode, Touched};
use ringfence_model::Name;
use tokio::time::timeout;

use crate::limits::CUT_WITHIN;
use crate::live::Timed;
use crate::node::Node;

/// Whom nothing may reach, and who may reach nothing.
#[derive(Default)]
pub(crate) struct Quarantined {
    by_name: HashMap<Name, Box<str>>,
}

impl Quarantined {
    /// Whether `name` is one of them: why, in the operator's words.
    pub(crate) fn why(&self, name: &Name) -> Option<&str> {
        // Nobody is, nearly always.
        if self.by_name.is_empty() {
            return None;
        }
        self.by_name.get(name).map(|why| &**why)
    }
}

impl FromIterator<Quarantine> for Quarantined {
    fn from_iter<T: IntoIterator<Item = Quarantine>>(list: T) -> Self {
        let entries = list.into_iter();
        let by_name = entries.map(|one| (one.name, one.why.into())).collect();
        Self { by_name }
    }
}

/// A list that has come into force, while what it cuts is closed.
pub(crate) struct Imposed {
    node: Arc<Node>,
    began: Instant,
    /// Who was not quarantined before.
    fresh: Vec<Name>,
    touched: Touched,
    timed: Arc<Timed>,
}

/// Puts `list` in force: from here on no byte moves for anyone on it, and everyone who lives is told.
pub(crate) fn impose(node: &Arc<Node>, list: Vec<Quarantine>) -> Imposed {
    let began = Instant::now();
    let before = Arc::clone(&node.current.load().quarantined);
    let names = list.iter().map(|one| &one.name);
    let fresh: Vec<Name> = names
        .filter(|name| before.why(name).is_none())
        .cloned()
        .collect();
    let touched = node.live.touched(&fresh);
    let timed = node.live.time(fresh.clone());
    node.current.quarantine(list.into_iter().collect());
    Imposed {
        node: Arc::clone(node),
        began,
        fresh,
        touched,
        timed,
    }
}

impl Imposed {
    /// The answer to the node, when all is closed that was cut, or it has taken too long.
    pub(crate) async fn settled(self, id: u64, recorded: bool) -> ToNode {
        let live = &self.node.live;
        let left = match timeout(CUT_WITHIN, live.none_left(&self.fresh)).await {
            Ok(()) => 0,
            Err(_) => {
                let left = live.touched(&self.fresh);
                left.connections + left.flows
            }
        };
        ToNode::Quarantined {
            id,
            touched: self.touched,
            left,
            spread: live.spread(&self.timed),
            took_ns: u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX),
            recorded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Arrival;
    use crate::testing::World;

    const ESTATE: &str =
        "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: { name: agent }\nspec: {}\n";

    #[tokio::test(start_paused = true)]
    async fn what_does_not_close_in_time_is_told_of() {
        let world = World::new(ESTATE);
        let (agent, other) = (Name::new("agent").unwrap(), Name::new("other").unwrap());
        let _stuck = world.node.live.enter(&agent, &other, Arrival::Connection);
        let list = vec![Quarantine {
            name: agent.clone(),
            why: "now".to_owned(),
        }];
        let began = tokio::time::Instant::now();
        let answer = impose(&world.node, list).settled(7, true).await;
        assert!(began.elapsed() >= CUT_WITHIN);
        assert!(
            matches!(&answer, ToNode::Quarantined { id: 7, left: 1, touched, .. } if touched.connections == 1),
            "{answer:?}"
        );
        // It is in force all the same.
        let force = world.node.current.load();
        assert_eq!(force.quarantined.why(&agent), Some("now"));
    }
}
