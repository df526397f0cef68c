//! `record: {headers: […], query: […]}`.

use super::RECORDED_MAX;
use super::fields::{Fields, Reader};
use super::shapes;
use super::tree::Node;
use crate::Protocol;
use crate::resource::Recorded;

/// Longest name, in bytes.
const RECORDED_NAME_MAX: usize = 64;
/// What names of secrets have in them, in lower case.
const SECRET: [&str; 19] = [
    "authorization",
    "cookie",
    "passwd",
    "password",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api-key",
    "api_key",
    "credential",
    "session",
    "jwt",
    "private",
    "signature",
    "assertion",
    "access-key",
    "access_key",
];
const HELP_SECRET: &str =
    "remove it: the log has its HMAC, against which `ringfence audit match` checks a value";

/// Where a name is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Headers,
    Query,
}

impl Reader<'_> {
    /// What of a workload's requests may be read in the flow log.
    pub(super) fn recorded(&mut self, fields: &Fields<'_>, protocol: Option<Protocol>) -> Recorded {
        let mut out = Recorded::default();
        let Some(node) = fields.get(self, "record") else {
            return out;
        };
        if let Some(protocol) = protocol
            && !protocol.has_requests()
        {
            let message = format!("{protocol} has no headers and no query");
            self.error(node.at, message, "remove record");
        }
        let Some(fields) = self.fields(node, "record", &shapes::RECORD) else {
            return out;
        };
        if !shapes::RECORD.names().any(|key| fields.has(key)) {
            let help = "add `headers: [x-tenant]` or `query: [page]`, or remove the line";
            self.error(node.at, "record names nothing", help);
        }
        out.headers = self.names_of(&fields, "headers", Part::Headers);
        out.query = self.names_of(&fields, "query", Part::Query);
        if protocol == Some(Protocol::Grpc)
            && let Some(node) = fields.get(self, "query")
        {
            self.error(node.at, "grpc has no query", "remove query");
        }
        out
    }

    fn names_of(&mut self, fields: &Fields<'_>, key: &'static str, part: Part) -> Vec<String> {
        let Some(node) = fields.get(self, key) else {
            return Vec::new();
        };
        let items = self.list(node, key).unwrap_or_default();
        if items.is_empty() {
            let help = "remove the line: no value is recorded in clear unless it is named";
            self.error(node.at, format!("the list of {key} is empty"), help);
        }
        if items.len() > RECORDED_MAX {
            let message = format!(
                "{} names, and at most {RECORDED_MAX} have room",
                items.len()
            );
            self.error(node.at, message, "name those that are read");
        }
        let mut names = Vec::new();
        for item in items {
            if let Some(name) = self.recorded_name(item, part) {
                if names.contains(&name) {
                    self.error(
                        item.at,
                        format!("{name} is named twice"),
                        "remove one of them",
                    );
                }
                names.push(name);
            }
        }
        names
    }

    fn recorded_name(&mut self, node: &Node, part: Part) -> Option<String> {
        let (what, signs, example) = match part {
            // Those of a token, but for what the form of the record needs.
            Part::Headers => ("a header", "!#$&'*+.^_`|-", "x-tenant"),
            Part::Query => ("a query parameter", "_.$@:[]-", "page"),
        };
        let text = self.text(node, what)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
        if text.is_empty() || text.len() > RECORDED_NAME_MAX || !text.chars().all(plain) {
            let help = format!(
                "write a name of up to {RECORDED_NAME_MAX} letters, digits and {signs}, such as {example}"
            );
            self.error(
                node.at,
                format!("{text:?} is not the name of {what} that can be recorded"),
                help,
            );
            return None;
        }
        let lower = text.to_ascii_lowercase();
        if SECRET.iter().any(|secret| lower.contains(secret)) {
            let message =
                format!("{text} is the name of a secret, which must not be read in a log");
            self.error(node.at, message, HELP_SECRET);
            return None;
        }
        Some(match part {
            Part::Headers => lower,
            // Those of parameters differ by case.
            Part::Query => text.to_owned(),
        })
    }
}
