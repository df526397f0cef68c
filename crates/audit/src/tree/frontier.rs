//! The right edge of the tree: all that it takes to let it grow, and to know its root.

use tlog_tiles::{EMPTY_HASH, Hash, node_hash};

/// Hashes of one level in one tile.
pub(crate) const TILE_WIDTH: usize = 256;
/// Height of a tile.
pub(crate) const TILE_HEIGHT: u8 = 8;
/// Levels of tiles that a tree of 2^64 leaves has.
const LEVELS: usize = 8;

/// A tree without its full tiles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frontier {
    size: u64,
    /// For each level, the hashes of the tile that is not full yet.
    levels: Vec<Vec<Hash>>,
}

impl Frontier {
    /// The edge of a tree of `size` leaves, whose unfinished tiles `read(level, index, width)` gives.
    pub(crate) fn load<E>(
        size: u64,
        mut read: impl FnMut(u8, u64, usize) -> Result<Vec<Hash>, E>,
    ) -> Result<Self, E> {
        let mut levels = Vec::new();
        for level in 0..LEVELS as u8 {
            let hashes = size
                .checked_shr(u32::from(TILE_HEIGHT) * u32::from(level))
                .unwrap_or(0);
            if hashes == 0 {
                break;
            }
            let (index, width) = (hashes / TILE_WIDTH as u64, hashes as usize % TILE_WIDTH);
            levels.push(if width == 0 {
                Vec::new()
            } else {
                read(level, index, width)?
            });
        }
        Ok(Self { size, levels })
    }

    /// Leaves.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Takes the hash of the next leaf. Every tile that it fills goes to `full(level, index, hashes)`, lowest first.
    pub(crate) fn push<E>(
        &mut self,
        leaf: Hash,
        mut full: impl FnMut(u8, u64, &[Hash]) -> Result<(), E>,
    ) -> Result<(), E> {
        let index = self.size;
        self.size += 1;
        let mut hash = leaf;
        for level in 0..LEVELS {
            if self.levels.len() == level {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if hashes.len() < TILE_WIDTH {
                return Ok(());
            }
            let tile = index >> (TILE_HEIGHT as usize * (level + 1));
            full(level as u8, tile, hashes)?;
            hash = subtree(hashes);
            hashes.clear();
        }
        Ok(())
    }

    /// The tiles that are not full: `(level, index, hashes)`.
    pub(crate) fn partial(&self) -> impl Iterator<Item = (u8, u64, &[Hash])> {
        self.levels
            .iter()
            .enumerate()
            .filter(|(_, hashes)| !hashes.is_empty())
            .map(|(level, hashes)| {
                let index = self.size >> (TILE_HEIGHT as usize * (level + 1)).min(63);
                (level as u8, index, hashes.as_slice())
            })
    }

    /// The root.
    pub(crate) fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        // From the right: the smallest complete subtrees first.
        for hashes in &self.levels {
            let mut end = hashes.len();
            while end > 0 {
                let width = 1 << end.trailing_zeros();
                let hash = subtree(&hashes[end - width..end]);
                root = Some(match root {
                    None => hash,
                    Some(right) => node_hash(hash, right),
                });
                end -= width;
            }
        }
        root.unwrap_or(EMPTY_HASH)
    }
}

/// The hash over a power of two of hashes side by side.
fn subtree(hashes: &[Hash]) -> Hash {
    match hashes {
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(subtree(left), subtree(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use tlog_tiles::{HashReader, record_hash, stored_hashes, tree_hash};

    use super::*;

    struct Stored(Vec<Hash>);

    impl HashReader for Stored {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
            Ok(indexes.iter().map(|at| self.0[*at as usize]).collect())
        }
    }

    /// Another construction of the same tree agrees at every size, and the edge can be read back at each.
    #[test]
    fn its_root_is_that_of_rfc_6962_at_every_size() {
        let mut stored = Stored(Vec::new());
        let mut frontier = Frontier::default();
        let mut tiles = HashMap::new();
        assert_eq!(frontier.root(), EMPTY_HASH);
        for n in 0_u64..(TILE_WIDTH * TILE_WIDTH + 700) as u64 {
            let leaf = n.to_le_bytes();
            let hashes = stored_hashes(n, &leaf, &stored).unwrap();
            stored.0.extend(hashes);
            frontier
                .push(record_hash(&leaf), |level, index, hashes| {
                    assert_eq!(hashes.len(), TILE_WIDTH);
                    assert!(tiles.insert((level, index), hashes.to_vec()).is_none());
                    Ok::<_, Infallible>(())
                })
                .unwrap();
            if n < 1500 || n % 251 == 0 || n > 65_500 {
                let size = n + 1;
                assert_eq!(frontier.root(), tree_hash(size, &stored).unwrap(), "{size}");
                let partial: HashMap<_, _> = frontier
                    .partial()
                    .map(|(level, index, hashes)| ((level, index), hashes.to_vec()))
                    .collect();
                let again = Frontier::load(size, |level, index, width| {
                    let hashes = partial[&(level, index)].clone();
                    assert_eq!(hashes.len(), width);
                    Ok::<_, Infallible>(hashes)
                })
                .unwrap();
                assert_eq!(again.root(), frontier.root());
            }
        }
        assert_eq!(tiles.len(), 258 + 1, "level 0 and level 1");
    }
}
