//! A header block that comes in several frames.

use super::Violation;
use super::limits::{BLOCK_MAX, CONTINUATIONS_MAX};

/// What has come of a block whose end is still missing. No other frame may come on the connection meanwhile.
#[derive(Debug)]
pub struct Block {
    /// Whose it is.
    pub stream: u32,
    /// Whether the stream ends with it.
    pub end: bool,
    bytes: Vec<u8>,
    continuations: u32,
}

impl Block {
    /// Begins with the fragment of a HEADERS frame.
    pub fn begin(stream: u32, end: bool, fragment: &[u8]) -> Self {
        Self {
            stream,
            end,
            bytes: fragment.to_vec(),
            continuations: 0,
        }
    }

    /// Goes on with the fragment of a CONTINUATION frame on `stream`.
    pub fn extend(&mut self, stream: u32, fragment: &[u8]) -> Result<(), Violation> {
        if stream != self.stream {
            return Err(Violation::Interrupted);
        }
        self.continuations += 1;
        if self.continuations > CONTINUATIONS_MAX || self.bytes.len() + fragment.len() > BLOCK_MAX {
            return Err(Violation::EndlessBlock);
        }
        self.bytes.extend_from_slice(fragment);
        Ok(())
    }

    /// All that has come.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
