//! The compartment: a place without a network, whose doors belong to the enforcer.
//! (map of modules to be written by this crate's author)
pub mod link;
