//! The HTTP/2 relay: the streams of one client connection, each decided before anything of it moves.
//!
//! What comes in: a connection from a compartment and the [`Gate`] that knows who is behind it. What goes out: of every
//! stream that the gate admits, what [`ringfence_wire::http2`] has checked, written anew, over one connection to the service
//! that belongs to this client alone; and its answer back. One task serves all of it, and no frame waits for another
//! stream's. What a peer may send before it was taken on is bounded by windows of our own, so nothing is read that there is
//! no room for.
//!
//! Nothing of a client's goes to a service before that has shown, by its SETTINGS, that it speaks HTTP/2.
//!
//! Reading order: `gate.rs` (the contract), `session.rs` (the life of a connection), `client.rs` and `service.rs` (the
//! frames of either side), `judge.rs` (from a header list to a permit), `stream.rs` (one stream), `flow.rs` (bodies and
//! windows), `side.rs` (one connection), `answer.rs` (what we say ourselves), `budget.rs` (floods), `turn.rs`
//! (others' turns), `limits.rs`.
//! `docs/http2.md` says the same for users.

mod answer;
mod budget;
mod client;
mod flow;
mod gate;
mod judge;
mod limits;
mod recent;
mod service;
mod session;
mod side;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod turn;

pub(crate) use gate::{Ended, Gate};
pub(crate) use session::relay;
