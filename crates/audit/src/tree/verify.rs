//! Whether a log is what was signed: numbers, bytes, tree, signature, and a checkpoint that somebody kept.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;
use ringfence_model::flow::{Flow, Kind};
use tlog_tiles::Hash;

use super::frontier::{Frontier, TILE_HEIGHT, TILE_WIDTH};
use super::known::Known;
use super::note::{self, CHECKPOINT, Checkpoint};
use super::statement::{
    PrunedStatement, STATEMENT_MAX, SealedStatement, pruned_statement, sealed_statement,
};
use super::store::Store;
use super::{PUBLIC_KEY, TreeError};
use crate::hot;
use crate::leaf::wall_clock_ns;
use crate::scan::{Scanner, Step};
use crate::segment::name;
use crate::{CLOCK_SET_BACK, LogError, RECORD_LOST, Seq, hot_directory, plain};

/// How far the time of a record may be before that of another which stands before it: records are stamped before they queue,
/// and folded ones when their first attempt came.
pub(crate) const CLOCK_SLACK_NS: u64 = 10_000_000_000;
/// How long after each other records may come without being signed: a node signs each second.
const SIGNED_WITHIN: Duration = Duration::from_secs(60);
/// Doubts that are told one by one.
const DOUBTS_MAX: usize = 100;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The first record it is about, if it is about records.
    pub seq: Option<u64>,
    /// What is wrong, for an operator.
    pub what: String,
}

/// Records from one number to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first.
    pub from: u64,
    /// The first that does not belong to it.
    pub to: u64,
}

/// What was checked, and what came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The checkpoint that everything was held against; `None`: there is none that holds.
    pub checkpoint: Option<Checkpoint>,
    /// Records that were read and held against the tree.
    pub checked: u64,
    /// Sum of their counts, of those that are attempts.
    pub attempts: u64,
    /// Where they begin and end; `None`: there are none.
    pub records: Option<Stretch>,
    /// Records after the checkpoint: nobody has signed them yet.
    pub unsigned: u64,
    /// What was pruned, on whose word.
    pub pruned: Option<PrunedStatement>,
    /// Sealed files that were read.
    pub sealed: u64,
    /// Places whose record was never completed.
    pub void: u64,
    /// Places whose record the disk did not keep, as the log says itself.
    pub lost: u64,
    /// Tiles that were read.
    pub tiles: u64,
    /// The clock went back before these records, and the log says so itself.
    pub clock: Vec<u64>,
    /// Everything that is wrong, in the order of records.
    pub doubts: Vec<Doubt>,
    /// Doubts beyond those.
    pub more: u64,
}

/// Checks one log. Feed it the records from the oldest, then take its report.
#[derive(Debug)]
pub struct Verifier {
    directory: PathBuf,
    store: Store,
    report: Report,
    size: u64,
    /// The verifier key, if there is one.
    key: Option<String>,
    next: Option<u64>,
    last_ns: u64,
    known: Known,
    /// Only these are held against the tree.
    only: Stretch,
    /// Records that are others than were signed, as far as was read.
    other: Option<Stretch>,
    /// The first record that nobody has signed, its time, and the latest time of those behind it.
    first_unsigned: Option<(u64, u64)>,
    latest_unsigned_ns: u64,
    /// When it was begun: what came since may be signed by now.
    begun_ns: u64,
    /// Segments that were held against the tree although their records were fed from elsewhere.
    held_again: BTreeSet<Seq>,
}

impl Verifier {
    /// Reads the checkpoint of the log in `directory` and all its tiles. `public`: the verifier key that somebody kept; without one,
    /// the one beside the log is taken, which proves less.
    pub fn open(directory: &Path, public: Option<&str>, only: Stretch) -> Self {
        let mut verifier = Self {
            directory: directory.to_owned(),
            store: Store::new(directory),
            report: Report::default(),
            size: 0,
            key: None,
            next: None,
            last_ns: 0,
            known: Known::of(Store::new(directory), 0),
            only,
            other: None,
            first_unsigned: None,
            latest_unsigned_ns: 0,
            begun_ns: wall_clock_ns(),
            held_again: BTreeSet::new(),
        };
        verifier.head(public);
        verifier.known = Known::of(Store::new(directory), verifier.size);
        verifier.tiles();
        verifier
    }

    /// Holds a checkpoint that somebody kept against this log: it must begin with what that one counted.
    pub fn kept(&mut self, text: &[u8], public: Option<&str>) {
        let Some(public) = self.public(public) else {
            return;
        };
        let kept = match note::open(text, &public) {
            Ok(kept) => kept,
            Err(error) => {
                return self.doubt(None, format!("the checkpoint that was kept: {error}"));
            }
        };
        if kept.size > self.size {
            return self.doubt(
                Some(self.size),
                format!(
                    "the log was rolled back: a checkpoint that was kept counts {} records, the latest one here {}",
                    kept.size, self.size
                ),
            );
        }
        match self.root_at(kept.size) {
            Ok(root) if root == kept.root => {}
            Ok(_) => self.doubt(
                None,
                format!(
                    "the log was forked: its first {} records are not those of the checkpoint that was kept",
                    kept.size
                ),
            ),
            Err(error) => self.doubt(None, error.to_string()),
        }
    }

    /// The next record. Records come in the order of their numbers, from the oldest that is there.
    pub fn leaf(&mut self, seq: Seq, leaf: &[u8]) {
        let seq = seq.0;
        match self.next {
            None => self.begins(seq),
            Some(next) if next == seq => {}
            Some(next) if next < seq => self.doubt(
                Some(next),
                format!("records {next} to {} are missing", seq - 1),
            ),
            Some(next) => self.doubt(
                Some(seq),
                format!("record {seq} comes again, where {next} should be"),
            ),
        }
        self.next = Some(seq + 1);
        let first = self.report.records.map_or(seq, |records| records.from);
        self.report.records = Some(Stretch {
            from: first,
            to: seq + 1,
        });
        if seq < self.only.from || seq >= self.only.to {
            return;
        }
        self.report.checked += 1;
        self.content(seq, leaf);
        if seq >= self.size {
            self.report.unsigned += 1;
            return;
        }
        match self.known.holds(Seq(seq), leaf) {
            Ok(true) => {}
            Ok(false) => match &mut self.other {
                Some(other) if other.to == seq => other.to += 1,
                _ => {
                    self.say_others();
                    self.other = Some(Stretch {
                        from: seq,
                        to: seq + 1,
                    });
                }
            },
            // Told when the tiles were read.
            Err(_) => {}
        }
    }

    /// The oldest record: what is before it must have been pruned.
    fn begins(&mut self, first: u64) {
        let pruned = self.report.pruned.as_ref().map_or(0, |said| said.before);
        if first > pruned {
            self.doubt(
                Some(pruned),
                format!(
                    "records {pruned} to {} are missing, and nobody signed that they were pruned",
                    first - 1
                ),
            );
        }
    }

    /// What the node signed of pruning, as `bytes` of `path` say.
    pub fn pruned(&mut self, path: &Path, bytes: &[u8]) {
        let Some(public) = self.key.clone() else {
            return;
        };
        match pruned_statement(bytes, &public) {
            Ok(said) => self.report.pruned = Some(said),
            Err(error) => self.doubt(None, format!("{}: {error}", path.display())),
        }
    }

    /// What the node signed of a sealed file, as `bytes` of `path` say; `None`, and a doubt: nothing that holds.
    pub fn sealed(&mut self, path: &Path, bytes: &[u8]) -> Option<SealedStatement> {
        let public = self.key.clone()?;
        match sealed_statement(bytes, &public) {
            Ok(said) => Some(said),
            Err(error) => {
                self.doubt(None, format!("{}: {error}", path.display()));
                None
            }
        }
    }

    /// The root over the first `size` records.
    pub fn root(&self, size: u64) -> Result<[u8; 32], TreeError> {
        self.known.root(size)
    }

    /// Records that the checkpoint counts.
    pub fn signed(&self) -> u64 {
        self.size
    }

    /// The number after the latest record that was fed.
    pub fn next(&self) -> Seq {
        Seq(self.next.unwrap_or(0))
    }

    /// Tells of a run of records that are others than were signed, once it is over.
    fn say_others(&mut self) {
        match self.other.take() {
            None => {}
            Some(Stretch { from, to }) if from + 1 == to => self.doubt(
                Some(from),
                format!("record {from} is not the one that was signed"),
            ),
            Some(Stretch { from, to }) => self.doubt(
                Some(from),
                format!(
                    "records {from} to {} are not the ones that were signed",
                    to - 1
                ),
            ),
        }
    }

    /// Records after the checkpoint are those of a second or two, unless the node cannot sign, or somebody keeps it from signing.
    fn say_unsigned(&mut self) {
        let within_ns = SIGNED_WITHIN.as_secs() * 1_000_000_000;
        let latest_ns = (self.begun_ns.saturating_sub(within_ns)).min(self.latest_unsigned_ns);
        if let (Some((first, first_ns)), true) = (self.first_unsigned, self.size > 0)
            && latest_ns > first_ns.saturating_add(within_ns)
        {
            self.doubt(
                Some(first),
                format!(
                    "record {first} and those after it were never signed, in more than {} s: the node could not sign \
                     (`ringfence status` tells why), somebody kept it from that, or this copy took longer than that",
                    within_ns / 1_000_000_000
                ),
            );
        }
    }

    /// Feeds the records that are in segments, but for those of segments that end before the next one that is wanted: they have
    /// been fed, or were pruned, and are held against the tree only. `false`: records are missing there, as when their segment has been sealed meanwhile; `settled`: they are not elsewhere.
    pub fn segments(&mut self, settled: bool) -> bool {
        let hot = hot_directory(&self.directory);
        let segments = match hot::list(&hot) {
            Ok(segments) => segments,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => {
                self.doubt(None, format!("{}: {e}", hot.display()));
                return true;
            }
        };
        let pruned = Seq(self.report.pruned.as_ref().map_or(0, |said| said.before));
        for (at, first) in segments.iter().enumerate() {
            let next = segments.get(at + 1);
            if next.is_some_and(|next| *next <= self.next().max(pruned)) {
                self.again(&hot.join(name(*first)), *first);
                continue;
            }
            if !settled && *first > self.next() {
                return false;
            }
            let path = hot.join(name(*first));
            match self.segment(&path, *first, next.is_none()) {
                Ok(()) => {}
                Err(LogError::Open { cause, .. })
                    if cause.kind() == io::ErrorKind::NotFound && !settled =>
                {
                    return false;
                }
                Err(error) => {
                    let seq = match &error {
                        LogError::Corrupt { seq, .. } => (*seq).max(first.0),
                        _ => self.next.unwrap_or(first.0),
                    };
                    self.doubt(Some(seq), error.to_string());
                }
            }
        }
        true
    }

    /// Passes over records that are not among those to be held against the tree.
    pub fn pass(&mut self, records: Stretch) {
        if self.next.is_none() {
            self.begins(records.from);
        }
        let from = self.report.records.map_or(records.from, |all| all.from);
        self.report.records = Some(Stretch {
            from,
            to: records.to,
        });
        self.next = Some(records.to);
    }

    /// Whether none of `records` is to be held against the tree.
    pub fn passes(&self, records: Stretch) -> bool {
        records.to <= self.only.from || self.only.to <= records.from
    }

    /// One more sealed file was read.
    pub fn read_sealed(&mut self) {
        self.report.sealed += 1;
    }

    /// Something else that is wrong, found by whoever feeds it.
    pub fn doubt(&mut self, seq: Option<u64>, what: String) {
        if self.report.doubts.len() < DOUBTS_MAX {
            self.report.doubts.push(Doubt { seq, what });
        } else {
            self.report.more += 1;
        }
    }

    /// What came of it.
    pub fn finish(mut self) -> Report {
        self.say_others();
        self.say_unsigned();
        let end = self.next;
        match (end, self.size) {
            (Some(next), size) if next < size => self.doubt(
                Some(next),
                format!(
                    "records {next} to {} were signed and are not here",
                    size - 1
                ),
            ),
            (None, size) if size > 0 => self.doubt(
                Some(0),
                format!("{size} records were signed and none is here"),
            ),
            _ => {}
        }
        // What is wrong with the log as a whole comes last: records are what one looks for.
        self.report
            .doubts
            .sort_by_key(|doubt| doubt.seq.unwrap_or(u64::MAX));
        self.report
    }

    /// Holds a segment against the tree whose records have been fed from elsewhere, or were pruned: it is there until the writer
    /// has removed it, and whoever reads may read it.
    fn again(&mut self, path: &Path, first: Seq) {
        if !self.held_again.insert(first) {
            return;
        }
        let others = Scanner::open(path, first).and_then(|mut scanner| {
            while let Step::Record(seq, leaf) = scanner.step()? {
                let wanted = (self.only.from..self.only.to.min(self.size)).contains(&seq.0);
                // A tile that cannot be read was told of when all were read.
                if wanted && self.known.holds(seq, leaf).is_ok_and(|holds| !holds) {
                    return Ok(Some(seq));
                }
            }
            Ok(None)
        });
        match others {
            Ok(None) => {}
            Ok(Some(Seq(seq))) => self.doubt(
                Some(seq),
                format!(
                    "{}: record {seq} is not the one that was signed",
                    path.display()
                ),
            ),
            // Removed meanwhile, as it should be.
            Err(LogError::Open { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.doubt(Some(first.0), error.to_string()),
        }
    }

    fn segment(&mut self, path: &Path, first: Seq, last: bool) -> Result<(), LogError> {
        let mut scanner = Scanner::open(path, first)?;
        loop {
            match scanner.step()? {
                Step::Record(seq, leaf) => self.leaf(seq, leaf),
                // Its writer is at it, or a crash has left it: then it becomes void when the node starts.
                Step::End { reserved: 1.., .. } if last => return Ok(()),
                Step::End { reserved: 1.., .. } => {
                    return Err(scanner.corrupt("a record that was never completed"));
                }
                Step::End { reserved: 0, .. } => {
                    // A writer may have gone on since: what was empty is then looked at again.
                    let place = scanner.place();
                    if scanner.untouched()? {
                        return Ok(());
                    }
                    if matches!(scanner.step()?, Step::End { reserved: 0, .. }) {
                        return Err(
                            scanner.corrupt("a slot that is empty before others that are not")
                        );
                    }
                    scanner.go_to(place.0, place.1);
                }
                Step::Closed => {
                    return if scanner.untouched_behind_end()? {
                        Ok(())
                    } else {
                        Err(scanner.corrupt("bytes behind the end of the segment"))
                    };
                }
            }
        }
    }

    fn content(&mut self, seq: u64, leaf: &[u8]) {
        let flow = match Flow::decode(leaf) {
            Ok(flow) => flow,
            Err(error) => return self.doubt(Some(seq), format!("record {seq}: {error}")),
        };
        match flow.kind() {
            Kind::Void => {
                self.report.void += 1;
                return;
            }
            Kind::Connection | Kind::Operation | Kind::Wall => {
                self.report.attempts = self.report.attempts.saturating_add(flow.count);
            }
            Kind::Event if flow.operation == RECORD_LOST => self.report.lost += 1,
            _ => {}
        }
        if seq >= self.size {
            self.first_unsigned.get_or_insert((seq, flow.time_ns));
            self.latest_unsigned_ns = self.latest_unsigned_ns.max(flow.time_ns);
        }
        if flow.time_ns.saturating_add(CLOCK_SLACK_NS) < self.last_ns {
            if flow.kind() == Kind::Event && flow.operation == CLOCK_SET_BACK {
                self.report.clock.push(seq);
            } else {
                self.doubt(
                    Some(seq),
                    format!(
                        "record {seq} is {:.1} s older than one before it, and the log does not say that the clock was set back",
                        (self.last_ns - flow.time_ns) as f64 / 1e9
                    ),
                );
            }
            self.last_ns = flow.time_ns;
        }
        self.last_ns = self.last_ns.max(flow.time_ns);
    }

    fn public(&mut self, given: Option<&str>) -> Option<String> {
        if let Some(given) = given {
            return Some(given.to_owned());
        }
        let path = self.directory.join(PUBLIC_KEY);
        match plain::text(&path, STATEMENT_MAX) {
            Ok(public) => Some(public),
            Err(e) => {
                self.doubt(None, format!("{}: {e}", path.display()));
                None
            }
        }
    }

    fn head(&mut self, public: Option<&str>) {
        let path = self.directory.join(CHECKPOINT);
        let bytes = match plain::read(&path, STATEMENT_MAX) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return self.doubt(
                    None,
                    format!(
                        "there is no {}: nothing of this log was ever signed, or somebody removed it",
                        path.display()
                    ),
                );
            }
            Err(e) => return self.doubt(None, format!("{}: {e}", path.display())),
        };
        let Some(public) = self.public(public) else {
            return;
        };
        self.key = Some(public.clone());
        match note::open(&bytes, &public) {
            Ok(held) => {
                self.size = held.size;
                self.report.checkpoint = Some(held);
            }
            Err(e) => self.doubt(None, format!("{}: {e}", path.display())),
        }
    }

    /// Reads every tile of the tree and builds it again from its leaves' hashes.
    fn tiles(&mut self) {
        let Some(held) = self.report.checkpoint.clone() else {
            return;
        };
        match self.root_at(held.size) {
            Ok(root) if root == held.root => {}
            Ok(_) => self.doubt(
                None,
                "the tiles lead to another root than the one that was signed".to_owned(),
            ),
            Err(error) => self.doubt(None, error.to_string()),
        }
    }

    /// The root over the first `size` hashes in the tiles of leaves. Tiles above them must say the same.
    fn root_at(&mut self, size: u64) -> Result<Hash, TreeError> {
        let width = TILE_WIDTH as u64;
        let mut frontier = Frontier::default();
        let mut differing = Vec::new();
        for index in 0..size.div_ceil(width) {
            let have = (size - index * width).min(width) as usize;
            let held = (self.size.saturating_sub(index * width)).min(width) as usize;
            let hashes = self.store.read(0, index, held.max(have))?;
            self.report.tiles += 1;
            for hash in &hashes[..have] {
                frontier.push(*hash, |level, tile, built| {
                    if level > 0 {
                        self.report.tiles += 1;
                        if self.store.read(level, tile, TILE_WIDTH)? != built {
                            differing.push((level, tile));
                        }
                    }
                    Ok::<_, TreeError>(())
                })?;
            }
        }
        if size == self.size {
            for (level, tile, built) in frontier.partial().filter(|(level, ..)| *level > 0) {
                self.report.tiles += 1;
                if self.store.read(level, tile, built.len())? != built {
                    differing.push((level, tile));
                }
            }
        }
        for (level, tile) in differing {
            let first = tile << (u32::from(TILE_HEIGHT) * (u32::from(level) + 1)).min(63);
            self.doubt(
                Some(first),
                format!("tile {level}/{tile} does not agree with the tiles below it"),
            );
        }
        Ok(frontier.root())
    }
}

/// Checks the segments of the log in `directory` against its own checkpoint.
pub fn verify(directory: &Path) -> Report {
    let all = Stretch {
        from: 0,
        to: u64::MAX,
    };
    let mut verifier = Verifier::open(directory, None, all);
    verifier.segments(true);
    verifier.finish()
}
