//! Who is quarantined, on whose word and until when: kept on the disk, so that neither a restart nor a crash nor a
//! reload of policy ends it.
//!
//! A quarantine with an end counts its time by the clock of the boot, which nobody sets and which goes on while the
//! machine sleeps. Over a reboot only the wall clock is left: what remains is taken from it, and is never more than the
//! whole, so that a clock that is wrong makes it longer rather than shorter.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use ringfence_compartment::link;
use ringfence_model::Name;
use ringfence_model::text::misleads;
use serde::{Deserialize, Serialize};

use crate::NodeError;
use crate::format;
use crate::limits::{QUARANTINE_REASON_MAX, QUARANTINES_MAX};
use crate::persist::{self, Durability};

/// Name of the file in the state directory.
const FILE: &str = "quarantine.json";
const FIX: &str = "put it right, or back from a copy; to begin with nobody in quarantine move it away, start the node, and \
                   quarantine again whom you would not trust (`ringfence observe --kind event` tells who was)";

/// One workload in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quarantine {
    /// Which.
    pub name: Name,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who said so last.
    pub by: Asker,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The same by the clock of one boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ends: Option<Ends>,
}

/// When a quarantine ends, by a clock that nobody sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Ends {
    /// As asked for.
    seconds: u64,
    /// Which boot.
    boot: String,
    /// Milliseconds after it.
    up_ms: u64,
}

/// Who asked something of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Asker {
    /// By the socket.
    pub uid: u32,
    /// As `/etc/passwd` calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whom the session belongs to, where that is another one (`sudo`), as the kernel says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Box<Asker>>,
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => write!(f, "{user} (uid {})", self.uid)?,
            None => write!(f, "uid {}", self.uid)?,
        }
        match &self.login {
            Some(login) => write!(f, ", logged in as {login}"),
            None => Ok(()),
        }
    }
}

impl Asker {
    /// A user, and the process that asks for it; 0: not known.
    pub(crate) fn of(uid: u32, pid: i32) -> Self {
        /// What the kernel says of a process that no login began.
        const NONE: u32 = u32::MAX;
        let session = std::fs::read_to_string(format!("/proc/{pid}/loginuid")).ok();
        let session = session.and_then(|text| text.trim().parse().ok());
        let other = session.filter(|login| *login != NONE && *login != uid);
        let user = |uid| Self {
            uid,
            user: user_name(uid),
            login: None,
        };
        Self {
            login: other.map(|login| Box::new(user(login))),
            ..user(uid)
        }
    }
}

/// As `/etc/passwd` has it.
fn user_name(uid: u32) -> Option<String> {
    let table = std::fs::read_to_string("/etc/passwd").ok()?;
    let name = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })?;
    let plain = !name.is_empty() && name.len() <= 64 && !name.contains(misleads);
    plain.then(|| name.to_owned())
}

impl Quarantine {
    /// For records: the part that follows "is quarantined".
    fn why(&self) -> String {
        format!("since {:.0} by {}: {}", self.since, self.by, self.reason)
    }

    fn has_ended(&self, now: &Moment) -> bool {
        self.ends
            .as_ref()
            .is_some_and(|ends| now.up_ms >= ends.up_ms)
    }

    /// Counts what is left from this boot on.
    fn anchor(&mut self, now: &Moment) {
        let Some((ends, until)) = self.ends.as_mut().zip(self.until) else {
            return;
        };
        if ends.boot == now.boot {
            return;
        }
        let left = until.duration_since(now.wall).as_millis().max(0);
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        ends.up_ms = now.up_ms + left.min(ends.seconds.saturating_mul(1000));
        ends.boot.clone_from(&now.boot);
    }

    /// As it is shown: its end by the wall clock as that is now.
    fn shown(&self, now: &Moment) -> Self {
        let left = self
            .ends
            .as_ref()
            .map(|ends| ends.up_ms.saturating_sub(now.up_ms));
        Self {
            ends: None,
            until: left.and_then(|left| now.wall.checked_add(Duration::from_millis(left)).ok()),
            ..self.clone()
        }
    }
}

/// The present, by both clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) wall: Timestamp,
    boot: String,
    up_ms: u64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(up.tv_sec).unwrap_or_default();
        let more = u64::try_from(up.tv_nsec).unwrap_or_default() / 1_000_000;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            wall: Timestamp::now(),
            boot: boot.trim().to_owned(),
            up_ms: seconds * 1000 + more,
        }
    }

    /// So many seconds from now.
    fn after(&self, seconds: u64) -> (Option<Timestamp>, Ends) {
        let until = self.wall.checked_add(Duration::from_secs(seconds)).ok();
        let ends = Ends {
            seconds,
            boot: self.boot.clone(),
            up_ms: self.up_ms.saturating_add(seconds.saturating_mul(1000)),
        };
        // One past the end of all dates never ends by the wall clock either.
        (until.or(Some(Timestamp::MAX)), ends)
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kept {
    quarantined: Vec<Quarantine>,
}

/// All who are quarantined on this node.
#[derive(Clone, Debug)]
pub(crate) struct Quarantines {
    dir: PathBuf,
    by_name: BTreeMap<Name, Quarantine>,
    /// Why the file does not say what is in force.
    pub(crate) unkept: Option<String>,
}

impl Quarantines {
    /// Takes up what earlier runs left. What cannot be read is an error: nobody may come free by damage.
    pub(crate) fn open(dir: &Path, now: &Moment) -> Result<Self, NodeError> {
        let damaged = |what: String| NodeError::Damaged {
            file: dir.join(FILE),
            what,
            fix: FIX.to_owned(),
        };
        let kept: Option<Kept> = persist::read_json(dir, FILE, FIX)?;
        let mut by_name = BTreeMap::new();
        for mut one in kept.map(|kept| kept.quarantined).unwrap_or_default() {
            if one.reason.len() > QUARANTINE_REASON_MAX || one.reason.contains(misleads) {
                return Err(damaged(format!("the reason of {} is not one", one.name)));
            }
            if one.until.is_some() != one.ends.is_some() {
                return Err(damaged(format!("the end of {} is half of one", one.name)));
            }
            one.anchor(now);
            if let Some(twice) = by_name.insert(one.name.clone(), one) {
                return Err(damaged(format!("{} is in it twice", twice.name)));
            }
        }
        if by_name.len() > QUARANTINES_MAX {
            return Err(damaged(format!(
                "it has more than {QUARANTINES_MAX} entries"
            )));
        }
        Ok(Self {
            dir: dir.to_owned(),
            by_name,
            unkept: None,
        })
    }

    /// Which shape of the state directory they need: a binary that knows no quarantine must not serve a node that has one.
    pub(crate) fn format(&self) -> u32 {
        if self.by_name.is_empty() {
            format::FIRST
        } else {
            format::WITH_QUARANTINES
        }
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&Quarantine> {
        self.by_name.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.by_name.keys()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Each as it is shown.
    pub(crate) fn shown(&self, now: &Moment) -> Vec<Quarantine> {
        self.by_name.values().map(|one| one.shown(now)).collect()
    }

    /// What the enforcer is told.
    pub(crate) fn told(&self) -> Vec<link::Quarantine> {
        let one = |one: &Quarantine| link::Quarantine {
            name: one.name.clone(),
            why: one.why(),
        };
        self.by_name.values().map(one).collect()
    }

    /// One more, or other words and another end for one. Gives back what was in force of it; `Err`: there are too many.
    pub(crate) fn impose(
        &mut self,
        name: &Name,
        reason: String,
        by: Asker,
        seconds: Option<u64>,
        now: &Moment,
    ) -> Result<Option<Quarantine>, ()> {
        let before = self.by_name.get(name).cloned();
        if before.is_none() && self.by_name.len() >= QUARANTINES_MAX {
            return Err(());
        }
        let (until, ends) = seconds.map(|seconds| now.after(seconds)).unzip();
        let one = Quarantine {
            name: name.clone(),
            reason,
            by,
            since: before.as_ref().map_or(now.wall, |before| before.since),
            until: until.flatten(),
            ends,
        };
        self.by_name.insert(name.clone(), one);
        Ok(before)
    }

    /// Ends one.
    pub(crate) fn lift(&mut self, name: &Name) -> Option<Quarantine> {
        self.by_name.remove(name)
    }

    /// Takes out those whose time is over.
    pub(crate) fn take_ended(&mut self, now: &Moment) -> Vec<Quarantine> {
        let ended = self.by_name.values().filter(|one| one.has_ended(now));
        let ended: Vec<Quarantine> = ended.cloned().collect();
        self.by_name.retain(|_, one| !one.has_ended(now));
        ended
    }

    /// Writes down what is in force. Whether it did is found in [`Quarantines::unkept`] too.
    pub(crate) fn keep(&mut self) -> std::io::Result<()> {
        let kept = Kept {
            quarantined: self.by_name.values().cloned().collect(),
        };
        // An older binary is locked out before there is anything that it would pass over, and let in again after.
        let written = format::raise(&self.dir, self.format())
            .and_then(|()| persist::replace_json(&self.dir, FILE, &kept, Durability::Machine))
            .and_then(|()| format::lower(&self.dir, self.format()));
        self.unkept = written.as_ref().err().map(ToString::to_string);
        written
    }
}

#[cfg(test)]
mod tests;
