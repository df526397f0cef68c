//! One side of a comparison, wherever it comes from.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ringfence_model::load::{self, FILE_MAX};
use ringfence_model::resource::{EndpointTls, TrustAnchors};
use ringfence_model::{Diagnostics, Estate, Generation, HostName};
use ringfence_node::last_generation;
use ringfence_policy::{Snapshot, provisional_addresses};

use super::git;
use crate::output::{Failure, say};
use crate::verbs::configuration::{self, DEFAULT_ZONE};

/// Where it comes from.
#[derive(Clone, Debug)]
pub(super) enum Which {
    /// A directory or a file.
    Path(PathBuf),
    /// What that was in a revision.
    Revision(String, PathBuf),
    /// What the node of this state directory enforces.
    Running(Option<PathBuf>),
    /// What it reads.
    Configured(Option<PathBuf>),
}

/// One side, not yet read.
#[derive(Clone, Debug)]
pub(super) struct Side {
    which: Which,
}

/// One side, compiled.
pub(super) struct Loaded {
    /// For people.
    pub(super) name: String,
    pub(super) estate: Estate,
    pub(super) snapshot: Snapshot,
}

impl Side {
    pub(super) fn of(which: Which) -> Self {
        Self { which }
    }

    /// `None`: it does not load, and that was said. What is wrong with `tests` does not matter here: nothing is put in force.
    pub(super) fn load(&self, zone: &HostName) -> Result<Option<Loaded>, Failure> {
        let (name, estate) = match &self.which {
            Which::Path(path) => (path.display().to_string(), of_path(path)?),
            Which::Configured(state) => {
                let path = configuration::chosen(None, None, state.as_ref())?.config;
                (path.display().to_string(), of_path(&path)?)
            }
            Which::Revision(revision, path) => (
                format!("{} in {revision}", path.display()),
                git::estate(revision, path)?,
            ),
            Which::Running(state) => running(state.as_ref())?,
        };
        let compiled = estate.and_then(|estate| {
            let addresses = provisional_addresses(&estate);
            let snapshot = Snapshot::compile_untested(Generation(0), zone, &estate, &addresses)?;
            Ok((estate, snapshot))
        });
        match compiled {
            Ok((estate, snapshot)) => {
                let fail = snapshot.test(&estate).filter(|it| it.failure.is_some());
                let failing = fail.count();
                if failing > 0 {
                    say(format!(
                        "{name}: {failing} of its tests do not hold, so no node takes it; `ringfence policy test` says which"
                    ));
                }
                Ok(Some(Loaded {
                    name,
                    estate,
                    snapshot,
                }))
            }
            Err(errors) => {
                say(&errors);
                say(format!(
                    "{name} does not load, so nothing is compared; mend it and check with `ringfence policy lint`"
                ));
                Ok(None)
            }
        }
    }
}

/// The zone that conditions see: as given, else the node's where it is asked, else the usual one.
pub(super) fn zone_of(
    given: Option<&HostName>,
    new: &Side,
    state: Option<&PathBuf>,
) -> Result<HostName, Failure> {
    match (given, &new.which) {
        (Some(zone), _) => Ok(zone.clone()),
        (None, Which::Configured(_)) => Ok(configuration::chosen(None, None, state)?.zone),
        (None, _) => HostName::new(DEFAULT_ZONE).map_err(Failure::plain),
    }
}

fn of_path(path: &Path) -> Result<Result<Estate, Diagnostics>, Failure> {
    if path.is_dir() {
        let mut estate = load::read(path).load();
        if let (Ok(estate), Ok(base)) = (&mut estate, std::path::absolute(path)) {
            relative(estate, &base);
        }
        return Ok(estate);
    }
    let cannot = |e: std::io::Error| {
        Failure::new(
            format!("{} cannot be read: {e}", path.display()),
            "name a directory with resource files, or one such file",
        )
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(Failure::new(
            format!("{} is larger than {FILE_MAX} bytes", path.display()),
            "split it into several files of one directory",
        ));
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok(load::documents(&[(&name.to_string_lossy(), &bytes)]))
}

fn running(state: Option<&PathBuf>) -> Result<(String, Result<Estate, Diagnostics>), Failure> {
    let state = configuration::state_dir(state)?;
    let Some(last) = last_generation(&state) else {
        return Err(Failure::new(
            format!(
                "no node has put a generation in force with the state directory {}, or it is not yours to read",
                state.display()
            ),
            "name the node's own: --state DIR",
        ));
    };
    let mut estate = last.estate;
    relative(&mut estate, &last.configuration.config);
    Ok((
        format!("generation {} of the node", last.generation.0),
        Ok(estate),
    ))
}

/// Paths of PEM files as they are written, so that the same files elsewhere are the same.
fn relative(estate: &mut Estate, base: &Path) {
    let strip = |path: &mut PathBuf| {
        if let Ok(inner) = path.strip_prefix(base) {
            *path = inner.to_owned();
        }
    };
    let services = estate.services.iter_mut();
    for tls in services
        .flat_map(|service| &mut service.endpoints)
        .filter_map(|endpoint| endpoint.tls.as_mut())
    {
        let EndpointTls {
            ca, client_cert, ..
        } = tls;
        if let TrustAnchors::File(path) = ca {
            strip(path);
        }
        if let Some(client) = client_cert {
            strip(&mut client.cert);
            strip(&mut client.key);
        }
    }
}
