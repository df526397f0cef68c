//! SARIF 2.1.0 (OASIS), as code scanning takes it.
//!
//! Rules carry their page of the manual, so that it can be read where the finding is shown, also without a network.

use std::fmt::Write as _;
use std::path::Path;

use ringfence_model::Position;
use ringfence_policy::{CODES, Level};
use serde_json::{Value, json};

use super::lint::Report;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// The rule of what keeps a configuration from loading. It has no number: its messages are many.
const LOAD: &str = "load";

/// One run. Places are relative to the current directory where `config` is below it.
pub(super) fn document(report: &Report, config: &Path) -> Value {
    let base = base(config);
    let place = |at: &Position| location(&base, at);
    let errors = report.errors.iter().map(|error| {
        let message = match &error.help {
            Some(help) => format!("{}; {help}", error.message),
            None => error.message.clone(),
        };
        result(
            LOAD,
            CODES.len(),
            Level::Error,
            message,
            error.at.as_ref().map(place),
            error.also.as_ref().map(place),
        )
    });
    let findings = report.findings.iter().map(|finding| {
        let index = CODES
            .iter()
            .position(|code| code.id == finding.code.id)
            .unwrap_or(CODES.len());
        let message = format!(
            "({}) {}; {}",
            finding.resource, finding.message, finding.help
        );
        let also = finding.also.as_ref().map(place);
        result(
            finding.code.id,
            index,
            finding.level,
            message,
            Some(place(&finding.at)),
            also,
        )
    });
    let results: Vec<Value> = errors.chain(findings).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "ringfence",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rules() -> Vec<Value> {
    let mut rules: Vec<Value> = CODES
        .iter()
        .map(|code| rule(code.id, code.title, code.level, code.page))
        .collect();
    let page = "The configuration does not load. The last good one stays in force; with none, everything is denied.";
    rules.push(rule(
        LOAD,
        "the configuration does not load",
        Level::Error,
        page,
    ));
    rules
}

fn rule(id: &str, title: &str, level: Level, page: &str) -> Value {
    json!({
        "id": id,
        "shortDescription": { "text": title },
        "fullDescription": { "text": title },
        "help": { "text": page, "markdown": page },
        "defaultConfiguration": { "level": sarif_level(level) },
    })
}

fn sarif_level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "note",
    }
}

fn result(
    id: &str,
    index: usize,
    level: Level,
    message: String,
    at: Option<Value>,
    also: Option<Value>,
) -> Value {
    let related = also.map(|place| json!({ "id": 1, "physicalLocation": place, "message": { "text": "it belongs to this" } }));
    json!({
        "ruleId": id,
        "ruleIndex": index,
        "level": sarif_level(level),
        "message": { "text": message },
        "locations": at.map(|place| json!({ "physicalLocation": place })).into_iter().collect::<Vec<_>>(),
        "relatedLocations": related.into_iter().collect::<Vec<_>>(),
    })
}

fn location(base: &str, at: &Position) -> Value {
    json!({
        "artifactLocation": { "uri": format!("{base}{}", encoded(&at.file)) },
        "region": { "startLine": at.line.max(1), "startColumn": at.column.max(1) },
    })
}

/// What stands before the name of a file: the directory, relative to the current one, or an absolute URI.
fn base(config: &Path) -> String {
    let relative = match std::env::current_dir() {
        Ok(here) if config.is_absolute() => config.strip_prefix(here).ok(),
        _ if config.is_absolute() => None,
        _ => Some(config),
    };
    let (scheme, path) = match relative {
        Some(relative) => ("", relative.strip_prefix(".").unwrap_or(relative)),
        None => ("file://", config),
    };
    let path = path.to_string_lossy();
    let path = path.trim_end_matches('/');
    match (scheme, path) {
        ("", "") => String::new(),
        _ => format!("{scheme}{}/", encoded(path)),
    }
}

/// A path as part of a URI (RFC 3986, 3.3).
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for &byte in path.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot go wrong.
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}
