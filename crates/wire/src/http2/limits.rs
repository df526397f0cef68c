//! The bounds of what is read. Reaching one is a [`super::Refusal`] or a [`super::Violation`], never a cut.

/// Bytes of the payload of a frame: the smallest bound that the protocol allows, and the one it begins with. Beyond:
/// `FRAME_SIZE_ERROR`, closed.
pub const FRAME_MAX: usize = 16_384;
/// Bytes of a header list: names, values and 32 for each field. Beyond: 431 (an answer: 502).
pub const HEADER_LIST_MAX: usize = 64 * 1024;
/// Bytes of a header block as it comes, all its frames together. Beyond: `ENHANCE_YOUR_CALM`, closed.
pub const BLOCK_MAX: usize = 64 * 1024;
/// CONTINUATION frames of one header block. One more: `ENHANCE_YOUR_CALM`, closed.
pub const CONTINUATIONS_MAX: u32 = 16;
/// Bytes of the table that a peer may fill, by the count of RFC 7541 (4.1): what the protocol begins with. One that asks
/// for more: `COMPRESSION_ERROR`, closed.
pub const TABLE_MAX: usize = 4096;
/// Entries of one SETTINGS frame. One more: `ENHANCE_YOUR_CALM`, closed.
pub const SETTINGS_MAX: usize = 32;
/// The largest window (RFC 9113, 6.9.1). Beyond: `FLOW_CONTROL_ERROR`, closed.
pub const WINDOW_MAX: u32 = 2_147_483_647;
