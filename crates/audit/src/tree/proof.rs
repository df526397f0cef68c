//! A proof that a record is in the log, in the form of C2SP tlog-proof.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tlog_tiles::{
    Error as TlogError, Hash, Tile, TileHashReader, TileReader, check_record, prove_record,
    record_hash,
};

use super::frontier::{TILE_HEIGHT, TILE_WIDTH};
use super::note::{self, CHECKPOINT, Checkpoint, CheckpointError};
use super::statement::STATEMENT_MAX;
use super::store::Store;
use super::{PUBLIC_KEY, TreeError};
use crate::{Seq, plain};

/// First line of a proof.
const FORMAT: &str = "c2sp.org/tlog-proof@v1";
/// Largest proof that is read, in bytes: the largest record in base64, and more hashes than any tree is high.
pub const PROOF_MAX: usize = 160 * 1024;

/// Why there is no proof, or why it proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The tree cannot be read, or is not as it was signed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The log has not been signed that far.
    #[error(
        "record {seq} is not signed yet: the latest checkpoint counts {size}; try again in a second"
    )]
    NotYet {
        /// Which.
        seq: u64,
        /// Records of the checkpoint.
        size: u64,
    },
    /// There is no checkpoint, or it does not hold.
    #[error("the checkpoint does not hold: {0}")]
    Checkpoint(CheckpointError),
    /// The record is another than the tree has at its place.
    #[error("record {0} is not the one that was signed; `ringfence audit verify` tells more")]
    Changed(u64),
    /// The proof is not in the form.
    #[error("this is no proof in the form {FORMAT}")]
    Malformed,
    /// It is in the form, and proves nothing.
    #[error("the proof does not lead from the record to the root that was signed")]
    Refuted,
}

struct Tiles<'a>(&'a Store);

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        TILE_HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, TlogError> {
        tiles
            .iter()
            .map(|tile| {
                let width = (tile.width() as usize).min(TILE_WIDTH);
                let hashes = self
                    .0
                    .read(tile.level(), tile.level_index(), width)
                    .map_err(|_| TlogError::InvalidTile)?;
                Ok(hashes.iter().flat_map(|hash| hash.0).collect())
            })
            .collect()
    }

    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

/// The proof that `leaf` is record `seq` of the log in `directory`, with the record itself as its extra data.
pub fn proof(directory: &Path, seq: Seq, leaf: &[u8]) -> Result<String, ProofError> {
    let read = |name: &str| {
        let path = directory.join(name);
        plain::read(&path, STATEMENT_MAX).map_err(super::store::at(&path))
    };
    let text = match read(CHECKPOINT) {
        Err(TreeError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(ProofError::NotYet {
                seq: seq.0,
                size: 0,
            });
        }
        text => text?,
    };
    let public = String::from_utf8_lossy(&read(PUBLIC_KEY)?).into_owned();
    let held = note::open(&text, &public).map_err(ProofError::Checkpoint)?;
    if seq.0 >= held.size {
        return Err(ProofError::NotYet {
            seq: seq.0,
            size: held.size,
        });
    }
    let store = Store::new(directory);
    let tiles = Tiles(&store);
    // What it gives is proven to be below the root.
    let hashes = TileHashReader::new(held.size, held.root, &tiles);
    let path = prove_record(held.size, seq.0, &hashes).map_err(|e| {
        ProofError::Tree(TreeError::Inconsistent(format!(
            "the tiles do not lead to the root that was signed ({e})"
        )))
    })?;
    check_record(&path, held.size, held.root, seq.0, record_hash(leaf))
        .map_err(|_| ProofError::Changed(seq.0))?;
    let mut proof = format!(
        "{FORMAT}\nextra {}\nindex {seq}\n",
        BASE64_STANDARD.encode(leaf)
    );
    for hash in &path {
        proof.push_str(&BASE64_STANDARD.encode(hash.0));
        proof.push('\n');
    }
    proof.push('\n');
    proof.push_str(&String::from_utf8_lossy(&text));
    Ok(proof)
}

/// Checks a proof against a verifier key. Gives the record's number, its bytes and the checkpoint they were proven under.
pub fn check_proof(text: &str, public: &str) -> Result<(Seq, Vec<u8>, Checkpoint), ProofError> {
    if text.len() > PROOF_MAX {
        return Err(ProofError::Malformed);
    }
    let (head, signed) = text.split_once("\n\n").ok_or(ProofError::Malformed)?;
    let mut lines = head.split('\n');
    if lines.next() != Some(FORMAT) {
        return Err(ProofError::Malformed);
    }
    let malformed = || ProofError::Malformed;
    let leaf = lines
        .next()
        .and_then(|line| line.strip_prefix("extra "))
        .and_then(|extra| BASE64_STANDARD.decode(extra).ok())
        .ok_or_else(malformed)?;
    let index = lines
        .next()
        .and_then(|line| line.strip_prefix("index "))
        .ok_or_else(malformed)?;
    let seq: u64 = index.parse().map_err(|_| malformed())?;
    if seq.to_string() != index {
        return Err(malformed());
    }
    let path = lines
        .map(|line| {
            let bytes = BASE64_STANDARD.decode(line).ok()?;
            Some(Hash(bytes.try_into().ok()?))
        })
        .collect::<Option<Vec<Hash>>>()
        .ok_or_else(malformed)?;
    let held = note::open(signed.as_bytes(), public).map_err(ProofError::Checkpoint)?;
    if seq >= held.size {
        return Err(ProofError::Refuted);
    }
    check_record(&path, held.size, held.root, seq, record_hash(&leaf))
        .map_err(|_| ProofError::Refuted)?;
    Ok((Seq(seq), leaf, held))
}
