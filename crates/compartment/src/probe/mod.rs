//! Can this machine hold a compartment? Found out by building one, not by reading version numbers.
//!
//! * **Comes in:** the ids a node of root would use.
//! * **Goes out:** a [`Finding`] per step: it worked, it works with less, it failed and this is what to do.
//! * **Never:** leaves anything behind, waits longer than [`PATIENCE`] for one probe, or tries by other means than the
//!   launcher does: every step here calls the launcher's, init's or the enforcer's own function.
//!
//! `kernel` tries single features, `namespaces` builds the walls one by one in namespaces of their own, `whole` runs a
//! program in a compartment from start to end. `unbounded` says what none of that bounds or records. `aside` is the child process that each of them runs in.

mod aside;
mod finding;
mod kernel;
mod namespaces;
mod unbounded;
mod whole;

use std::time::Duration;

pub use crate::container::{covers_of_proc, engine, is_filtered};
pub use finding::{Finding, Group, Outcome};

pub use unbounded::unbounded;

use crate::sys;

/// How long one probe may take. It is ended then, with all that it started.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How long the last of a probe's processes may take to be gone.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// The ids that a node of root gives away, where they exist; nothing for anyone else.
#[derive(Clone, Copy, Debug, Default)]
pub struct RootIds {
    /// For a workload that root starts.
    pub workload: Option<u32>,
    /// For the enforcer.
    pub enforcer: Option<u32>,
}

/// Whether somebody (NTP, PTP) keeps the clock of this machine right.
pub fn clock_is_kept() -> std::io::Result<bool> {
    sys::clock_is_kept()
}

/// Tries everything a compartment needs of this machine. What depends on a step that failed is not tried, and not
/// among the findings.
///
/// To be called from a process with one thread: it forks.
pub fn machine(ids: RootIds) -> Vec<Group> {
    // What a probe that was ended leaves comes to us, and is buried with the rest.
    let adopts = sys::prctl(libc::PR_SET_CHILD_SUBREAPER, [1, 0, 0, 0]);
    debug_assert!(adopts.is_ok());
    let kernel = kernel::look(ids);
    let namespaces = namespaces::look(ids);
    let mut groups = vec![
        Group::new("kernel", kernel),
        Group::new("namespaces and walls", namespaces),
    ];
    // Built from the same parts: it would only fail in the same place.
    if groups.iter().all(Group::passed) {
        groups.push(Group::new("a whole compartment", whole::look(ids)));
    }
    sys::reap_all(LEAVE_TIME);
    groups
}
