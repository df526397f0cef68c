//! What `/proc`, `/sys` and the numbers of processes tell of the host, and let change on it.

mod allow_groups;
mod bus_listings;
mod caller_environment;
mod command_lines;
mod control_groups;
mod core_taker;
mod init_insides;
mod init_switches;
mod kernel_settings;
mod kernel_tables;
mod machine_tables;
mod other_arguments;
mod other_descriptors;
mod other_environment;
mod other_maps;
mod other_memory;
mod other_namespaces;
mod other_program;
mod other_root;
mod own_maps;
mod pressure_trigger;
mod process_numbers;
mod sys_tree;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &allow_groups::TECHNIQUE,
    &bus_listings::TECHNIQUE,
    &caller_environment::TECHNIQUE,
    &command_lines::TECHNIQUE,
    &control_groups::TECHNIQUE,
    &core_taker::TECHNIQUE,
    &init_insides::TECHNIQUE,
    &init_switches::TECHNIQUE,
    &kernel_settings::TECHNIQUE,
    &kernel_tables::TECHNIQUE,
    &machine_tables::TECHNIQUE,
    &other_arguments::TECHNIQUE,
    &other_descriptors::TECHNIQUE,
    &other_environment::TECHNIQUE,
    &other_maps::TECHNIQUE,
    &other_memory::TECHNIQUE,
    &other_namespaces::TECHNIQUE,
    &other_program::TECHNIQUE,
    &other_root::TECHNIQUE,
    &own_maps::TECHNIQUE,
    &pressure_trigger::TECHNIQUE,
    &process_numbers::TECHNIQUE,
    &sys_tree::TECHNIQUE,
];
