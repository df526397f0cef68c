//! Which system calls are refused, and how.
//!
//! `rules` is the table: what a workload may not call, what the enforcer may not call. `allowed` lists what they may;
//! what stands in neither is refused. `filter` turns both into a program for the kernel. A workload's refused calls wait until the launcher has recorded and answered them
//! with the same table (`judge`), so that filter and answer cannot drift apart; allowed calls cost nothing.
//! Should the launcher be gone, the kernel answers `ENOSYS`: closed.

mod allowed;
mod bpf;
mod filter;
mod rules;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use filter::{enforcer_program, keeper_program, workload_program};
pub(crate) use rules::judge;
