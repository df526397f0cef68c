//! Opens the log for writing: one writer, and a last segment in which every slot is settled.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use prost::bytes::Buf;
use ringfence_model::flow::Flow;

use crate::gap::Gap;
use crate::hot::{self, Hot, Segment};
use crate::map::Map;
use crate::scan::{Scanner, Step};
use crate::segment::{HEADER_LEN, SPAN_MAX, name, void, void_leaf};
use crate::writer::{Purpose, Writer};
use crate::{LogError, RECORD_MAX, Seq, unsigned};

/// The log's first form: one file of length-delimited messages. Its records are taken over once.
const FIRST_FORM: &str = "flows.binpb";
/// What the file of the first form is called afterwards.
const TAKEN_OVER: &str = "flows.taken-over.binpb";
/// The signed tree head, whose second line is the number of records that others may know of.
const CHECKPOINT: &str = "checkpoint";

/// Where closed segments go, and how the names of what is signed of them end.
const SEALED: &str = "sealed";
const STATEMENT: &str = "sealed";

/// What had to be mended when the log was opened. The log records each as an `event` of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The slot of a record that a crash left half written, never acknowledged.
    Void {
        /// Its number.
        seq: u64,
    },
    /// A segment was damaged; it was moved aside whole, and what can be read of it written again.
    MovedAside {
        /// Its new name.
        to: PathBuf,
        /// Number of the first record that cannot be read.
        next: u64,
        /// What is wrong with it.
        damage: String,
    },
    /// Records of which memory had what the disk had not; they were written again.
    WrittenAgain {
        /// The first that was looked at.
        from: u64,
        /// The first after them.
        next: u64,
    },
    /// Records before others that are here never came to the disk. In the place of each stands one that says so.
    NeverKept {
        /// The first of them.
        from: u64,
        /// The first that is here again.
        next: u64,
    },
    /// Records that a signed checkpoint counts are not here.
    Lost {
        /// The first of them.
        from: u64,
        /// The first that will be here again.
        next: u64,
    },
    /// The records of the log's first form were taken over.
    TakenOver {
        /// How many.
        records: u64,
        /// Where that file is now.
        to: PathBuf,
        /// Why it was not read to its end, if it was not.
        damage: Option<String>,
    },
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Repair::Void { seq } => write!(
                f,
                "record {seq} was never completed, so what it was to describe did not happen; its place is void"
            ),
            Repair::MovedAside { to, next, damage } => write!(
                f,
                "{damage}; the damaged segment is kept as {}, and the log goes on at record {next}",
                to.display()
            ),
            Repair::WrittenAgain { from, next } => write!(
                f,
                "memory had of records {from} to {} what the disk had not, as after a failed write-back; they were written again. \
                 Attempts among them that waited for the disk in vain were denied",
                next.saturating_sub(1)
            ),
            Repair::NeverKept { from, next } => write!(
                f,
                "records {from} to {} are lost: they never came to the disk, before a power failure, a crash of the kernel or a failure \
                 of the disk; in the place of each stands `{}`",
                next - 1,
                crate::RECORD_LOST
            ),
            Repair::Lost { from, next } => write!(
                f,
                "records {from} to {} are in a signed checkpoint and not here: someone removed them, or the disk lost them; \
                 the log goes on at record {next}, and `ringfence audit verify` tells the rest",
                next - 1
            ),
            Repair::TakenOver {
                records,
                to,
                damage,
            } => {
                write!(
                    f,
                    "{records} records were taken over from the log's first form, which is kept as {}",
                    to.display()
                )?;
                match damage {
                    Some(damage) => write!(f, "; it cannot be read further: {damage}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Opens what is in `hot`, the segments of the log in `directory`, and mends it.
pub(crate) fn writer(
    hot: &Arc<Hot>,
    directory: &Path,
    durable: bool,
) -> Result<(Writer, Vec<Repair>), LogError> {
    let mut repairs = Vec::new();
    let signed = Seq(signed_size(directory));
    unsigned::settle(hot, signed, &mut repairs)?;
    let Settled {
        mut end,
        mut last,
        latest_ns,
    } = settle(hot, &mut repairs)?;
    if signed > end {
        let here = end.0.max(sealed_before(directory));
        if signed.0 > here {
            repairs.push(Repair::Lost {
                from: here,
                next: signed.0,
            });
        }
        end = signed;
        last = None;
    }
    let old = directory.join(FIRST_FORM);
    // Nothing is recorded before the file has its other name: what is here already came from it.
    if old.exists() && !directory.join(TAKEN_OVER).exists() {
        let mut writer = Writer::new(hot.clone(), last, end, Gap::default(), durable, latest_ns);
        let (records, damage) = take_over(&old, end.0, &mut writer)?;
        fs::rename(&old, directory.join(TAKEN_OVER)).map_err(LogError::at(&old))?;
        let repair = Repair::TakenOver {
            records,
            to: directory.join(TAKEN_OVER),
            damage,
        };
        writer.note(repair.to_string());
        return Ok((writer, vec![repair]));
    }
    let gap = Gap::with_notes(repairs.iter().map(Repair::to_string).collect());
    let writer = Writer::new(hot.clone(), last, end, gap, durable, latest_ns);
    Ok((writer, repairs))
}

/// The end of a log in which every slot is complete or void.
struct Settled {
    end: Seq,
    /// The segment to go on in, if there is one, and where in it.
    last: Option<(Segment, usize)>,
    /// Time of the last record; 0: there is none.
    latest_ns: u64,
}

fn settle(hot: &Hot, repairs: &mut Vec<Repair>) -> Result<Settled, LogError> {
    loop {
        let segments = hot::list(hot.path()).map_err(LogError::at(hot.path()))?;
        let Some(first) = segments.last().copied() else {
            return Ok(Settled {
                end: Seq(0),
                last: None,
                latest_ns: 0,
            });
        };
        let path = hot.path().join(name(first));
        let open = LogError::at(&path);
        let file = open_plain(&path).map_err(&open)?;
        let walked = Scanner::new(file, &path).and_then(|mut scanner| {
            if scanner.header().first != first {
                return Err(scanner.corrupt("a header with another number than its name"));
            }
            walk(&mut scanner)
        });
        let walked = match walked {
            Ok(walked) => walked,
            Err(damage @ LogError::Corrupt { .. }) => {
                put_aside(hot, first, None, &damage, repairs).map_err(&open)?;
                continue;
            }
            Err(other) => return Err(other),
        };
        if let Some(damage) = &walked.damage {
            put_aside(hot, first, Some(&walked), damage, repairs).map_err(&open)?;
            continue;
        }
        let mut settled = Settled {
            end: walked.next,
            last: None,
            latest_ns: Flow::decode(&walked.last[..]).map_or(0, |flow| flow.time_ns),
        };
        let segment = match hot.reopen(&name(first), walked.header) {
            Ok(segment) => segment,
            // There is no room for what it has not got: it ends where its records do.
            Err(error) if hot::is_full(&error) => return Ok(settled),
            Err(error) => return Err(open(error)),
        };
        for (at, seq, length) in &walked.reserved {
            make_void(&segment.map, *at, *length);
            repairs.push(Repair::Void { seq: seq.0 });
        }
        if !walked.closed {
            settled.last = Some((segment, walked.end));
        }
        return Ok(settled);
    }
}

/// What a whole segment holds.
pub(crate) struct Walked {
    pub(crate) header: crate::segment::Header,
    /// Where the next slot starts, and its number.
    pub(crate) end: usize,
    pub(crate) next: Seq,
    /// It says that the next record is elsewhere.
    closed: bool,
    /// Slots that were never completed: where, their number, the bytes they were for.
    pub(crate) reserved: Vec<(usize, Seq, usize)>,
    /// Why it cannot be read further.
    pub(crate) damage: Option<LogError>,
    /// Its last record that has a time.
    last: Vec<u8>,
}

pub(crate) fn walk(scanner: &mut Scanner) -> Result<Walked, LogError> {
    let mut walked = Walked {
        header: scanner.header(),
        end: HEADER_LEN,
        next: scanner.header().first,
        closed: false,
        reserved: Vec::new(),
        damage: None,
        last: Vec::new(),
    };
    loop {
        let (offset, next) = scanner.place();
        walked.end = usize::try_from(offset).unwrap_or(usize::MAX);
        walked.next = next;
        match scanner.step() {
            Ok(Step::Record(_, leaf)) if leaf == void_leaf() => {}
            Ok(Step::Record(_, leaf)) => {
                walked.last.clear();
                walked.last.extend_from_slice(leaf);
            }
            Ok(Step::Closed) => {
                walked.closed = true;
                return Ok(walked);
            }
            Ok(Step::End { reserved: 0, .. }) => {
                if !scanner.untouched()? {
                    walked.damage =
                        Some(scanner.corrupt("a slot that is empty before others that are not"));
                }
                return Ok(walked);
            }
            Ok(Step::End { reserved, length }) => {
                if offset + reserved > walked.header.length {
                    walked.damage = Some(scanner.corrupt("a record that goes on past its segment"));
                    return Ok(walked);
                }
                walked.reserved.push((walked.end, next, length));
                scanner.go_to(offset + reserved, Seq(next.0 + 1));
            }
            Err(damage @ LogError::Corrupt { .. }) => {
                walked.damage = Some(damage);
                return Ok(walked);
            }
            Err(other) => return Err(other),
        }
    }
}

pub(crate) fn make_void(map: &Map, at: usize, length: usize) {
    let (word, sum) = void(length);
    map.write(at + 4, &sum.to_le_bytes());
    map.publish(at, word);
}

/// Keeps a damaged segment under another name, and writes what can be read of it again.
fn put_aside(
    hot: &Hot,
    first: Seq,
    walked: Option<&Walked>,
    damage: &LogError,
    repairs: &mut Vec<Repair>,
) -> io::Result<()> {
    let to = hot.move_aside(&name(first))?;
    let next = walked.map_or(first, |walked| walked.next);
    if let Some(walked) = walked
        && walked.end > HEADER_LEN
    {
        rewrite(hot, &to, walked)?;
    }
    repairs.push(Repair::MovedAside {
        to,
        next: next.0,
        damage: damage.to_string(),
    });
    Ok(())
}

/// Writes a segment again up to where it can be read.
fn rewrite(hot: &Hot, damaged: &Path, walked: &Walked) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let other = |error: LogError| io::Error::other(error.to_string());
    let length = (walked.end + SPAN_MAX) as u64;
    let mut spare = hot.spare(length.next_power_of_two()).map_err(other)?;
    if spare.map.len() < walked.end {
        hot.discard(&spare);
        return Err(io::Error::from(io::ErrorKind::StorageFull));
    }
    let mut bytes = vec![0; walked.end - HEADER_LEN];
    open_plain(damaged)?.read_exact_at(&mut bytes, HEADER_LEN as u64)?;
    spare.map.write(HEADER_LEN, &bytes);
    for (at, _, length) in &walked.reserved {
        if *at < walked.end {
            make_void(&spare.map, *at, *length);
        }
    }
    spare.file.sync_data()?;
    hot.begin(&mut spare, walked.header.first).map_err(other)
}

/// Reads a file of the log's first form into a log that holds its first `held` records. Gives how many there are, and what
/// stopped it before the end.
fn take_over(
    path: &Path,
    held: u64,
    writer: &mut Writer,
) -> Result<(u64, Option<String>), LogError> {
    let bytes = fs::read(path).map_err(LogError::at(path))?;
    let mut rest = bytes.as_slice();
    let mut records = 0;
    while rest.has_remaining() {
        let length = match prost::decode_length_delimiter(&mut rest) {
            Ok(length) if length <= RECORD_MAX && length > 0 && length <= rest.len() => length,
            Ok(_) => return Ok((records, Some(format!("record {records} is not whole")))),
            Err(error) => return Ok((records, Some(format!("record {records}: {error}")))),
        };
        let (leaf, after) = rest.split_at(length);
        if let Err(error) = Flow::decode(leaf) {
            return Ok((records, Some(format!("record {records}: {error}"))));
        }
        if records >= held {
            writer.take(Ok(leaf), Purpose::After, 1, "", 0)?;
        }
        records += 1;
        rest = after;
    }
    Ok((records, None))
}

/// How many records the latest checkpoint counts. Anyone may have written there: it only ever leaves numbers out.
fn signed_size(directory: &Path) -> u64 {
    let Ok(text) = fs::read_to_string(directory.join(CHECKPOINT)) else {
        return 0;
    };
    text.lines()
        .nth(1)
        .and_then(|size| size.parse().ok())
        .unwrap_or(0)
}

/// Before which record the log is sealed, as the latest statement says. For the words of a repair: whoever verifies reads more.
fn sealed_before(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory.join(SEALED)) else {
        return 0;
    };
    let statements = entries.flatten().map(|entry| entry.path());
    let latest = statements
        .filter(|path| path.extension().is_some_and(|end| end == STATEMENT))
        .max();
    let text = latest.and_then(|path| fs::read_to_string(path).ok());
    text.as_deref()
        .and_then(|text| text.lines().nth(2)?.split(' ').nth(1)?.parse().ok())
        .unwrap_or(0)
}

/// Opens a segment for reading. A link is not followed, and a pipe, whose opening would wait for somebody, is refused.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file; move it away"));
    }
    Ok(file)
}
