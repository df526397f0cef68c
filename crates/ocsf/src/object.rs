//! JSON objects that hold what is known and nothing else.

use serde_json::{Map, Value};

/// A JSON object under construction.
#[derive(Default)]
pub(crate) struct Object(Map<String, Value>);

impl Object {
    /// Sets `key`.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// Sets `key` to a text, unless that says nothing.
    pub(crate) fn say(&mut self, key: &str, text: &str) -> &mut Self {
        if !text.is_empty() {
            self.set(key, text);
        }
        self
    }

    /// Sets an enumeration and its caption, `KEY_id` and `KEY`.
    pub(crate) fn choose(&mut self, key: &str, (id, caption): (u32, &str)) -> &mut Self {
        self.set(&format!("{key}_id"), id).set(key, caption)
    }

    /// Sets `key` to a number, if it is one that OCSF can count to: its integers have 64 bits and a sign.
    pub(crate) fn count(&mut self, key: &str, number: u64) -> &mut Self {
        if let Ok(number) = i64::try_from(number) {
            self.set(key, number);
        }
        self
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}
