//! The bytes of a segment: one preallocated file of the log.
//!
//! ```text
//! 0   magic "RFFLOW" 0 1 · first sequence number u64 · created, ns u64 · length of the file u64 · CRC-32C of these u32 · zeros
//! 64  slot · slot · …                                                        (all numbers little-endian)
//!
//! slot: word u32 · CRC-32C of the leaf u32 · leaf · zeros to a multiple of 8
//! word: state << 16 | length of the leaf; 0: nothing yet
//! state: 0x0f reserved · 0x33 complete · 0x55 void (the checksum is that of the word) · 0x66 end of the segment
//! ```
//!
//! A slot is reserved before its leaf is copied and complete after it, so what a crash leaves reserved was never
//! acknowledged. Opening the log makes it *void*: its leaf is then the same for all such slots, [`void_leaf`].

use std::sync::OnceLock;

use prost::Message;
use ringfence_model::flow::{Flow, Kind};

use crate::{RECORD_MAX, Seq};

/// First bytes of a segment, with the version of its format.
pub const MAGIC: [u8; 8] = *b"RFFLOW\x00\x01";
/// Bytes before the first slot.
pub(crate) const HEADER_LEN: usize = 64;
/// Bytes of a slot before its leaf.
pub(crate) const SLOT_LEN: usize = 8;
/// Bytes of the largest slot.
pub(crate) const SPAN_MAX: usize = span(RECORD_MAX);
/// Bytes of the smallest slot.
pub(crate) const SPAN_MIN: usize = span(1);
/// Largest segment that is read.
pub(crate) const SEGMENT_MAX: u64 = 1024 * 1024 * 1024;

/// How the names of segments end.
pub(crate) const SUFFIX: &str = ".seg";

// States of a slot. No flipped bit, nor three, makes one of another, or of nothing.
const RESERVED: u32 = 0x0f;
const COMPLETE: u32 = 0x33;
const VOID: u32 = 0x55;
const END: u32 = 0x66;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) first: Seq,
    pub(crate) created_ns: u64,
    pub(crate) length: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.created_ns.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.length.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..32]);
        bytes[32..36].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err("a segment shorter than its header");
        };
        if bytes[..6] != MAGIC[..6] {
            return Err("no segment of a flow log");
        }
        if bytes[..8] != MAGIC {
            return Err("a segment of another version of the format");
        }
        let number = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let sum = crc32c::crc32c(&bytes[..32]).to_le_bytes();
        if bytes[32..36] != sum || bytes[36..].iter().any(|byte| *byte != 0) {
            return Err("a header whose checksum does not hold");
        }
        let header = Self {
            first: Seq(number(8)),
            created_ns: number(16),
            length: number(24),
        };
        if header.length > SEGMENT_MAX || header.length < (HEADER_LEN + SPAN_MIN) as u64 {
            return Err("a header with an impossible length");
        }
        Ok(header)
    }
}

/// What stands in the word of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Nothing yet.
    Empty,
    /// A leaf of so many bytes is on its way, or never came.
    Reserved(usize),
    /// A leaf of so many bytes.
    Complete(usize),
    /// Room for so many bytes that hold none; it stands for [`void_leaf`].
    Void(usize),
    /// The next record is in the next segment.
    End,
    /// None of ours.
    Impossible,
}

impl Word {
    pub(crate) fn encode(self) -> u32 {
        let (state, length) = match self {
            Word::Empty => (0, 0),
            Word::Reserved(length) => (RESERVED, length),
            Word::Complete(length) => (COMPLETE, length),
            Word::Void(length) => (VOID, length),
            Word::End => (END, 0),
            Word::Impossible => (u32::MAX >> 16, 0),
        };
        debug_assert!(length <= RECORD_MAX);
        state << 16 | length as u32
    }

    /// Whether a record may still come to stand here.
    pub(crate) fn is_pending(self) -> bool {
        matches!(self, Word::Empty | Word::Reserved(_))
    }

    pub(crate) fn decode(word: u32) -> Self {
        let length = (word & 0xffff) as usize;
        match (word >> 16, length) {
            (0, 0) => Word::Empty,
            (RESERVED, 1..) => Word::Reserved(length),
            (COMPLETE, 1..) => Word::Complete(length),
            (VOID, 1..) => Word::Void(length),
            (END, 0) => Word::End,
            _ => Word::Impossible,
        }
    }
}

/// What makes a slot void: its word, and the checksum of that.
pub(crate) fn void(length: usize) -> (u32, u32) {
    let word = Word::Void(length).encode();
    (word, crc32c::crc32c(&word.to_le_bytes()))
}

/// Bytes of a slot with a leaf of `length` bytes.
pub(crate) const fn span(length: usize) -> usize {
    (SLOT_LEN + length).next_multiple_of(8)
}

/// Name of the segment that begins with `first`.
pub(crate) fn name(first: Seq) -> String {
    format!("{:020}{SUFFIX}", first.0)
}

/// The number in the name of a segment; `None`: no segment's name.
pub(crate) fn first_of(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(SUFFIX)?;
    let wellformed = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    wellformed.then(|| digits.parse().ok().map(Seq)).flatten()
}

/// The leaf of every slot whose record was never acknowledged.
pub fn void_leaf() -> &'static [u8] {
    static LEAF: OnceLock<Vec<u8>> = OnceLock::new();
    LEAF.get_or_init(|| {
        Flow {
            schema: 1,
            kind: Kind::Void.into(),
            count: 1,
            reason:
                "its slot was reserved and never completed: what it was to describe did not happen"
                    .to_owned(),
            ..Flow::default()
        }
        .encode_to_vec()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_were_written_and_all_others_refused() {
        for word in [
            Word::Empty,
            Word::Reserved(1),
            Word::Complete(RECORD_MAX),
            Word::Void(77),
            Word::End,
        ] {
            assert_eq!(Word::decode(word.encode()), word);
        }
        for word in [
            1,
            0xf_0000,
            0x33_0000,
            0x55_0000,
            0x66_0001,
            0x1_0001,
            0x133_0001,
            u32::MAX,
        ] {
            assert_eq!(Word::decode(word), Word::Impossible, "{word:x}");
        }
    }

    #[test]
    fn every_changed_bit_of_a_header_is_seen() {
        let header = Header {
            first: Seq(9),
            created_ns: 8,
            length: 1 << 20,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for bit in 0..8 * HEADER_LEN {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&changed).is_err(), "bit {bit}");
        }
        for cut in 0..HEADER_LEN {
            assert!(Header::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn names_sort_as_their_records_do() {
        assert_eq!(name(Seq(42)), "00000000000000000042.seg");
        assert_eq!(first_of(&name(Seq(u64::MAX))), Some(Seq(u64::MAX)));
        for other in [
            "42.seg",
            "00000000000000000042",
            "0000000000000000004x.seg",
            "99999999999999999999.seg",
            "+0000000000000000042.seg",
        ] {
            assert_eq!(first_of(other), None, "{other}");
        }
    }
}
