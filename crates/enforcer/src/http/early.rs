//! A body that is read before its request is decided, because a condition asks for it. Only what comes of it is sent.

use ringfence_wire::http1::{BodyReader, Framing, Refusal, Step, write_chunk};

use super::gate::Said;
use super::limits::EARLY_MAX;

/// What has been read of a body, without its framing.
#[derive(Debug)]
pub(super) struct Early {
    framing: Framing,
    reader: BodyReader,
    data: Vec<u8>,
    too_long: bool,
}

impl Early {
    /// Nothing yet. One that announces too much is too long without a byte of it.
    pub(super) fn new(framing: Framing) -> Self {
        let announced = match framing {
            Framing::Length(length) => length,
            Framing::None | Framing::Chunked | Framing::UntilClose => 0,
        };
        Self {
            framing,
            reader: BodyReader::new(framing),
            data: Vec::new(),
            too_long: announced > EARLY_MAX as u64,
        }
    }

    /// Whether there is nothing more to read before the decision.
    pub(super) fn is_done(&self) -> bool {
        self.too_long || self.reader.is_complete()
    }

    /// Takes from the front of `input` what belongs to the body, up to the bound; gives the number of bytes taken.
    pub(super) fn take(&mut self, mut input: &[u8]) -> Result<usize, Refusal> {
        let before = input.len();
        while !self.is_done() {
            // One byte over the bound tells that there is more, and is kept with the rest.
            let room = (EARLY_MAX + 1).saturating_sub(self.data.len());
            let (mut here, rest) = input.split_at(room.min(input.len()));
            let offered = here.len();
            let step = self.reader.next(&mut here)?;
            if let Step::Data(data) = step {
                self.data.extend_from_slice(data);
                self.too_long = self.data.len() > EARLY_MAX;
            }
            input = &input[offered - here.len()..];
            if step == Step::Partial && rest.is_empty() {
                break;
            }
        }
        Ok(before - input.len())
    }

    /// For the decision.
    pub(super) fn said(&self) -> Said<'_> {
        if self.too_long {
            Said::TooLong
        } else {
            Said::Whole(&self.data)
        }
    }

    /// How the request goes on: one that was read whole has a length.
    pub(super) fn framing(&self) -> Framing {
        if self.too_long {
            self.framing
        } else {
            Framing::Length(self.data.len() as u64)
        }
    }

    /// Whether bytes of it have been taken from the client.
    pub(super) fn has_begun(&self) -> bool {
        self.reader.is_complete() || !self.data.is_empty()
    }

    /// Whether all of it has been taken from the client.
    pub(super) fn is_whole(&self) -> bool {
        self.reader.is_complete()
    }

    /// Puts what has been read behind its head; gives the reader of the rest.
    pub(super) fn append_to(self, head: &mut Vec<u8>) -> BodyReader {
        if self.too_long && self.framing == Framing::Chunked {
            write_chunk(&self.data, head);
        } else {
            head.extend_from_slice(&self.data);
        }
        self.reader
    }
}
