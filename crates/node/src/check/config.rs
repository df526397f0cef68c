//! The configuration directory, before a node is started on it.

use std::path::Path;

use ringfence_compartment::probe::Finding;
use ringfence_model::{Diagnostics, Estate, Generation, HostName, load};
use ringfence_policy::{Snapshot, provisional_addresses};

use crate::pem;
use crate::state::keep_apart;
use crate::supervisor::count;

pub(super) fn look(config: &Path, state: &Path, zone: &HostName) -> Vec<Finding> {
    vec![apart(config, state), files(config, zone)]
}

/// One is read as policy, the other is written by the node.
fn apart(config: &Path, state: &Path) -> Finding {
    const ID: &str = "apart";
    match keep_apart(state, config) {
        Ok(()) => Finding::ok(ID, "state and configuration lie apart from each other"),
        Err(error) => Finding::fail(ID, error.to_string(), error.fix()),
    }
}

/// What a node would do with the files, up to the point where it would number them.
fn files(config: &Path, zone: &HostName) -> Finding {
    const ID: &str = "configuration";
    let shown = config.display();
    match accepted(config, zone) {
        Ok(estate) => Finding::ok(
            ID,
            format!(
                "the files in {shown} can be put in force: {}, {}",
                count(estate.services.len(), "service"),
                count(estate.agents.len(), "agent")
            ),
        ),
        Err(Diagnostics(errors)) => {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            let first = first.lines().next().unwrap_or_default();
            Finding::fail(
                ID,
                format!(
                    "the files in {shown} would be rejected, for {}: {first}",
                    count(errors.len(), "reason")
                ),
                format!("see all of it with `ringfence policy lint --config {shown}`, and mend it"),
            )
        }
    }
}

fn accepted(config: &Path, zone: &HostName) -> Result<Estate, Diagnostics> {
    let estate = load::read(config).load()?;
    let (_, mut errors) = pem::read(config, &estate);
    let addresses = provisional_addresses(&estate);
    if let Err(more) = Snapshot::compile(Generation(0), zone, &estate, &addresses) {
        errors.extend(more.0);
    }
    if errors.is_empty() {
        Ok(estate)
    } else {
        Err(Diagnostics(errors))
    }
}
