//! Protocol readers: bytes in, checked messages out, and back to bytes in one canonical form.
//!
//! What comes in: bytes that a compartment or a service sent, in whatever pieces they arrived. What goes out: a
//! message in which nothing is left to interpretation, or a refusal that says what was wrong. Writing a message
//! produces the only form that is ever sent on, so that the receiver cannot read it differently from how policy did.
//!
//! Nothing here does I/O, decides, keeps state between connections, or panics on any input. A form that two
//! servers are known to read differently is refused, not repaired.
//!
//! Reading order: [`http1`] (heads, then bodies, then how both are written), [`tls`] (the one message in the clear), [`dns`],
//! [`foreign`] (what else a client may speak). The entry points that take raw
//! bytes, and that are fuzzed, are [`http1::read_request`], [`http1::read_response`], [`http1::BodyReader::next`],
//! [`tls::read_hello`], [`dns::read`] and [`dns::next_message`].
#![forbid(unsafe_code)]

pub mod dns;
pub mod foreign;
pub mod http1;
pub mod http2;
pub mod tls;
