//! Users, capabilities, and programs that bring more than their caller has.

mod above_others;
mod binary_of_process_1;
mod capabilities_back;
mod no_new_privileges_off;
mod other_users;
mod program_in_memory;
mod set_id_files;
mod set_id_programs;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &above_others::TECHNIQUE,
    &binary_of_process_1::TECHNIQUE,
    &capabilities_back::TECHNIQUE,
    &no_new_privileges_off::TECHNIQUE,
    &other_users::TECHNIQUE,
    &program_in_memory::TECHNIQUE,
    &set_id_files::TECHNIQUE,
    &set_id_programs::TECHNIQUE,
];
