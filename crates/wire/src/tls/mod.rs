//! TLS that passes unread, but for what a client says in the clear: its ClientHello, and the second one, where the server
//! asks for it.
//!
//! What comes in: the first bytes of a connection, in whatever pieces. What goes out: the one server name that the client
//! asks for (RFC 6066, 3), or a refusal. Records are joined (RFC 8446, 5.1), so it does not matter how the message is cut up.
//!
//! Whoever terminates the TLS reads the same bytes by code of its own and must not find another name in them. So nothing
//! is skipped that could hold one: every vector ends where its length says, no extension stands twice, one name stands in
//! the list, it is a plain host name, and nothing follows the message in its record. A ClientHello that hides its real name
//! in an encrypted one is refused, and with it those that only pretend to (GREASE), because that is what cannot be told
//! apart.
//!
//! Reading order: `hello.rs` (the message), `records.rs` (how it is joined), `again.rs` (when there is a second one),
//! `refusal.rs`, `limits.rs`.

mod again;
mod hello;
pub mod limits;
mod records;
mod refusal;

pub use again::{Behind, asks_again, behind_hello};
pub use hello::{ClientHello, read_hello};
pub use refusal::Refusal;
