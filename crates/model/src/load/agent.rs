//! `kind: Agent`.

use super::common::Reference;
use super::cross::{Draft, Offer};
use super::fields::Reader;
use super::shapes;
use super::tree::{Mark, Node};
use crate::resource::{Agent, Labels, Serves};
use crate::{Limits, Name};

impl Reader<'_> {
    /// `spec` may be left out: an agent needs nothing but a name.
    pub(super) fn agent(&mut self, name: Name, at: Mark, spec: Option<&Node>) -> Draft<Agent> {
        let mut agent = Agent {
            name,
            labels: Labels::new(),
            purpose: None,
            owner: None,
            serves: None,
            hosts: Vec::new(),
            attest: None,
            limits: Limits::default(),
            at: self.at(at),
        };
        let mut offer = Offer::Nothing;
        let mut hosts = Vec::new();
        if let Some(fields) =
            spec.and_then(|spec| self.fields(spec, "the agent's spec", &shapes::AGENT))
        {
            agent.purpose = self.optional_words(&fields, "purpose");
            agent.owner = self.optional_words(&fields, "owner");
            agent.attest = self.attest(&fields);
            agent.limits = self.limits(&fields);
            hosts = self.hosts(&fields);
            if fields.has("serves") {
                offer = Offer::Unknown;
                if let Some(node) = fields.get(self, "serves")
                    && let Some(serves) = self.serves(node)
                {
                    offer = Offer::Known(serves.protocol, serves.path_allowances);
                    agent.serves = Some(serves);
                }
            }
        }
        agent.hosts = hosts.iter().map(|(host, _)| host.clone()).collect();
        let hosts = hosts
            .into_iter()
            .map(|(host, mark)| (host, self.at(mark)))
            .collect();
        Draft {
            resource: agent,
            offer,
            hosts,
            references: Vec::<Reference>::new(),
        }
    }

    fn serves(&mut self, node: &Node) -> Option<Serves> {
        let fields = self.fields(node, "serves", &shapes::SERVES)?;
        let protocol = fields
            .need(self, "protocol", "`protocol: http`")
            .and_then(|node| self.protocol(node));
        let port = fields
            .need(self, "port", "`port: 9000`")
            .and_then(|node| self.port(node));
        let path_allowances = self.paths(&fields, protocol);
        let record = self.recorded(&fields, protocol);
        Some(Serves {
            protocol: protocol?,
            port: port?,
            path_allowances,
            record,
        })
    }
}
