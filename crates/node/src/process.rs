//! What a process uses, as `/proc` tells.

use std::fmt;

use crate::metrics::Out;

/// What is known of it; what the kernel keeps from us is left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    cpu_seconds: Option<f64>,
    resident: Option<f64>,
    open: Option<f64>,
    most_open: Option<f64>,
}

impl Usage {
    /// Of the process that has `pid` now; `None` when there is none.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        let stat = read("stat")?;
        // The second field is the name in parentheses, and may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        // Fields 14 and 15: user and system time in clock ticks.
        let user: Option<f64> = fields.nth(11).and_then(|ticks| ticks.parse().ok());
        let system: Option<f64> = fields.next().and_then(|ticks| ticks.parse().ok());
        // Field 24: resident pages.
        let pages: Option<f64> = fields.nth(8).and_then(|pages| pages.parse().ok());
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        let open = std::fs::read_dir(format!("/proc/{pid}/fd"));
        Some(Self {
            cpu_seconds: user
                .zip(system)
                .map(|(user, system)| (user + system) / per_second),
            resident: pages.map(|pages| pages * rustix::param::page_size() as f64),
            open: open.ok().map(|entries| entries.count() as f64),
            most_open: read("limits").as_deref().and_then(soft_limit),
        })
    }

    /// As the families that every Prometheus client has, under `prefix`.
    pub(crate) fn encode(&self, out: &mut Out<'_>, prefix: &str) -> fmt::Result {
        if let Some(seconds) = self.cpu_seconds {
            let name = format!("{prefix}_cpu_seconds");
            out.counter_of_seconds(&name, "User and system time spent, in seconds", seconds)?;
        }
        let gauges = [
            (
                "resident_memory_bytes",
                "Memory resident, in bytes",
                self.resident,
            ),
            ("open_fds", "Open file descriptors", self.open),
            (
                "max_fds",
                "Most file descriptors it may open",
                self.most_open,
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                out.gauge(&format!("{prefix}_{name}"), help, value)?;
            }
        }
        Ok(())
    }
}

/// `Max open files  1024  524288  files`; `unlimited` is no number.
fn soft_limit(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_this_process_and_no_dead_one() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident.unwrap() > 100_000.0, "{usage:?}");
        assert!(usage.open.unwrap() >= 3.0, "{usage:?}");
        assert!(
            usage.cpu_seconds.is_some_and(|seconds| seconds < 3600.0),
            "{usage:?}"
        );
        assert!(Usage::of(u32::MAX).is_none());
    }

    #[test]
    fn reads_the_soft_limit() {
        let limits = "Max cpu time  unlimited  unlimited  seconds\nMax open files            1024                 524288               files\n";
        assert_eq!(soft_limit(limits), Some(1024.0));
        assert_eq!(
            soft_limit("Max open files  unlimited  unlimited  files"),
            None
        );
    }
}
