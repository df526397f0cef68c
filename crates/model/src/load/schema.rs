//! The JSON Schema (2020-12) of resource files, made of the loader's own tables.
//!
//! It says what editors can check as one types: keys, kinds of values, words, shapes of names. What needs other resources, or
//! more than one value, only the loader knows; so what the schema refuses the loader refuses, and not always the reverse.

use serde_json::{Map, Value as Json, json};

use super::shapes::{DOCUMENT, KINDS, LABEL_BOUNDS, METADATA, Shape, Value};

/// The schema of one document, as text: two spaces deep, keys in order, with a line feed at the end.
pub fn schema() -> String {
    let mut defs = Map::new();
    let metadata = reference(&METADATA, &mut defs);
    let kinds: Vec<Json> = KINDS
        .iter()
        .map(|(kind, spec)| document(kind, spec, &metadata, &mut defs))
        .collect();
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ringfence resource",
        "description": "One document of a configuration of Ringfence. Made by `ringfence policy schema`.",
        "oneOf": kinds,
        "$defs": defs,
    });
    format!("{document:#}\n")
}

fn document(kind: &str, spec: &Value, metadata: &Json, defs: &mut Map<String, Json>) -> Json {
    let mut out = mapping(&DOCUMENT, defs);
    let labelled = matches!(kind, "Service" | "Agent");
    let required: &[&str] = match kind {
        "Agent" => &["apiVersion", "kind", "metadata"],
        _ => &["apiVersion", "kind", "metadata", "spec"],
    };
    out["title"] = kind.into();
    out["required"] = json!(required);
    out["properties"]["kind"] = json!({ "const": kind });
    out["properties"]["metadata"] = match labelled {
        true => metadata.clone(),
        false => json!({ "allOf": [metadata, { "properties": { "labels": false } }] }),
    };
    out["properties"]["spec"] = value(spec, defs);
    out
}

/// A shape as a definition, and a reference to it.
fn reference(shape: &Shape, defs: &mut Map<String, Json>) -> Json {
    if !defs.contains_key(shape.title) {
        // Held open, so that a shape may stand in itself.
        defs.insert(shape.title.to_owned(), Json::Null);
        let mapping = mapping(shape, defs);
        defs.insert(shape.title.to_owned(), mapping);
    }
    json!({ "$ref": format!("#/$defs/{}", shape.title) })
}

fn mapping(shape: &Shape, defs: &mut Map<String, Json>) -> Json {
    let mut properties = Map::new();
    for field in shape.known {
        let mut schema = value(&field.value, defs);
        schema["description"] = field.about.into();
        properties.insert(field.name.to_owned(), schema);
    }
    let mut out = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !shape.required.is_empty() {
        out["required"] = json!(shape.required);
    }
    if !shape.either.is_empty() {
        let each = shape
            .either
            .iter()
            .map(|[a, b]| json!({ "oneOf": [{ "required": [a] }, { "required": [b] }] }));
        out["allOf"] = each.collect();
    }
    out
}

fn value(value: &Value, defs: &mut Map<String, Json>) -> Json {
    match value {
        Value::Exactly(text) => json!({ "const": text }),
        Value::Word(words) => json!({ "enum": words }),
        Value::Text(most) => json!({ "type": "string", "minLength": 1, "maxLength": most }),
        Value::Pattern(pattern, example) => {
            json!({ "type": "string", "pattern": pattern, "examples": [example] })
        }
        Value::Date => json!({
            "type": "string",
            "format": "date",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            "examples": ["2027-02-28"],
        }),
        Value::Number(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Value::Port => json!({
            "type": "integer", "minimum": 1, "maximum": u16::MAX, "not": { "const": 53 },
        }),
        Value::Truth => json!({ "type": "boolean" }),
        Value::List(item) => json!({ "type": "array", "items": self::value(item, defs) }),
        Value::Some(item) => {
            json!({ "type": "array", "minItems": 1, "items": self::value(item, defs) })
        }
        Value::Map(shape) => reference(shape, defs),
        Value::Either(values) => {
            let each: Vec<Json> = values.iter().map(|it| self::value(it, defs)).collect();
            json!({ "anyOf": each })
        }
        Value::Labels => json!({
            "type": "object",
            "maxProperties": LABEL_BOUNDS.0,
            "propertyNames": { "minLength": 1, "maxLength": LABEL_BOUNDS.1 },
            // A plain number is a text here.
            "additionalProperties": { "type": ["string", "number"], "maxLength": LABEL_BOUNDS.1 },
        }),
        Value::Anything => json!({ "type": "object" }),
    }
}
