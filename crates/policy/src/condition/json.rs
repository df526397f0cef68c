//! Bodies as values, read the one way that every reader reads them, or not at all.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use super::spelling;

/// Deepest nesting of lists and objects.
const DEPTH_MAX: u32 = 32;

/// RFC 8259, UTF-8, within [`DEPTH_MAX`]; without names that stand twice in one object (RFC 7493, 2.3) and without
/// integers that readers would round.
///
/// `read`: names that are read. No member may have another spelling of one of them.
pub(crate) fn parse(bytes: &[u8], read: &BTreeSet<Box<str>>) -> Result<Value, &'static str> {
    let folded = read.iter().map(|name| spelling::member(name)).collect();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let level = Level {
        left: DEPTH_MAX,
        read,
        folded: &folded,
    };
    let value =
        level
            .deserialize(&mut reader)
            .map_err(|error| match error.to_string() {
                words if words.starts_with(TWICE) => "has a key twice in one object",
                words if words.starts_with(OTHER) => {
                    "has a name in another spelling, which some readers take for one that is asked about"
                }
                words if words.starts_with(DEEP) => "nests too deep",
                words if words.starts_with(BIG) => "has an integer out of range",
                _ => "is not valid JSON",
            })?;
    reader.end().map_err(|_| "is not valid JSON")?;
    Ok(value)
}

/// What people supply in `with`, whose keys the loader has checked.
pub(crate) fn from_supplied(
    value: &serde_json::Value,
    read: &BTreeSet<Box<str>>,
) -> Result<Value, &'static str> {
    parse(value.to_string().as_bytes(), read)
}

const TWICE: &str = "key twice";
const OTHER: &str = "other spelling";
const DEEP: &str = "too deep";
const BIG: &str = "too big";

#[derive(Clone, Copy)]
struct Level<'a> {
    /// Levels that may still follow.
    left: u32,
    /// Names that are read, and what they fold to.
    read: &'a BTreeSet<Box<str>>,
    folded: &'a HashSet<String>,
}

impl Level<'_> {
    fn down<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(E::custom(DEEP)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value)
            .map(Value::Int)
            .map_err(|_| E::custom(BIG))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // An integer that does not fit 64 bits arrives here, rounded.
        if value.is_finite() && (value.fract() != 0.0 || value.abs() < 9_007_199_254_740_992.0) {
            Ok(Value::Float(value))
        } else {
            Err(E::custom(BIG))
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(Arc::new(value.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let level = self.down()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(level)? {
            list.push(item);
        }
        Ok(Value::List(Arc::new(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let level = self.down()?;
        let mut map: HashMap<Key, Value> = HashMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !self.read.contains(key.as_str()) && self.folded.contains(&spelling::member(&key)) {
                return Err(A::Error::custom(OTHER));
            }
            let value = entries.next_value_seed(level)?;
            if map.insert(Key::String(Arc::new(key)), value).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(Value::Map(Map { map: Arc::new(map) }))
    }
}
