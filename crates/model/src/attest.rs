//! What a claim to be a workload is held to.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What must be true of who claims a name, and of what it starts. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attest {
    /// The user that calls `run`. `None`: the owner of the node, or root.
    pub uid: Option<u32>,
    /// The program that is started: its own path, not that of a link to it.
    pub exe: Option<PathBuf>,
    /// SHA-256 of that program's file.
    pub sha256: Option<Sha256Digest>,
    /// The system's unit that `run` is called in.
    pub unit: Option<UnitName>,
}

impl Attest {
    /// Whether it says anything about the program that is started.
    pub fn pins_program(&self) -> bool {
        self.exe.is_some() || self.sha256.is_some()
    }
}

/// A SHA-256 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// Takes the digest itself.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// A text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sha256 has 64 hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Sha256Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return Err(NotADigest);
        }
        let nibble = |byte: u8| {
            let value = char::from(byte).to_digit(16).ok_or(NotADigest)?;
            u8::try_from(value).map_err(|_| NotADigest)
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        digest.to_string()
    }
}

/// A service or scope of the system's own systemd, such as `agents.service`.
///
/// Never a path: units below `user@1001.service` are called what that user likes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(String);

/// What is wrong with the name of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAUnit {
    /// Units of a user's own manager.
    #[error("it is a path")]
    Path,
    /// It has to say what it is.
    #[error("it ends neither in .service nor in .scope")]
    Suffix,
    /// Letters that systemd allows in no name, or too many.
    #[error("systemd has no such names")]
    Letters,
}

/// Longest name of a unit, in bytes, as in systemd.
const UNIT_MAX: usize = 255;

impl UnitName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UnitName {
    type Err = NotAUnit;

    fn from_str(text: &str) -> Result<Self, NotAUnit> {
        if text.contains('/') {
            return Err(NotAUnit::Path);
        }
        let stem = text
            .strip_suffix(".service")
            .or_else(|| text.strip_suffix(".scope"));
        let stem = stem
            .filter(|stem| !stem.is_empty())
            .ok_or(NotAUnit::Suffix)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        if text.len() > UNIT_MAX || stem.starts_with('.') || !stem.chars().all(allowed) {
            return Err(NotAUnit::Letters);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for UnitName {
    type Error = NotAUnit;

    fn try_from(text: String) -> Result<Self, NotAUnit> {
        text.parse()
    }
}

impl From<UnitName> for String {
    fn from(unit: UnitName) -> Self {
        unit.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_and_nothing_shorter_is_one() {
        let text = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let digest: Sha256Digest = text.parse().unwrap();
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(digest));
        for wrong in [&text[1..], "", &"g".repeat(64), &"\u{e9}".repeat(32)] {
            assert_eq!(wrong.parse::<Sha256Digest>(), Err(NotADigest), "{wrong}");
        }
    }

    #[test]
    fn only_services_and_scopes_of_the_system_are_units() {
        for right in [
            "agents.service",
            "agent@7.service",
            "session-3.scope",
            "user@1001.service",
        ] {
            assert_eq!(right.parse::<UnitName>().unwrap().as_str(), right);
        }
        for (wrong, why) in [
            ("user@1001.service/app.slice/x.service", NotAUnit::Path),
            ("agents", NotAUnit::Suffix),
            ("agents.slice", NotAUnit::Suffix),
            (".service", NotAUnit::Suffix),
            ("..service", NotAUnit::Letters),
            ("a b.service", NotAUnit::Letters),
            ("\u{e4}.service", NotAUnit::Letters),
        ] {
            assert_eq!(wrong.parse::<UnitName>(), Err(why), "{wrong}");
        }
        let long = format!("{}.service", "x".repeat(UNIT_MAX));
        assert_eq!(long.parse::<UnitName>(), Err(NotAUnit::Letters));
    }
}
