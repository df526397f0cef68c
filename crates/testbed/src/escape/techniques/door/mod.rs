//! The doors themselves, and the other sockets of the house.

mod chosen_by_program;
mod dual_stack_listener;
mod sockets_of_the_node;
mod steal_the_tcp_door;
mod steal_the_udp_door;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &chosen_by_program::TECHNIQUE,
    &dual_stack_listener::TECHNIQUE,
    &sockets_of_the_node::TECHNIQUE,
    &steal_the_tcp_door::TECHNIQUE,
    &steal_the_udp_door::TECHNIQUE,
];
