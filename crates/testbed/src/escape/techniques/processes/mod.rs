//! Other processes, by what the kernel offers to debuggers.

mod compare_objects;
mod descriptor_of_another;
mod memory_by_call;
mod named_by_number;
mod trace;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &compare_objects::TECHNIQUE,
    &descriptor_of_another::TECHNIQUE,
    &memory_by_call::TECHNIQUE,
    &named_by_number::TECHNIQUE,
    &trace::TECHNIQUE,
];
