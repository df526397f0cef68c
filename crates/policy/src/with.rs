//! The context of a question, read from JSON as people write it.

use std::fmt;

use ringfence_model::resource::With;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::condition::WithError;

/// A context in which no name stands twice in one object: two readers could see different values, and the answer would
/// be of another question than the one that was meant.
pub(crate) struct Context(pub(crate) With);

/// Reads the context of a question, as `policy explain --with` is given it. Its shape is looked at when it is asked
/// with, see [`Moment::supplied`](crate::Moment::supplied).
pub fn read_with(text: &str) -> Result<With, WithError> {
    match serde_json::from_str(text) {
        Ok(Context(with)) => Ok(with),
        Err(error) => Err(WithError {
            message: format!("not a context: {error}"),
            help: r#"write a JSON object such as {"request": {"query": {"limit": "10"}}}"#
                .to_owned(),
        }),
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(ObjectReader).map(Self)
    }
}

struct ObjectReader;

impl<'de> Visitor<'de> for ObjectReader {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with request, now, task, args or body")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        object(entries)
    }
}

/// Any value, read by the same rule.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(ValueReader).map(Self)
    }
}

struct ValueReader;

impl<'de> Visitor<'de> for ValueReader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        object(entries).map(Value::Object)
    }
}

fn object<'de, A: MapAccess<'de>>(mut entries: A) -> Result<Map<String, Value>, A::Error> {
    let mut map = Map::new();
    while let Some((name, Strict(value))) = entries.next_entry::<String, Strict>()? {
        if map.contains_key(&name) {
            return Err(A::Error::custom(format_args!("{name:?} stands twice")));
        }
        map.insert(name, value);
    }
    Ok(map)
}
