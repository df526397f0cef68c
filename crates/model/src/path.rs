//! The one canonical form of an HTTP path: what policy compares is what is sent on.
//!
//! Escapes of unreserved characters (RFC 3986, 2.3) are decoded, all others are upper-case hex, and characters that may
//! not stand raw in a path (`"<>[]^{|}` and the back-tick) are escaped. Case, `*`, sub-delimiters and the one trailing
//! slash are kept. Everything two servers could read differently is refused, see [`PathError`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest path, in bytes, as it comes in and in canonical form. A longer one is refused ([`PathError::TooLong`]).
pub const PATH_MAX: usize = 8 * 1024;

/// How often a segment is decoded in search of dots, for a service that accepts escapes of escapes. Deeper ones are
/// refused ([`PathError::DoubleEscape`]): 8 KiB of them would be decoded thousands of times.
const DECODINGS_MAX: usize = 4;

/// A path (without query) in canonical form, as bytes of printable ASCII starting with `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath(String);

/// Path forms a service accepts that are otherwise refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowances {
    /// `%2F` within a segment.
    pub encoded_slash: bool,
    /// `%5C` within a segment.
    pub encoded_backslash: bool,
    /// `//`.
    pub empty_segment: bool,
    /// `;`.
    pub semicolon: bool,
    /// Bytes above 0x7F, sent on escaped.
    pub raw_non_ascii: bool,
    /// `%25` before two hex digits.
    pub double_escape: bool,
    /// Bytes above 0x7F that are no UTF-8.
    pub not_utf8: bool,
}

impl Allowances {
    /// Every form that a service can opt in to.
    pub const ALL: Self = Self {
        encoded_slash: true,
        encoded_backslash: true,
        empty_segment: true,
        semicolon: true,
        raw_non_ascii: true,
        double_escape: true,
        not_utf8: true,
    };
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Does not start with `/`.
    #[error("the path does not start with /")]
    NotAbsolute,
    /// Byte below 0x20 or 0x7F, raw or escaped; or a raw space.
    #[error("the path holds a control byte or a space")]
    ControlByte,
    /// `\`.
    #[error("the path holds a backslash")]
    Backslash,
    /// `%2F`.
    #[error("the path holds an encoded slash")]
    EncodedSlash,
    /// `%5C`.
    #[error("the path holds an encoded backslash")]
    EncodedBackslash,
    /// `.` or `..`, raw or escaped.
    #[error("the path holds a dot segment")]
    DotSegment,
    /// `//`.
    #[error("the path holds an empty segment")]
    EmptySegment,
    /// `;`, raw or escaped.
    #[error("the path holds a semicolon")]
    Semicolon,
    /// `%` without two hex digits.
    #[error("the path holds a broken escape")]
    BrokenEscape,
    /// A raw byte above 0x7F.
    #[error("the path holds a byte above 0x7F that is not escaped")]
    RawNonAscii,
    /// `%25` before two hex digits: another path to a server that decodes twice.
    #[error("the path holds an escape of an escape")]
    DoubleEscape,
    /// Overlong forms, surrogates and other encodings: some servers make `.` of `%C0%AE`.
    #[error("the path holds bytes that are no UTF-8")]
    NotUtf8,
    /// `?` or `#`.
    #[error("the path holds a query or a fragment")]
    NotAPath,
    /// Over [`PATH_MAX`].
    #[error("the path is longer than {PATH_MAX} bytes")]
    TooLong,
}

impl PathError {
    /// What to do about it, for the person who writes policy or a request.
    pub fn help(self) -> &'static str {
        match self {
            Self::NotAbsolute => "start the path with /",
            Self::ControlByte => "write a space as %20; control bytes are never accepted",
            Self::Backslash => "use / between segments",
            Self::EncodedSlash => "let the service say `paths: {accept: [encoded-slash]}`",
            Self::EncodedBackslash => "let the service say `paths: {accept: [encoded-backslash]}`",
            Self::DotSegment => "write the path that the dots lead to",
            Self::EmptySegment => {
                "write one slash, or let the service say `paths: {accept: [empty-segment]}`"
            }
            Self::Semicolon => "let the service say `paths: {accept: [semicolon]}`",
            Self::BrokenEscape => "follow % by two hex digits; a percent sign itself is %25",
            Self::RawNonAscii => {
                "escape it as UTF-8 (ä is %C3%A4), or let the service say `paths: {accept: [raw-non-ascii]}`"
            }
            Self::DoubleEscape => {
                "escape once, or let the service say `paths: {accept: [double-escape]}`"
            }
            Self::NotUtf8 => {
                "escape it as UTF-8 (ä is %C3%A4), or let the service say `paths: {accept: [not-utf-8]}`"
            }
            Self::NotAPath => "leave out ? and #: the query is not part of an operation",
            Self::TooLong => "shorten it",
        }
    }
}

/// May stand for itself in every spelling (RFC 3986, 2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// May stand raw in a path: unreserved, sub-delimiters, `:` and `@` (RFC 3986, `pchar`).
fn may_stand_raw(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
        )
}

fn push_escape(out: &mut String, byte: u8) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    out.push('%');
    out.push(HEX[usize::from(byte >> 4)]);
    out.push(HEX[usize::from(byte & 15)]);
}

fn unhex(digit: Option<&u8>) -> Option<u8> {
    char::from(*digit?).to_digit(16).map(|value| value as u8)
}

/// With each escape decoded, once; what is none stays.
fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escape = match byte {
            b'%' => unhex(after.first()).zip(unhex(after.get(1))),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = &after[2..];
            }
            None => out.push(byte),
        }
    }
    out
}

/// Whether a segment is `.` or `..` for some reader: after its parameters are cut (`..;x`), after an accepted `%2F` or
/// `%5C` is decoded (`..%2Fx`), or after it is decoded more than once. Nobody decodes without end, so neither do we: what
/// is not plain after [`DECODINGS_MAX`] times is refused.
fn refuse_dots(segment: &str) -> Result<(), PathError> {
    if !segment.contains('.') && !segment.contains("%25") {
        return Ok(());
    }
    let mut level = decode(segment.as_bytes());
    for _ in 0..DECODINGS_MAX {
        if level
            .split(|byte| matches!(byte, b'/' | b'\\' | b';'))
            .any(|piece| piece == b"." || piece == b"..")
        {
            return Err(PathError::DotSegment);
        }
        let deeper = decode(&level);
        if deeper == level {
            return Ok(());
        }
        level = deeper;
    }
    Err(PathError::DoubleEscape)
}

/// Whether an escaped percent sign makes an escape of what follows, to a reader that decodes twice.
fn holds_double_escape(segment: &str) -> bool {
    segment.match_indices("%25").any(|(at, _)| {
        let behind = segment.as_bytes().get(at + 3..).unwrap_or_default();
        unhex(behind.first()).and(unhex(behind.get(1))).is_some()
    })
}

impl CanonicalPath {
    /// Brings `raw` (a path without query) to canonical form, or refuses it.
    ///
    /// Idempotent: the canonical form of a canonical form is itself, under the same allowances.
    pub fn new(raw: &[u8], allowances: Allowances) -> Result<Self, PathError> {
        if raw.len() > PATH_MAX {
            return Err(PathError::TooLong);
        }
        let Some((b'/', mut rest)) = raw.split_first() else {
            return Err(PathError::NotAbsolute);
        };
        let mut out = String::with_capacity(raw.len());
        out.push('/');
        let mut segment = 1;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'/' => {
                    end_segment(&out[segment..], true, allowances)?;
                    out.push('/');
                    segment = out.len();
                }
                b'%' => {
                    let (Some(high), Some(low)) = (unhex(rest.first()), unhex(rest.get(1))) else {
                        return Err(PathError::BrokenEscape);
                    };
                    rest = &rest[2..];
                    match high << 4 | low {
                        0..=0x1F | 0x7F => return Err(PathError::ControlByte),
                        b'/' if !allowances.encoded_slash => return Err(PathError::EncodedSlash),
                        b'\\' if !allowances.encoded_backslash => {
                            return Err(PathError::EncodedBackslash);
                        }
                        b';' if !allowances.semicolon => return Err(PathError::Semicolon),
                        byte if is_unreserved(byte) => out.push(char::from(byte)),
                        byte => push_escape(&mut out, byte),
                    }
                }
                0..=0x20 | 0x7F => return Err(PathError::ControlByte),
                b'?' | b'#' => return Err(PathError::NotAPath),
                b'\\' => return Err(PathError::Backslash),
                b';' if !allowances.semicolon => return Err(PathError::Semicolon),
                0x80.. if !allowances.raw_non_ascii => return Err(PathError::RawNonAscii),
                byte if may_stand_raw(byte) => out.push(char::from(byte)),
                byte => push_escape(&mut out, byte),
            }
        }
        end_segment(&out[segment..], false, allowances)?;
        if out.len() > PATH_MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self(out))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path as a server reads it that decodes the escapes of `:`, `@` and sub-delimiters too, as most do; `None` if
    /// it has none of those. RFC 3986 (2.2) tells such spellings apart, so this is for comparing only, never for sending.
    pub fn plain(&self) -> Option<Self> {
        plain(&self.0).map(Self)
    }

    /// What stands between the slashes; a trailing slash gives a last, empty one. `/` is one empty segment.
    pub fn segments(&self) -> std::str::Split<'_, char> {
        self.0[1..].split('/')
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `text`, of a path in canonical form, with the escapes of all decoded that may stand raw; `None` if it has none.
pub fn plain(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        let (escape, after) = escape.split_at_checked(3).unwrap_or((escape, ""));
        out.push_str(before);
        match escape
            .get(1..)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            Some(byte) if may_stand_raw(byte) => out.push(char::from(byte)),
            _ => out.push_str(escape),
        }
        rest = after;
    }
    out.push_str(rest);
    (out != text).then_some(out)
}

/// Checks one finished segment; `more` when a slash follows it.
fn end_segment(segment: &str, more: bool, allowances: Allowances) -> Result<(), PathError> {
    if segment.is_empty() && more && !allowances.empty_segment {
        return Err(PathError::EmptySegment);
    }
    if !allowances.double_escape && holds_double_escape(segment) {
        return Err(PathError::DoubleEscape);
    }
    refuse_dots(segment)?;
    if !allowances.not_utf8
        && segment.contains('%')
        && std::str::from_utf8(&decode(segment.as_bytes())).is_err()
    {
        return Err(PathError::NotUtf8);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
