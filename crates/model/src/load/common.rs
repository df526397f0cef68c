//! What several kinds of resource have in common.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use jiff::civil::Date;

use super::fields::{Fields, Reader};
use super::shapes;
use super::tree::{Mark, Node, Value};
use super::{CONDITION_MAX, LABEL_MAX, LABELS_MAX, TEXT_MAX};
use crate::attest::{Attest, NotAUnit};
use crate::limits::{Limits, NotMemory, PROCESSES_MAX, PROCESSES_MIN};
use crate::path::Allowances;
use crate::resource::{Condition, Entry, Labels, OperationPattern};
use crate::{HostName, Kind, Name, Protocol, WorkloadId};

/// Of versions to come.
const LATER_PROTOCOLS: [&str; 11] = [
    "websocket",
    "mcp",
    "a2a",
    "llm",
    "postgres",
    "mysql",
    "redis",
    "kafka",
    "nats",
    "mqtt",
    "amqp",
];
/// Answered at the door for every destination, so no workload can have it.
const DNS_PORT: u32 = 53;

const PATH_FORMS: [&str; 7] = [
    "encoded-slash",
    "encoded-backslash",
    "empty-segment",
    "semicolon",
    "raw-non-ascii",
    "double-escape",
    "not-utf-8",
];

/// A reference to a workload that may be anywhere.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) name: Name,
    /// `None`: any.
    pub(super) kind: Option<Kind>,
    /// Its operations are to be served, so it must serve something.
    pub(super) called: bool,
    pub(super) at: crate::Position,
}

impl Reader<'_> {
    pub(super) fn name(&mut self, node: &Node, what: &str) -> Option<Name> {
        let text = self.text(node, what)?;
        match Name::new(text) {
            Ok(name) => Some(name),
            Err(error) => {
                let help = "a name is 1 to 63 of a-z, 0-9 and -, neither first nor last a -";
                self.error(node.at, format!("{what}: {error}"), help);
                None
            }
        }
    }

    /// Free text, trimmed, on one line and within bounds.
    pub(super) fn words(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.text(node, what)?.trim();
        if text.is_empty() {
            self.error(node.at, format!("{what} is empty"), "write a few words");
        } else if text.len() > TEXT_MAX {
            self.error(
                node.at,
                format!("{what} is longer than {TEXT_MAX} bytes"),
                "shorten it",
            );
        } else if text.chars().any(char::is_control) {
            self.error(
                node.at,
                format!("{what} holds line breaks or control characters"),
                "write it on one line",
            );
        } else {
            return Some(text.to_owned());
        }
        None
    }

    /// A mapping of short texts.
    pub(super) fn labels(&mut self, node: &Node) -> Labels {
        let mut labels = Labels::new();
        let Value::Map(entries) = &node.value else {
            self.wrong(node, "labels", "a mapping", "write {team: crm, tier: gold}");
            return labels;
        };
        if entries.len() > LABELS_MAX {
            let message = format!("there are more than {LABELS_MAX} labels");
            self.error(node.at, message, "remove some");
            return labels;
        }
        for (key, node) in entries {
            let Some(value) = self.text(node, "a label") else {
                continue;
            };
            let fits = |text: &str| text.len() <= LABEL_MAX && !text.chars().any(char::is_control);
            if key.text.is_empty() || !fits(&key.text) || !fits(value) {
                let help =
                    format!("write keys and values on one line, of at most {LABEL_MAX} bytes");
                self.error(
                    key.at,
                    "the label is empty, too long, or holds control characters",
                    help,
                );
                continue;
            }
            labels.insert(key.text.clone(), value.to_owned());
        }
        labels
    }

    pub(super) fn optional_words(&mut self, fields: &Fields<'_>, name: &str) -> Option<String> {
        let node = fields.get(self, name)?;
        self.words(node, name)
    }

    pub(super) fn date(&mut self, node: &Node, what: &str) -> Option<Date> {
        let text = self.text(node, what)?;
        let shape = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date = text.parse::<Date>().ok().filter(|_| shape);
        if date.is_none() {
            self.error(
                node.at,
                format!("{what} is not a date"),
                "write it as 2027-02-28",
            );
        }
        date
    }

    pub(super) fn protocol(&mut self, node: &Node) -> Option<Protocol> {
        let text = self.text(node, "protocol")?;
        if let Some(known) = Protocol::ALL.into_iter().find(|it| it.as_str() == text) {
            return Some(known);
        }
        match text {
            "h2" | "h2c" => {
                let help =
                    "write http2: HTTP/2 from the first byte, without TLS of the workload's own";
                self.error(node.at, format!("{text:?} is not a protocol"), help);
                None
            }
            later if LATER_PROTOCOLS.contains(&later) => {
                let message = format!("protocol {later} is not supported yet");
                self.error(
                    node.at,
                    message,
                    "use tcp, which decides by connection, or http",
                );
                None
            }
            other => {
                let known = Protocol::ALL.map(Protocol::as_str);
                let otherwise = format!("it is one of {}", known.join(", "));
                let help = crate::suggest::help(other, known, &otherwise);
                self.error(node.at, format!("{other:?} is not a protocol"), help);
                None
            }
        }
    }

    pub(super) fn port(&mut self, node: &Node) -> Option<u16> {
        let port = self.number(node, "port", 1, u32::from(u16::MAX))?;
        if port == DNS_PORT {
            let help = "choose another: port 53 of every address answers names";
            self.error(node.at, "port 53 is taken by DNS", help);
            return None;
        }
        u16::try_from(port).ok()
    }

    pub(super) fn hosts(&mut self, fields: &Fields<'_>) -> Vec<(HostName, Mark)> {
        let Some(node) = fields.get(self, "hosts") else {
            return Vec::new();
        };
        let mut hosts = Vec::new();
        for item in self.list(node, "hosts").unwrap_or_default() {
            let Some(text) = self.text(item, "a host") else {
                continue;
            };
            if text.parse::<IpAddr>().is_ok() {
                let help = "name it under endpoints if it is where the service really is";
                self.error(
                    item.at,
                    format!("{text} is an address, not a host name"),
                    help,
                );
                continue;
            }
            match HostName::new(text) {
                Ok(host) => hosts.push((host, item.at)),
                Err(_) => {
                    let help = "write a host name such as payments.internal, without port or *";
                    self.error(item.at, format!("{text:?} is not a host name"), help);
                }
            }
        }
        hosts
    }

    /// `paths: {accept: […]}`.
    pub(super) fn paths(&mut self, fields: &Fields<'_>, protocol: Option<Protocol>) -> Allowances {
        let mut out = Allowances::default();
        let Some(node) = fields.get(self, "paths") else {
            return out;
        };
        if let Some(protocol) = protocol
            && !matches!(protocol, Protocol::Http | Protocol::Http2)
        {
            self.error(node.at, format!("{protocol} has no paths"), "remove paths");
        }
        let Some(fields) = self.fields(node, "paths", &shapes::PATHS) else {
            return out;
        };
        let Some(node) = fields.need(self, "accept", "`accept: [encoded-slash]`") else {
            return out;
        };
        for item in self.list(node, "accept").unwrap_or_default() {
            match self.text(item, "a path form") {
                Some("encoded-slash") => out.encoded_slash = true,
                Some("encoded-backslash") => out.encoded_backslash = true,
                Some("empty-segment") => out.empty_segment = true,
                Some("semicolon") => out.semicolon = true,
                Some("raw-non-ascii") => out.raw_non_ascii = true,
                Some("double-escape") => out.double_escape = true,
                Some("not-utf-8") => out.not_utf8 = true,
                Some(other) => {
                    let otherwise = format!("it is one of {}", PATH_FORMS.join(", "));
                    let help = crate::suggest::help(other, PATH_FORMS, &otherwise);
                    self.error(item.at, format!("{other:?} is not a path form"), help);
                }
                None => {}
            }
        }
        out
    }

    /// Who may claim the name, and by starting what.
    pub(super) fn attest(&mut self, fields: &Fields<'_>) -> Option<Attest> {
        let node = fields.get(self, "attest")?;
        let fields = self.fields(node, "attest", &shapes::ATTEST)?;
        if !shapes::ATTEST.names().any(|key| fields.has(key)) {
            let help =
                "add `uid: 1001`, the user who may claim the name, or `exe`, `sha256`, `unit`";
            self.error(node.at, "attest asks for nothing", help);
            return None;
        }
        Some(Attest {
            // The highest one means "no user" to the kernel.
            uid: fields
                .get(self, "uid")
                .and_then(|node| self.number(node, "uid", 0, u32::MAX - 1)),
            exe: fields
                .get(self, "exe")
                .and_then(|node| self.absolute(node, "exe")),
            sha256: fields.get(self, "sha256").and_then(|node| {
                let help = "write what `sha256sum FILE` prints";
                self.parsed(node, "sha256", |_| help)
            }),
            unit: fields.get(self, "unit").and_then(|node| {
                self.parsed(node, "unit", |cause| match cause {
                    NotAUnit::Path => {
                        "a user's own units are called what that user likes: name one of the system, or \
                         `user@UID.service` for all of that user"
                    }
                    NotAUnit::Suffix => "write it in full, such as agents.service",
                    NotAUnit::Letters => "write it as `systemctl status` shows it",
                })
            }),
        })
    }

    /// A text that `T` can be read from.
    /// `limits`, or none. What cannot be read is told, and is the default until then.
    pub(super) fn limits(&mut self, fields: &Fields<'_>) -> Limits {
        let Some(node) = fields.get(self, "limits") else {
            return Limits::default();
        };
        let Some(fields) = self.fields(node, "limits", &shapes::LIMITS) else {
            return Limits::default();
        };
        Limits {
            memory: fields.get(self, "memory").and_then(|node| {
                self.parsed(node, "memory", |cause| match cause {
                    NotMemory::Form => "write it as 512Mi or 2Gi",
                    NotMemory::Amount => "write what a program can start with: 512Mi or 2Gi",
                })
            }),
            processes: fields
                .get(self, "processes")
                .and_then(|node| self.number(node, "processes", PROCESSES_MIN, PROCESSES_MAX)),
        }
    }

    fn parsed<T: FromStr>(
        &mut self,
        node: &Node,
        what: &str,
        help: impl FnOnce(&T::Err) -> &'static str,
    ) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.text(node, what)?;
        text.parse()
            .map_err(|cause| {
                let message = format!("{text:?} is not a {what}: {cause}");
                self.error(node.at, message, help(&cause));
            })
            .ok()
    }

    /// A `receive` or `initiate` list.
    pub(super) fn entries(
        &mut self,
        node: &Node,
        what: &'static str,
        references: &mut Vec<Reference>,
    ) -> Vec<Entry> {
        let items = self.list(node, what).unwrap_or_default();
        items
            .iter()
            .filter_map(|item| self.entry(item, what, references))
            .collect()
    }

    fn entry(
        &mut self,
        node: &Node,
        what: &'static str,
        references: &mut Vec<Reference>,
    ) -> Option<Entry> {
        let fields = self.fields(node, "the entry", &shapes::ENTRY)?;
        let until = fields.get(self, "until");
        let until = match until.map(|node| self.date(node, "until")) {
            // An end that cannot be read is no end.
            Some(None) => return None,
            until => until.flatten(),
        };
        let peer = self.workload(&fields, "the entry");
        let operations = fields
            .need(self, "operations", "`operations: [\"GET /customers/*\"]`")
            .and_then(|node| self.operations(node));
        let (peer, mark) = peer?;
        let at = self.at(mark);
        references.push(Reference {
            name: peer.name.clone(),
            kind: Some(peer.kind),
            called: what == "initiate",
            at,
        });
        let mut operations = operations?;
        for operation in &mut operations {
            // The earlier of the two ends.
            operation.until = [operation.until, until].into_iter().flatten().min();
        }
        Some(Entry {
            peer,
            operations,
            at: self.at(node.at),
        })
    }

    /// Exactly one of `agent:` and `service:`, and where its name stands.
    pub(super) fn workload(
        &mut self,
        fields: &Fields<'_>,
        what: &str,
    ) -> Option<(WorkloadId, Mark)> {
        let (key, kind) = match (fields.key_at("agent"), fields.key_at("service")) {
            (Some(_), None) => ("agent", Kind::Agent),
            (None, Some(_)) => ("service", Kind::Service),
            (None, None) => {
                let help = "add `agent: NAME` or `service: NAME`";
                self.error(
                    fields.at,
                    format!("{what} names neither an agent nor a service"),
                    help,
                );
                return None;
            }
            (Some(_), Some(second)) => {
                let message = format!("{what} names both an agent and a service");
                self.error(second, message, "write two of them");
                return None;
            }
        };
        let node = fields.get(self, key)?;
        let name = self.name(node, key)?;
        Some((WorkloadId { kind, name }, node.at))
    }

    fn operations(&mut self, node: &Node) -> Option<Vec<OperationPattern>> {
        let items = self.list(node, "operations")?;
        if items.is_empty() {
            let help = "name at least one, or remove the entry";
            self.error(node.at, "the entry allows no operation", help);
            return None;
        }
        Some(
            items
                .iter()
                .filter_map(|item| self.operation(item))
                .collect(),
        )
    }

    /// A text, or `{allow: text, when: CEL, until: DATE}`. Whether it is an operation is known when all peers are.
    fn operation(&mut self, node: &Node) -> Option<OperationPattern> {
        let Value::Map(_) = node.value else {
            return self.plain_operation(node);
        };
        let fields = self.fields(node, "the operation", &shapes::RULE)?;
        let text = fields.need(self, "allow", "`allow: \"GET /customers/*\"`")?;
        let mut operation = self.plain_operation(text)?;
        // What narrows and cannot be read must not be left out.
        if fields.has("when") {
            let node = fields.get(self, "when")?;
            operation.when = Some(self.condition(node)?);
        }
        if fields.has("until") {
            let node = fields.get(self, "until")?;
            operation.until = Some(self.date(node, "until")?);
        }
        Some(operation)
    }

    /// A text.
    pub(super) fn plain_operation(&mut self, node: &Node) -> Option<OperationPattern> {
        let text = self.text(node, "an operation")?.to_owned();
        Some(OperationPattern::plain(text, self.at(node.at)))
    }

    /// A CEL expression, of which only length and emptiness are checked here.
    pub(super) fn condition(&mut self, node: &Node) -> Option<Condition> {
        let text = self.text(node, "when")?.trim();
        if text.is_empty() {
            let help = "write a CEL expression, such as \"request.query.limit == '10'\"";
            self.error(node.at, "when is empty", help);
            return None;
        }
        if text.len() > CONDITION_MAX {
            let message = format!("when is longer than {CONDITION_MAX} bytes");
            self.error(node.at, message, "shorten it, or split the rule");
            return None;
        }
        Some(Condition {
            text: text.to_owned(),
            at: self.at(node.at),
        })
    }

    /// Absolute, without `.` and `..`, in its shortest form.
    pub(super) fn absolute(&mut self, node: &Node, what: &str) -> Option<PathBuf> {
        let text = self.text(node, what)?;
        let help = "write the full path, such as /opt/agents";
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        if !text.starts_with('/') || text.chars().any(char::is_control) {
            self.error(node.at, format!("{text:?} is not an absolute path"), help);
        } else if parts.iter().any(|part| matches!(*part, "." | "..")) {
            self.error(node.at, format!("{text:?} holds a dot segment"), help);
        } else if parts.is_empty() {
            let help = "name the directories that are needed";
            self.error(node.at, "/ is the whole host", help);
        } else {
            return Some(PathBuf::from(format!("/{}", parts.join("/"))));
        }
        None
    }
}
