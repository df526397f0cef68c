//! A pair of workloads that exist for a drill: in policy as long as an operator holds the conversation that asked for
//! them, and gone with it, however that ends.

use ringfence_model::{Diagnostic, Diagnostics, Estate, Name, load};
use serde::{Deserialize, Serialize};

/// Named so that nobody has it by accident. They may be claimed by root and the node's owner only.
const DOCUMENTS: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: ringfence-drill-sink }
spec: { protocol: tcp, port: 7 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: ringfence-drill-source }
spec: { purpose: a drill of this node }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: ringfence-drill-source }
spec:
  agent: ringfence-drill-source
  owner: this node
  initiate: [{ service: ringfence-drill-sink, operations: [connect] }]
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: ringfence-drill-sink }
spec:
  service: ringfence-drill-sink
  owner: this node
  receive: [{ agent: ringfence-drill-source, operations: [connect] }]
";

/// Who takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    /// Connects, and is quarantined.
    pub source: Name,
    /// Is connected to.
    pub sink: Name,
    /// Where.
    pub port: u16,
}

/// The pair, as it stands in the documents.
pub(crate) fn pair() -> Option<Pair> {
    let estate = documents().ok()?;
    let (agent, service) = (estate.agents.first()?, estate.services.first()?);
    Some(Pair {
        source: agent.name.clone(),
        sink: service.name.clone(),
        port: service.port,
    })
}

fn documents() -> Result<Estate, Diagnostics> {
    load::documents(&[("(the node's own drill)", DOCUMENTS.as_bytes())])
}

/// `estate` with the pair in it.
pub(crate) fn joined(mut estate: Estate) -> Result<Estate, Diagnostics> {
    let own = documents()?;
    let names = own.agents.iter().map(|agent| &agent.name);
    let names = names.chain(own.services.iter().map(|service| &service.name));
    for name in names {
        let taken = estate.agents.iter().any(|agent| agent.name == *name)
            || estate.services.iter().any(|service| service.name == *name);
        if taken {
            return Err(Diagnostics(vec![Diagnostic {
                at: None,
                message: format!("{name} is a name of the drill, and is taken"),
                text: None,
                help: Some("call yours otherwise".to_owned()),
                also: None,
            }]));
        }
    }
    estate.agents.extend(own.agents);
    estate.services.extend(own.services);
    estate.policies.extend(own.policies);
    estate.agents.sort_by(|a, b| a.name.cmp(&b.name));
    estate.services.sort_by(|a, b| a.name.cmp(&b.name));
    estate.policies.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(estate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_joins_an_estate_once() {
        let estate = joined(Estate::default()).unwrap();
        let pair = pair().unwrap();
        assert_eq!(estate.agents[0].name, pair.source);
        assert_eq!(
            (&estate.services[0].name, estate.services[0].port),
            (&pair.sink, pair.port)
        );
        assert_eq!(estate.policies.len(), 2);
        let again = joined(estate).unwrap_err().to_string();
        assert!(again.contains("is taken"), "{again}");
    }
}
