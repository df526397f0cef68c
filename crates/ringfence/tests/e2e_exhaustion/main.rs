//! Exhaustion: a workload takes all it can of one thing, and neither its neighbour nor the host may notice.
//!
//! The shape is that of `e2e_floods`: a neighbour is watched while it is calm, then while a bound is driven to its edge.
//! These tests run alone (`.config/nextest.toml`). Those of `memory` need control groups of version 2 with a memory
//! controller, which not every machine has: they are ignored, and said to be, unless asked for; `make test-vm` runs
//! them in a machine that has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod descriptors;
mod files;
mod ground;
mod lives;
mod memory;
mod processes;
mod sockets;
