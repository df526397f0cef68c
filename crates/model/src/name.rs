//! Names that people give to workloads, and the host names workloads answer to.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest [`Name`], in bytes: one DNS label (RFC 1035).
pub const NAME_MAX: usize = 63;
/// Longest [`HostName`], in bytes (RFC 1035, without the trailing dot).
pub const HOST_NAME_MAX: usize = 253;

/// A name of a resource: one DNS label of `a-z`, `0-9` and `-`, not starting or ending with `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// A host name: labels as in [`Name`] (underscores allowed), joined by dots, lower case, without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(Arc<str>);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name is empty; give it 1 to {NAME_MAX} of a-z, 0-9 and -")]
    Empty,
    /// Over the limit.
    #[error("{0:?} is longer than a name may be ({1} bytes)")]
    TooLong(String, usize),
    /// A byte that does not belong.
    #[error("{0:?} is not a name: use a-z, 0-9 and -, not first or last")]
    Malformed(String),
}

fn label_ok(label: &str, underscore: bool) -> bool {
    !label.is_empty()
        && label.len() <= NAME_MAX
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || (underscore && b == b'_')
        })
}

impl Name {
    /// Checks and takes a name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_MAX {
            return Err(NameError::TooLong(text.to_owned(), NAME_MAX));
        }
        if !label_ok(text, false) {
            return Err(NameError::Malformed(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HostName {
    /// Checks and takes a host name. Upper case is folded, one trailing dot is dropped.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let folded = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if folded.is_empty() {
            return Err(NameError::Empty);
        }
        if folded.len() > HOST_NAME_MAX {
            return Err(NameError::TooLong(text.to_owned(), HOST_NAME_MAX));
        }
        if !folded.split('.').all(|label| label_ok(label, true)) {
            return Err(NameError::Malformed(text.to_owned()));
        }
        Ok(Self(folded.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_newtype {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}
text_newtype!(Name);
text_newtype!(HostName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_labels_and_refuses_the_rest() {
        for good in ["a", "payments", "crm-2", "0x"] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", "a b", "a\n"] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
        assert!(Name::new(&"a".repeat(63)).is_ok());
        assert!(Name::new(&"a".repeat(64)).is_err());
    }

    #[test]
    fn folds_host_names() {
        assert_eq!(
            HostName::new("API.Example.COM.").unwrap().as_str(),
            "api.example.com"
        );
        for bad in ["", ".", "a..b", ".a", "a b", "a/b", "1.2.3.4:80"] {
            assert!(HostName::new(bad).is_err(), "{bad:?}");
        }
    }
}
