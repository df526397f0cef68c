//! What is wrong with an event, by the facts of the published schema in `schema/facts.json`.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value};

static FACTS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../schema/facts.json")).unwrap());

/// The facts themselves.
pub(crate) fn facts() -> &'static Value {
    &FACTS
}

/// Everything that is wrong; nothing: it is valid.
pub(crate) fn faults(event: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let uid = &event["class_uid"];
    let classes = FACTS["classes"].as_object().unwrap();
    let Some(class) = classes.values().find(|class| class["uid"] == *uid) else {
        return vec![format!("class_uid {uid} is none")];
    };
    let named = event["metadata"]["profiles"].as_array();
    let profiles: BTreeSet<&str> = (named.into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    for profile in &profiles {
        if !class["profiles"]
            .as_array()
            .unwrap()
            .contains(&(*profile).into())
        {
            faults.push(format!("the class has no profile {profile}"));
        }
    }
    object("", event, class, &profiles, &mut faults);

    let activity = event["activity_id"].as_u64().unwrap_or_default();
    let type_uid = uid.as_u64().unwrap_or_default() * 100 + activity;
    let type_name = format!(
        "{}: {}",
        class["caption"].as_str().unwrap(),
        event["activity_name"].as_str().unwrap_or_default()
    );
    for (key, value) in [
        ("class_name", &class["caption"]),
        ("category_uid", &class["category"]),
        ("category_name", &class["categoryName"]),
        ("type_uid", &type_uid.into()),
        ("type_name", &type_name.into()),
    ] {
        if event[key] != *value {
            faults.push(format!("{key} is {} instead of {value}", event[key]));
        }
    }
    faults
}

fn object(
    at: &str,
    value: &Value,
    facts: &Value,
    profiles: &BTreeSet<&str>,
    faults: &mut Vec<String>,
) {
    let Some(value) = value.as_object() else {
        faults.push(format!("{at} is no object"));
        return;
    };
    let known = facts["attributes"].as_object().unwrap();
    for (key, value) in value {
        let at = format!("{at}/{key}");
        match known.get(key) {
            None => faults.push(format!("{at} is unknown")),
            Some(fact) => attribute(&at, value, fact, profiles, faults),
        }
    }
    for (key, fact) in known {
        let applies = fact["profile"]
            .as_str()
            .is_none_or(|it| profiles.contains(it));
        if fact["required"] == true && applies && !value.contains_key(key) {
            faults.push(format!("{at}/{key} is missing"));
        }
        captions(at, key, fact, value, faults);
    }
    if let Some(one_of) = facts["constraints"]["at_least_one"].as_array()
        && !one_of
            .iter()
            .any(|key| value.contains_key(key.as_str().unwrap()))
    {
        faults.push(format!("{at} has none of {one_of:?}"));
    }
}

/// An id and its caption say the same.
fn captions(
    at: &str,
    key: &str,
    fact: &Value,
    value: &Map<String, Value>,
    faults: &mut Vec<String>,
) {
    let (Some(id), Some(sibling)) = (value.get(key), fact["sibling"].as_str()) else {
        return;
    };
    let caption = value.get(sibling);
    if *id == 99 {
        if caption.and_then(Value::as_str).is_none_or(str::is_empty) {
            faults.push(format!("{at}/{sibling} does not say what {key} 99 is"));
        }
    } else if let Some(caption) = caption
        && fact["enum"].get(id.to_string()) != Some(caption)
        && fact["enum"].is_object()
        && key != "class_uid"
        && key != "category_uid"
        && key != "type_uid"
    {
        faults.push(format!("{at}/{sibling} {caption} is not {key} {id}"));
    }
}

fn attribute(
    at: &str,
    value: &Value,
    fact: &Value,
    profiles: &BTreeSet<&str>,
    faults: &mut Vec<String>,
) {
    if fact["deprecated"] == true {
        faults.push(format!("{at} is deprecated"));
    }
    if let Some(profile) = fact["profile"].as_str()
        && !profiles.contains(profile)
    {
        faults.push(format!(
            "{at} is of the profile {profile}, which is not named"
        ));
    }
    if fact["array"] == true {
        match value.as_array() {
            None => faults.push(format!("{at} is no list")),
            Some(values) => {
                for (index, value) in values.iter().enumerate() {
                    single(&format!("{at}/{index}"), value, fact, profiles, faults);
                }
            }
        }
    } else {
        single(at, value, fact, profiles, faults);
    }
}

fn single(
    at: &str,
    value: &Value,
    fact: &Value,
    profiles: &BTreeSet<&str>,
    faults: &mut Vec<String>,
) {
    let fits = match fact["type"].as_str().unwrap() {
        "string_t" => value.is_string(),
        "integer_t" | "long_t" => value.is_i64(),
        "boolean_t" => value.is_boolean(),
        "json_t" => true,
        // `unmapped`: whatever it holds.
        "object" => value.is_object(),
        name => {
            match FACTS["objects"].get(name) {
                None => faults.push(format!("{at}: no facts of the object {name}")),
                Some(facts) => object(at, value, facts, profiles, faults),
            }
            true
        }
    };
    if !fits {
        faults.push(format!("{at} is {value} instead of a {}", fact["type"]));
    }
    if let (Some(range), Some(number)) = (fact["range"].as_array(), value.as_i64())
        && !(range[0].as_i64().unwrap()..=range[1].as_i64().unwrap()).contains(&number)
    {
        faults.push(format!("{at} {number} is out of range"));
    }
    if let (Some(most), Some(text)) = (fact["maxLength"].as_u64(), value.as_str())
        && text.chars().count() as u64 > most
    {
        faults.push(format!("{at} is too long"));
    }
    // These are held to the class itself.
    let of_class = ["/class_uid", "/category_uid", "/type_uid"].contains(&at);
    if let Some(choices) = fact["enum"].as_object()
        && !of_class
    {
        let id = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        if !choices.contains_key(&id) {
            faults.push(format!("{at} {id} is none of its choices"));
        }
    }
}
