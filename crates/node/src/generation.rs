//! One accepted version of policy: from a directory of files to what the enforcer is given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ringfence_enforcer::Assignment;
use ringfence_model::load::{self, Sources};
use ringfence_model::{
    Diagnostic, Diagnostics, Estate, Generation, HostName, Name, Position, VirtualAddr,
};
use ringfence_policy::Snapshot;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::addresses::Addresses;
use crate::counters::Counters;
use crate::drill;
use crate::persist::{self, Durability};
use crate::scan::Fingerprint;
use crate::unrest::{self, Spotted, Unrest};
use crate::{NodeError, pem};

/// Name of the file in the state directory.
const FILE: &str = "generation.json";

/// Where what is in force comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The configuration directory, as this node read it.
    Config,
    /// An earlier run of a node on this state: the files are rejected now.
    LastGood,
    /// There is none: everything is denied.
    Nothing,
}

/// A generation that compiles, ready for the enforcer.
pub(crate) struct Serving {
    pub(crate) generation: Generation,
    pub(crate) origin: Origin,
    pub(crate) digest: String,
    pub(crate) estate: Estate,
    /// With the workloads of a drill.
    pub(crate) drill: bool,
    pub(crate) addresses: BTreeMap<Name, VirtualAddr>,
    /// Files that end with a line end, and that will look cut off without it.
    whole: BTreeSet<String>,
    /// The [`Assignment`] as JSON. Holds private keys of endpoints: it is sent, never stored or shown.
    pub(crate) assignment: Vec<u8>,
}

/// What a read of the configuration came to.
pub(crate) enum Attempt {
    /// A new generation, numbered; its addresses are on the disk.
    Offer(Box<Serving>),
    /// The content is that of the digest given.
    Unchanged,
    /// Not acceptable, and why.
    Rejected(Diagnostics),
    /// Not whole at this moment, and why. Try again.
    Unsettled(Unrest),
}

/// The last generation an enforcer took, as stored. The contents of certificate files are not in it.
#[derive(Debug, Serialize, Deserialize)]
struct Good {
    generation: Generation,
    config: PathBuf,
    zone: HostName,
    digest: String,
    estate: Estate,
    /// See [`Serving`].
    #[serde(default)]
    whole: BTreeSet<String>,
}

/// Where the resource files of a node are, and what its workloads answer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Directory, absolute.
    pub config: PathBuf,
    /// Zone.
    pub zone: HostName,
}

/// What the last generation was made from that an enforcer took on the state directory `state`. `None`: there was none
/// yet, or the caller may not look.
pub fn last_configuration(state: &Path) -> Option<Configuration> {
    let good: Option<Good> = persist::read_json(state, FILE, "").ok()?;
    good.map(|Good { config, zone, .. }| Configuration { config, zone })
}

/// The last generation that an enforcer took.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its number.
    pub generation: Generation,
    /// What it was made from.
    pub configuration: Configuration,
    /// Its resources.
    pub estate: Estate,
}

/// What was last put in force on the state directory `state`. `None`: nothing yet, or the caller may not look.
pub fn last_generation(state: &Path) -> Option<Taken> {
    let good: Option<Good> = persist::read_json(state, FILE, "").ok()?;
    let Good {
        generation,
        config,
        zone,
        estate,
        ..
    } = good?;
    Some(Taken {
        generation,
        configuration: Configuration { config, zone },
        estate,
    })
}

/// Makes generations. Moves to a worker thread for each read, and back.
pub(crate) struct Desk {
    pub(crate) config: PathBuf,
    pub(crate) zone: HostName,
    pub(crate) node: String,
    pub(crate) state: PathBuf,
    pub(crate) addresses: Addresses,
    pub(crate) counters: Counters,
    /// Certificate files that the last estate read names, there or not.
    pub(crate) watched: Vec<PathBuf>,
    /// Files that were seen being written.
    pub(crate) spotted: Spotted,
    /// Whether the workloads of a drill stand beside those of the files.
    pub(crate) drill: bool,
    good: Option<Good>,
    /// Of the last configuration that was acceptable.
    whole: BTreeSet<String>,
}

impl Desk {
    /// Takes up what earlier runs left in the state directory.
    pub(crate) fn open(
        state: &Path,
        config: PathBuf,
        zone: HostName,
        node: String,
        counters: Counters,
    ) -> Result<Self, NodeError> {
        let fix = "move it away; the configuration directory is read anew, and with no valid one everything is denied";
        let kept: Option<Value> = persist::read_json(state, FILE, fix)?;
        let good = kept.and_then(|kept| understood(kept, &state.join(FILE)));
        let mut counters = counters;
        counters.generation = counters
            .generation
            .max(good.as_ref().map_or(Generation(0), |good| good.generation));
        let good = good.filter(|good| good.config == config && good.zone == zone);
        Ok(Self {
            addresses: Addresses::load(state)?,
            whole: good
                .as_ref()
                .map(|good| good.whole.clone())
                .unwrap_or_default(),
            good,
            state: state.to_owned(),
            config,
            zone,
            node,
            counters,
            watched: Vec::new(),
            spotted: Spotted::default(),
            drill: false,
        })
    }

    /// What a node that starts now would offer first, with nothing written down. In words, why there is no such thing.
    pub(crate) fn rehearse(&mut self) -> Result<Serving, String> {
        let before = Fingerprint::take(&self.config, &[]);
        if let Some(unrest) = unrest::look(&self.config, &before.files, &self.spotted) {
            return Err(format!("{unrest}\n= help: {}", unrest.fix()));
        }
        match self.make("") {
            Ok(Some(serving)) => Ok(serving),
            // Nothing has the digest "".
            Ok(None) => Err("it is empty".to_owned()),
            Err(errors) => Err(errors.to_string()),
        }
    }

    /// Whether an earlier run left a generation of this configuration directory.
    pub(crate) fn has_last_good(&self) -> bool {
        self.good.is_some()
    }

    /// Reads the configuration directory. `current` is the digest of what is in force.
    pub(crate) fn read(&mut self, current: &str, watched: &[PathBuf]) -> Attempt {
        let before = Fingerprint::take(&self.config, watched);
        if let Some(unrest) = unrest::look(&self.config, &before.files, &self.spotted) {
            return Attempt::Unsettled(unrest);
        }
        let attempt = self.make(current);
        // A file that was half written when we read it may still be valid, and say less than it should.
        if let Some(unrest) = unrest::look(&self.config, &before.files, &self.spotted) {
            return Attempt::Unsettled(unrest);
        }
        if Fingerprint::take(&self.config, watched) != before {
            return Attempt::Unsettled(Unrest::Changing);
        }
        let serving = match attempt {
            Ok(Some(serving)) => serving,
            Ok(None) => return Attempt::Unchanged,
            Err(errors) => return Attempt::Rejected(errors),
        };
        match self.write_down(&serving) {
            Ok(()) => {
                self.whole.clone_from(&serving.whole);
                Attempt::Offer(Box::new(serving))
            }
            Err(error) => Attempt::Rejected(Diagnostics(vec![Diagnostic {
                at: None,
                message: format!(
                    "the state directory {} cannot be written: {error}",
                    self.state.display()
                ),
                text: None,
                help: Some("make room there, then send the node SIGHUP".to_owned()),
                also: None,
            }])),
        }
    }

    fn make(&mut self, current: &str) -> Result<Option<Serving>, Diagnostics> {
        let sources = load::read(&self.config);
        let cut = self.cut_off(&sources);
        if !cut.is_empty() {
            return Err(Diagnostics(cut));
        }
        let estate = sources.load()?;
        let estate = match self.drill {
            true => drill::joined(estate)?,
            false => estate,
        };
        let (files, mut errors) = pem::read(&self.config, &estate);
        self.watched.clone_from(&files.watched);
        let digest = digest(&self.zone, &estate, &files.contents)?;
        if errors.is_empty() && digest == current {
            return Ok(None);
        }
        let generation = match &self.good {
            // After a restart, the same content goes on under the same number.
            Some(good) if good.digest == digest && good.generation == self.counters.generation => {
                good.generation
            }
            _ => Generation(self.counters.generation.0 + 1),
        };
        let mut addresses = self.addresses.clone();
        if let Err(more) = addresses.allocate(&estate) {
            errors.extend(more.0);
            return Err(Diagnostics(errors));
        }
        let book = addresses.of(&estate);
        if let Err(more) = Snapshot::compile(generation, &self.zone, &estate, &book) {
            errors.extend(more.0);
        }
        if !errors.is_empty() {
            return Err(Diagnostics(errors));
        }
        let mut serving = self.serving(generation, Origin::Config, digest, estate, book, files)?;
        serving.whole = sources
            .texts()
            .filter(|(_, text)| text.ends_with('\n'))
            .map(|(name, _)| name.to_owned())
            .collect();
        serving.drill = self.drill;
        self.addresses = addresses;
        Ok(Some(serving))
    }

    /// Files that lost the line end they had: what an editor leaves when the disk is full. They may parse, and lack
    /// whatever stood after the cut, a guardrail among it.
    fn cut_off(&self, sources: &Sources) -> Vec<Diagnostic> {
        let cut = sources
            .texts()
            .filter(|(name, text)| self.whole.contains(*name) && !text.ends_with('\n'));
        let diagnostics = cut.map(|(name, text)| {
            let last = text.lines().last().unwrap_or_default();
            Diagnostic {
                at: Some(Position {
                    file: name.into(),
                    line: u32::try_from(text.lines().count()).unwrap_or(u32::MAX),
                    column: u32::try_from(last.chars().count() + 1).unwrap_or(u32::MAX),
                }),
                message: "the file looks cut off: it ended with a line end, and does not now"
                    .to_owned(),
                text: None,
                help: Some(
                    "save it whole again; if this is all of it, end its last line".to_owned(),
                ),
                also: None,
            }
        });
        diagnostics.collect()
    }

    fn serving(
        &self,
        generation: Generation,
        origin: Origin,
        digest: String,
        estate: Estate,
        addresses: BTreeMap<Name, VirtualAddr>,
        files: pem::PemFiles,
    ) -> Result<Serving, Diagnostics> {
        let assignment = Assignment {
            node: self.node.clone(),
            zone: self.zone.clone(),
            estate,
            addresses,
            files: files.contents,
        };
        let json = serde_json::to_vec(&assignment).map_err(|error| not_json(&error))?;
        let Assignment {
            estate, addresses, ..
        } = assignment;
        Ok(Serving {
            generation,
            origin,
            digest,
            estate,
            drill: false,
            addresses,
            whole: BTreeSet::new(),
            assignment: json,
        })
    }

    /// Numbers and addresses reach the disk before anyone is told of them.
    fn write_down(&mut self, serving: &Serving) -> std::io::Result<()> {
        self.addresses.store(&self.state)?;
        if serving.generation > self.counters.generation {
            let counters = Counters {
                generation: serving.generation,
                ..self.counters
            };
            counters.store(&self.state)?;
            self.counters = counters;
        }
        Ok(())
    }

    /// The generation that an earlier run left for this configuration directory, and what about it could not be
    /// had again. Certificate files are read anew; the enforcer refuses an endpoint whose files are missing.
    pub(crate) fn last_good(&mut self) -> Option<Result<(Serving, Vec<Diagnostic>), Diagnostics>> {
        let good = self.good.as_ref()?;
        let (generation, estate) = (good.generation, good.estate.clone());
        Some(self.revive(generation, estate))
    }

    fn revive(
        &mut self,
        generation: Generation,
        estate: Estate,
    ) -> Result<(Serving, Vec<Diagnostic>), Diagnostics> {
        let (files, missing) = pem::read(&self.config, &estate);
        self.addresses.allocate(&estate)?;
        let book = self.addresses.of(&estate);
        Snapshot::compile(generation, &self.zone, &estate, &book)?;
        // No digest: as soon as the files are acceptable they are offered, also when they say the same.
        let serving = self.serving(
            generation,
            Origin::LastGood,
            String::new(),
            estate,
            book,
            files,
        )?;
        Ok((serving, missing))
    }

    /// What is in force where there is nothing to enforce: everything is denied.
    pub(crate) fn nothing(&self) -> Result<Serving, Diagnostics> {
        self.serving(
            Generation(0),
            Origin::Nothing,
            String::new(),
            Estate::default(),
            BTreeMap::new(),
            pem::PemFiles::default(),
        )
    }
}

/// Keeps `serving`, which an enforcer has taken, for a later start with files that are not acceptable.
pub(crate) fn keep(
    state: &Path,
    config: &Path,
    zone: &HostName,
    serving: &Serving,
) -> std::io::Result<()> {
    let good = Good {
        generation: serving.generation,
        config: config.to_owned(),
        zone: zone.clone(),
        digest: serving.digest.clone(),
        estate: serving.estate.clone(),
        whole: serving.whole.clone(),
    };
    persist::replace_json(state, FILE, &good, Durability::Machine)
}

/// What was kept, unless another version kept it and it says something that this one does not know: half understood, it
/// may allow what it was to forbid.
fn understood(kept: Value, file: &Path) -> Option<Good> {
    let good = serde_json::from_value::<Good>(kept.clone()).map_err(|error| error.to_string());
    let good = good.and_then(|good| {
        let ours = serde_json::to_value(&good).map_err(|error| error.to_string())?;
        match strange(&kept, &ours) {
            Some(what) => Err(format!("{what} is not known here")),
            None => Ok(good),
        }
    });
    match good {
        Ok(good) => Some(good),
        Err(why) => {
            crate::say::warn(&format!(
                "{} is of another version of ringfence: {why}; it is not used\n= help: nothing is needed while the \
                 configuration is valid: it is read anew",
                file.display()
            ));
            None
        }
    }
}

/// The name of something in `theirs` that `ours`, which was read from it, has lost.
fn strange(theirs: &Value, ours: &Value) -> Option<String> {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            theirs
                .iter()
                .find_map(|(name, value)| match ours.get(name) {
                    Some(read) => strange(value, read),
                    None => (!value.is_null()).then(|| format!("`{name}`")),
                })
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => theirs
            .iter()
            .zip(ours)
            .find_map(|(theirs, ours)| strange(theirs, ours)),
        (theirs, ours) => (theirs != ours).then(|| format!("`{theirs}`")),
    }
}

/// SHA-256 over everything a generation is made of. Equal digests mean equal generations.
fn digest(
    zone: &HostName,
    estate: &Estate,
    files: &BTreeMap<PathBuf, String>,
) -> Result<String, Diagnostics> {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(zone.as_str().as_bytes());
    // Lists only, in a fixed order: the same estate is the same text.
    part(&serde_json::to_vec(estate).map_err(|error| not_json(&error))?);
    for (path, text) in files {
        part(path.as_os_str().as_encoded_bytes());
        part(text.as_bytes());
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn not_json(error: &serde_json::Error) -> Diagnostics {
    Diagnostics(vec![Diagnostic {
        at: None,
        message: format!("the generation cannot be written as JSON: {error}"),
        text: None,
        help: Some("a path that is not UTF-8 cannot be used in a resource".to_owned()),
        also: None,
    }])
}

#[cfg(test)]
mod tests;
