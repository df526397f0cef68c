//! What people write in `with`: its shape, and how it reads.

use jiff::Timestamp;
use ringfence_model::resource::With;

use super::facts::Fields;

/// Numbers and truth values as requests carry them: as text.
pub(super) fn scalar(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `{name: value}`, or `{name: [value, value]}` for one that is sent more than once.
pub(super) fn supplied_fields(value: &serde_json::Value) -> Fields<'static> {
    let mut out: Fields<'static> = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let values = match value {
            serde_json::Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            out.push((name.clone().into(), Ok(scalar(value).into())));
        }
    }
    out
}

/// The time that `with` supplies, if it does.
pub(super) fn supplied_now(with: &With) -> Option<Timestamp> {
    with.get("now")?.as_str()?.parse().ok()
}

/// What is wrong with the shape of a context, in words, and what to do.
pub(super) fn check_supplied(with: &With) -> Result<(), (String, String)> {
    const FIELDS: [&str; 5] = ["request", "now", "task", "args", "body"];
    const REQUEST: [&str; 3] = ["host", "query", "headers"];
    for (name, value) in with {
        match name.as_str() {
            "request" => {
                let Some(request) = value.as_object() else {
                    return Err((
                        "with.request is not a mapping".to_owned(),
                        format!("give it {}", REQUEST.join(", ")),
                    ));
                };
                for (name, value) in request {
                    if matches!(name.as_str(), "method" | "path") {
                        return Err((
                            format!("with.request.{name} is given by the operation already"),
                            "remove it".to_owned(),
                        ));
                    }
                    if !REQUEST.contains(&name.as_str()) {
                        return Err(unknown_field(name, "with.request", &REQUEST));
                    }
                    if name != "host" && !value.is_object() {
                        return Err((
                            format!("with.request.{name} is not a mapping"),
                            "write {NAME: VALUE}, or {NAME: [VALUE, VALUE]} for one sent twice"
                                .to_owned(),
                        ));
                    }
                    if name == "headers"
                        && let Some(upper) = value
                            .as_object()
                            .into_iter()
                            .flatten()
                            .find(|(name, _)| name.bytes().any(|b| b.is_ascii_uppercase()))
                    {
                        return Err((
                            format!("header {} is written in capitals", upper.0),
                            format!("write {}", upper.0.to_ascii_lowercase()),
                        ));
                    }
                }
            }
            "now" => {
                if supplied_now(with).is_none() {
                    return Err((
                        "with.now is not a time".to_owned(),
                        "write it as 2027-01-31T12:00:00Z".to_owned(),
                    ));
                }
            }
            "task" | "args" | "body" => {}
            other => return Err(unknown_field(other, "with", &FIELDS)),
        }
    }
    Ok(())
}

fn unknown_field(name: &str, what: &str, known: &[&str]) -> (String, String) {
    let otherwise = format!("it takes {}", known.join(", "));
    (
        format!("{what} has no field {name:?}"),
        ringfence_model::suggest::help(name, known.iter().copied(), &otherwise),
    )
}
