//! HTTP/1.x, read so strictly that no two servers could read it differently.
//!
//! What comes in: the bytes of a request or of a response, hostile on either side. What goes out: a head with every
//! question settled (which path, which authority, how long the body is, does the connection live on), the body as
//! slices of data, and both written again in one canonical form. Hop-by-hop fields, and fields by which a client
//! could name another caller, do not survive the passage.
//!
//! What it never does: repair. Lone CR or LF, folded lines, two lengths, a length beside an encoding, a signed or
//! listed length, an encoding other than `chunked`, whitespace before a colon, and all their relatives are refused.
//!
//! Reading order: `scan.rs` (where a head ends), `field.rs` (its lines), `target.rs`, `framing.rs`, `hop.rs` (what is
//! removed), `request.rs`, `response.rs`, `websocket.rs`, `body.rs` (data, chunks, trailers), `refusal.rs` (all that is refused),
//! `limits.rs`.
//!
//! ```
//! use ringfence_wire::http1::{self, Framing, Read};
//!
//! let bytes = b"POST /orders?dry=1 HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nhi";
//! let Read::Complete { head, consumed } = http1::read_request(bytes)? else { panic!("it is all there") };
//! assert_eq!((head.method, head.path, head.authority), ("POST", &b"/orders"[..], "shop"));
//! assert_eq!(head.framing, Framing::Length(2));
//! assert_eq!(&bytes[consumed..], b"hi");
//! # Ok::<(), http1::Refusal>(())
//! ```

mod body;
pub(crate) mod bytes;
pub(crate) mod field;
pub(crate) mod framing;
pub(crate) mod hop;
pub mod limits;
mod refusal;
pub(crate) mod request;
mod response;
mod scan;
pub(crate) mod target;
mod websocket;

pub use body::{BodyReader, Step, write_chunk, write_last_chunk};
pub use field::Field;
pub use framing::Framing;
pub use refusal::Refusal;
pub use request::{Onward, RequestHead, parse_request, read_request, replace_authority};
pub use response::{Backward, ResponseHead, parse_response, read_response};
pub use scan::{Scanned, Scanner};
pub use websocket::{WebSocketKey, opens_websocket};

/// What there is at the start of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// Not a whole head yet, and nothing wrong so far.
    Partial,
    /// A whole head.
    Complete {
        /// The head.
        head: T,
        /// How many bytes it took; what follows is the body.
        consumed: usize,
    },
}

/// The version a message was sent in. Versions other than these are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0: no chunked bodies, no interim responses, one request per connection.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        match bytes {
            b"HTTP/1.1" => Ok(Self::Http11),
            b"HTTP/1.0" => Ok(Self::Http10),
            _ => Err(Refusal::Version),
        }
    }
}
