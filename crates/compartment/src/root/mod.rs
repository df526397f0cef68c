//! The file tree a workload sees: built from an allow list, not the host's with parts taken away.
//!
//! `plan` is made outside, by the launcher, where the host's paths mean something: which trees, where, how. `build`
//! runs inside and turns it into a root. `etc` writes the small `/etc`, `masks` closes parts of `/proc`, `scan` looks
//! for host sockets and FIFOs in trees before they are shown, `work` checks the work directory, `claim` keeps it
//! to one compartment, `place` tells where a tree lies whatever it is mounted as, `idmap` makes it writable for a dynamic
//! user, `given` opens files anew that are standard streams.

mod build;
mod claim;
mod etc;
mod given;
mod idmap;
mod masks;
mod place;
mod plan;
mod scan;
#[cfg(test)]
mod tests;
mod work;

pub(crate) use build::{build, harmless_device, open_terminal, own_proc};
pub(crate) use etc::{Identity, USER};
pub(crate) use given::read_only;
pub(crate) use idmap::try_on;
pub(crate) use plan::{Access, Plan, Tree, WORK};
