//! The HTTP/1.1 relay: one client connection, one request after another, each decided before a byte of it moves.
//!
//! What comes in: a connection from a compartment and the [`Gate`] that knows who is behind it. What goes out: every
//! request that the gate admits, in the canonical form of [`ringfence_wire::http1`], to a connection the gate dialled;
//! and the answer back. The relay knows neither policy nor log, and never sends a request twice.
//!
//! Reading order: `gate.rs` (the contract), `session.rs` (the life of a client connection), `judge.rs` (from head to
//! permit), `early.rs` (a body that has to be read before that), `exchange.rs` (one request and its answer, both ways at once), `pump.rs` (one body, one way), `answer.rs`
//! (what we say ourselves), `buffer.rs`, `limits.rs`. `docs/http.md` says the same for users.

mod alarm;
mod answer;
mod buffer;
mod early;
mod exchange;
mod gate;
mod judge;
mod limits;
mod pump;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use answer::words;
pub(crate) use buffer::Buffer;
pub(crate) use gate::{Asked, Ended, Gate, Read, Refusal, Said};
pub(crate) use judge::first_line;
pub(crate) use limits::{EARLY_MAX, INTERIM_MAX, WHAT_MAX};
pub(crate) use session::relay;
