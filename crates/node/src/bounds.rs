//! What a workload's `limits` come to on this host.

use std::fs;

use ringfence_compartment::link::Bounds;
use ringfence_model::Limits;
use ringfence_model::limits::{MEMORY, MEMORY_SHARE, PROCESSES};

/// What its resource says, and what it gets where that says nothing.
pub(crate) fn of(limits: Limits) -> Bounds {
    Bounds {
        memory: match limits.memory {
            Some(memory) => memory.0,
            None => usual(total()),
        },
        processes: limits.processes.unwrap_or(PROCESSES),
    }
}

/// On a host with `total` bytes of memory.
fn usual(total: Option<u64>) -> u64 {
    total.map_or(MEMORY, |total| MEMORY.min(total / MEMORY_SHARE))
}

/// Bytes of memory of this host; `None` where the kernel does not tell.
fn total() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use ringfence_model::Memory;

    use super::*;

    #[test]
    fn what_is_not_said_is_the_usual_and_never_most_of_the_host() {
        assert_eq!(usual(Some(64 * MEMORY)), MEMORY);
        assert_eq!(usual(Some(MEMORY)), MEMORY / 2);
        assert_eq!(usual(None), MEMORY);
        assert!(total().is_some_and(|total| total > MEMORY / 64));
        let said = Limits {
            memory: Some(Memory(64 * MEMORY)),
            processes: Some(9),
        };
        assert_eq!(
            of(said),
            Bounds {
                memory: 64 * MEMORY,
                processes: 9
            }
        );
        assert_eq!(of(Limits::default()).processes, PROCESSES);
    }
}
