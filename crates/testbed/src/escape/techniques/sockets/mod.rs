//! Families, types and protocols of sockets other than those the doors take.

mod packet_socket;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[&packet_socket::TECHNIQUE];
