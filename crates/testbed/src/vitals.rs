//! What a process of a host uses: memory, descriptors, time of a core.

use std::time::Duration;

use crate::{Host, TestbedError};

/// What `/proc` counts time in, on every architecture that Linux shows to users: `USER_HZ`.
const TICK: Duration = Duration::from_millis(10);

/// Seen at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// Bytes of memory that are its, and in memory.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Time of a core that it has used since it started, to 10 ms.
    pub busy: Duration,
}

impl Vitals {
    /// Of the process that has `pid` in `host`.
    pub fn of(host: &Host, pid: u32) -> Result<Self, TestbedError> {
        let script =
            r#"cd "/proc/$0" && cat stat && grep -E '^(VmRSS|Threads):' status && ls fd | wc -l"#;
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
            resident: value("VmRSS:")? * 1024,
            descriptors: text.lines().last()?.trim().parse().ok()?,
            threads: value("Threads:")?,
            busy: TICK * (field(11)? + field(12)?),
        })
    }
}
