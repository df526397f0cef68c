//! Finding where a head ends, byte by byte as it arrives.

use super::Refusal;
use super::bytes::is_control;
use super::limits::HEAD_MAX;

/// What every response starts with.
const RESPONSE_START: &[u8] = b"HTTP/";

/// Looks for the end of a head in a growing buffer, and refuses unsound line ends and control bytes as soon as they
/// are there. Every byte is looked at once, however the head is cut up.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    scanned: usize,
    lines: LineEnds,
    response: bool,
}

/// The bytes of a head up to and with its empty line, in which every CR is followed by LF, every LF preceded by CR,
/// and no other control byte but HTAB occurs. Only a [`Scanner`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Scanned<'a>(&'a [u8]);

impl<'a> Scanned<'a> {
    /// How many bytes the head takes, its empty line included.
    #[allow(clippy::len_without_is_empty, reason = "a head is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The lines before the empty one, without their ends.
    pub(super) fn lines(self) -> Lines<'a> {
        Lines(self.0)
    }

    /// For trailer sections, which are scanned as they are collected.
    pub(super) fn collected(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl Scanner {
    /// At the start of a request head.
    pub fn new() -> Self {
        Self::default()
    }

    /// At the start of a response head. A service that speaks another protocol is found out by its first bytes, not
    /// waited for until its head is complete.
    pub fn response() -> Self {
        Self {
            response: true,
            ..Self::default()
        }
    }

    /// Looks on. `bytes` is the whole buffer from the start of the head: what was given before, and more.
    /// `None` means that the end is not there yet.
    pub fn find<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Scanned<'a>>, Refusal> {
        let window = bytes.get(..HEAD_MAX).unwrap_or(bytes);
        while let Some(&byte) = window.get(self.scanned) {
            if self.response
                && RESPONSE_START
                    .get(self.scanned)
                    .is_some_and(|&due| due != byte)
            {
                return Err(Refusal::StatusLine);
            }
            self.scanned += 1;
            match self.lines.push(byte)? {
                Some(Line::Empty { first: true }) => return Err(Refusal::LeadingEmptyLine),
                Some(Line::Empty { first: false }) => {
                    return Ok(window.get(..self.scanned).map(Scanned));
                }
                Some(Line::Full) => {}
                None if self.scanned >= RESPONSE_START.len() => {
                    let rest = window.get(self.scanned..).unwrap_or_default();
                    self.scanned += self.lines.pass_over(rest);
                }
                None => {}
            }
        }
        if bytes.len() >= HEAD_MAX {
            Err(Refusal::HeadTooLong)
        } else {
            Ok(None)
        }
    }
}

/// A line that has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// One with something in it.
    Full,
    /// An empty one.
    Empty {
        /// No line came before it.
        first: bool,
    },
}

/// Follows line ends through a stream of bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct LineEnds {
    after_cr: bool,
    in_line: bool,
    any: bool,
}

impl LineEnds {
    /// Takes the bytes at the start of `bytes` that cannot matter to it: within a line, all up to the next control byte. Gives
    /// their number.
    fn pass_over(&self, bytes: &[u8]) -> usize {
        if self.after_cr || !self.in_line {
            return 0;
        }
        let end = bytes.iter().position(u8::is_ascii_control);
        end.unwrap_or(bytes.len())
    }

    /// Takes the next byte; says so when it ends a line.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<Line>, Refusal> {
        match (byte, self.after_cr) {
            (b'\n', true) => {
                let line = if self.in_line {
                    Line::Full
                } else {
                    Line::Empty { first: !self.any }
                };
                *self = Self {
                    after_cr: false,
                    in_line: false,
                    any: true,
                };
                return Ok(Some(line));
            }
            (_, true) => return Err(Refusal::BareCr),
            (b'\n', false) => return Err(Refusal::BareLf),
            (b'\r', false) => self.after_cr = true,
            (byte, false) if is_control(byte) => return Err(Refusal::ControlByte),
            (_, false) => self.in_line = true,
        }
        Ok(None)
    }
}

/// Iterator over the lines of a head, without their ends and without the empty one.
#[derive(Clone, Debug)]
pub(super) struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr::memchr(b'\r', self.0)?;
        let (line, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(2..).unwrap_or_default();
        (!line.is_empty()).then_some(line)
    }
}
