//! DNS over TCP: messages behind a two-byte length (RFC 1035, 4.2.2).

/// Longest query, in bytes, that is read from a stream. No honest question comes near it; a longer one ends the
/// connection.
pub const QUERY_MAX: usize = 4096;

/// What the start of a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// Not a whole message yet.
    Partial,
    /// One message, without its length.
    Message {
        /// Its bytes.
        message: &'a [u8],
        /// How many bytes of the stream it took, length included.
        consumed: usize,
    },
    /// Announces more than [`QUERY_MAX`] bytes, or none: the connection should be closed.
    Oversized,
}

/// Cuts the first message from `bytes`, the unread part of a stream.
pub fn next_message(bytes: &[u8]) -> Next<'_> {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else {
        return Next::Partial;
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length == 0 || length > QUERY_MAX {
        return Next::Oversized;
    }
    match rest.get(..length) {
        Some(message) => Next::Message {
            message,
            consumed: 2 + length,
        },
        None => Next::Partial,
    }
}

/// Appends `message` with its length to `out`. Returns false, and appends nothing, when it is longer than 65,535 bytes.
#[must_use]
pub fn write_framed(message: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(message.len()) else {
        return false;
    };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    true
}
