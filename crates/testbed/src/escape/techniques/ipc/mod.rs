//! Shared memory, queues, semaphores, sockets and FIFOs of the host.

mod host_abstract_socket;
mod host_fifo;
mod host_socket;
mod node_sockets;
mod posix_memory;
mod posix_queue;
mod sysv_by_number;
mod sysv_listing;
mod sysv_memory;
mod sysv_queue;
mod sysv_semaphore;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &host_abstract_socket::TECHNIQUE,
    &host_fifo::TECHNIQUE,
    &host_socket::TECHNIQUE,
    &node_sockets::TECHNIQUE,
    &posix_memory::TECHNIQUE,
    &posix_queue::TECHNIQUE,
    &sysv_by_number::TECHNIQUE,
    &sysv_listing::TECHNIQUE,
    &sysv_memory::TECHNIQUE,
    &sysv_queue::TECHNIQUE,
    &sysv_semaphore::TECHNIQUE,
];
