//! Signals to, and the scheduling of, processes outside.

mod pipe_owner;
mod reschedule_others;
mod signal_by_descriptor;
mod signal_by_number;
mod signal_every_number;
mod signal_everyone;
mod socket_owner;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &pipe_owner::TECHNIQUE,
    &reschedule_others::TECHNIQUE,
    &signal_by_descriptor::TECHNIQUE,
    &signal_by_number::TECHNIQUE,
    &signal_every_number::TECHNIQUE,
    &signal_everyone::TECHNIQUE,
    &socket_owner::TECHNIQUE,
];
