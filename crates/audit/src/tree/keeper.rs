//! Lets the tree grow behind the writer, and signs it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use signed_note::StandardSigner;
use tlog_tiles::record_hash;

use super::frontier::{Frontier, TILE_WIDTH};
use super::note::{self, CHECKPOINT};
use super::store::{Store, at, put_durably};
use super::{TreeError, key};
use crate::reader::Reader;
use crate::{LogError, Seq};

/// Tiles written since the last checkpoint that are synced one by one. More are synced with all else on their file system.
const SYNC_EACH: usize = 64;
/// Leaves between two checkpoints, when there are more than can be taken at once.
const LEAVES_PER_TURN: u64 = 1 << 18;

/// Keeps the tree of one log. There may be one keeper of a log at a time; the node's lock on its state sees to that.
pub struct Keeper {
    log: PathBuf,
    store: Store,
    signer: StandardSigner,
    public: String,
    frontier: Frontier,
    /// Leaves of the latest checkpoint; `None`: there is none, not even of an empty tree.
    signed: Option<u64>,
    reader: Option<Reader>,
    /// Tiles that may not be on the disk yet.
    fresh: Vec<PathBuf>,
}

impl Keeper {
    /// Goes on with the tree of the log in `directory`, or begins it. `node` is in the name of a new one.
    pub fn open(directory: &Path, node: &str) -> Result<Self, TreeError> {
        let (signer, public) = key::signer(directory, node)?;
        let store = Store::new(directory);
        let path = directory.join(CHECKPOINT);
        let (frontier, signed) = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => (Frontier::default(), None),
            Err(e) => return Err(at(&path)(e)),
            Ok(bytes) => {
                let held = note::open(&bytes, &public)
                    .map_err(|e| TreeError::Inconsistent(format!("{}: {e}", path.display())))?;
                let frontier = Frontier::load(held.size, |level, index, width| {
                    store.read(level, index, width)
                })?;
                if frontier.root() != held.root {
                    return Err(TreeError::Inconsistent(format!(
                        "the tiles below {} have another root than {}",
                        directory.display(),
                        path.display()
                    )));
                }
                (frontier, Some(held.size))
            }
        };
        Ok(Self {
            log: directory.to_owned(),
            store,
            signer,
            public,
            frontier,
            signed,
            reader: None,
            fresh: Vec::new(),
        })
    }

    /// The verifier key.
    pub fn public_key(&self) -> &str {
        &self.public
    }

    /// Leaves of the latest checkpoint.
    pub fn signed(&self) -> Seq {
        Seq(self.signed.unwrap_or(0))
    }

    /// Takes in what is complete, and signs if that is anything. `true`: there is more already.
    pub fn turn(&mut self) -> Result<bool, TreeError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => match Reader::open(&self.log) {
                Ok(reader) => reader,
                Err(LogError::Missing(_)) => {
                    self.sign()?;
                    return Ok(false);
                }
                Err(other) => return Err(other.into()),
            },
        };
        let until = self.frontier.size() + LEAVES_PER_TURN;
        let taken = self.take_in(&mut reader, until);
        let behind = matches!(taken, Ok(true));
        self.sign()?;
        match taken {
            Ok(_) => self.reader = Some(reader),
            Err(error) => return Err(error),
        }
        Ok(behind)
    }

    /// Takes in leaves up to `until`. What it read lies on the disk when it returns.
    fn take_in(&mut self, reader: &mut Reader, until: u64) -> Result<bool, TreeError> {
        let next = Seq(self.frontier.size());
        if reader.next() != next && !reader.skip_to(next)? {
            return Ok(false);
        }
        let mut read: BTreeMap<PathBuf, File> = BTreeMap::new();
        let mut behind = true;
        while self.frontier.size() < until {
            let Some((seq, leaf)) = reader.leaf()? else {
                behind = false;
                break;
            };
            if seq.0 != self.frontier.size() {
                return Err(TreeError::Inconsistent(format!(
                    "records {} to {} are gone before they were taken in",
                    self.frontier.size(),
                    seq.0 - 1
                )));
            }
            let hash = record_hash(leaf);
            let Self {
                frontier,
                store,
                fresh,
                ..
            } = self;
            frontier.push(hash, |level, index, hashes| {
                fresh.push(store.write(level, index, hashes)?);
                store.remove_narrower(level, index, TILE_WIDTH);
                Ok::<_, TreeError>(())
            })?;
            let (file, path) = reader.file();
            if !read.contains_key(path) {
                let copy = file.try_clone().map_err(at(path))?;
                read.insert(path.to_owned(), copy);
            }
        }
        // What is signed must outlive a power failure.
        for (path, file) in &read {
            file.sync_data().map_err(at(path))?;
        }
        if !read.is_empty() {
            let hot = crate::hot_directory(&self.log);
            let synced = File::open(&hot).and_then(|names| names.sync_all());
            synced.map_err(at(&hot))?;
        }
        Ok(behind)
    }

    fn sign(&mut self) -> Result<(), TreeError> {
        if self.signed == Some(self.frontier.size()) {
            return Ok(());
        }
        for (level, index, hashes) in self.frontier.partial() {
            self.fresh.push(self.store.write(level, index, hashes)?);
        }
        self.sync_tiles()?;
        let path = self.log.join(CHECKPOINT);
        let now = jiff::Timestamp::now();
        let text = note::sign(
            &self.signer,
            self.frontier.size(),
            self.frontier.root(),
            &format!("{now:.3}"),
        )
        .map_err(at(&path))?;
        put_durably(&path, &text).map_err(at(&path))?;
        self.signed = Some(self.frontier.size());
        for (level, index, hashes) in self.frontier.partial() {
            self.store.remove_narrower(level, index, hashes.len());
        }
        Ok(())
    }

    fn sync_tiles(&mut self) -> Result<(), TreeError> {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh.len() > SYNC_EACH {
            let log = File::open(&self.log).map_err(at(&self.log))?;
            return rustix::fs::syncfs(log).map_err(|e| at(&self.log)(e.into()));
        }
        for path in fresh {
            let synced = File::open(&path).and_then(|file| {
                file.sync_all()?;
                File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
            });
            match synced {
                // A narrower one, which a wider one has replaced since.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                synced => synced.map_err(at(&path))?,
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("log", &self.log)
            .field("signed", &self.signed)
            .finish_non_exhaustive()
    }
}
