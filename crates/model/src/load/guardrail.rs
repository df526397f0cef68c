//! `kind: Guardrail`.

use super::common::Reference;
use super::cross::{Draft, Offer};
use super::fields::{Fields, Reader};
use super::shapes;
use super::tree::{Mark, Node, Value};
use crate::Name;
use crate::resource::{Forbids, Guardrail, OperationPattern, Selector};

const SELECT: &str = "write names, such as [payments, ledger], or [\"*\"] for all";

impl Reader<'_> {
    pub(super) fn guardrail(
        &mut self,
        name: Name,
        at: Mark,
        spec: Option<&Node>,
    ) -> Option<Draft<Guardrail>> {
        let at = self.at(at);
        let Some(spec) = spec else {
            let help = "add `spec: {owner: NAME, reason: WHY, from: [\"*\"], to: [NAME], deny: [OPERATION]}`";
            self.report
                .push(at, format!("guardrail {name} has no spec"), help.to_owned());
            return None;
        };
        let fields = self.fields(spec, "the guardrail's spec", &shapes::GUARDRAIL)?;
        let owner = fields
            .need(self, "owner", "`owner: security-team`")
            .and_then(|node| self.words(node, "owner"));
        let reason = fields
            .need(self, "reason", "`reason: \"why nobody may\"`")
            .and_then(|node| self.words(node, "reason"));
        let mut references = Vec::new();
        let from = self.selector(&fields, "from", &mut references);
        let to = self.selector(&fields, "to", &mut references);
        let forbidden = self.forbidden(&fields);
        let when = match fields.get(self, "when") {
            Some(node) => Some(self.condition(node)?),
            None => None,
        };
        let (forbids, operations) = forbidden?;
        let resource = Guardrail {
            name,
            owner: owner?,
            reason: reason?,
            from: from?,
            to: to?,
            forbids,
            operations,
            when,
            at,
        };
        Some(Draft {
            resource,
            offer: Offer::Nothing,
            hosts: Vec::new(),
            references,
        })
    }

    /// A list of names, or of `*` alone.
    fn selector(
        &mut self,
        fields: &Fields<'_>,
        what: &'static str,
        references: &mut Vec<Reference>,
    ) -> Option<Selector> {
        let node = fields.need(self, what, &format!("`{what}: [\"*\"]`"))?;
        let items = self.list(node, what)?;
        let star =
            |item: &Node| matches!(&item.value, Value::Text { text, .. } if text.as_str() == "*");
        if items.iter().any(|item| star(item)) {
            if items.len() > 1 {
                self.error(node.at, format!("{what} has * beside names"), SELECT);
                return None;
            }
            return Some(Selector::All);
        }
        if items.is_empty() {
            self.error(node.at, format!("{what} names nobody"), SELECT);
            return None;
        }
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            let name = self.name(item, what)?;
            references.push(Reference {
                name: name.clone(),
                kind: None,
                called: false,
                at: self.at(item.at),
            });
            names.push(name);
        }
        Some(Selector::Names(names))
    }

    /// Exactly one of `deny` and `only`.
    fn forbidden(&mut self, fields: &Fields<'_>) -> Option<(Forbids, Vec<OperationPattern>)> {
        let (key, forbids) = match (fields.key_at("deny"), fields.key_at("only")) {
            (Some(_), None) => ("deny", Forbids::Listed),
            (None, Some(_)) => ("only", Forbids::Others),
            (Some(_), Some(second)) => {
                let help = "write two guardrails: each narrows by itself";
                self.error(second, "the guardrail has both deny and only", help);
                return None;
            }
            (None, None) => {
                let help = "add `deny: [OPERATION]`, or `only: [OPERATION]` to forbid all others";
                self.error(fields.at, "the guardrail has neither deny nor only", help);
                return None;
            }
        };
        let node = fields.get(self, key)?;
        let items = self.list(node, key)?;
        if items.is_empty() {
            let help = "name at least one; \"* /**\" is every request, connect and send the others";
            self.error(node.at, format!("{key} lists no operation"), help);
            return None;
        }
        let read: Vec<_> = items
            .iter()
            .map(|item| self.plain_operation(item))
            .collect();
        // One that cannot be read must not be left out of what is forbidden.
        Some((forbids, read.into_iter().collect::<Option<_>>()?))
    }
}
