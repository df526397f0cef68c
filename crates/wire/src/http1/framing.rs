//! How long a body is (RFC 9112, 6).

use super::bytes::could_be;
use super::{Field, Refusal, Version};

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// Chunks, then trailers.
    Chunked,
    /// All bytes until the connection closes. Only responses.
    UntilClose,
}

impl Framing {
    /// Whether any byte may follow the head.
    pub fn has_body(self) -> bool {
        !matches!(self, Framing::None | Framing::Length(0))
    }
}

/// Longest body that can be announced, so that no counter anywhere overflows.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// What the framing fields announce: [`Framing::Length`], [`Framing::Chunked`], or nothing.
pub(crate) fn announced(fields: &[Field<'_>], version: Version) -> Result<Framing, Refusal> {
    let mut length = None;
    let mut chunked = false;
    for field in fields {
        if field.is("content-length") {
            if length.is_some() {
                return Err(Refusal::ContentLengthRepeated);
            }
            length = Some(parse_length(field.value)?);
        } else if field.is("transfer-encoding") {
            if chunked
                || version == Version::Http10
                || !field.value.eq_ignore_ascii_case(b"chunked")
            {
                return Err(Refusal::TransferEncoding);
            }
            chunked = true;
        } else if could_be(field.name, "content-length")
            || could_be(field.name, "transfer-encoding")
        {
            return Err(Refusal::FramingLookalike);
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(Refusal::LengthAndEncoding),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, true) => Ok(Framing::Chunked),
        (None, false) => Ok(Framing::None),
    }
}

fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::ContentLength);
    }
    let length = value.iter().try_fold(0u64, |sum, digit| {
        sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    length
        .filter(|&length| length <= LENGTH_MAX)
        .ok_or(Refusal::ContentLength)
}

/// Appends the field that announces `framing`, if it needs one.
pub(crate) fn write_framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::Length(length) => {
            super::field::write_field("content-length", length.to_string().as_bytes(), out);
        }
        Framing::Chunked => super::field::write_field("transfer-encoding", b"chunked", out),
        Framing::None | Framing::UntilClose => {}
    }
}
