//! Readers of policy, and what conditions read of requests.

pub(crate) mod condition;
pub(crate) mod request;
pub(crate) mod resources;

use ringfence_model::{Estate, Generation, HostName};
use ringfence_policy::{Snapshot, provisional_addresses};

/// An estate ready to decide, its tests not run; `None`: it does not compile.
fn compiled(estate: &Estate) -> Option<Snapshot> {
    let zone = HostName::new("zone.internal").unwrap();
    let addresses = provisional_addresses(estate);
    Snapshot::compile_untested(Generation(1), &zone, estate, &addresses).ok()
}
