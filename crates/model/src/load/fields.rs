//! Takes one mapping apart: which keys it may have, and what their values must be.

use std::rc::Rc;
use std::sync::Arc;

use super::report::{Report, position};
use super::shapes::Shape;
use super::tree::{Mark, Node, Value};
use crate::Position;

/// One document being read.
pub(super) struct Reader<'a> {
    pub(super) file: &'a Arc<str>,
    pub(super) report: &'a mut Report,
}

impl Reader<'_> {
    pub(super) fn at(&self, mark: Mark) -> Position {
        position(self.file, mark)
    }

    pub(super) fn error(
        &mut self,
        mark: Mark,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let at = self.at(mark);
        self.report.push(at, message.into(), help.into());
    }

    /// A mapping with keys from `shape`; reports all others. `what` names it in messages.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &'static str,
        shape: &Shape,
    ) -> Option<Fields<'n>> {
        let known = || shape.names().collect::<Vec<_>>().join(", ");
        let Value::Map(entries) = &node.value else {
            self.wrong(
                node,
                what,
                "a mapping",
                &format!("write its fields: {}", known()),
            );
            return None;
        };
        let all = || shape.names().chain(shape.later.iter().copied());
        for (key, _) in entries {
            let name = key.text.as_str();
            if shape.names().any(|known| known == name) || name.is_empty() {
                continue;
            }
            if shape.later.contains(&name) {
                self.error(
                    key.at,
                    format!("field {name} of {what} is not supported yet"),
                    "remove it: what it would restrict is not enforced by this version",
                );
            } else if name == "<<" {
                self.error(
                    key.at,
                    "a merge key (<<) is not supported",
                    "write the fields out",
                );
            } else {
                let help = crate::suggest::help(name, all(), &format!("it takes {}", known()));
                self.error(key.at, format!("{what} has no field {name:?}"), help);
            }
        }
        Some(Fields {
            what,
            at: node.at,
            entries,
        })
    }

    /// What stands there is not what is wanted.
    pub(super) fn wrong(&mut self, node: &Node, what: &str, wanted: &str, help: &str) {
        let found = match &node.value {
            Value::Null => "nothing",
            Value::Text { .. } => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        };
        self.error(
            node.at,
            format!("{what} must be {wanted}, not {found}"),
            help,
        );
    }

    /// A text. A plain `true` or `false` is none.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Text { text, plain: true } if matches!(text.as_str(), "true" | "false") => {
                self.error(
                    node.at,
                    format!("{what} must be a text, not a truth value"),
                    "put quotes round it",
                );
                None
            }
            Value::Text { text, .. } => Some(text),
            _ => {
                self.wrong(node, what, "a text", "write it on the same line");
                None
            }
        }
    }

    /// A whole number within bounds, written in digits.
    pub(super) fn number(&mut self, node: &Node, what: &str, least: u32, most: u32) -> Option<u32> {
        let help = format!("write a number from {least} to {most}");
        let Value::Text { text, plain } = &node.value else {
            self.wrong(node, what, "a number", &help);
            return None;
        };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !plain && digits {
            self.error(
                node.at,
                format!("{what} must be a number, not a text"),
                "remove the quotes",
            );
            return None;
        }
        // YAML 1.1 readers take 010 for eight, those of 1.2 for ten.
        if digits && text.len() > 1 && text.starts_with('0') {
            self.error(
                node.at,
                format!("{what} must be a number without leading zeros"),
                help,
            );
            return None;
        }
        let number = text
            .parse()
            .ok()
            .filter(|number| digits && (least..=most).contains(number));
        if number.is_none() {
            self.error(
                node.at,
                format!("{what} must be a number from {least} to {most}"),
                help,
            );
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn truth(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.value {
            Value::Text { text, plain: true } if text == "true" => Some(true),
            Value::Text { text, plain: true } if text == "false" => Some(false),
            _ => {
                self.error(
                    node.at,
                    format!("{what} must be true or false"),
                    "write true or false, without quotes",
                );
                None
            }
        }
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Rc<Node>]> {
        match &node.value {
            Value::List(items) => Some(items),
            _ => {
                self.wrong(
                    node,
                    what,
                    "a list",
                    "write [one, two], or one `- item` per line",
                );
                None
            }
        }
    }
}

/// A mapping whose keys have been checked.
pub(super) struct Fields<'n> {
    what: &'static str,
    pub(super) at: Mark,
    entries: &'n [(super::tree::Key, Rc<Node>)],
}

impl<'n> Fields<'n> {
    /// Where the key stands.
    pub(super) fn key_at(&self, name: &str) -> Option<Mark> {
        self.entries
            .iter()
            .find(|(key, _)| key.text == name)
            .map(|(key, _)| key.at)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.key_at(name).is_some()
    }

    /// The value of a key that may be left out; without a value it is an error.
    pub(super) fn get(&self, reader: &mut Reader<'_>, name: &str) -> Option<&'n Node> {
        let (key, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        if matches!(node.value, Value::Null) {
            let message = format!("field {name} of {} has no value", self.what);
            reader.error(key.at, message, "give it one, or remove the line");
            return None;
        }
        Some(node)
    }

    /// The value of a key that must be there.
    pub(super) fn need(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        example: &str,
    ) -> Option<&'n Node> {
        if !self.has(name) {
            reader.error(
                self.at,
                format!("{} has no {name}", self.what),
                format!("add {example}"),
            );
            return None;
        }
        self.get(reader, name)
    }
}
