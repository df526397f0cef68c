//! What the writer before may have left in memory alone, or lost.
//!
//! A record that a checkpoint counts is on the disk: its signer has seen to that. Of those after it the page cache may hold what
//! the disk has not, when the writer before ended while its disk failed, and no one will be told of that failure again. And a
//! power failure may have kept a segment, and not the end of the one before it. Both are settled before the log is written on.

use std::fs::{File, hard_link};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::direct::Direct;
use crate::hot::{self, Hot};
use crate::open::{Repair, Walked, make_void, open_plain, walk};
use crate::rescue::{Filled, Starts, write_again};
use crate::scan::Scanner;
use crate::segment::{HEADER_LEN, name};
use crate::{LogError, Seq};

/// Segments at the end of the log that are looked at: no writer goes on while more are not on the disk, but a very busy one.
const LOOK_BACK_MAX: usize = 4;
/// Lost records that get a place each. Where more are missing, somebody has removed a segment.
const LOST_MAX: u64 = 1_000_000;

/// Makes sure that the disk has what is in `hot` and not `signed`, and that no number is missing there.
pub(crate) fn settle(hot: &Hot, signed: Seq, repairs: &mut Vec<Repair>) -> Result<(), LogError> {
    let firsts = hot::list(hot.path()).map_err(LogError::at(hot.path()))?;
    let oldest = firsts.len().saturating_sub(LOOK_BACK_MAX);
    for (number, first) in firsts.iter().enumerate().skip(oldest) {
        let next = firsts.get(number + 1).copied();
        if next.is_none_or(|next| next > signed) {
            one(hot, *first, next, signed, repairs)?;
        }
    }
    Ok(())
}

fn one(
    hot: &Hot,
    first: Seq,
    next: Option<Seq>,
    signed: Seq,
    repairs: &mut Vec<Repair>,
) -> Result<(), LogError> {
    let path = hot.path().join(name(first));
    let open = LogError::at(&path);
    let file = match open_plain(&path) {
        Ok(file) => file,
        // Whoever reads that far finds it again.
        Err(_) if next.is_some() => return Ok(()),
        Err(e) => return Err(open(e)),
    };
    let mut scanner = match Scanner::new(file.try_clone().map_err(&open)?, &path) {
        Ok(scanner) if scanner.header().first == first => scanner,
        // Damage of another kind, which is found again.
        Ok(_) | Err(LogError::Corrupt { .. }) => return Ok(()),
        Err(other) => return Err(other),
    };
    while scanner.place().1 < signed {
        match scanner.step() {
            Ok(crate::scan::Step::Record(..)) => {}
            Ok(_) | Err(LogError::Corrupt { .. }) => return Ok(()),
            Err(other) => return Err(other),
        }
    }
    let (from, oldest) = scanner.place();
    let walked = walk(&mut scanner)?;
    if let Some(next) = next
        && (walked.next.0..walked.next.0.saturating_add(LOST_MAX)).contains(&(next.0 - 1))
        && walked.reserved.is_empty()
    {
        return fill_up(hot, &path, walked, next, repairs);
    }
    if walked.damage.is_none() && !is_on_disk(&path, &file, from, &walked).map_err(&open)? {
        let segment = hot.reopen(&name(first), walked.header).map_err(&open)?;
        for (at, seq, length) in &walked.reserved {
            make_void(&segment.map, *at, *length);
            repairs.push(Repair::Void { seq: seq.0 });
        }
        write_again(hot, &filled(segment, &walked, walked.next), next.is_none())?;
        repairs.push(Repair::WrittenAgain {
            from: oldest.0,
            next: walked.next.0,
        });
    }
    Ok(())
}

/// Gives each number before `next` that `walked` has not a record that says so.
fn fill_up(
    hot: &Hot,
    path: &Path,
    walked: Walked,
    next: Seq,
    repairs: &mut Vec<Repair>,
) -> Result<(), LogError> {
    let open = LogError::at(path);
    let first = walked.header.first;
    let segment = hot.reopen(&name(first), walked.header).map_err(&open)?;
    if let Some(damage) = &walked.damage {
        repairs.push(Repair::MovedAside {
            to: keep_aside(path).map_err(&open)?,
            next: walked.next.0,
            damage: damage.to_string(),
        });
    }
    write_again(hot, &filled(segment, &walked, next), false)?;
    repairs.push(Repair::NeverKept {
        from: walked.next.0,
        next: next.0,
    });
    Ok(())
}

fn filled(segment: hot::Segment, walked: &Walked, end: Seq) -> Filled {
    Filled {
        segment: Arc::new(segment),
        used: walked.end,
        end,
        starts: Starts::default(),
    }
}

/// Whether the disk has what memory has, as far as it can be asked.
fn is_on_disk(path: &Path, file: &File, from: u64, walked: &Walked) -> io::Result<bool> {
    // What is not there afterwards is seen below, whatever this says.
    let _told = file.sync_data();
    let Some(direct) = Direct::open(path, file)? else {
        return Ok(true);
    };
    let agrees = direct
        .agrees(file, 0, HEADER_LEN as u64)
        .and_then(|head| Ok(head && direct.agrees(file, from, walked.end as u64)?));
    match agrees {
        // Other alignment than any that is known: it cannot be asked.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(true),
        // A place of it cannot be read: memory has what is there.
        Err(_) => Ok(false),
        agrees => agrees,
    }
}

/// A second name for a damaged segment, which outlives that it is written again.
fn keep_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1_u32..10_000 {
        let aside = PathBuf::from(format!("{}.damaged-{number}", path.display()));
        match hard_link(path, &aside) {
            Ok(()) => return Ok(aside),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other(
        "no free name for the damaged segment; move the old ones away",
    ))
}
