//! What runs inside a compartment before, and beside, the workload.
//!
//! `init` is process 1: it builds the walls from within (`network`, `limits`, and the `root` module), starts the
//! `workload`, reaps, passes signals on, and takes everything down when the launcher is gone. `keeper` stands
//! outside the compartment's process namespace and makes marked sockets on request. `talk` is what they say.

pub(crate) mod init;
pub(crate) mod keeper;
pub(crate) mod limits;
pub(crate) mod network;
pub(crate) mod program;
pub(crate) mod talk;
mod workload;

pub use limits::raise_open_files;
pub(crate) use workload::SECCOMP_FIX;
