//! Walks the records of a log file from a given place, without trusting a byte of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::frame::{PREFIX_MAX, Prefix, RECORD_MAX, prefix};
use crate::shape::{Shape, shape};
use crate::{LogError, Seq};

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

/// What stands at the scanner's place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// The body of a whole record. The scanner now stands behind it.
    Record(Seq, &'a [u8]),
    /// Nothing more that is whole. So many bytes may become a record yet, or were cut off by a crash.
    End { unfinished: u64 },
}

/// Reads forward from a place. Keeps nothing of an unfinished record: it is read anew on the next step.
#[derive(Debug)]
pub(crate) struct Scanner {
    file: File,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Where in `buffer` the next record starts.
    start: usize,
    /// Where in the file `buffer[start]` comes from.
    offset: u64,
    next: Seq,
}

impl Scanner {
    /// Stands at the beginning of `file`. `path` is for messages.
    pub(crate) fn new(file: File, path: &Path) -> Self {
        Self {
            file,
            path: path.to_owned(),
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            next: Seq(0),
        }
    }

    /// Where the next record starts, and its number.
    pub(crate) fn place(&self) -> (u64, Seq) {
        (self.offset, self.next)
    }

    /// Goes to a place that [`Scanner::place`] gave for this file.
    pub(crate) fn go_to(&mut self, offset: u64, next: Seq) {
        self.forget();
        self.offset = offset;
        self.next = next;
    }

    /// The file that is read.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The next record, if it is there in whole.
    pub(crate) fn step(&mut self) -> Result<Step<'_>, LogError> {
        loop {
            match prefix(&self.buffer[self.start..]) {
                Prefix::Length { prefix, body } => {
                    let from = self.start + prefix;
                    if self.buffer.len() - from >= body {
                        match shape(&self.buffer[from..from + body]) {
                            Shape::Whole => {}
                            Shape::Beginning => {
                                return Err(self.corrupt("a field that ends past the record"));
                            }
                            Shape::Broken(what) => return Err(self.corrupt(what)),
                        }
                        let seq = self.next;
                        self.start = from + body;
                        self.offset += (prefix + body) as u64;
                        self.next = Seq(seq.0 + 1);
                        return Ok(Step::Record(seq, &self.buffer[from..from + body]));
                    }
                }
                Prefix::Unfinished => {}
                Prefix::Impossible(what) => {
                    return match self.zeros_to_the_end()? {
                        Some(unfinished) => {
                            self.forget();
                            Ok(Step::End { unfinished })
                        }
                        None => Err(self.corrupt(what)),
                    };
                }
            }
            if self.fill()? == 0 {
                let rest = &self.buffer[self.start..];
                if let Prefix::Length { prefix, .. } = prefix(rest)
                    && let Shape::Broken(what) = shape(&rest[prefix..])
                {
                    return Err(self.corrupt(what));
                }
                let unfinished = rest.len() as u64;
                self.forget();
                return Ok(Step::End { unfinished });
            }
        }
    }

    /// Reads on behind what the buffer holds. 0: the file ends there.
    fn fill(&mut self) -> Result<usize, LogError> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let held = self.buffer.len();
        debug_assert!(held <= PREFIX_MAX + RECORD_MAX);
        self.buffer.resize(held + CHUNK, 0);
        let read = read_at(
            &self.file,
            &mut self.buffer[held..],
            self.offset + held as u64,
        );
        self.buffer
            .truncate(held + read.as_ref().copied().unwrap_or(0));
        read.map_err(|cause| LogError::Open {
            path: self.path.clone(),
            cause,
        })
    }

    /// How many bytes there are from here on, when all of them are zero: what a power failure leaves of an append.
    fn zeros_to_the_end(&mut self) -> Result<Option<u64>, LogError> {
        let mut chunk = vec![0; CHUNK];
        let mut at = self.offset;
        loop {
            let read = read_at(&self.file, &mut chunk, at).map_err(|cause| LogError::Open {
                path: self.path.clone(),
                cause,
            })?;
            if chunk[..read].iter().any(|byte| *byte != 0) {
                return Ok(None);
            }
            if read == 0 {
                return Ok(Some(at - self.offset));
            }
            at += read as u64;
        }
    }

    fn forget(&mut self) {
        self.buffer.clear();
        self.start = 0;
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

fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(into, offset) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
