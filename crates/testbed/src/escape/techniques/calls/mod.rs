//! System calls that lead to the whole machine, or past the filter.

mod administration;
mod bpf;
mod calls_long_gone;
mod fanotify;
mod file_handles;
mod high_bits;
mod host_clock;
mod host_facts;
mod i386_call;
mod i386_call_in_a_thread;
mod io_uring;
mod kernel_modules;
mod keys;
mod legacy_aio;
mod memory_compared;
mod numbers_out_of_range;
mod pages_of_others;
mod perf_events;
mod personality;
mod processor_alone;
mod reboot;
mod secret_memory;
mod segments_and_ports;
mod terminal_tricks;
mod userfaultfd;
mod x32_calls;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &administration::TECHNIQUE,
    &bpf::TECHNIQUE,
    &calls_long_gone::TECHNIQUE,
    &fanotify::TECHNIQUE,
    &file_handles::TECHNIQUE,
    &high_bits::TECHNIQUE,
    &host_clock::TECHNIQUE,
    &host_facts::TECHNIQUE,
    &i386_call::TECHNIQUE,
    &i386_call_in_a_thread::TECHNIQUE,
    &io_uring::TECHNIQUE,
    &kernel_modules::TECHNIQUE,
    &keys::TECHNIQUE,
    &legacy_aio::TECHNIQUE,
    &memory_compared::TECHNIQUE,
    &numbers_out_of_range::TECHNIQUE,
    &pages_of_others::TECHNIQUE,
    &perf_events::TECHNIQUE,
    &personality::TECHNIQUE,
    &processor_alone::TECHNIQUE,
    &reboot::TECHNIQUE,
    &secret_memory::TECHNIQUE,
    &segments_and_ports::TECHNIQUE,
    &terminal_tricks::TECHNIQUE,
    &userfaultfd::TECHNIQUE,
    &x32_calls::TECHNIQUE,
];
