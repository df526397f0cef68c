//! Frames: their headers, what each kind must look like, and how ours are written (RFC 9113, 4 and 6).

use super::limits::{FRAME_MAX, SETTINGS_MAX, WINDOW_MAX};
use super::violation::{ErrorCode, Violation};

/// Bytes of a frame's header.
pub const FRAME_HEADER: usize = 9;

/// What a client sends first.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

/// One frame, its own rules checked: which stream it may name, how long it is, its padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A part of a body.
    Data {
        /// Not 0.
        stream: u32,
        /// Without its padding.
        data: &'a [u8],
        /// What it takes of the windows: with its padding.
        weight: u32,
        /// It is the last.
        end: bool,
    },
    /// The start of a header block.
    Headers {
        /// Not 0.
        stream: u32,
        /// Of the block.
        fragment: &'a [u8],
        /// Nothing else comes behind the block.
        end: bool,
        /// The block is whole.
        whole: bool,
    },
    /// A wish about order, which nobody heeds any more.
    Priority,
    /// The end of a stream, at once.
    Reset {
        /// Not 0.
        stream: u32,
        /// Why.
        code: u32,
    },
    /// What the other side wants.
    Settings(Settings),
    /// It has taken what we want.
    SettingsAck,
    /// To be sent back.
    Ping([u8; 8]),
    /// Ours, sent back.
    Pong,
    /// The other side begins nothing more.
    GoAway {
        /// Streams above this one were not looked at.
        last: u32,
        /// Why.
        code: u32,
    },
    /// More may be sent.
    Window {
        /// 0: on the connection.
        stream: u32,
        /// 1 or more.
        more: u32,
    },
    /// More of a header block.
    Continuation {
        /// Not 0.
        stream: u32,
        /// Of the block.
        fragment: &'a [u8],
        /// The block is whole.
        whole: bool,
    },
    /// Of a kind that is not known, to be passed over.
    Unknown,
}

/// What a SETTINGS frame changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether the sender takes pushed streams.
    pub push: Option<bool>,
    /// Streams that it bears at a time.
    pub streams: Option<u32>,
    /// Window of a stream towards it, in bytes: below 2^31.
    pub window: Option<u32>,
    /// Bytes of the payload of a frame to it: 2^14 to 2^24 - 1.
    pub frame: Option<u32>,
}

/// The first frame of `bytes`, and how many bytes it takes; `None`: it is not whole yet.
pub fn read_frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Violation> {
    let Some((header, rest)) = bytes.split_first_chunk::<FRAME_HEADER>() else {
        return Ok(None);
    };
    let [a, b, c, kind, flags, d, e, f, g] = *header;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    // The first bit is reserved, and not looked at (RFC 9113, 4.1).
    let stream = u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff;
    if length > FRAME_MAX {
        return Err(Violation::FrameSize);
    }
    shape(kind, flags, length, stream)?;
    let Some(payload) = rest.get(..length) else {
        return Ok(None);
    };
    let frame = parse(kind, flags, stream, payload)?;
    Ok(Some((frame, FRAME_HEADER + length)))
}

/// What can be told from the header alone, before the rest has come.
fn shape(kind: u8, flags: u8, length: usize, stream: u32) -> Result<(), Violation> {
    let on_stream = match kind {
        DATA | HEADERS | PRIORITY | RST_STREAM | CONTINUATION => Some(true),
        SETTINGS | PING | GOAWAY => Some(false),
        _ => None,
    };
    if on_stream.is_some_and(|on| on != (stream != 0)) {
        return Err(Violation::StreamId);
    }
    let sound = match kind {
        PRIORITY => length == 5,
        RST_STREAM | WINDOW_UPDATE => length == 4,
        SETTINGS if flags & ACK != 0 => length == 0,
        SETTINGS => length.is_multiple_of(6),
        PING => length == 8,
        GOAWAY => length >= 8,
        _ => true,
    };
    if !sound {
        return Err(Violation::FrameSize);
    }
    match kind {
        PUSH_PROMISE => Err(Violation::Push),
        SETTINGS if length / 6 > SETTINGS_MAX => Err(Violation::TooManySettings),
        _ => Ok(()),
    }
}

fn parse(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<Frame<'_>, Violation> {
    Ok(match kind {
        DATA => Frame::Data {
            stream,
            data: unpad(flags, payload)?,
            weight: payload.len() as u32,
            end: flags & END_STREAM != 0,
        },
        HEADERS => {
            let mut fragment = unpad(flags, payload)?;
            if flags & WITH_PRIORITY != 0 {
                let (priority, rest) = fragment.split_at_checked(5).ok_or(Violation::FrameSize)?;
                if word(priority) & 0x7fff_ffff == stream {
                    return Err(Violation::OwnParent);
                }
                fragment = rest;
            }
            Frame::Headers {
                stream,
                fragment,
                end: flags & END_STREAM != 0,
                whole: flags & END_HEADERS != 0,
            }
        }
        PRIORITY if word(payload) & 0x7fff_ffff == stream => return Err(Violation::OwnParent),
        PRIORITY => Frame::Priority,
        RST_STREAM => Frame::Reset {
            stream,
            code: word(payload),
        },
        SETTINGS if flags & ACK != 0 => Frame::SettingsAck,
        SETTINGS => Frame::Settings(Settings::parse(payload)?),
        PING => {
            let mut opaque = [0; 8];
            opaque.copy_from_slice(payload.get(..8).ok_or(Violation::FrameSize)?);
            if flags & ACK != 0 {
                Frame::Pong
            } else {
                Frame::Ping(opaque)
            }
        }
        GOAWAY => Frame::GoAway {
            last: word(payload) & 0x7fff_ffff,
            code: word(payload.get(4..).unwrap_or_default()),
        },
        WINDOW_UPDATE => match word(payload) & WINDOW_MAX {
            0 => return Err(Violation::EmptyWindowUpdate),
            more => Frame::Window { stream, more },
        },
        CONTINUATION => Frame::Continuation {
            stream,
            fragment: payload,
            whole: flags & END_HEADERS != 0,
        },
        _ => Frame::Unknown,
    })
}

/// The first four bytes.
fn word(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn unpad(flags: u8, payload: &[u8]) -> Result<&[u8], Violation> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(Violation::FrameSize)?;
    let length = rest.len().checked_sub(usize::from(padding));
    rest.get(..length.ok_or(Violation::Padding)?)
        .ok_or(Violation::Padding)
}

impl Settings {
    fn parse(payload: &[u8]) -> Result<Self, Violation> {
        let mut settings = Self::default();
        for entry in payload.chunks_exact(6) {
            let &[a, b, c, d, e, f] = entry else { continue };
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                2 => match value {
                    0 | 1 => settings.push = Some(value == 1),
                    _ => return Err(Violation::Setting),
                },
                3 => settings.streams = Some(value),
                4 if value > WINDOW_MAX => return Err(Violation::WindowTooLarge),
                4 => settings.window = Some(value),
                5 if !(16_384..1 << 24).contains(&value) => return Err(Violation::Setting),
                5 => settings.frame = Some(value),
                // The size of a table that we do not use, what is only advice, and what is not known.
                _ => {}
            }
        }
        Ok(settings)
    }
}

fn write_header(length: usize, kind: u8, flags: u8, stream: u32, out: &mut Vec<u8>) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
}

/// Appends a SETTINGS frame of `(identifier, value)`.
pub fn write_settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    write_header(settings.len() * 6, SETTINGS, 0, 0, out);
    for (identifier, value) in settings {
        out.extend_from_slice(&identifier.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Identifiers of settings (RFC 9113, 6.5.2).
pub mod setting {
    /// Whether pushed streams are taken.
    pub const ENABLE_PUSH: u16 = 2;
    /// Streams at a time.
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    /// Window of a stream at its start.
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    /// Bytes of a header list.
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// Appends the acknowledgement of settings.
pub fn write_settings_ack(out: &mut Vec<u8>) {
    write_header(0, SETTINGS, ACK, 0, out);
}

/// Appends the answer to a PING.
pub fn write_pong(opaque: [u8; 8], out: &mut Vec<u8>) {
    write_header(8, PING, ACK, 0, out);
    out.extend_from_slice(&opaque);
}

/// Appends a GOAWAY frame.
pub fn write_goaway(last: u32, code: ErrorCode, out: &mut Vec<u8>) {
    write_header(8, GOAWAY, 0, 0, out);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&(code as u32).to_be_bytes());
}

/// Appends a RST_STREAM frame.
pub fn write_reset(stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    write_header(4, RST_STREAM, 0, stream, out);
    out.extend_from_slice(&(code as u32).to_be_bytes());
}

/// Appends a WINDOW_UPDATE frame; `stream` 0 is the connection. `more` is 1 or more.
pub fn write_window(stream: u32, more: u32, out: &mut Vec<u8>) {
    write_header(4, WINDOW_UPDATE, 0, stream, out);
    out.extend_from_slice(&more.to_be_bytes());
}

/// Appends one DATA frame, without padding. `data` holds at most [`FRAME_MAX`] bytes.
pub fn write_data(stream: u32, data: &[u8], end: bool, out: &mut Vec<u8>) {
    let flags = if end { END_STREAM } else { 0 };
    write_header(data.len(), DATA, flags, stream, out);
    out.extend_from_slice(data);
}

/// Appends a whole header block, `start` and then `fields`, as one HEADERS frame and as many CONTINUATION frames as it
/// takes. `start` is short.
pub fn write_headers(stream: u32, start: &[u8], fields: &[u8], end: bool, out: &mut Vec<u8>) {
    let mut flags = if end { END_STREAM } else { 0 };
    let mut kind = HEADERS;
    let mut start = start;
    let mut rest = fields;
    loop {
        let (here, after) = rest.split_at(rest.len().min(FRAME_MAX - start.len()));
        rest = after;
        if rest.is_empty() {
            flags |= END_HEADERS;
        }
        write_header(start.len() + here.len(), kind, flags, stream, out);
        out.extend_from_slice(start);
        out.extend_from_slice(here);
        if rest.is_empty() {
            return;
        }
        (kind, flags, start) = (CONTINUATION, 0, &[]);
    }
}
