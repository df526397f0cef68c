//! Addresses: everything that a host's network could be reached by.

mod host_loopback_tcp;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[&host_loopback_tcp::TECHNIQUE];
