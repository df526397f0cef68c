//! The compartment: a place without a network, whose doors belong to the enforcer.
//!
//! * **Comes in:** a [`launch::LaunchRequest`], the node's grant, the caller's standard streams.
//! * **Goes out:** a workload inside namespaces of its own; its door sockets, handed to the enforcer; a record of
//!   everything the kernel refused it; its exit code.
//! * **Never:** runs a foreign program (`ip`, `nft`, …), starts a workload with a wall missing, reads a byte of what the
//!   workload sends to others.
//!
//! Start reading at [`launch`] for the life of a compartment, [`link`] for what the three parties say to each other,
//! `docs/compartment.md` for the walls, [`probe`] for whether a machine can hold them. [`confine`], [`inspect`],
//! [`datagram`], [`spawn`], [`porter`] and [`lease`] are what the enforcer and the node use. This is the one crate with `unsafe`;
//! nearly all of it is in `sys`, each site with its reason.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod address;
pub mod channel;
pub mod confine;
mod container;
pub mod datagram;
pub mod doors;
pub mod error;
pub mod figures;
#[doc(hidden)]
pub mod fuzz;
mod inside;
pub mod inspect;
pub mod interrupt;
mod landlock;
pub mod launch;
pub mod lease;
pub mod link;
pub mod memfd;
mod netlink;
pub mod porter;
mod privileges;
pub mod probe;
mod root;
mod seccomp;
pub mod sockets;
pub mod spawn;
mod sys;

pub use inside::raise_open_files;
pub use launch::OOM_SCORE;
pub use privileges::give_up_group;
