//! Which user ids exist where this node runs.
//!
//! In a user namespace (a container, a test) most ids of a host mean nothing: they can be neither taken nor told
//! apart.

use std::fs;

/// The ids that a map of this process's user namespace covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdMap(Vec<(u32, u32)>);

/// What the kernel reports for a user that this namespace has no id for.
const OVERFLOW_ID: u32 = 65534;

impl IdMap {
    /// Those that both `uid_map` and `gid_map` of this process cover.
    pub(crate) fn of_this_process() -> std::io::Result<(Self, Self)> {
        let read = |which: &str| {
            fs::read_to_string(format!("/proc/self/{which}")).map(|text| Self::parse(&text))
        };
        Ok((read("uid_map")?, read("gid_map")?))
    }

    fn parse(text: &str) -> Self {
        let range = |line: &str| {
            let mut fields = line.split_whitespace();
            let first = fields.next()?.parse().ok()?;
            let count = fields.nth(1)?.parse().ok()?;
            Some((first, count))
        };
        Self(text.lines().filter_map(range).collect())
    }

    /// Whether `count` ids from `first` up all exist here.
    pub(crate) fn covers(&self, first: u32, count: u32) -> bool {
        let end = u64::from(first) + u64::from(count);
        self.0.iter().any(|(start, length)| {
            u64::from(*start) <= u64::from(first) && end <= u64::from(*start) + u64::from(*length)
        })
    }

    /// Whether `uid` says who somebody is. The overflow id stands for everybody without an id here.
    pub(crate) fn identifies(&self, uid: u32) -> bool {
        uid != OVERFLOW_ID || self.covers(0, u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_covers_all_and_a_container_few() {
        let host = IdMap::parse("         0          0 4294967295\n");
        assert!(host.covers(2_000_000_000, 1_000_000) && host.identifies(65534));
        let container = IdMap::parse("0 100000 65536\n");
        assert!(container.covers(0, 65536) && !container.covers(1, 65536));
        assert!(
            !container.covers(2_000_000_000, 1)
                && !container.identifies(65534)
                && container.identifies(1000)
        );
        let single = IdMap::parse("0 1000 1");
        assert!(single.covers(0, 1) && !single.covers(1000, 1));
        assert!(!IdMap::parse("").covers(0, 1));
    }
}
