//! What is another compartment's.

mod neighbours_places;
mod neighbours_root;
mod neighbours_work;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &neighbours_places::TECHNIQUE,
    &neighbours_root::TECHNIQUE,
    &neighbours_work::TECHNIQUE,
];
