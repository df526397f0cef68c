//! The bounds of what is read. Reaching one is a [`super::Refusal`], never a cut.

/// Bytes of a head, request or response, with its empty line. Beyond: 431 (a response: 502).
pub const HEAD_MAX: usize = 64 * 1024;
/// Bytes of a request target (path and query, or absolute form). Beyond: 414.
pub const TARGET_MAX: usize = 16 * 1024;
/// Bytes of a method. Beyond: 400.
pub const METHOD_MAX: usize = 32;
/// Fields of a head. Beyond: 431 (a response: 502).
pub const FIELDS_MAX: usize = 100;
/// Fields of a request as it is sent on, with those that we write. Python's `http.server` takes no more, other servers
/// one or two more. Beyond: 431.
pub const SENT_FIELDS_MAX: usize = 99;
/// Bytes of an authority (`host:port`). Beyond: 400.
pub const AUTHORITY_MAX: usize = 261;
/// Bytes of the extensions of one chunk; they are checked, then dropped. Beyond: the message is refused.
pub const CHUNK_EXTENSION_MAX: usize = 256;
/// Bytes of all chunk extensions of one body. Beyond: the message is refused.
pub const CHUNK_EXTENSIONS_MAX: usize = 16 * 1024;
/// Hex digits of a chunk size, leading zeros included. Beyond: the message is refused.
pub const CHUNK_DIGITS_MAX: u8 = 16;
/// Bytes of the trailer section of one body. Beyond: the message is refused.
pub const TRAILERS_MAX: usize = 8 * 1024;
