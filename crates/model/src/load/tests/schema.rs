//! The JSON Schema against what the loader says, read by a validator that we did not write.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value as Json;

use super::super::shapes::{DOCUMENT, KINDS, Shape, Value};
use super::super::test::json;
use super::super::{schema, tree};

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Json = serde_json::from_str(&schema()).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
});

/// What is wrong with the documents of a file, as the schema sees it; `None` when they cannot be read.
fn complaints(text: &str) -> Option<Vec<String>> {
    let trees = tree::parse(text);
    if trees.broken || !trees.faults.is_empty() {
        return None;
    }
    let documents = trees
        .documents
        .iter()
        .filter(|it| !matches!(it.value, tree::Value::Null));
    let check = |document: &std::rc::Rc<tree::Node>| {
        let document = json(document);
        let errors: Vec<String> = VALIDATOR
            .iter_errors(&document)
            .map(|it| it.to_string())
            .collect();
        errors
    };
    Some(documents.flat_map(check).collect())
}

/// Every fixture that loads in any test goes through here.
pub(super) fn takes(text: &str) {
    assert_eq!(complaints(text), Some(Vec::new()), "{text}");
}

/// Errors that one document shows by itself, in types and words.
const EXPRESSIBLE: [&str; 14] = [
    " has no field ",
    " has no protocol",
    " has no port",
    " has no until",
    " has no owner",
    " has no reason",
    " has no operations",
    " has no key",
    "is not supported yet",
    " must be ",
    " is not a protocol",
    " is not a mode",
    " is not a date",
    " is not a path form",
];

/// Every fixture that does not load in any test goes through here.
pub(super) fn refuses(text: &str, errors: &[String]) {
    let shown = errors
        .iter()
        .find(|error| EXPRESSIBLE.iter().any(|it| error.contains(it)));
    let Some(found) = complaints(text) else {
        return;
    };
    if let Some(error) = shown {
        assert!(
            !found.is_empty(),
            "the schema takes what the loader refuses: {error}\n{text}"
        );
    }
}

#[test]
fn what_an_editor_can_see_is_seen() {
    let service = |spec: &str| super::service(&format!("  {spec}"));
    for (spec, ok) in [
        ("{protocol: http, port: 80}", true),
        (
            "{protocol: http, port: 80, receive: [{agent: a, operations: [GET /]}]}",
            true,
        ),
        (
            "{protocol: grpc, port: 80, receive: [{agent: a, operations: [a.B/C, 'a.B/*']}]}",
            true,
        ),
        (
            "{protocol: grpc, port: 80, receive: [{agent: a, operations: [a.B]}]}",
            false,
        ),
        (
            "{protocol: http, port: 80, receive: [{agent: a, service: b, operations: [GET /]}]}",
            false,
        ),
        (
            "{protocol: http, port: 80, receive: [{operations: [GET /]}]}",
            false,
        ),
        (
            "{protocol: http, port: 80, receive: [{agent: a, operations: []}]}",
            false,
        ),
        (
            "{protocol: http, port: 80, receive: [{agent: a, operations: [{allow: GET /, wen: x}]}]}",
            false,
        ),
        ("{protocol: http, port: 53}", false),
        ("{protocol: http, port: '80'}", false),
        (
            "{protocol: http, port: 80, endpoints: [{address: 'x:1', tls: {}}], mutualAuth: {exempt: y, until: 2027-01-01}}",
            true,
        ),
        (
            "{protocol: http, port: 80, mutualAuth: {exempt: y, until: soon}}",
            false,
        ),
        ("{protocol: http, port: 80, hosts: [a b]}", false),
    ] {
        assert_eq!(
            complaints(&service(spec)),
            complaints(&service(spec)).filter(|it| it.is_empty() == ok),
            "{spec}"
        );
    }
    for (text, ok) in [
        (
            "{apiVersion: ringfence.dev/v1alpha1, kind: Agent, metadata: {name: a, labels: {x: 1}}}",
            true,
        ),
        (
            "{apiVersion: ringfence.dev/v1alpha1, kind: Agnt, metadata: {name: a}}",
            false,
        ),
        (
            "{apiVersion: ringfence.dev/v2, kind: Agent, metadata: {name: a}}",
            false,
        ),
        (
            "{apiVersion: ringfence.dev/v1alpha1, kind: Agent, metadata: {name: A}}",
            false,
        ),
        (
            "{apiVersion: ringfence.dev/v1alpha1, kind: Policy, metadata: {name: a}}",
            false,
        ),
        (
            "{apiVersion: ringfence.dev/v1alpha1, kind: Policy, metadata: {name: a, labels: {x: y}}, spec: {agent: a}}",
            false,
        ),
        (
            "{apiVersion: ringfence.dev/v1alpha1, kind: Test, metadata: {name: a}, spec: {from: a, to: b, deny: GET /}}",
            true,
        ),
        (
            "{apiVersion: ringfence.dev/v1alpha1, kind: Test, metadata: {name: a}, spec: {from: a, to: b, deny: GET /, allow: GET /}}",
            false,
        ),
        (
            "{apiVersion: ringfence.dev/v1alpha1, kind: Test, metadata: {name: a}, spec: {tests: [{from: a, to: b, deny: connect}]}}",
            true,
        ),
        (
            "{apiVersion: ringfence.dev/v1alpha1, kind: Guardrail, metadata: {name: a}, spec: {owner: x, reason: y, from: ['*'], to: [b], only: [send]}}",
            true,
        ),
        (
            "{apiVersion: ringfence.dev/v1alpha1, kind: Guardrail, metadata: {name: a}, spec: {owner: x, reason: y, from: ['*'], to: [b], only: [send], deny: [send]}}",
            false,
        ),
    ] {
        assert_eq!(complaints(text).unwrap().is_empty(), ok, "{text}");
    }
}

/// The file that editors are pointed to. `ringfence policy schema > docs/schema/ringfence.dev-v1alpha1.json` makes it.
#[test]
fn the_published_schema_is_that_of_the_code() {
    let published: Json = serde_json::from_str(include_str!(
        "../../../../../docs/schema/ringfence.dev-v1alpha1.json"
    ))
    .unwrap();
    assert_eq!(published, serde_json::from_str::<Json>(&schema()).unwrap());
}

/// Names of definitions are names of shapes, and no key stands twice or both known and later.
#[test]
fn every_shape_is_sound() {
    let mut shapes: Vec<&Shape> = vec![&DOCUMENT];
    fn below<'a>(value: &'a Value, shapes: &mut Vec<&'a Shape>) {
        match value {
            Value::Map(shape) if !shapes.iter().any(|it| it.title == shape.title) => {
                shapes.push(shape);
                shape
                    .known
                    .iter()
                    .for_each(|field| below(&field.value, shapes));
            }
            Value::List(item) | Value::Some(item) => below(item, shapes),
            Value::Either(values) => values.iter().for_each(|it| below(it, shapes)),
            _ => {}
        }
    }
    KINDS.iter().for_each(|(_, spec)| below(spec, &mut shapes));
    assert!(shapes.len() > 15);
    for shape in shapes {
        let known: BTreeSet<&str> = shape.names().collect();
        assert_eq!(known.len(), shape.known.len(), "{}", shape.title);
        assert!(
            shape.later.iter().all(|key| !known.contains(key)),
            "{}",
            shape.title
        );
        assert!(
            shape
                .required
                .iter()
                .chain(shape.either.iter().flatten())
                .all(|key| known.contains(key)),
            "{}",
            shape.title
        );
        assert!(
            shape
                .known
                .iter()
                .all(|field| !field.about.is_empty() && !field.about.ends_with('.'))
        );
    }
}

/// All that the repository shows people.
#[test]
fn every_example_validates() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut texts = 0;
    let mut folders = vec![
        root.join("examples"),
        root.join("docs"),
        root.join("crates/ringfence/src/verbs/estate"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = match path.extension().and_then(|it| it.to_str()) {
                Some("yaml" | "yml" | "md") => std::fs::read_to_string(&path).unwrap(),
                _ => continue,
            };
            let blocks: Vec<&str> = match text.split_once("```yaml\n") {
                None if path.extension().is_some_and(|it| it == "md") => Vec::new(),
                None => vec![&text],
                Some(_) => text
                    .split("```yaml\n")
                    .skip(1)
                    .filter_map(|rest| rest.split("```").next())
                    .collect(),
            };
            // A piece of a document, shown by itself, is none.
            for block in blocks
                .into_iter()
                .filter(|block| block.contains("apiVersion:"))
            {
                takes(block);
                texts += 1;
            }
        }
    }
    assert!(texts > 25, "{texts}");
}
