//! Files of the host, and of its own on the host.

mod cut_system_file;
mod file_capability;
mod give_file_away;
mod host_file;
mod host_identity;
mod immutable_file;
mod lease_on_program;
mod link_to_host_file;
mod loader_files;
mod mode_of_program;
mod new_file_in_system;
mod node_files;
mod rename_system_file;
mod reopen_for_writing;
mod subvolume_snapshot;
mod trusted_attribute;
mod write_through_a_map;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &cut_system_file::TECHNIQUE,
    &file_capability::TECHNIQUE,
    &give_file_away::TECHNIQUE,
    &host_file::TECHNIQUE,
    &host_identity::TECHNIQUE,
    &immutable_file::TECHNIQUE,
    &lease_on_program::TECHNIQUE,
    &link_to_host_file::TECHNIQUE,
    &loader_files::TECHNIQUE,
    &mode_of_program::TECHNIQUE,
    &new_file_in_system::TECHNIQUE,
    &node_files::TECHNIQUE,
    &rename_system_file::TECHNIQUE,
    &reopen_for_writing::TECHNIQUE,
    &subvolume_snapshot::TECHNIQUE,
    &trusted_attribute::TECHNIQUE,
    &write_through_a_map::TECHNIQUE,
];
