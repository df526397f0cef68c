//! Bodies: data out of any framing, and back into the canonical one.

use super::field::parse_fields;
use super::hop::may_trail;
use super::limits::{CHUNK_DIGITS_MAX, CHUNK_EXTENSION_MAX, CHUNK_EXTENSIONS_MAX, TRAILERS_MAX};
use super::scan::{Line, LineEnds, Scanned};
use super::{Framing, Refusal};

/// Reads one body, in whatever pieces it arrives.
///
/// Chunk extensions are checked and dropped; trailers are checked, those that could be taken for something of the head
/// are dropped, and the rest are kept in canonical form.
#[derive(Clone, Debug)]
pub struct BodyReader {
    state: State,
    extensions: usize,
    trailers: Vec<u8>,
}

/// What the next bytes of a body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// All input is used up, and the body goes on.
    Partial,
    /// Data of the body; never empty.
    Data(&'a [u8]),
    /// The body is complete. What is left of the input belongs to the next message.
    End,
}

#[derive(Clone, Debug)]
enum State {
    /// Data of known length.
    Length(u64),
    /// Data until the end of input.
    UntilClose,
    /// In a chunk's size line, before its extensions.
    Size { value: u64, digits: u8 },
    /// In a chunk's extensions.
    Extension { size: u64, length: usize },
    /// After the CR of a size line.
    SizeEnd { size: u64 },
    /// In a chunk's data.
    Chunk { left: u64 },
    /// After a chunk's data; `cr` once that is there.
    ChunkEnd { cr: bool },
    /// In the trailer section.
    Trailers { raw: Vec<u8>, lines: LineEnds },
    /// Complete.
    End,
}

impl BodyReader {
    /// At the start of a body.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::End,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size {
                value: 0,
                digits: 0,
            },
            Framing::UntilClose => State::UntilClose,
        };
        Self {
            state,
            extensions: 0,
            trailers: Vec::new(),
        }
    }

    /// Whether the body is complete.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// The trailers that go on, as field lines with their ends; empty before [`Step::End`].
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// The peer will send nothing more. Fine where that is how the body ends, or where it has ended.
    pub fn end_of_input(&mut self) -> Result<(), Refusal> {
        match self.state {
            State::UntilClose | State::End => {
                self.state = State::End;
                Ok(())
            }
            _ => Err(Refusal::Truncated),
        }
    }

    /// Takes bytes from the front of `input`. Call until it says [`Step::Partial`] or [`Step::End`]; after an error the
    /// connection is of no more use.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Step<'a>, Refusal> {
        loop {
            match &mut self.state {
                State::End => return Ok(Step::End),
                _ if input.is_empty() => return Ok(Step::Partial),
                State::UntilClose => return Ok(Step::Data(std::mem::take(input))),
                State::Length(left) => {
                    let data = take(input, left);
                    if *left == 0 {
                        self.state = State::End;
                    }
                    return Ok(Step::Data(data));
                }
                State::Chunk { left } => {
                    let data = take(input, left);
                    if *left == 0 {
                        self.state = State::ChunkEnd { cr: false };
                    }
                    return Ok(Step::Data(data));
                }
                _ => {
                    let (&byte, rest) = input.split_first().ok_or(Refusal::Truncated)?;
                    *input = rest;
                    self.push(byte)?;
                }
            }
        }
    }

    /// One byte of what surrounds the data.
    fn push(&mut self, byte: u8) -> Result<(), Refusal> {
        let next = match &mut self.state {
            State::Size { value, digits } => match (byte, *digits) {
                (b'\r', 1..) => State::SizeEnd { size: *value },
                (b';', 1..) => State::Extension {
                    size: *value,
                    length: 0,
                },
                (byte, digits) => State::Size {
                    value: shift_in(*value, byte, digits)?,
                    digits: digits + 1,
                },
            },
            State::Extension { size, length } => match byte {
                b'\r' => State::SizeEnd { size: *size },
                b' '..=b'~' | b'\t' | 0x80.. => {
                    self.extensions += 1;
                    if *length == CHUNK_EXTENSION_MAX || self.extensions > CHUNK_EXTENSIONS_MAX {
                        return Err(Refusal::ChunkExtension);
                    }
                    State::Extension {
                        size: *size,
                        length: *length + 1,
                    }
                }
                _ => return Err(Refusal::ChunkSize),
            },
            State::SizeEnd { size } => match (byte, *size) {
                (b'\n', 0) => State::Trailers {
                    raw: Vec::new(),
                    lines: LineEnds::default(),
                },
                (b'\n', size) => State::Chunk { left: size },
                _ => return Err(Refusal::ChunkSize),
            },
            State::ChunkEnd { cr } => match (byte, *cr) {
                (b'\r', false) => State::ChunkEnd { cr: true },
                (b'\n', true) => State::Size {
                    value: 0,
                    digits: 0,
                },
                _ => return Err(Refusal::ChunkEnd),
            },
            State::Trailers { raw, lines } => {
                if raw.len() == TRAILERS_MAX {
                    return Err(Refusal::TrailersTooLong);
                }
                raw.push(byte);
                if !matches!(lines.push(byte)?, Some(Line::Empty { .. })) {
                    return Ok(());
                }
                let raw = std::mem::take(raw);
                for field in parse_fields(Scanned::collected(&raw).lines())?
                    .iter()
                    .filter(|field| may_trail(field))
                {
                    field.write(&mut self.trailers);
                }
                State::End
            }
            State::Length(_) | State::UntilClose | State::Chunk { .. } | State::End => {
                return Ok(());
            }
        };
        self.state = next;
        Ok(())
    }
}

/// Up to `left` bytes from the front of `input`; lowers `left` by as many.
fn take<'a>(input: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let count = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(input.len());
    let (data, rest) = input.split_at(count);
    *input = rest;
    *left -= count as u64;
    data
}

fn shift_in(value: u64, byte: u8, digits: u8) -> Result<u64, Refusal> {
    let digit = char::from(byte).to_digit(16).ok_or(Refusal::ChunkSize)?;
    // Below 2^59 before the shift, so below 2^63 after it.
    if digits == CHUNK_DIGITS_MAX || value >= 1 << 59 {
        return Err(Refusal::ChunkSize);
    }
    Ok(value << 4 | u64::from(digit))
}

/// Appends `data` as one chunk. Nothing for no data: an empty chunk would end the body.
pub fn write_chunk(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body, with `trailers` as [`BodyReader::trailers`] gives them.
pub fn write_last_chunk(trailers: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}
