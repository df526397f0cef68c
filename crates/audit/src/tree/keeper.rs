//! Lets the tree grow behind the writer, and signs it.

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
use crate::scan::{Scanner, Step};
use crate::{LogError, Seq};

/// Tiles written since the last checkpoint that are synced one by one. More are synced with all else on their file system.
const SYNC_EACH: usize = 64;
/// Leaves between two checkpoints, when there are more than can be taken at once.
const LEAVES_PER_TURN: u64 = 1 << 18;

/// Leaves of one segment that were taken in.
struct Read {
    segment: Seq,
    file: File,
    path: PathBuf,
    /// Where the first of them starts.
    at: u64,
    from: Seq,
    count: u64,
    /// Over all of them, where they are looked at again.
    sum: Option<u32>,
}

impl Read {
    fn add(&mut self, sum: Option<u32>) {
        self.count += 1;
        self.sum = sum;
    }

    /// Reads them again, from the disk: where a failure was told to another before this file was opened, the kernel says that all is
    /// written, and memory has what the disk has not.
    fn look(&self, sum: u32) -> Result<(), TreeError> {
        let file = self.file.try_clone().map_err(at(&self.path))?;
        let Some(mut scanner) = Scanner::direct(file, &self.path)? else {
            return Ok(());
        };
        scanner.go_to(self.at, self.from);
        let (mut count, mut found) = (0, 0);
        while count < self.count {
            match scanner.step() {
                Ok(Step::Record(_, leaf)) => {
                    count += 1;
                    found = crc32c::crc32c_append(found, leaf);
                }
                Err(LogError::Open { path, cause }) => return Err(TreeError::File { path, cause }),
                _ => break,
            }
        }
        if (count, found) != (self.count, sum) {
            return Err(TreeError::NotOnDisk {
                from: self.from.0,
                to: self.from.0 + self.count - 1,
            });
        }
        Ok(())
    }
}

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
    /// The segment whose file `reader` has had open since before the records that come now.
    watched: Option<Seq>,
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
            watched: None,
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
        let held = self.reader.take();
        // Its writer goes on in another file of that name.
        let held = held.filter(|reader| !reader.is_replaced());
        let mut reader = match held {
            Some(reader) => reader,
            None => match Reader::open(&self.log) {
                Ok(reader) => {
                    self.watched = None;
                    reader
                }
                Err(LogError::Missing(_)) => {
                    self.sign()?;
                    return Ok(false);
                }
                Err(other) => return Err(other.into()),
            },
        };
        let until = self.frontier.size() + LEAVES_PER_TURN;
        let signed = self.frontier.clone();
        let mut read = Vec::new();
        let taken = self.take_in(&mut reader, until, &mut read);
        // What is signed must outlive a power failure.
        if let Err(error) = self.settle(&read) {
            self.frontier = signed;
            self.watched = None;
            return Err(error);
        }
        // What comes before damage is signed.
        self.sign()?;
        let behind = match taken {
            Ok(behind) => behind,
            Err(error) => {
                self.watched = None;
                return Err(error);
            }
        };
        if !behind {
            self.watched = Some(reader.mark().segment());
        } else if self.watched != Some(reader.mark().segment()) {
            self.watched = None;
        }
        self.reader = Some(reader);
        Ok(behind)
    }

    /// Takes in leaves up to `until`, and notes in `read` where they came from.
    fn take_in(
        &mut self,
        reader: &mut Reader,
        until: u64,
        read: &mut Vec<Read>,
    ) -> Result<bool, TreeError> {
        let next = Seq(self.frontier.size());
        if reader.next() != next && !reader.skip_to(next)? {
            return Ok(false);
        }
        while self.frontier.size() < until {
            let Some((mark, leaf)) = reader.marked_leaf()? else {
                return Ok(false);
            };
            let (seq, segment) = (mark.next(), mark.segment());
            if seq.0 != self.frontier.size() {
                return Err(TreeError::Inconsistent(format!(
                    "records {} to {} are gone before they were taken in",
                    self.frontier.size(),
                    seq.0 - 1
                )));
            }
            let hash = record_hash(leaf);
            let part = read.last_mut().filter(|part| part.segment == segment);
            let known = match &part {
                Some(part) => part.sum,
                None => (self.watched != Some(segment)).then_some(0),
            };
            let sum = known.map(|known| crc32c::crc32c_append(known, leaf));
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
            match part {
                Some(part) => part.add(sum),
                None => {
                    let (file, path) = reader.file();
                    read.push(Read {
                        segment,
                        file: file.try_clone().map_err(at(path))?,
                        path: path.to_owned(),
                        at: mark.offset(),
                        from: seq,
                        count: 1,
                        sum,
                    });
                }
            }
        }
        Ok(true)
    }

    /// Waits until the disk has what was read, and makes sure that it does.
    fn settle(&self, read: &[Read]) -> Result<(), TreeError> {
        for part in read {
            part.file.sync_data().map_err(at(&part.path))?;
            // Of a file that was open before, every failure since is told to whoever opened it.
            if let Some(sum) = part.sum {
                part.look(sum)?;
            }
        }
        if !read.is_empty() {
            let hot = crate::hot_directory(&self.log);
            let synced = File::open(&hot).and_then(|names| names.sync_all());
            synced.map_err(at(&hot))?;
        }
        Ok(())
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
