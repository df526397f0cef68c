//! `kind: Policy`.

use super::common::Reference;
use super::cross::{Draft, Offer};
use super::fields::{Reader, Shape};
use super::tree::{Mark, Node};
use crate::Name;
use crate::resource::{Filesystem, Policy, PolicyTest, TestPeer};

const SHAPE: Shape = Shape {
    known: &[
        "agent",
        "service",
        "mode",
        "owner",
        "reviewBy",
        "initiate",
        "receive",
        "tests",
        "filesystem",
    ],
    later: &["until", "when", "labels", "limits"],
};

impl Reader<'_> {
    pub(super) fn policy(
        &mut self,
        name: Name,
        at: Mark,
        spec: Option<&Node>,
    ) -> Option<Draft<Policy>> {
        let at = self.at(at);
        let Some(spec) = spec else {
            let help = "add `spec: {agent: NAME, initiate: [], receive: []}`";
            self.report
                .push(at, format!("policy {name} has no spec"), help.to_owned());
            return None;
        };
        let fields = self.fields(spec, "the policy's spec", &SHAPE)?;
        let mut references = Vec::new();
        let subject = self.workload(&fields, "the policy");
        if let Some((subject, mark)) = &subject {
            references.push(Reference {
                name: subject.name.clone(),
                kind: Some(subject.kind),
                called: false,
                at: self.at(*mark),
            });
        }
        if let Some(node) = fields.get(self, "mode") {
            self.mode(node);
        }
        let owner = self.optional_words(&fields, "owner");
        let review_by = fields
            .get(self, "reviewBy")
            .and_then(|node| self.date(node, "reviewBy"));
        let initiate = fields.get(self, "initiate");
        let initiate = initiate
            .map(|node| self.entries(node, "initiate", &mut references))
            .unwrap_or_default();
        let receive = fields
            .get(self, "receive")
            .map(|node| self.entries(node, "receive", &mut references));
        let tests = fields.get(self, "tests");
        let tests = tests
            .map(|node| self.tests(node, &mut references))
            .unwrap_or_default();
        let filesystem = fields
            .get(self, "filesystem")
            .and_then(|node| self.filesystem(node))
            .unwrap_or_default();
        let (subject, _) = subject?;
        let resource = Policy {
            name,
            subject,
            owner,
            review_by,
            initiate,
            receive,
            tests,
            filesystem,
            at,
        };
        Some(Draft {
            resource,
            offer: Offer::Nothing,
            hosts: Vec::new(),
            references,
        })
    }

    fn mode(&mut self, node: &Node) {
        match self.text(node, "mode") {
            Some("enforce") | None => {}
            Some(mode @ ("learn" | "shadow")) => {
                let message = format!("mode {mode} is not supported yet");
                self.error(
                    node.at,
                    message,
                    "write `mode: enforce`, or remove the line",
                );
            }
            Some(other) => {
                let help = crate::suggest::help(other, ["enforce"], "write `mode: enforce`");
                self.error(node.at, format!("{other:?} is not a mode"), help);
            }
        }
    }

    fn tests(&mut self, node: &Node, references: &mut Vec<Reference>) -> Vec<PolicyTest> {
        let items = self.list(node, "tests").unwrap_or_default();
        items
            .iter()
            .filter_map(|item| self.test(item, references))
            .collect()
    }

    fn test(&mut self, node: &Node, references: &mut Vec<Reference>) -> Option<PolicyTest> {
        let shape = Shape {
            known: &["to", "from", "allow", "deny"],
            later: &["with", "when", "unreachable", "hops"],
        };
        let fields = self.fields(node, "the test", &shape)?;
        let one = |reader: &mut Self, a: &'static str, b: &'static str| match (
            fields.has(a),
            fields.has(b),
        ) {
            (true, false) => Some(a),
            (false, true) => Some(b),
            (both, _) => {
                let have = if both { "both" } else { "neither" };
                let help = format!("a test has exactly one of {a} and {b}");
                reader.error(
                    fields.at,
                    format!("the test has {have} of {a} and {b}"),
                    help,
                );
                None
            }
        };
        let (direction, outcome) = (one(self, "to", "from"), one(self, "allow", "deny"));
        let (direction, outcome) = (direction?, outcome?);
        let peer = fields.get(self, direction).and_then(|node| {
            let name = self.name(node, direction)?;
            let at = self.at(node.at);
            references.push(Reference {
                name: name.clone(),
                kind: None,
                called: false,
                at,
            });
            Some(name)
        });
        let node = fields.get(self, outcome)?;
        let operation = self.text(node, "an operation")?.to_owned();
        let peer = match direction {
            "to" => TestPeer::To(peer?),
            _ => TestPeer::From(peer?),
        };
        Some(PolicyTest {
            peer,
            allow: outcome == "allow",
            operation,
            at: self.at(node.at),
        })
    }

    fn filesystem(&mut self, node: &Node) -> Option<Filesystem> {
        let shape = Shape {
            known: &["read", "write", "sockets"],
            later: &["exec"],
        };
        let fields = self.fields(node, "filesystem", &shape)?;
        let mut paths = |name: &'static str| {
            let Some(node) = fields.get(self, name) else {
                return Vec::new();
            };
            let items = self.list(node, name).unwrap_or_default();
            items
                .iter()
                .filter_map(|item| self.absolute(item, "a path"))
                .collect()
        };
        let (read, write) = (paths("read"), paths("write"));
        let sockets = fields
            .get(self, "sockets")
            .and_then(|node| self.truth(node, "sockets"));
        Some(Filesystem {
            read,
            write,
            sockets: sockets.unwrap_or_default(),
        })
    }
}
