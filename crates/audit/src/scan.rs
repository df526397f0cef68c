//! Walks the slots of one segment from a given place, without trusting a byte of it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::direct::{Direct, fill};
use crate::open::open_plain;
use crate::segment::{HEADER_LEN, Header, SLOT_LEN, SPAN_MAX, Word, span, void, void_leaf};
use crate::{LogError, Seq};

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;
/// How often a leaf whose checksum does not hold is read again: its writer's stores may be seen out of order.
const LOOKS: u32 = 3;

/// What stands at the scanner's place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A leaf. The scanner now stands behind it.
    Record(Seq, &'a [u8]),
    /// No slot is complete here yet. So many bytes are reserved for one.
    End {
        /// The whole slot.
        reserved: u64,
        /// Its leaf.
        length: usize,
    },
    /// The segment ends here: the next record, if any, is in another.
    Closed,
}

/// Reads forward from a place.
#[derive(Debug)]
pub(crate) struct Scanner {
    file: File,
    /// Where everything is read that the disk is asked for.
    direct: Option<Direct>,
    path: PathBuf,
    header: Header,
    buffer: Vec<u8>,
    /// Where in `buffer` the next slot starts.
    start: usize,
    /// Where in the file `buffer[start]` comes from.
    offset: u64,
    next: Seq,
}

impl Scanner {
    /// Stands at the first slot of the segment `path`, whose name says that it begins with `first`.
    pub(crate) fn open(path: &Path, first: Seq) -> Result<Self, LogError> {
        let file = open_plain(path).map_err(LogError::at(path))?;
        let scanner = Self::new(file, path)?;
        if scanner.header().first != first {
            return Err(scanner.corrupt("a header with another number than its name"));
        }
        Ok(scanner)
    }

    /// Stands at the first slot of `file`. `path` is for messages.
    pub(crate) fn new(file: File, path: &Path) -> Result<Self, LogError> {
        let mut bytes = [0; HEADER_LEN];
        let read = fill(&file, &mut bytes, 0).map_err(LogError::at(path))?;
        let header = Header::decode(&bytes[..read]).map_err(|what| LogError::Corrupt {
            path: path.to_owned(),
            seq: 0,
            byte: 0,
            what: what.to_owned(),
        })?;
        Ok(Self {
            file,
            direct: None,
            path: path.to_owned(),
            header,
            buffer: Vec::new(),
            start: 0,
            offset: HEADER_LEN as u64,
            next: header.first,
        })
    }

    /// The same, and reads what the disk has instead of what memory has. `None`: that cannot be had here.
    pub(crate) fn direct(file: File, path: &Path) -> Result<Option<Self>, LogError> {
        let direct = Direct::open(path, &file).map_err(LogError::at(path))?;
        let Some(direct) = direct else {
            return Ok(None);
        };
        let mut scanner = Self::new(file, path)?;
        scanner.direct = Some(direct);
        Ok(Some(scanner))
    }

    /// What the segment says of itself.
    pub(crate) fn header(&self) -> Header {
        self.header
    }

    /// Where the next slot starts, and its number.
    pub(crate) fn place(&self) -> (u64, Seq) {
        (self.offset, self.next)
    }

    /// Goes to a place that [`Scanner::place`] gave for this file.
    pub(crate) fn go_to(&mut self, offset: u64, next: Seq) {
        self.forget();
        self.offset = offset;
        self.next = next;
    }

    /// The file that is read, and its name.
    pub(crate) fn file(&self) -> (&File, &Path) {
        (&self.file, &self.path)
    }

    /// What stands here. Nothing of an unfinished slot is kept: it is read anew on the next step.
    pub(crate) fn step(&mut self) -> Result<Step<'_>, LogError> {
        let mut looks = 0;
        loop {
            match self.word()? {
                Word::Empty => {
                    return Ok(Step::End {
                        reserved: 0,
                        length: 0,
                    });
                }
                Word::Reserved(length) => {
                    return Ok(Step::End {
                        reserved: span(length) as u64,
                        length,
                    });
                }
                Word::End => return Ok(Step::Closed),
                Word::Void(length) => {
                    if self.u32_at(4) != void(length).1 {
                        return Err(self.corrupt("a void record whose checksum does not hold"));
                    }
                    let seq = self.pass(span(length))?;
                    return Ok(Step::Record(seq, void_leaf()));
                }
                Word::Complete(length) => {
                    let whole = span(length);
                    if self.offset + whole as u64 > self.header.length {
                        return Err(self.corrupt("a record that goes on past its segment"));
                    }
                    if !self.have(whole)? {
                        return Err(self.corrupt("the file ends before its segment does"));
                    }
                    let from = self.start + SLOT_LEN;
                    let sum = self.u32_at(4);
                    let padded = &self.buffer[from + length..self.start + whole];
                    if crc32c::crc32c(&self.buffer[from..from + length]) != sum
                        || padded.iter().any(|byte| *byte != 0)
                    {
                        looks += 1;
                        if looks == LOOKS {
                            return Err(self.corrupt("a record whose checksum does not hold"));
                        }
                        std::thread::sleep(Duration::from_millis(1));
                        self.forget();
                        continue;
                    }
                    let seq = self.pass(whole)?;
                    return Ok(Step::Record(seq, &self.buffer[from..from + length]));
                }
                Word::Impossible => return Err(self.corrupt("bytes that begin no record")),
            }
        }
    }

    /// The word that stands here; [`Word::End`] also where no slot fits any more.
    pub(crate) fn word(&mut self) -> Result<Word, LogError> {
        if self.offset + SLOT_LEN as u64 > self.header.length {
            return Ok(Word::End);
        }
        if self.buffer.len() - self.start >= SLOT_LEN {
            let word = Word::decode(self.u32_at(0));
            if !word.is_pending() {
                return Ok(word);
            }
        }
        // What was read ahead may be old by now; and whoever waits for a record needs no more of the file than its word.
        self.forget();
        let mut slot = [0; SLOT_LEN];
        let read = self
            .fill(&mut slot, self.offset)
            .map_err(self.unreadable())?;
        if read < SLOT_LEN {
            return Err(self.corrupt("the file ends before its segment does"));
        }
        let word = Word::decode(u32::from_le_bytes([slot[0], slot[1], slot[2], slot[3]]));
        if word.is_pending() || self.have(SLOT_LEN)? {
            return Ok(word);
        }
        Err(self.corrupt("the file ends before its segment does"))
    }

    /// Whether everything from here to the end of the segment is zero: what was never written.
    pub(crate) fn untouched(&self) -> Result<bool, LogError> {
        let (mut chunk, zeros) = (vec![0; CHUNK], vec![0; CHUNK]);
        let mut at = self.offset;
        while at < self.header.length {
            let read = self.fill(&mut chunk, at).map_err(self.unreadable())?;
            if chunk[..read] != zeros[..read] {
                return Ok(false);
            }
            if read < chunk.len() {
                break;
            }
            at += read as u64;
        }
        Ok(true)
    }

    /// The same behind the word that ends the segment early, where the scanner stands.
    pub(crate) fn untouched_behind_end(&mut self) -> Result<bool, LogError> {
        let (offset, next) = self.place();
        self.go_to(offset + 4, next);
        let untouched = self.untouched();
        self.go_to(offset, next);
        untouched
    }

    /// Goes on behind a slot of `whole` bytes. Gives its number.
    fn pass(&mut self, whole: usize) -> Result<Seq, LogError> {
        if self.offset + whole as u64 > self.header.length {
            return Err(self.corrupt("a record that goes on past its segment"));
        }
        let seq = self.next;
        let Some(next) = seq.0.checked_add(1) else {
            return Err(self.corrupt("a number beyond all numbers"));
        };
        // Of a void slot not all may have been read.
        if self.buffer.len() - self.start < whole {
            self.forget();
        } else {
            self.start += whole;
        }
        self.offset += whole as u64;
        self.next = Seq(next);
        Ok(seq)
    }

    fn u32_at(&self, at: usize) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.buffer[self.start + at..self.start + at + 4]);
        u32::from_le_bytes(word)
    }

    /// Makes sure that the buffer holds `bytes` from here on. `false`: the file ends before.
    fn have(&mut self, bytes: usize) -> Result<bool, LogError> {
        debug_assert!(bytes <= SPAN_MAX);
        if self.buffer.len() - self.start >= bytes {
            return Ok(true);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let mut buffer = std::mem::take(&mut self.buffer);
        let held = buffer.len();
        buffer.resize(held + CHUNK, 0);
        let read = self.fill(&mut buffer[held..], self.offset + held as u64);
        self.buffer = buffer;
        self.buffer
            .truncate(held + read.as_ref().copied().unwrap_or(0));
        read.map_err(self.unreadable())?;
        Ok(self.buffer.len() >= bytes)
    }

    fn fill(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.direct {
            Some(direct) => direct.read(into, offset),
            None => fill(&self.file, into, offset),
        }
    }

    fn forget(&mut self) {
        self.buffer.clear();
        self.start = 0;
    }

    fn unreadable(&self) -> impl Fn(io::Error) -> LogError + use<> {
        LogError::at(&self.path)
    }

    /// An error about the record at the scanner's place. The scanner stays there.
    pub(crate) fn corrupt(&self, what: &str) -> LogError {
        LogError::Corrupt {
            path: self.path.clone(),
            seq: self.next.0,
            byte: self.offset,
            what: what.to_owned(),
        }
    }
}
