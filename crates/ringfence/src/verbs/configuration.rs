//! Which resource files are meant when nobody names them: those that the node reads.

use std::path::{Path, PathBuf};

use ringfence_model::HostName;
use ringfence_node::{Configuration, ask_status, default_dir, last_configuration};

use crate::output::Failure;

/// Zone of a node that was not told another.
pub(crate) const DEFAULT_ZONE: &str = "ringfence.internal";

/// The state directory of the node that is meant: as given, else where `ringfence up` puts it.
pub(crate) fn state_dir(given: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    match given {
        Some(state) => Ok(state.clone()),
        None => default_dir().map_err(|error| Failure::new(&error, error.fix())),
    }
}

/// What the node of the state directory `state` enforced last, or reads now.
pub(crate) fn of_node(state: &Path) -> Option<Configuration> {
    last_configuration(state).or_else(|| asked(state))
}

fn asked(state: &Path) -> Option<Configuration> {
    let status = ask_status(state).ok()??;
    Some(Configuration {
        config: status.config,
        zone: status.zone,
    })
}

/// The configuration directory and zone to ask: as given, else as the node of `state` has them.
pub(crate) fn chosen(
    config: Option<&PathBuf>,
    zone: Option<&HostName>,
    state: Option<&PathBuf>,
) -> Result<Configuration, Failure> {
    let of_the_node = match (config, state) {
        (Some(_), _) => None,
        (None, Some(state)) => asked(state).or_else(|| last_configuration(state)),
        (None, None) => {
            let state = state_dir(None)?;
            asked(&state).or_else(|| last_configuration(&state))
        }
    };
    let (config, of_its_zone) = match (config, of_the_node) {
        (Some(config), _) => (config.clone(), None),
        (None, Some(node)) => (node.config, Some(node.zone)),
        (None, None) => {
            return Err(Failure::Usage {
                what: "no configuration is named, and no node of yours has one".to_owned(),
                fix:
                    "name the directory with the resource files: --config DIR, or RINGFENCE_CONFIG"
                        .to_owned(),
            });
        }
    };
    let zone = match zone.cloned().or(of_its_zone) {
        Some(zone) => zone,
        None => HostName::new(DEFAULT_ZONE).map_err(Failure::plain)?,
    };
    Ok(Configuration { config, zone })
}
