//! `kind: Test`, and the `tests` of policies.

use super::common::Reference;
use super::cross::{Draft, Offer};
use super::fields::{Fields, Reader};
use super::shapes;
use super::tree::{Mark, Node, Value};
use crate::Name;
use crate::resource::{PolicyTest, ReachCase, Test, TestCase, TestPeer, With};

/// One claim, after `from` and `to`.
struct Claim {
    allow: bool,
    operation: String,
    with: Option<With>,
    at: crate::Position,
}

/// Of one resource.
#[derive(Default)]
struct Claims {
    cases: Vec<TestCase>,
    reaches: Vec<ReachCase>,
}

/// Whether one of these keys stands in a mapping.
fn has(node: &Node, names: &[&str]) -> bool {
    matches!(&node.value, Value::Map(entries) if entries.iter().any(|(key, _)| names.contains(&key.text.as_str())))
}

impl Reader<'_> {
    pub(super) fn test_resource(
        &mut self,
        name: Name,
        at: Mark,
        spec: Option<&Node>,
    ) -> Option<Draft<Test>> {
        let at = self.at(at);
        let Some(spec) = spec else {
            let help = "add `spec: {from: NAME, to: NAME, deny: OPERATION}`";
            self.report
                .push(at, format!("test {name} has no spec"), help.to_owned());
            return None;
        };
        let mut references = Vec::new();
        let many = has(spec, &["tests"]);
        let mut claims = Claims::default();
        if many {
            let fields = self.fields(spec, "the test's spec", &shapes::TESTS)?;
            let node = fields.get(self, "tests")?;
            let items = self.list(node, "tests")?;
            if items.is_empty() {
                let help = "add `{from: NAME, to: NAME, deny: OPERATION}`";
                self.error(node.at, "the test claims nothing", help);
                return None;
            }
            for item in items {
                self.add_claim(item, &mut claims, &mut references);
            }
        } else {
            self.add_claim(spec, &mut claims, &mut references)?;
        }
        let Claims { cases, reaches } = claims;
        Some(Draft {
            resource: Test {
                name,
                cases,
                reaches,
                at,
            },
            offer: Offer::Nothing,
            hosts: Vec::new(),
            references,
        })
    }

    /// `None`: it is none, and that is reported.
    fn add_claim(
        &mut self,
        node: &Node,
        claims: &mut Claims,
        references: &mut Vec<Reference>,
    ) -> Option<()> {
        if has(node, &["unreachable", "reachable", "hops"]) {
            claims.reaches.push(self.reach(node, references)?);
        } else {
            claims.cases.push(self.case(node, references)?);
        }
        Some(())
    }

    fn reach(&mut self, node: &Node, references: &mut Vec<Reference>) -> Option<ReachCase> {
        let fields = self.fields(node, "the test", &shapes::REACH)?;
        let from = fields.need(self, "from", "`from: NAME`, who was taken over");
        let from = from.and_then(|node| self.referred(node, "from", references));
        let outcome = self.one_of(&fields, "unreachable", "reachable");
        let to = outcome.and_then(|outcome| {
            let node = fields.get(self, outcome)?;
            let name = self.referred(node, outcome, references)?;
            Some((name, self.at(node.at)))
        });
        let hops = match fields.get(self, "hops") {
            Some(node) => Some(self.number(node, "hops", 1, ReachCase::HOPS_MAX)?),
            None if fields.has("hops") => return None,
            None => None,
        };
        let (from, (to, at)) = (from?, to?);
        if from == to {
            let help = "name two workloads: who was taken over is at itself";
            self.error(
                node.at,
                format!("the test asks how {from} reaches itself"),
                help,
            );
            return None;
        }
        Some(ReachCase {
            from,
            to,
            reachable: outcome? == "reachable",
            hops,
            at,
        })
    }

    fn case(&mut self, node: &Node, references: &mut Vec<Reference>) -> Option<TestCase> {
        let fields = self.fields(node, "the test", &shapes::CASE)?;
        let (from, to) = (
            fields.need(self, "from", "`from: NAME`, who starts it"),
            fields.need(self, "to", "`to: NAME`, who is called"),
        );
        let from = from.and_then(|node| self.referred(node, "from", references));
        let to = to.and_then(|node| self.referred(node, "to", references));
        let claim = self.claim(&fields)?;
        Some(TestCase {
            from: from?,
            to: to?,
            allow: claim.allow,
            operation: claim.operation,
            with: claim.with,
            at: claim.at,
        })
    }

    pub(super) fn tests(
        &mut self,
        node: &Node,
        references: &mut Vec<Reference>,
    ) -> Vec<PolicyTest> {
        let items = self.list(node, "tests").unwrap_or_default();
        items
            .iter()
            .filter_map(|item| self.test(item, references))
            .collect()
    }

    fn test(&mut self, node: &Node, references: &mut Vec<Reference>) -> Option<PolicyTest> {
        let fields = self.fields(node, "the test", &shapes::OWN_TEST)?;
        let direction = self.one_of(&fields, "to", "from");
        let peer = direction.and_then(|direction| {
            let node = fields.get(self, direction)?;
            self.referred(node, direction, references)
        });
        let claim = self.claim(&fields);
        let (direction, claim) = (direction?, claim?);
        Some(PolicyTest {
            peer: match direction {
                "to" => TestPeer::To(peer?),
                _ => TestPeer::From(peer?),
            },
            allow: claim.allow,
            operation: claim.operation,
            with: claim.with,
            at: claim.at,
        })
    }

    fn referred(
        &mut self,
        node: &Node,
        what: &'static str,
        references: &mut Vec<Reference>,
    ) -> Option<Name> {
        let name = self.name(node, what)?;
        references.push(Reference {
            name: name.clone(),
            kind: None,
            called: false,
            at: self.at(node.at),
        });
        Some(name)
    }

    /// `allow` or `deny`, and `with`.
    fn claim(&mut self, fields: &Fields<'_>) -> Option<Claim> {
        let outcome = self.one_of(fields, "allow", "deny")?;
        let node = fields.get(self, outcome)?;
        let operation = self.text(node, "an operation")?.to_owned();
        let with = match fields.get(self, "with") {
            Some(node) => Some(self.with(node)?),
            None => None,
        };
        Some(Claim {
            allow: outcome == "allow",
            operation,
            with,
            at: self.at(node.at),
        })
    }

    fn one_of(
        &mut self,
        fields: &Fields<'_>,
        a: &'static str,
        b: &'static str,
    ) -> Option<&'static str> {
        match (fields.has(a), fields.has(b)) {
            (true, false) => Some(a),
            (false, true) => Some(b),
            (both, _) => {
                let have = if both { "both" } else { "neither" };
                let help = format!("a test has exactly one of {a} and {b}");
                let message = format!("the test has {have} of {a} and {b}");
                self.error(fields.at, message, help);
                None
            }
        }
    }

    /// A mapping, as JSON: plain scalars that are numbers, truth values or null become those, all else is text.
    fn with(&mut self, node: &Node) -> Option<With> {
        let Value::Map(_) = &node.value else {
            let help = "write what conditions see, such as {body: {amount: 50}}";
            self.wrong(node, "with", "a mapping", help);
            return None;
        };
        match json(node) {
            serde_json::Value::Object(with) => Some(with),
            _ => None,
        }
    }
}

/// As JSON, in which plain numbers and truth values are what they look like.
pub(super) fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.value {
        Value::Null => Json::Null,
        Value::Text { text, plain: true } => match text.as_str() {
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            // What JSON calls a number is one; `0x1F`, `+5`, `.5` and `1_000` are texts.
            number => match serde_json::from_str::<serde_json::Number>(number) {
                Ok(number) => Json::Number(number),
                Err(_) => Json::String(text.clone()),
            },
        },
        Value::Text { text, plain: false } => Json::String(text.clone()),
        Value::List(items) => Json::Array(items.iter().map(|item| json(item)).collect()),
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|(key, node)| (key.text.clone(), json(node)))
                .collect(),
        ),
    }
}
