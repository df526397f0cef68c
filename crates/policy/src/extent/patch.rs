//! Sets of operations: one pattern without some others. What two of them have, and what one has that another has not, are such sets again.

use ringfence_model::operation::Pattern;

use crate::patterns::{covers, meet, written};
use crate::space::{Empty, Witness, witness};

/// The operations of `pattern` that no pattern of `except` has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Patch {
    pub(crate) pattern: Pattern,
    pub(crate) except: Vec<Pattern>,
}

impl Patch {
    pub(crate) fn whole(pattern: Pattern) -> Self {
        Self {
            pattern,
            except: Vec::new(),
        }
    }

    /// What is left without the operations of `other`, which are one pattern.
    pub(crate) fn but(mut self, other: &Pattern) -> Self {
        if other.overlaps(&self.pattern) && !self.except.iter().any(|own| covers(own, other)) {
            self.except.retain(|own| !covers(other, own));
            self.except.push(other.clone());
        }
        self
    }

    /// What it has in common with one pattern.
    pub(crate) fn within(&self, other: &Pattern) -> Option<Self> {
        let both = meet(&self.pattern, other)?;
        let start = Self::whole(both);
        let patch = self.except.iter().fold(start, Self::but);
        (!patch.is_swallowed()).then_some(patch)
    }

    /// What both have.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let both = self.within(&other.pattern)?;
        let patch = other.except.iter().fold(both, Self::but);
        (!patch.is_swallowed()).then_some(patch)
    }

    /// What it has that `other` has not. `None` only where that is known to be nothing, which is not always seen.
    pub(crate) fn without(self, other: &Self, out: &mut Vec<Self>) {
        if !self.pattern.overlaps(&other.pattern) {
            out.push(self);
            return;
        }
        let spared = other.except.iter().filter_map(|spared| {
            let both = meet(&self.pattern, &other.pattern)?;
            self.within(&meet(&both, spared)?)
        });
        out.extend(spared);
        let rest = self.but(&other.pattern);
        if !rest.is_swallowed() {
            out.push(rest);
        }
    }

    /// Whether one of its exceptions alone takes all away.
    pub(crate) fn is_swallowed(&self) -> bool {
        self.except.iter().any(|it| covers(it, &self.pattern))
    }

    /// Whether it is seen without a search that every operation of `other` is one of these.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        covers(&self.pattern, &other.pattern)
            && self.except.iter().all(|it| {
                !it.overlaps(&other.pattern) || other.except.iter().any(|own| covers(own, it))
            })
    }

    /// One of its operations.
    pub(crate) fn example(&self, empty: Empty) -> Witness {
        let except: Vec<&Pattern> = self.except.iter().collect();
        witness(&[&[&self.pattern]], &except, empty)
    }

    pub(crate) fn exceptions(&self) -> Vec<String> {
        self.except.iter().map(written).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringfence_model::Protocol;
    use ringfence_model::path::Allowances;

    use super::*;

    fn http(text: &str) -> Pattern {
        Pattern::parse(text, Protocol::Http, Allowances::default()).unwrap()
    }

    fn patch(pattern: &str, except: &[String]) -> Patch {
        let start = Patch::whole(http(pattern));
        except.iter().fold(start, |it, text| it.but(&http(text)))
    }

    fn has(patch: &Patch, request: &Pattern) -> bool {
        patch.pattern.overlaps(request) && !patch.except.iter().any(|it| it.overlaps(request))
    }

    fn pattern() -> impl Strategy<Value = String> {
        let segment = prop_oneof![2 => Just("a"), 1 => Just("b"), 2 => Just("*")];
        let tail = prop_oneof![2 => Just(""), 1 => Just("/"), 2 => Just("/**")];
        let method =
            prop_oneof![2 => Just("GET"), 1 => Just("PUT"), 1 => Just("WEBSOCKET"), 2 => Just("*")];
        (method, prop::collection::vec(segment, 0..3), tail).prop_map(|(method, segments, tail)| {
            let path: String = segments.iter().map(|it| format!("/{it}")).collect();
            match (path.as_str(), tail) {
                ("", "") => format!("{method} /"),
                _ => format!("{method} {path}{tail}"),
            }
        })
    }

    fn a_patch() -> impl Strategy<Value = Patch> {
        (pattern(), prop::collection::vec(pattern(), 0..3))
            .prop_map(|(pattern, except)| patch(&pattern, &except))
    }

    fn requests() -> Vec<Pattern> {
        let mut paths = vec![String::new()];
        let mut all = vec!["/".to_owned()];
        for _ in 0..3 {
            paths = paths
                .iter()
                .flat_map(|path| ["a", "b", "c"].map(|segment| format!("{path}/{segment}")))
                .collect();
            all.extend(
                paths
                    .iter()
                    .flat_map(|path| [path.clone(), format!("{path}/")]),
            );
        }
        ["GET", "PUT", "HEAD", "WEBSOCKET"]
            .iter()
            .flat_map(|method| all.iter().map(move |it| http(&format!("{method} {it}"))))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Against every request, one by one.
        #[test]
        fn what_is_shared_and_what_is_left_are_what_requests_say((a, b) in (a_patch(), a_patch())) {
            let both = a.and(&b);
            let mut left = Vec::new();
            a.clone().without(&b, &mut left);
            let mut any_left = false;
            for request in requests() {
                let (of_a, of_b) = (has(&a, &request), has(&b, &request));
                prop_assert_eq!(both.as_ref().is_some_and(|it| has(it, &request)), of_a && of_b);
                let is_left = left.iter().any(|it| has(it, &request));
                prop_assert_eq!(is_left, of_a && !of_b, "{:?} of {:?} without {:?}", request, a, b);
                any_left |= is_left;
                prop_assert!(!b.covers(&a) || of_b || !of_a);
            }
            // What a search finds is there, and it finds what is there.
            let found = left.iter().map(|it| it.example(Empty::Refused)).find(|it| *it != Witness::None);
            if let Some(Witness::Found(text)) = &found {
                let request = http(text);
                prop_assert!(has(&a, &request) && !has(&b, &request), "{}", text);
            }
            prop_assert!(found.is_some() || !any_left);
        }
    }
}
