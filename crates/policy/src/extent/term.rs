//! On what it depends that an operation is possible, beside being named.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use jiff::civil::Date;
use ringfence_model::resource::ModeKind;

/// All of `when` must hold, and the day must not be later than `until`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) when: BTreeSet<Clause>,
    /// Last day; `None`: it has no end.
    pub(crate) until: Option<Date>,
    /// A policy in this mode refuses it, and lets it pass all the same.
    pub(crate) soft: Option<ModeKind>,
}

/// One condition, told apart by what it says and by what it says it about. Which guardrail says it is for words alone.
#[derive(Clone, Debug)]
pub(crate) struct Clause {
    pub(crate) text: Box<str>,
    /// It must not hold, because this guardrail forbids while it does.
    pub(crate) guardrail: Option<Box<str>>,
    /// What it reads that the resources say: equal texts about different labels are different conditions.
    pub(crate) basis: Box<str>,
}

impl Clause {
    fn key(&self) -> (&str, bool, &str) {
        (&self.text, self.guardrail.is_some(), &self.basis)
    }
}

impl PartialEq for Clause {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Clause {}

impl PartialOrd for Clause {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Clause {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Term {
    /// Whether this one holds whenever `other` does.
    pub(crate) fn at_least(&self, other: &Self) -> bool {
        let lasts = match (self.until, other.until) {
            (None, _) => true,
            (Some(own), Some(other)) => own >= other,
            (Some(_), None) => false,
        };
        lasts && self.when.is_subset(&other.when)
    }

    pub(crate) fn better(&self, other: &Self) -> bool {
        self.at_least(other) && !other.at_least(self)
    }

    /// Both must hold.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self {
            when: self.when.union(&other.when).cloned().collect(),
            until: [self.until, other.until].into_iter().flatten().min(),
            soft: self.soft.or(other.soft),
        }
    }

    pub(crate) fn with(mut self, clause: Clause) -> Self {
        self.when.insert(clause);
        self
    }

    pub(crate) fn conditions(&self) -> Vec<String> {
        self.when.iter().map(ToString::to_string).collect()
    }

    pub(crate) fn mode(&self) -> Option<&'static str> {
        self.soft.map(ModeKind::as_str)
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.guardrail {
            None => f.write_str(&self.text),
            Some(name) => write!(f, "not ({}) (guardrail {name})", self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn term(when: &[&str], until: Option<Date>) -> Term {
        let clause = |text: &&str| Clause {
            text: (*text).into(),
            guardrail: None,
            basis: "".into(),
        };
        Term {
            when: when.iter().map(clause).collect(),
            until,
            soft: None,
        }
    }

    #[test]
    fn fewer_conditions_and_a_later_day_are_more() {
        let (early, late) = (Some(date(2026, 1, 1)), Some(date(2027, 1, 1)));
        for (more, less) in [
            (term(&[], None), term(&["a"], None)),
            (term(&["a"], None), term(&["a", "b"], None)),
            (term(&[], late), term(&[], early)),
            (term(&[], None), term(&[], late)),
        ] {
            assert!(more.better(&less) && !less.at_least(&more));
        }
        let (ours, theirs) = (term(&["a"], late), term(&["b"], early));
        assert!(!ours.at_least(&theirs) && !theirs.at_least(&ours));
        assert_eq!(ours.and(&theirs), term(&["a", "b"], early));
        // Longer, but only sometimes.
        assert!(!term(&["a"], None).at_least(&term(&[], early)));
    }
}
