//! How much of its host a workload may take, as its resource file says it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of memory of a workload whose resource says nothing, if the host has [`MEMORY_SHARE`] times as much.
pub const MEMORY: u64 = 2 * 1024 * 1024 * 1024;
/// A workload whose resource says nothing gets the host's memory divided by this at most.
pub const MEMORY_SHARE: u64 = 2;
/// Least memory that can be asked for: nothing starts with less.
pub const MEMORY_MIN: u64 = 16 * 1024 * 1024;
/// Most memory that can be asked for.
pub const MEMORY_MAX: u64 = 16 * 1024 * 1024 * 1024 * 1024;
/// Processes and threads of a workload whose resource says nothing.
pub const PROCESSES: u32 = 4096;
/// Fewest that can be asked for; the compartment's own process 1 is one of them.
pub const PROCESSES_MIN: u32 = 8;
/// Most that can be asked for: more the kernel does not number.
pub const PROCESSES_MAX: u32 = 4 * 1024 * 1024;

/// `limits` of an agent or a service. What is left out is the default above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// All of its memory: of its programs, files in its temporary directories, sockets.
    pub memory: Option<Memory>,
    /// Its processes and threads.
    pub processes: Option<u32>,
}

/// An amount of memory, in bytes; written `512Mi`, `2Gi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Memory(pub u64);

/// Why a text is no amount of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMemory {
    /// Neither a number of bytes, nor one with a unit that is known.
    #[error("it is no number with Ki, Mi, Gi or Ti behind it")]
    Form,
    /// Outside of [`MEMORY_MIN`] and [`MEMORY_MAX`].
    #[error("it is less than 16Mi or more than 16Ti")]
    Amount,
}

const UNITS: [(&str, u32); 4] = [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];

impl FromStr for Memory {
    type Err = NotMemory;

    fn from_str(text: &str) -> Result<Self, NotMemory> {
        let (digits, shift) = UNITS
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
            .unwrap_or((text, 0));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotMemory::Form);
        }
        // More digits than fit is too much, whatever the unit.
        let count: u64 = digits.parse().map_err(|_| NotMemory::Amount)?;
        count
            .checked_mul(1 << shift)
            .filter(|bytes| (MEMORY_MIN..=MEMORY_MAX).contains(bytes))
            .map(Self)
            .ok_or(NotMemory::Amount)
    }
}

impl fmt::Display for Memory {
    /// In the largest unit that leaves no rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |shift: u32| self.0 != 0 && self.0.is_multiple_of(1 << shift);
        match UNITS.iter().find(|(_, shift)| fits(*shift)) {
            Some((unit, shift)) => write!(f, "{} {unit}B", self.0 >> shift),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_binary_units_and_within_bounds() {
        for (text, bytes, shown) in [
            ("2Gi", MEMORY, "2 GiB"),
            ("1536Mi", 1_610_612_736, "1536 MiB"),
            ("16384Ki", MEMORY_MIN, "16 MiB"),
            ("16777217", MEMORY_MIN + 1, "16777217 bytes"),
            ("16Ti", MEMORY_MAX, "16 TiB"),
        ] {
            let memory: Memory = text.parse().unwrap();
            assert_eq!((memory.0, memory.to_string().as_str()), (bytes, shown));
        }
        for text in [
            "",
            "Gi",
            "2G",
            "2 Gi",
            "-1",
            "1.5Gi",
            "0x10000000",
            "2gi",
            "+2Gi",
        ] {
            assert_eq!(text.parse::<Memory>(), Err(NotMemory::Form), "{text}");
        }
        for text in [
            "0",
            "16383Ki",
            "17Ti",
            "99999999999999999999999",
            "18446744073709551615Ti",
        ] {
            assert_eq!(text.parse::<Memory>(), Err(NotMemory::Amount), "{text}");
        }
    }
}
