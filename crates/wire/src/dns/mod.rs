//! DNS as it is answered at the door: one question in, one answer out.
//!
//! [`read`] takes a message from UDP, or one cut out of a TCP stream by [`next_message`], and gives a [`Query`];
//! [`Query::answer`] writes the reply to it. What is accepted is what resolvers in use send: opcode QUERY, exactly one
//! question of class IN, no records but EDNS. Nothing is resolved here, and there is nothing that could forward.
//!
//! Reading order: `query.rs`, `answer.rs`, `stream.rs`.

mod answer;
mod query;
mod stream;

pub use answer::{Answer, TTL, Transport, UDP_MAX, UDP_MIN};
pub use query::{Kind, Query, Rejected, Unreadable, read};
pub use stream::{Next, QUERY_MAX, next_message, write_framed};
