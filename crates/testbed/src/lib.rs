//! Simulated hosts with a real Ringfence on them, for everyone's tests.
//!
//! What comes in: the text of an estate, and commands to run. What goes out: a running node ([`Node`]), workloads in real
//! compartments ([`Launch`], [`Running`]), what they printed, and the flow log as `ringfence observe` tells it.
//! Nothing is mocked: the binary under test is started as a user would start it.
//!
//! Each [`Host`] has network, mount and pid namespaces of its own, made by util-linux `unshare`, so that tests never touch
//! the machine's network, and nothing survives them: the namespace's first process ends when the test's end of a pipe
//! closes, and takes everything with it. Tests run as root and as an ordinary user ([`Caller`]).
//!
//! [`escape`] holds the attempts to get out of a compartment, and the house they are tried in.
//!
//! Start reading at [`Node`]. It never starts a container, needs no daemon, and never looks up processes by name outside
//! of its own host.

#![deny(unsafe_code)]

mod error;
pub mod escape;
mod host;
mod launch;
mod neighbour;
mod node;
mod process;
mod vitals;

pub use error::TestbedError;
pub use host::{Caller, Host};
pub use launch::{Launch, Running};
pub use neighbour::{NEIGHBOUR_ESTATE, Neighbour, Phase};
pub use node::{Node, NodeOptions};
pub use process::{Output, Process};
pub use vitals::Vitals;
