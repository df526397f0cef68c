//! Puts records into slots, or leaves the log as it was.

use std::io;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, fstat, statat};
use rustix::io::Errno;

use crate::gap::{Gap, again};
use crate::hot::{Hot, SEGMENT_FIRST, SEGMENT_LARGE, Segment};
use crate::leaf::{self, wall_clock_ns};
use crate::segment::{HEADER_LEN, SLOT_LEN, SPAN_MAX, Word, span};
use crate::tree::CLOCK_SLACK_NS;
use crate::{LogError, Seq};

/// How often the writer looks whether its file is still whole and there.
pub(crate) const FILE_CHECK: Duration = Duration::from_millis(10);
/// How often it looks whether its file still goes by its name.
const NAME_CHECK: Duration = Duration::from_secs(1);
/// How old a segment gets that is not full. Then the next record begins another.
const SEGMENT_AGE_MAX: Duration = Duration::from_secs(86_400);
/// Bytes that only [`Purpose::After`] may use, in bytes. When they are gone too, such records are counted instead.
pub(crate) const RESERVE: usize = 64 * 1024;
/// Bytes ahead of the end that are kept present in memory by whoever attends to the log.
pub(crate) const AHEAD: usize = 512 * 1024;

/// What is wrong with a segment that is not all there.
const LOST: &str =
    "was cut, or the disk lost part of it; restart the node, it keeps what can be read";

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Describes what has not happened yet, and will not if this fails.
    Before,
    /// Describes what has happened: a close, a denial.
    After,
}

/// The end of the log, and everything that must be true of it.
#[derive(Debug)]
pub(crate) struct Writer {
    hot: Arc<Hot>,
    segment: Option<Arc<Segment>>,
    /// Segments that are full, and not written back, where somebody writes back.
    closed: Vec<Arc<Segment>>,
    durable: bool,
    /// A segment got its name, which the disk may not have.
    named: bool,
    /// Where in it the next slot starts.
    at: usize,
    next: Seq,
    /// The segment after this one, made beforehand.
    spare: Option<Segment>,
    /// Bytes of the next segment that is made.
    wanted: u64,
    gap: Gap,
    /// Bytes of all leaves since the log was opened, and before in the segment it went on with.
    bytes: u64,
    /// Name of the node, from the latest record: events of the log carry it.
    node: String,
    checked: Instant,
    name_checked: Instant,
    /// Latest time of a record.
    latest_ns: u64,
    /// Time of the record that is taken: what the log says of itself before it is not later.
    at_ns: u64,
    /// Present in memory up to here.
    populated: usize,
    /// Whether something was written since the last [`Writer::chores`].
    dirty: bool,
    /// Woken when there is something to do ahead.
    attendant: Option<Thread>,
    /// Told already.
    nudged: bool,
}

/// What is to be done outside the lock.
#[derive(Debug)]
pub(crate) struct Chores {
    /// Bytes of the spare that is wanted.
    pub(crate) spare: Option<u64>,
    /// What to make present, from and to.
    pub(crate) populate: Option<(Arc<Segment>, usize, usize)>,
    /// What to write back.
    pub(crate) sync: Option<Unwritten>,
}

/// What the disk may not have yet.
#[derive(Debug)]
pub(crate) struct Unwritten {
    segments: Vec<Arc<Segment>>,
    /// Where they are, if one of them is new there.
    names: Option<Arc<Hot>>,
}

impl Unwritten {
    /// Waits until the disk has it. It says only once that it failed: the caller must tell everyone who relies on it.
    pub(crate) fn write_back(&self) -> io::Result<()> {
        for segment in &self.segments {
            segment.file.sync_data()?;
        }
        if let Some(hot) = &self.names {
            rustix::fs::fsync(hot.directory())?;
        }
        Ok(())
    }
}

impl Writer {
    /// Goes on behind `next` records, the last of them in `segment`, before its byte `at`. Without a segment, it begins one.
    pub(crate) fn new(
        hot: Arc<Hot>,
        segment: Option<(Segment, usize)>,
        next: Seq,
        gap: Gap,
        durable: bool,
        latest_ns: u64,
    ) -> Self {
        let now = Instant::now();
        let (segment, at) = match segment {
            Some((segment, at)) => (Some(Arc::new(segment)), at),
            None => (None, 0),
        };
        let mut writer = Self {
            hot,
            wanted: segment.as_ref().map_or(SEGMENT_FIRST, |s| larger(s)),
            bytes: (at as u64).saturating_sub(HEADER_LEN as u64),
            segment,
            closed: Vec::new(),
            durable,
            named: true,
            at,
            next,
            spare: None,
            gap,
            node: String::new(),
            checked: now,
            name_checked: now,
            latest_ns,
            at_ns: 0,
            populated: 0,
            dirty: false,
            attendant: None,
            nudged: false,
        };
        if let Err(error) = writer.secure(SPAN_MAX, Purpose::Before) {
            writer.gap.enter(&error, now);
        }
        writer
    }

    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    /// The number of the next record, and that of the first of its segment.
    pub(crate) fn place(&self) -> (Seq, Seq) {
        let first = self.segment.as_ref().map_or(Seq(0), |s| s.first);
        (self.next, first)
    }

    /// Bytes of slots that were used.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that are there for records to come.
    pub(crate) fn ahead(&self) -> u64 {
        let spare = self
            .spare
            .as_ref()
            .map_or(0, |spare| spare.map.len() - HEADER_LEN);
        (self.left() + spare) as u64
    }

    /// What has to be written back for all records up to now to be on the disk.
    pub(crate) fn unwritten(&mut self) -> Unwritten {
        let mut segments = std::mem::take(&mut self.closed);
        segments.extend(self.segment.clone());
        Unwritten {
            segments,
            names: std::mem::take(&mut self.named).then(|| self.hot.clone()),
        }
    }

    /// From now on, `attendant` is woken when there is something to do ahead.
    pub(crate) fn attended_by(&mut self, attendant: Option<Thread>) {
        self.attendant = attendant;
        self.nudge();
    }

    /// Takes one leaf that stands for `count` and comes from `node`.
    pub(crate) fn take(
        &mut self,
        leaf: Result<&[u8], LogError>,
        purpose: Purpose,
        count: u64,
        node: &str,
        time_ns: u64,
    ) -> Result<Seq, LogError> {
        if self.node != node {
            node.clone_into(&mut self.node);
        }
        let now = Instant::now();
        if time_ns != 0 && time_ns.saturating_add(CLOCK_SLACK_NS) < self.latest_ns {
            self.gap.clock_set_back(time_ns, self.latest_ns);
            self.latest_ns = time_ns;
        }
        self.latest_ns = self.latest_ns.max(time_ns);
        self.at_ns = time_ns;
        let taken = leaf.and_then(|bytes| self.try_take(bytes, purpose, now));
        self.at_ns = 0;
        if let Err(error) = &taken {
            self.gap.lose(purpose, count, error, now);
        }
        taken
    }

    /// Why nothing is taken at the moment. Looks at the file, and tries to recover when that is due.
    pub(crate) fn trouble(&mut self) -> Option<&LogError> {
        let now = Instant::now();
        if self.gap.trouble().is_some() {
            self.recover(now);
        } else if let Err(error) = self.verify(now) {
            self.gap.enter(&error, now);
        }
        self.gap.trouble()
    }

    /// Something was mended: the log says so before its next record.
    pub(crate) fn note(&mut self, note: String) {
        self.gap.note(note);
    }

    /// What was written could not be kept.
    pub(crate) fn fail(&mut self, error: io::Error) {
        let error = self.hot.refusal(error);
        self.gap.enter(&error, Instant::now());
        // What the disk did not take from this segment is not tried again in it.
        self.at = self.segment.as_ref().map_or(0, |s| s.map.len());
    }

    /// What is to be done ahead. The caller does it without the lock, and brings back what came of it.
    pub(crate) fn chores(&mut self, sync: bool) -> Chores {
        self.nudged = false;
        let spare = self.spare.is_none().then_some(self.wanted);
        let to = self.at + AHEAD;
        let populate = self
            .segment
            .clone()
            .filter(|segment| self.populated < segment.map.len().min(to))
            .map(|segment| (segment, self.populated.max(self.at), to));
        // Where records wait for the disk, they write back themselves, and are told when that fails.
        let sync =
            (sync && std::mem::take(&mut self.dirty) && !self.durable).then(|| self.unwritten());
        Chores {
            spare,
            populate,
            sync,
        }
    }

    /// Whether something was written that nobody has written back.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// A spare of `asked` bytes was made. `Some`: there is one already, or the log has gone on and wants a larger one.
    pub(crate) fn keep_spare(&mut self, spare: Segment, asked: u64) -> Option<Segment> {
        if self.spare.is_some() || asked != self.wanted {
            return Some(spare);
        }
        self.spare = Some(spare);
        None
    }

    /// `segment` is present up to `to`.
    pub(crate) fn populated(&mut self, segment: &Arc<Segment>, to: usize) {
        if self
            .segment
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(own, segment))
        {
            self.populated = self.populated.max(to);
        }
    }

    /// Bytes left in the segment in use.
    fn left(&self) -> usize {
        self.segment
            .as_ref()
            .map_or(0, |segment| segment.map.len() - self.at)
    }

    fn try_take(&mut self, leaf: &[u8], purpose: Purpose, now: Instant) -> Result<Seq, LogError> {
        if self.gap.trouble().is_some() && !self.recover(now) {
            let in_reserve =
                purpose == Purpose::After && self.gap.is_full() && self.left() >= span(leaf.len());
            if let Some(error) = self.gap.trouble()
                && !in_reserve
            {
                return Err(again(error));
            }
        }
        let written = self.write(leaf, purpose, now);
        if let Err(error) = &written {
            self.gap.enter(error, now);
        }
        written
    }

    fn write(&mut self, leaf: &[u8], purpose: Purpose, now: Instant) -> Result<Seq, LogError> {
        if now.saturating_duration_since(self.checked) >= FILE_CHECK {
            self.verify(now)?;
            self.end_old_segment()?;
        }
        if self.gap.trouble().is_none() && self.gap.owes() {
            self.say_what_was_lost(now)?;
        }
        self.append(leaf, purpose)
    }

    /// Tries to end the trouble. `false`: it lasts, or it is too early to try.
    fn recover(&mut self, now: Instant) -> bool {
        if !self.gap.may_retry(now) {
            return false;
        }
        let recovered = self
            .verify(now)
            .and_then(|()| self.secure(SPAN_MAX, Purpose::Before))
            .and_then(|()| self.say_what_was_lost(now));
        match recovered {
            Ok(()) => self.gap.leave(),
            Err(ref error) => self.gap.enter(error, now),
        }
        recovered.is_ok()
    }

    fn say_what_was_lost(&mut self, now: Instant) -> Result<(), LogError> {
        while self.gap.owes()
            && let Some(event) = self.gap.event(&self.node, now, self.at_ns)
        {
            let bytes = leaf::encode(&event)?;
            self.append(&bytes, Purpose::Before)?;
            self.latest_ns = self.latest_ns.max(event.time_ns);
            self.gap.said();
        }
        Ok(())
    }

    /// Whether the file is still the one that was left, and whole.
    fn verify(&mut self, now: Instant) -> Result<(), LogError> {
        let Some(segment) = self.segment.clone() else {
            return Ok(());
        };
        let tampered = |what: &str| self.hot.tampered(&segment, what);
        if segment.map.lost() {
            return Err(tampered(LOST));
        }
        let stat = fstat(&segment.file).map_err(io::Error::from)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size != segment.map.len() as u64 {
            return Err(tampered(&format!(
                "has {size} bytes instead of {}: someone else changed it; restart the node, it keeps what can be read",
                segment.map.len()
            )));
        }
        self.checked = now;
        if stat.st_nlink == 0 || now.saturating_duration_since(self.name_checked) >= NAME_CHECK {
            match statat(
                self.hot.directory(),
                &segment.name,
                AtFlags::SYMLINK_NOFOLLOW,
            ) {
                Ok(named) if (named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino) => {}
                Ok(_) => {
                    return Err(tampered("was replaced by another file; move that one away"));
                }
                Err(Errno::NOENT) => self.restore(&segment)?,
                Err(e) => return Err(LogError::Io(e.into())),
            }
            self.name_checked = now;
        }
        Ok(())
    }

    /// The file is gone from its name, and its bytes are still here: they get a file of that name again.
    fn restore(&mut self, segment: &Segment) -> Result<(), LogError> {
        let again = self.hot.restore(segment, self.at)?;
        self.gap.note(format!(
            "someone removed {} or moved it away; it was written again from memory, with all its records",
            self.hot.path().join(&segment.name).display()
        ));
        self.segment = Some(Arc::new(again));
        self.populated = 0;
        self.named = true;
        Ok(())
    }

    /// Makes sure that a slot of `need` bytes fits, and for [`Purpose::Before`] that closes and denials fit after it.
    fn secure(&mut self, need: usize, purpose: Purpose) -> Result<(), LogError> {
        let fits = |left: usize, more: bool| {
            left >= need && (purpose == Purpose::After || more || left - need >= RESERVE)
        };
        if self.segment.is_some() && fits(self.left(), self.spare.is_some()) {
            return Ok(());
        }
        if self.spare.is_none() {
            let made = self.hot.spare(self.wanted);
            match made {
                Ok(spare) => self.spare = Some(spare),
                Err(_) if purpose == Purpose::After && self.left() >= need => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.left() >= need {
            // There is a spare now: room for what follows is sure.
            return Ok(());
        }
        self.go_on()
    }

    /// A day's records do not wait for others before they can be sealed, and pruned by their age.
    fn end_old_segment(&mut self) -> Result<(), LogError> {
        let Some(segment) = &self.segment else {
            return Ok(());
        };
        let age = wall_clock_ns().saturating_sub(segment.begun_ns);
        if u128::from(age) < SEGMENT_AGE_MAX.as_nanos()
            || self.at == HEADER_LEN
            || self.spare.is_none()
        {
            return Ok(());
        }
        // There is no hurry for a larger one.
        let as_large = segment.map.len() as u64;
        self.go_on()?;
        self.wanted = as_large;
        Ok(())
    }

    /// Closes the segment and begins the next.
    fn go_on(&mut self) -> Result<(), LogError> {
        let Some(mut spare) = self.spare.take() else {
            return Err(LogError::Io(io::Error::other(
                "there is no segment to go on with",
            )));
        };
        if let Err(error) = self.hot.begin(&mut spare, self.next) {
            self.spare = Some(spare);
            return Err(error);
        }
        if let Some(last) = &self.segment
            && self.left() >= SLOT_LEN
        {
            last.map.publish(self.at, Word::End.encode());
        }
        self.wanted = larger(&spare);
        let full = self.segment.replace(Arc::new(spare));
        if self.durable || self.attendant.is_some() {
            self.closed.extend(full);
        }
        self.at = HEADER_LEN;
        self.populated = HEADER_LEN;
        self.dirty = true;
        self.named = true;
        self.nudge();
        Ok(())
    }

    fn append(&mut self, leaf: &[u8], purpose: Purpose) -> Result<Seq, LogError> {
        let need = span(leaf.len());
        self.secure(need, purpose)?;
        let Some(segment) = &self.segment else {
            return Err(LogError::Io(io::Error::other("there is no segment")));
        };
        let map = &segment.map;
        map.publish(self.at, Word::Reserved(leaf.len()).encode());
        map.write(self.at + 4, &crc32c::crc32c(leaf).to_le_bytes());
        map.write(self.at + SLOT_LEN, leaf);
        map.publish(self.at, Word::Complete(leaf.len()).encode());
        if map.lost() {
            return Err(self.hot.tampered(segment, LOST));
        }
        let seq = self.next;
        self.at += need;
        self.bytes += need as u64;
        self.next = Seq(seq.0 + 1);
        let short = self.populated < self.at + AHEAD / 2 && self.populated < map.len();
        if !std::mem::replace(&mut self.dirty, true) || short {
            self.nudge();
        }
        Ok(seq)
    }

    fn nudge(&mut self) {
        if let Some(attendant) = &self.attendant
            && !std::mem::replace(&mut self.nudged, true)
        {
            attendant.unpark();
        }
    }
}

/// What the segment after `segment` should have.
fn larger(segment: &Segment) -> u64 {
    (segment.map.len() as u64)
        .saturating_mul(4)
        .clamp(SEGMENT_FIRST, SEGMENT_LARGE)
}
