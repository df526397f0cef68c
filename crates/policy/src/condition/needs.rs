//! What an expression reads.

use std::collections::BTreeSet;

/// Everything one condition reads beside literals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) method: bool,
    pub(crate) path: bool,
    pub(crate) host: bool,
    pub(crate) query: Keys,
    pub(crate) headers: Keys,
    /// `path.NAME`, by name.
    pub(crate) names: BTreeSet<Box<str>>,
    pub(crate) source: Party,
    pub(crate) destination: Party,
    pub(crate) now: bool,
    pub(crate) task: bool,
    pub(crate) args: bool,
    pub(crate) body: bool,
    /// Texts of the expression that may be names of the body's members.
    pub(crate) members: BTreeSet<Box<str>>,
}

/// Which keys of a mapping are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keys {
    #[default]
    None,
    These(BTreeSet<Box<str>>),
    /// It is read as a whole, or by keys that are not literals.
    All,
}

/// Which fields of `source` or `destination` are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) name: bool,
    pub(crate) kind: bool,
    pub(crate) id: bool,
    pub(crate) owner: bool,
    pub(crate) labels: bool,
}

impl Party {
    pub(crate) fn any(self) -> bool {
        self.name || self.kind || self.id || self.owner || self.labels
    }
}

impl Keys {
    pub(crate) fn add(&mut self, key: &str) {
        match self {
            Self::All => {}
            Self::These(keys) => {
                keys.insert(key.into());
            }
            Self::None => *self = Self::These(BTreeSet::from([key.into()])),
        }
    }

    pub(crate) fn any(&self) -> bool {
        *self != Self::None
    }
}

impl Needs {
    /// Whether it reads what resources say of the two sides, and nothing else: then its answer is known beforehand.
    pub(crate) fn is_settled(&self) -> bool {
        let Self {
            method,
            path,
            host,
            query,
            headers,
            names,
            source: _,
            destination: _,
            now,
            task,
            args,
            body,
            members: _,
        } = self;
        let asks = [*method, *path, *host, *now, *task, *args, *body];
        !asks.contains(&true) && !query.any() && !headers.any() && names.is_empty()
    }

    /// What a person must supply so that it can be evaluated; `now` is always known.
    pub(crate) fn supplied(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.host {
            out.push("request.host".to_owned());
        }
        for (what, keys) in [("query", &self.query), ("headers", &self.headers)] {
            match keys {
                Keys::None => {}
                Keys::All => out.push(format!("request.{what}")),
                Keys::These(keys) => {
                    out.extend(keys.iter().map(|key| format!("request.{what}.{key}")));
                }
            }
        }
        for (what, needed) in [
            ("task", self.task),
            ("args", self.args),
            ("body", self.body),
        ] {
            if needed {
                out.push(what.to_owned());
            }
        }
        out
    }
}
