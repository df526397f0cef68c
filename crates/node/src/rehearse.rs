//! What a start would come to, found out without making, writing, locking or listening to anything.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ringfence_model::{Diagnostics, Generation, load};
use ringfence_policy::Snapshot;
use rustix::fs::{Access, access};

use crate::addresses::Addresses;
use crate::generation::last_configuration;
use crate::state::{config_path, default_dir, inspect, keep_apart};
use crate::{NodeError, UpOptions, ask_status, pem};

/// What [`up`](crate::up) would begin with.
#[derive(Debug)]
pub struct Rehearsal {
    /// The configuration directory.
    pub config: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// Whether it would be made.
    pub fresh: bool,
    /// What would be enforced, or why the files are rejected.
    pub policy: Result<Enforced, Diagnostics>,
    /// Whether an earlier run left a generation of this configuration, which serves where the files are rejected.
    pub last_good: bool,
}

/// What the files say, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforced {
    /// Services.
    pub services: usize,
    /// Agents.
    pub agents: usize,
    /// Policies.
    pub policies: usize,
}

/// Checks all that can refuse a start and can be looked at; not whether sockets and ports can be had.
pub fn rehearse(options: &UpOptions) -> Result<Rehearsal, NodeError> {
    let dir = match &options.state {
        Some(dir) => dir.clone(),
        None => default_dir()?,
    };
    let config = config_path(&options.config);
    keep_apart(&dir, &config)?;
    let fresh = match dir.symlink_metadata() {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => {
            return Err(NodeError::io(
                format!("look at {}", dir.display()),
                error,
                "name another place with `--state DIR`",
            ));
        }
    };
    let addresses = if fresh {
        may_be_made(&dir)?;
        Addresses::default()
    } else {
        inspect(&dir, rustix::process::geteuid().as_raw())?;
        if !options.takeover {
            nobody_serves(&dir)?;
        }
        Addresses::load(&dir)?
    };
    let last = (!fresh).then(|| last_configuration(&dir)).flatten();
    let last_good = last.is_some_and(|last| last.config == config && last.zone == options.zone);
    if !last_good && !config.is_dir() {
        return Err(NodeError::no_config(config));
    }
    Ok(Rehearsal {
        policy: policy(&config, options, addresses),
        config,
        state: dir,
        fresh,
        last_good,
    })
}

/// As a node makes a generation, up to the point where it would write its addresses down.
fn policy(
    config: &Path,
    options: &UpOptions,
    mut addresses: Addresses,
) -> Result<Enforced, Diagnostics> {
    let estate = load::directory(config)?.estate;
    let (_, mut errors) = pem::read(config, &estate);
    let compiled = addresses.allocate(&estate).and_then(|()| {
        let book = addresses.of(&estate);
        Snapshot::compile(Generation(1), &options.zone, &estate, &book)
    });
    if let Err(more) = compiled {
        errors.extend(more.0);
    }
    if !errors.is_empty() {
        return Err(Diagnostics(errors));
    }
    Ok(Enforced {
        services: estate.services.len(),
        agents: estate.agents.len(),
        policies: estate.policies.len(),
    })
}

/// Whether the nearest directory that exists lets this user make others in it.
fn may_be_made(dir: &Path) -> Result<(), NodeError> {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let there = absolute
        .ancestors()
        .find(|above| above.symlink_metadata().is_ok())
        .unwrap_or(&absolute);
    access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        NodeError::io(
            format!("make {} in {}", dir.display(), there.display()),
            error,
            "name another place with `--state DIR`",
        )
    })
}

/// Asks, since taking the lock to see whether it is free could stand in the way of a start.
fn nobody_serves(dir: &Path) -> Result<(), NodeError> {
    match ask_status(dir) {
        Ok(None) => Ok(()),
        Ok(Some(status)) => Err(NodeError::Locked {
            dir: dir.to_owned(),
            pid: Some(status.pid),
        }),
        Err(_) => Err(NodeError::Locked {
            dir: dir.to_owned(),
            pid: None,
        }),
    }
}
