//! The bounds of what is read. Reaching one is a [`super::Refusal`], never a cut.

/// Bytes of a ClientHello with its header. The longest in use, with post-quantum key shares, take two KiB.
pub const HELLO_MAX: usize = 16 * 1024;
/// Records that one ClientHello is cut into.
pub const RECORDS_MAX: usize = 64;
/// Bytes of a server name.
pub const SERVER_NAME_MAX: usize = 253;
