//! What a signed checkpoint counts: the hash of each record, and the root at every size up to it.

use std::path::Path;

use tlog_tiles::{Hash, record_hash};

use super::frontier::{Frontier, TILE_HEIGHT, TILE_WIDTH};
use super::note::{self, CHECKPOINT};
use super::store::{Store, at};
use super::{TreeError, key};
use crate::Seq;

/// The tree as its latest checkpoint has it.
#[derive(Debug)]
pub struct Known {
    store: Store,
    size: u64,
    /// The tile of leaves that was read last.
    tile: Option<(u64, Vec<Hash>)>,
}

impl Known {
    /// The tree of the log in `directory`, whose checkpoint must hold for the key beside it. `None`: nothing is signed yet.
    pub fn open(directory: &Path) -> Result<Option<Self>, TreeError> {
        let path = directory.join(CHECKPOINT);
        let bytes = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(at(&path))?,
        };
        let (_, public) = key::existing(directory)?;
        let held = note::open(&bytes, &public)
            .map_err(|e| TreeError::Inconsistent(format!("{}: {e}", path.display())))?;
        Ok(Some(Self::of(Store::new(directory), held.size)))
    }

    pub(crate) fn of(store: Store, size: u64) -> Self {
        Self {
            store,
            size,
            tile: None,
        }
    }

    /// Records.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether `leaf` is the record that was signed as `seq`.
    pub fn holds(&mut self, seq: Seq, leaf: &[u8]) -> Result<bool, TreeError> {
        Ok(self.hash(seq)? == record_hash(leaf))
    }

    fn hash(&mut self, seq: Seq) -> Result<Hash, TreeError> {
        let width = TILE_WIDTH as u64;
        let (index, at) = (seq.0 / width, (seq.0 % width) as usize);
        if self.tile.as_ref().is_none_or(|(held, _)| *held != index) {
            let have = self.size.saturating_sub(index * width).min(width) as usize;
            self.tile = Some((index, self.store.read(0, index, have)?));
        }
        self.tile
            .as_ref()
            .and_then(|(_, hashes)| hashes.get(at))
            .copied()
            .ok_or_else(|| TreeError::Inconsistent(format!("there is no hash of record {}", seq.0)))
    }

    /// The root over the first `size` records.
    pub fn root(&self, size: u64) -> Result<[u8; 32], TreeError> {
        if size > self.size {
            return Err(TreeError::Inconsistent(format!(
                "the latest checkpoint counts {} records, not {size}",
                self.size
            )));
        }
        let edge = Frontier::load(size, |level, index, width| {
            let at_level = self.size >> (u32::from(TILE_HEIGHT) * u32::from(level)).min(63);
            let there = at_level
                .saturating_sub(index * TILE_WIDTH as u64)
                .min(TILE_WIDTH as u64) as usize;
            let mut hashes = self.store.read(level, index, there.max(width))?;
            hashes.truncate(width);
            Ok::<_, TreeError>(hashes)
        })?;
        Ok(edge.root().0)
    }
}
