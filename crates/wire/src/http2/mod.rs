//! HTTP/2 (RFC 9113), read as strictly as HTTP/1.x, and by the same rules where both have them.
//!
//! What comes in: frames of a client or of a service, hostile on either side. What goes out: a [`Frame`] whose own rules
//! hold, or a [`Violation`] that ends the connection; and of header blocks a head with every question settled, or a
//! [`Refusal`] that ends one stream. Header blocks are written anew, from what was checked, without a table.
//!
//! What it never does: keep the state of a connection (that is the relay's, but for the table of the peer, which is
//! [`hpack::Decoder`]'s), or repair.
//!
//! Reading order: `frame.rs`, `block.rs` (a header block in several frames), `hpack/`, `list.rs` (what is decoded),
//! `field.rs`, `request.rs`, `response.rs` (with trailers), `refusal.rs` and `violation.rs` (all that is
//! refused), `limits.rs`.

mod block;
mod field;
pub mod frame;
pub mod hpack;
pub mod limits;
mod list;
mod refusal;
mod request;
mod response;
mod violation;

pub use block::Block;
pub use frame::{FRAME_HEADER, Frame, PREFACE, Settings, read_frame};
pub use list::HeaderList;
pub use refusal::Refusal;
pub use request::{Onward, RequestHead, read_request};
pub use response::{ResponseHead, Trailers, read_response, read_trailers, write_own};
pub use violation::{ErrorCode, Violation};
