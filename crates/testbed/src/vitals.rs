//! What a process of a host uses: memory, descriptors, time of a core.

use std::time::Duration;

use crate::{Host, TestbedError};

/// What `/proc` counts time in, on every architecture that Linux shows to users: `USER_HZ`.
const TICK: Duration = Duration::from_millis(10);

/// Seen at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// Bytes of its own memory. Pages of files that it has mapped, such as the log, are not: the kernel takes them back.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Time of a core that it has used since it started, to 10 ms.
    pub busy: Duration,
    /// Time that its threads had a core.
    pub ran: Duration,
    /// Time that they were ready and had none.
    pub waited: Duration,
}

impl Vitals {
    /// Of the process that has `pid` in `host`.
    pub fn of(host: &Host, pid: u32) -> Result<Self, TestbedError> {
        let script = r#"cd "/proc/$0" && cat stat && grep -E '^(RssAnon|Threads):' status &&
            cat task/*/schedstat | sed 's/^/sched: /' && ls fd | wc -l"#;
        let told = host.run_as_root(["sh", "-c", script, &pid.to_string()])?;
        Self::parse(&told.stdout).ok_or_else(|| TestbedError::Answer {
            what: format!("/proc of process {pid}"),
            said: format!("{}{}", told.stdout, told.stderr),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        // The second field is a name in parentheses, which may hold anything.
        let (_, stat) = text.lines().next()?.rsplit_once(") ")?;
        let field = |number: usize| stat.split(' ').nth(number)?.parse::<u32>().ok();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Self {
            resident: value("RssAnon:")? * 1024,
            descriptors: text.lines().last()?.trim().parse().ok()?,
            threads: value("Threads:")?,
            busy: TICK * (field(11)? + field(12)?),
            ran: scheduled(text, 0)?,
            waited: scheduled(text, 1)?,
        })
    }

    /// How many times as long everything took since `before` as it would have with cores of its own.
    pub fn slowed_since(&self, before: &Self) -> f64 {
        let ran = self.ran.saturating_sub(before.ran).as_secs_f64();
        let waited = self.waited.saturating_sub(before.waited).as_secs_f64();
        1.0 + waited / ran.max(0.01)
    }
}

/// The sum of one number of what the scheduler tells of each thread, in nanoseconds.
fn scheduled(text: &str, number: usize) -> Option<Duration> {
    let threads = text.lines().filter_map(|line| line.strip_prefix("sched: "));
    let of_each = threads.map(|line| line.split(' ').nth(number)?.parse::<u64>().ok());
    of_each.sum::<Option<u64>>().map(Duration::from_nanos)
}
