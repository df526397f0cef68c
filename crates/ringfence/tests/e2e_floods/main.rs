//! Floods: an attacker in one compartment, and a neighbour that must not notice.
//!
//! Every test has the same shape: the neighbour is watched while it is calm, then while the attack drives a bound to its
//! edge; no request of it may fail, and none may be slow against the calm phase of the same run, but for what the enforcer
//! itself was slowed because others had the cores, as the scheduler tells it. What the attack was denied
//! is on record, exactly. These tests run alone (`.config/nextest.toml`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod busy;
mod ground;
mod idle;
mod names;
mod own_sockets;
mod refusals;
mod slow;
mod small;
mod streams;
mod stuck;
mod watcher;
