//! The relay between real sockets: clients and services are frames written by hand.

mod abuse;
mod endings;
pub(crate) mod harness;
mod memory;
mod requests;
mod windows;
