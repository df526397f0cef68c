//! Writes again what the disk did not keep.
//!
//! A kernel says once that writing back has failed. From then on it counts those pages as written: it never tries them again, says
//! of the next `fdatasync` that all is well, and gives the pages up when it needs room, after which the file has what the disk
//! has. So a segment of which that may be true is copied from the mapping, while it still has it, to a new file, which takes its
//! name once the disk has it. What the mapping has no more is said by records in its place ([`RECORD_LOST`]).

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use prost::Message;
use ringfence_model::flow::{Flow, Kind, Outcome};

use crate::hot::{self, Hot, Segment};
use crate::map::Map;
use crate::scan::{Scanner, Step};
use crate::segment::{HEADER_LEN, Header, SEGMENT_MAX, SLOT_LEN, Word, span, void};
use crate::{LogError, RECORD_LOST, Seq};

/// Bytes copied at a time.
const CHUNK: usize = 256 * 1024;
/// Bytes that a kernel gives up at a time, at least.
const PAGE: usize = 4096;

/// A segment, as far as it has records.
#[derive(Clone, Debug)]
pub(crate) struct Filled {
    pub(crate) segment: Arc<Segment>,
    /// Where in it the records end.
    pub(crate) used: usize,
    /// Number behind its last record.
    pub(crate) end: Seq,
    pub(crate) starts: Starts,
}

/// The first slot of each page: what stands behind a page that is gone is found there, and its number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Starts {
    /// Where, and how many records of the segment come before.
    slots: Vec<(u32, u32)>,
    page: usize,
}

impl Starts {
    /// For a segment of `length` bytes.
    pub(crate) fn of(length: usize) -> Self {
        Self {
            slots: Vec::with_capacity(length / PAGE),
            page: 0,
        }
    }

    /// A slot starts at `at`, behind `before` records. Slots come in their order.
    #[inline]
    pub(crate) fn note(&mut self, at: usize, before: u64) {
        if at / PAGE != self.page {
            self.page = at / PAGE;
            // A segment has at most 64 MiB.
            self.slots.push((at as u32, before as u32));
        }
    }

    /// The first that is known behind `at`.
    fn behind(&self, at: usize) -> Option<(usize, u64)> {
        let next = self.slots.partition_point(|slot| slot.0 as usize <= at);
        let slot = self.slots.get(next)?;
        Some((slot.0 as usize, u64::from(slot.1)))
    }
}

/// What was written again.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) segment: Segment,
    pub(crate) used: usize,
    pub(crate) starts: Starts,
    /// Records that are lost, from and before.
    pub(crate) lost: Vec<(Seq, Seq)>,
}

/// A part of what is written.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// Slots as they are, from one byte to another.
    Slots(usize, usize),
    /// So many lost records from a number on, each as this slot.
    Lost(Seq, u64, Vec<u8>),
}

/// Puts `filled` into a new file of its name. One that the log goes on in keeps its room if the disk has it.
pub(crate) fn write_again(hot: &Hot, filled: &Filled, goes_on: bool) -> Result<Again, LogError> {
    let from = &filled.segment;
    let pieces = survey(filled).map_err(|e| hot.refusal(e))?;
    let used = pieces.iter().map(Piece::length);
    let used = used.fold(HEADER_LEN, usize::saturating_add);
    if used as u64 > SEGMENT_MAX {
        return Err(hot.refusal(io::Error::other(
            "more records of one segment are lost than it can say; restart the node",
        )));
    }
    let room = from.map.len().max(used);
    let wanted = if goes_on || used == HEADER_LEN {
        room
    } else {
        used
    };
    let made = match hot.make(wanted as u64) {
        Err(e) if hot::is_full(&e) && wanted > used && used > HEADER_LEN => hot.make(used as u64),
        made => made,
    };
    let mut again = made.map_err(|e| hot.refusal(e))?;
    let written = write(from, &again, &pieces)
        .map_err(|e| hot.refusal(e))
        .and_then(|()| check(hot, &again, filled))
        .and_then(|()| hot.replace(&mut again, from));
    if let Err(error) = written {
        hot.discard(&again);
        return Err(error);
    }
    let lost: Vec<_> = pieces.iter().filter_map(Piece::lost).collect();
    Ok(Again {
        used,
        // Slots behind lost ones have moved.
        starts: if lost.is_empty() {
            filled.starts.clone()
        } else {
            Starts::of(again.map.len())
        },
        segment: again,
        lost,
    })
}

/// What the mapping still has. An error: the disk cannot give what it has given up.
fn survey(filled: &Filled) -> io::Result<Vec<Piece>> {
    let map = &filled.segment.map;
    let first = filled.segment.first;
    map.bring_in(filled.used)?;
    let mut pieces = Vec::new();
    let (mut at, mut number) = (HEADER_LEN, first.0);
    let mut leaf = Vec::new();
    // Of the last record that is there.
    let mut last = Vec::new();
    while number < filled.end.0 {
        if let Some(whole) = slot(map, at, filled.used, &mut leaf) {
            match pieces.last_mut() {
                Some(Piece::Slots(_, to)) => *to += whole,
                _ => pieces.push(Piece::Slots(at, at + whole)),
            }
            if !leaf.is_empty() {
                std::mem::swap(&mut last, &mut leaf);
            }
            at += whole;
            number += 1;
            continue;
        }
        let known = filled.starts.behind(at).filter(|(at, _)| *at < filled.used);
        let (to, next) = known.map_or((filled.used, filled.end.0), |(to, before)| {
            (to, first.0 + before)
        });
        match pieces.last_mut() {
            Some(Piece::Lost(_, count, _)) => *count += next.saturating_sub(number),
            _ => pieces.push(Piece::Lost(
                Seq(number),
                next.saturating_sub(number),
                lost_slot(&last, filled.segment.begun_ns),
            )),
        }
        (at, number) = (to, next.max(number));
    }
    if map.lost() {
        return Err(io::Error::other("the disk gave up pages of it meanwhile"));
    }
    Ok(pieces)
}

/// Bytes of the slot at `at`, if it is whole; its leaf in `leaf`, which is empty for a void one.
fn slot(map: &Map, at: usize, used: usize, leaf: &mut Vec<u8>) -> Option<usize> {
    if at + SLOT_LEN > used {
        return None;
    }
    let mut head = [0; SLOT_LEN];
    map.read(at, &mut head);
    let word = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let sum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    leaf.clear();
    match Word::decode(word) {
        Word::Complete(length) if at + span(length) <= used => {
            leaf.resize(length, 0);
            map.read(at + SLOT_LEN, leaf);
            (crc32c::crc32c(leaf) == sum).then_some(span(length))
        }
        Word::Void(length) if at + span(length) <= used && void(length).1 == sum => {
            Some(span(length))
        }
        _ => None,
    }
}

/// The slot of a lost record that stands behind `last`, in a segment of `begun_ns`.
fn lost_slot(last: &[u8], begun_ns: u64) -> Vec<u8> {
    let before = Flow::decode(last).unwrap_or_default();
    let leaf = lost_leaf(&before, begun_ns);
    let mut slot = vec![0; span(leaf.len())];
    slot[..4].copy_from_slice(&Word::Complete(leaf.len()).encode().to_le_bytes());
    slot[4..SLOT_LEN].copy_from_slice(&crc32c::crc32c(&leaf).to_le_bytes());
    slot[SLOT_LEN..SLOT_LEN + leaf.len()].copy_from_slice(&leaf);
    slot
}

/// What stands for a record that is lost. It has the time of the one before it.
fn lost_leaf(before: &Flow, begun_ns: u64) -> Vec<u8> {
    Flow {
        schema: 1,
        time_ns: if before.time_ns == 0 {
            begun_ns.max(1)
        } else {
            before.time_ns
        },
        node: before.node.clone(),
        kind: Kind::Event.into(),
        count: 1,
        operation: RECORD_LOST.to_owned(),
        outcome: Outcome::Error.into(),
        reason:
            "the record of this number is lost: the disk did not keep it, and memory has it no more"
                .to_owned(),
        ..Flow::default()
    }
    .encode_to_vec()
}

impl Piece {
    fn length(&self) -> usize {
        match self {
            Piece::Slots(from, to) => to - from,
            Piece::Lost(_, count, slot) => usize::try_from(*count)
                .unwrap_or(usize::MAX)
                .saturating_mul(slot.len()),
        }
    }

    fn lost(&self) -> Option<(Seq, Seq)> {
        match self {
            Piece::Slots(..) => None,
            Piece::Lost(from, count, _) => Some((*from, Seq(from.0 + count))),
        }
    }
}

/// Writes `pieces` of one segment to another, and waits for the disk.
fn write(from: &Segment, to: &Segment, pieces: &[Piece]) -> io::Result<()> {
    let header = Header {
        first: from.first,
        created_ns: from.begun_ns,
        length: to.map.len() as u64,
    };
    to.file.write_all_at(&header.encode(), 0)?;
    let mut at = HEADER_LEN as u64;
    let mut chunk = vec![0; CHUNK];
    let mut put = |bytes: &[u8]| {
        to.file.write_all_at(bytes, at)?;
        at += bytes.len() as u64;
        io::Result::Ok(())
    };
    for piece in pieces {
        match piece {
            Piece::Slots(start, end) => {
                for start in (*start..*end).step_by(CHUNK) {
                    let some = CHUNK.min(end - start);
                    from.map.read(start, &mut chunk[..some]);
                    put(&chunk[..some])?;
                }
            }
            Piece::Lost(_, count, slot) => {
                for _ in 0..*count {
                    put(slot)?;
                }
            }
        }
    }
    to.file.sync_data()
}

/// Whether each number has its record in the new file: the mapping may have lost more while it was copied.
fn check(hot: &Hot, again: &Segment, filled: &Filled) -> Result<(), LogError> {
    let file = again.file.try_clone()?;
    let mut scanner = Scanner::new(file, &hot.path().join(&again.name))?;
    while scanner.place().1 < filled.end {
        if !matches!(scanner.step()?, Step::Record(..)) {
            return Err(scanner.corrupt("it ends while it is written again"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
