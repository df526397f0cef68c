//! Many durations, told by a few of them.

use serde_json::{Value, json};

/// Durations in nanoseconds.
#[derive(Default)]
pub(crate) struct Spread(Vec<u64>);

impl Spread {
    /// With room, so that noting one costs no allocation.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    pub(crate) fn note(&mut self, nanoseconds: u64) {
        self.0.push(nanoseconds);
    }

    /// The smallest that `per_mille` of a thousand do not exceed; 0 of none.
    pub(crate) fn at(&mut self, per_mille: usize) -> u64 {
        self.0.sort_unstable();
        let place = (self.0.len() * per_mille).div_ceil(1000).saturating_sub(1);
        self.0.get(place).copied().unwrap_or(0)
    }

    pub(crate) fn told(&mut self) -> Value {
        json!({
            "count": self.0.len(),
            "p50_ns": self.at(500),
            "p90_ns": self.at(900),
            "p99_ns": self.at(990),
            "p999_ns": self.at(999),
            "max_ns": self.at(1000),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_members_that_so_many_do_not_exceed() {
        let mut spread = Spread::default();
        (1..=200).rev().for_each(|n| spread.note(n));
        assert_eq!(
            [1, 500, 990, 1000].map(|per_mille| spread.at(per_mille)),
            [1, 100, 198, 200]
        );
        assert_eq!(Spread::default().at(500), 0);
    }
}
