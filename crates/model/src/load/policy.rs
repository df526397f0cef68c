//! `kind: Policy`.

use super::common::Reference;
use super::cross::{Draft, Offer};
use super::fields::{Fields, Reader};
use super::shapes;
use super::tree::{Mark, Node};
use crate::Name;
use crate::resource::{Filesystem, Mode, ModeKind, Policy};

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
        let fields = self.fields(spec, "the policy's spec", &shapes::POLICY)?;
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
        let mode = self.mode(&fields, &at);
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
            // One that cannot be read is reported: nothing of this load is used.
            mode: mode.unwrap_or_default(),
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

    /// `mode` and `until`.
    fn mode(&mut self, fields: &Fields<'_>, at: &crate::Position) -> Option<Mode> {
        const MODES: [&str; 3] = ["enforce", "learn", "shadow"];
        let mut mode = Mode {
            at: at.clone(),
            ..Mode::default()
        };
        if fields.has("mode") {
            let node = fields.get(self, "mode")?;
            mode.at = self.at(node.at);
            mode.kind = match self.text(node, "mode")? {
                "enforce" => ModeKind::Enforce,
                "learn" => ModeKind::Learn,
                "shadow" => ModeKind::Shadow,
                other => {
                    let help = crate::suggest::help(other, MODES, "it is enforce, learn or shadow");
                    self.error(node.at, format!("{other:?} is not a mode"), help);
                    return None;
                }
            };
        }
        if fields.has("until") {
            let node = fields.get(self, "until")?;
            if mode.kind == ModeKind::Enforce {
                let help = "remove until: it ends `mode: learn` and `mode: shadow`";
                self.error(node.at, "mode enforce does not end", help);
                return None;
            }
            mode.until = Some(self.date(node, "until")?);
        }
        Some(mode)
    }

    fn filesystem(&mut self, node: &Node) -> Option<Filesystem> {
        let fields = self.fields(node, "filesystem", &shapes::FILESYSTEM)?;
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
