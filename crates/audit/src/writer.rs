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
use crate::rescue::{Again, Filled, Starts, write_again};
use crate::segment::{HEADER_LEN, SLOT_LEN, SPAN_MAX, Word, span};
use crate::tree::CLOCK_SLACK_NS;
use crate::{LogError, RECORD_LOST, Seq};

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

/// Stretches of lost records that are named; those beyond are counted.
const NAMED_MAX: usize = 50;

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
    closed: Vec<Filled>,
    /// What the disk may not have since it failed, from the oldest; the last is the segment in use. Until all of it was written
    /// again, nothing is taken.
    unkept: Vec<Filled>,
    /// Names may not be on the disk since it failed.
    unnamed: bool,
    /// Where slots start in the segment in use.
    starts: Starts,
    /// Records before this were said to be on the disk, where they wait for it.
    kept: Seq,
    /// The records that are lost, from and before.
    lost: Vec<(Seq, Seq)>,
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
    /// What to write again.
    pub(crate) rescue: Option<Rescue>,
}

/// A step on the way back from a failure to write back.
#[derive(Debug)]
pub(crate) enum Rescue {
    /// This segment gets a new file. `true`: the log goes on in it.
    Segment(Filled, bool),
    /// The disk gets their names.
    Names,
}

impl Rescue {
    /// Takes the step. It waits for the disk.
    pub(crate) fn run(&self, hot: &Hot) -> Result<Option<Again>, LogError> {
        match self {
            Rescue::Segment(filled, goes_on) => write_again(hot, filled, *goes_on).map(Some),
            Rescue::Names => match rustix::fs::fsync(hot.directory()) {
                Ok(()) => Ok(None),
                Err(e) => Err(hot.refusal(e.into())),
            },
        }
    }
}

/// What the disk may not have yet.
#[derive(Debug)]
pub(crate) struct Unwritten {
    closed: Vec<Filled>,
    current: Option<Arc<Segment>>,
    /// The first record that it does not reach to.
    before: Seq,
    /// Where they are, if one of them is new there.
    names: Option<Arc<Hot>>,
}

impl Unwritten {
    /// Waits until the disk has it. It says only once that it failed: the caller must tell everyone who relies on it.
    pub(crate) fn write_back(&self) -> io::Result<()> {
        let closed = self.closed.iter().map(|filled| &filled.segment);
        for segment in closed.chain(&self.current) {
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
            unkept: Vec::new(),
            unnamed: false,
            starts: Starts::default(),
            kept: next,
            lost: Vec::new(),
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

    /// The first record of its segment, if it has one.
    pub(crate) fn in_use(&self) -> Option<Seq> {
        self.segment.as_ref().map(|segment| segment.first)
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
        // What failed is not written back by asking once more.
        let fails = self.is_unkept();
        Unwritten {
            closed: std::mem::take(&mut self.closed),
            current: self.segment.clone().filter(|_| !fails),
            before: if fails { self.kept } else { self.next },
            names: std::mem::take(&mut self.named).then(|| self.hot.clone()),
        }
    }

    /// The disk has all of `unwritten`.
    pub(crate) fn keeps(&mut self, unwritten: &Unwritten) {
        self.kept = self.kept.max(unwritten.before);
    }

    /// Whether the disk may lack something since it failed.
    pub(crate) fn is_unkept(&self) -> bool {
        self.unnamed || !self.unkept.is_empty()
    }

    /// The records that are lost, if any are.
    pub(crate) fn lost(&self) -> Option<String> {
        (!self.lost.is_empty()).then(|| numbers(&self.lost))
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

    /// `unwritten` could not be written back: everything since is written again before anything is taken. Gives the first record
    /// that comes after.
    pub(crate) fn fail(&mut self, error: io::Error, mut unwritten: Unwritten) -> Seq {
        let error = self.hot.refusal(error);
        self.gap.enter(&error, Instant::now());
        self.unkept.append(&mut unwritten.closed);
        self.unkept.append(&mut self.closed);
        if let Some(segment) = &self.segment
            && !self.is_rescued(segment)
        {
            self.unkept.push(Filled {
                segment: segment.clone(),
                used: self.at,
                end: self.next,
                starts: std::mem::take(&mut self.starts),
            });
            // Nothing more comes into it.
            self.at = segment.map.len();
        }
        self.unnamed = true;
        if self.durable && self.kept < self.next {
            self.gap.refuse(self.kept, self.next, &error);
        }
        self.nudge();
        self.next
    }

    /// Whether `segment` is among those that are written again.
    fn is_rescued(&self, segment: &Arc<Segment>) -> bool {
        let mut unkept = self.unkept.iter();
        unkept.any(|filled| Arc::ptr_eq(&filled.segment, segment))
    }

    /// The next step back, where it is time for one.
    fn rescue(&self, now: Instant) -> Option<Rescue> {
        if self.gap.may_retry(now) {
            self.rescue_now()
        } else {
            None
        }
    }

    /// The next step back, if there is one.
    pub(crate) fn rescue_now(&self) -> Option<Rescue> {
        if let Some(filled) = self.unkept.first() {
            let own = self.segment.as_ref();
            let goes_on = own.is_some_and(|own| Arc::ptr_eq(own, &filled.segment));
            return Some(Rescue::Segment(filled.clone(), goes_on));
        }
        self.unnamed.then_some(Rescue::Names)
    }

    /// The step was taken.
    pub(crate) fn rescued(&mut self, step: &Rescue, done: Result<Option<Again>, LogError>) {
        match (step, done) {
            (_, Err(error)) => return self.gap.enter(&error, Instant::now()),
            (Rescue::Segment(filled, goes_on), Ok(Some(again))) => {
                let same = |other: &Filled| Arc::ptr_eq(&other.segment, &filled.segment);
                self.unkept.retain(|other| !same(other));
                self.gap.note(format!(
                    "the disk failed to write back; records {} to {} were written again from memory",
                    filled.segment.first,
                    filled.end.0.saturating_sub(1)
                ));
                self.lose(again.lost);
                if *goes_on {
                    self.at = again.used;
                    self.populated = 0;
                    self.starts = again.starts;
                    self.segment = Some(Arc::new(again.segment));
                }
            }
            (Rescue::Names, _) => {
                self.unnamed = false;
                self.kept = self.next;
            }
            (Rescue::Segment(..), Ok(None)) => {}
        }
        if !self.is_unkept() {
            self.gap.retry_now();
        }
    }

    /// Records are lost, and the log says which.
    fn lose(&mut self, lost: Vec<(Seq, Seq)>) {
        if lost.is_empty() {
            return;
        }
        self.gap.note(format!(
            "records {} are lost: the disk failed, and memory had them no more; in the place of each stands `{RECORD_LOST}`",
            numbers(&lost)
        ));
        self.lost.extend(lost);
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
        let sync = sync && !self.is_unkept() && std::mem::take(&mut self.dirty) && !self.durable;
        Chores {
            spare,
            populate,
            sync: sync.then(|| self.unwritten()),
            rescue: self.rescue(Instant::now()),
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
        // Whoever attends to the log does it without the lock.
        while self.is_unkept() {
            let Some(step) = self.rescue(now).filter(|_| self.attendant.is_none()) else {
                return false;
            };
            let done = step.run(&self.hot);
            self.rescued(&step, done);
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
        let starts = std::mem::replace(&mut self.starts, Starts::of(spare.map.len()));
        let full = self.segment.replace(Arc::new(spare));
        if let Some(segment) = full
            && (self.durable || self.attendant.is_some())
        {
            self.closed.push(Filled {
                segment,
                used: self.at,
                end: self.next,
                starts,
            });
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
        self.starts.note(self.at, seq.0 - segment.first.0);
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

/// Stretches of records as people read them.
fn numbers(stretches: &[(Seq, Seq)]) -> String {
    let (named, more) = stretches.split_at(stretches.len().min(NAMED_MAX));
    let named = named.iter().map(|(from, before)| {
        let last = before.0.saturating_sub(1);
        if from.0 == last {
            from.to_string()
        } else {
            format!("{from} to {last}")
        }
    });
    let mut text = named.collect::<Vec<_>>().join(", ");
    if !more.is_empty() {
        let count: u64 = more.iter().map(|(from, before)| before.0 - from.0).sum();
        text.push_str(&format!(", and {count} more"));
    }
    text
}

/// What the segment after `segment` should have.
fn larger(segment: &Segment) -> u64 {
    (segment.map.len() as u64)
        .saturating_mul(4)
        .clamp(SEGMENT_FIRST, SEGMENT_LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_stretches_of_lost_records_are_counted() {
        let stretch = |n: u64| (Seq(10 * n), Seq(10 * n + 1 + n % 2));
        let lost: Vec<_> = (0..NAMED_MAX as u64 + 2).map(stretch).collect();
        assert_eq!(numbers(&lost[..3]), "0, 10 to 11, 20");
        let text = numbers(&lost);
        assert!(text.ends_with("490 to 491, and 3 more"), "{text}");
    }
}
