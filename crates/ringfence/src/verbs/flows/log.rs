//! Reading a log to its end, and on while it grows.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use jiff::Timestamp;
use ringfence_audit::{LogError, Seq, Wait};
use ringfence_history::{HistoryError, OWNERS_ONLY, Records};
use ringfence_model::FlowRecord;
use ringfence_model::flow::Flow;

use crate::output::{Failure, say};

/// Follow mode waits this long at a time; new records are seen much sooner.
const WAIT: Duration = Duration::from_secs(60);
/// With an end, the clock is looked at this often: it may be set while we wait.
const CLOCK: Duration = Duration::from_secs(1);
/// A record that a live node is writing right now is whole within this time.
const SETTLE: Duration = Duration::from_millis(100);
/// Records after which follow mode looks at the clock, however fast the log grows.
const STRETCH: u64 = 4096;

/// Whether more of a log is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    More,
    Enough,
}

/// The next record of a log, also as it is stored.
pub(crate) fn read(
    reader: &mut Records,
    fail: fn(HistoryError) -> Failure,
) -> Result<Option<(FlowRecord, Flow)>, Failure> {
    let next = match reader.read() {
        Err(HistoryError::Log(gone @ LogError::Gone { .. })) => {
            say(gone.to_string());
            reader.pass_gap().map_err(fail)?;
            reader.read()
        }
        next => next,
    };
    let Some((seq, flow)) = next.map_err(fail)? else {
        return Ok(None);
    };
    match FlowRecord::new(seq.0, &flow) {
        Ok(record) => Ok(Some((record, flow))),
        Err(error) => Err(Failure::plain(error)),
    }
}

/// At the end of what was there: waits for the record that is being written, if one is, hands it to `rest`, and says
/// what stays unfinished. What came since is not waited for.
pub(crate) fn settle(
    reader: &mut Records,
    fail: fn(HistoryError) -> Failure,
    rest: impl FnOnce(&mut Records, Seq) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let quiet = reader.wait(None, Duration::ZERO).map_err(fail)? == Wait::Quiet;
    if !quiet || reader.unfinished() == 0 {
        return Ok(());
    }
    let next = Seq(reader.next().0.saturating_add(1));
    if reader.wait(None, SETTLE).map_err(fail)? == Wait::More {
        return rest(reader, next);
    }
    if reader.unfinished() > 0 {
        say(format!(
            "the last record of the log, of {} bytes, was never completed; the node makes its place void when it starts",
            reader.unfinished()
        ));
    }
    Ok(())
}

/// Hands the log to `rest` whenever it has grown, with the number to stop before, until `rest` has enough, `until` comes, or nobody
/// reads our output.
pub(crate) fn follow(
    reader: &mut Records,
    fail: fn(HistoryError) -> Failure,
    until: Option<Timestamp>,
    mut rest: impl FnMut(&mut Records, Seq) -> Result<Ahead, Failure>,
) -> Result<(), Failure> {
    let stdout = io::stdout();
    loop {
        let (wait, over) = match until {
            None => (WAIT, false),
            Some(until) => {
                let left = Timestamp::now().duration_until(until);
                match Duration::try_from(left) {
                    Ok(left) if !left.is_zero() => (left.min(CLOCK), false),
                    // What was stamped before the end may be on its way to the file.
                    _ => (SETTLE, true),
                }
            }
        };
        match reader.wait(Some(stdout.as_fd()), wait).map_err(fail)? {
            Wait::Quiet if over => return Ok(()),
            Wait::Quiet => {}
            Wait::OutletClosed => return Err(Failure::OutletClosed),
            Wait::More => {
                let end = if over {
                    reader.end().map_err(fail)?
                } else {
                    Seq(reader.next().0.saturating_add(STRETCH))
                };
                if rest(reader, end)? == Ahead::Enough || over {
                    return Ok(());
                }
            }
            Wait::Replaced => {
                say("the log was begun anew, or written again; following it");
                reader.reopen().map_err(fail)?;
            }
        }
    }
}

/// What is wrong with a log, and what to do.
pub(crate) fn failure(error: HistoryError) -> Failure {
    match error {
        error if error.is_refused() => Failure::new(error, OWNERS_ONLY),
        HistoryError::Log(LogError::Corrupt { .. }) => Failure::new(
            error,
            "records before it are whole; restart the node, which moves the damaged segment aside and goes on behind them",
        ),
        other => Failure::plain(other),
    }
}

/// The same of a copy, which no node mends.
pub(crate) fn copy_failure(error: HistoryError) -> Failure {
    match error {
        HistoryError::Log(LogError::Corrupt { .. }) => Failure::new(
            error,
            "records before it are whole; copy the log again, or give JSON lines of `ringfence observe -o json`",
        ),
        other => failure(other),
    }
}
