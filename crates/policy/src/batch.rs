//! A million questions, one JSON line each, one answer for each, in order.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use jiff::Timestamp;
use memchr::memchr;
use serde::{Deserialize, Serialize};

use crate::condition::{Moment, Seen};
use crate::explain::Explanation;
use crate::snapshot::Snapshot;

/// Longest line of input, in bytes without its line feed. A longer one is answered `deny` and skipped to its end.
pub const BATCH_LINE_MAX: usize = 64 * 1024;

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchSummary {
    /// Lines read, and answers written.
    pub lines: u64,
    /// Answered `allow`.
    pub allowed: u64,
    /// Answered `deny`, with those that were not understood.
    pub denied: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with from, to and op")]
struct Question<'a> {
    #[serde(borrow)]
    from: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    to: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    op: std::borrow::Cow<'a, str>,
}

/// [`Answer`](crate::Answer) without owning anything.
#[derive(Serialize)]
struct Reply<'a> {
    outcome: &'a str,
    reason: &'a str,
    rule: Option<&'a str>,
}

/// Reads lines `{"from":…,"to":…,"op":…}` and writes one [`Answer`](crate::Answer) for each, in order: also for empty lines
/// and for those that are no such question, which are denied with the reason. Answers are flushed whenever the next
/// question has not arrived yet. Decided as of the time each part of the input arrives.
pub fn batch(
    snapshot: &Snapshot,
    reader: impl Read,
    writer: impl Write,
) -> io::Result<BatchSummary> {
    let mut reader = BufReader::with_capacity(BATCH_LINE_MAX * 2, reader);
    let mut writer = BufWriter::with_capacity(BATCH_LINE_MAX * 2, writer);
    let mut summary = BatchSummary::default();
    let mut line = Vec::new();
    let mut now = Timestamp::now();
    loop {
        if memchr(b'\n', reader.buffer()).is_none() {
            writer.flush()?;
            now = Timestamp::now();
        }
        let Some(whole) = read_line(&mut reader, &mut line)? else {
            break;
        };
        let answer = if whole {
            answer(snapshot, &line, now)
        } else {
            Explanation::denied(format!("the line is longer than {BATCH_LINE_MAX} bytes"))
        };
        write_answer(&mut writer, &answer)?;
        summary.lines += 1;
        if answer.allowed {
            summary.allowed += 1;
        } else {
            summary.denied += 1;
        }
    }
    writer.flush()?;
    Ok(summary)
}

/// The next line without its end. `Some(false)`: it was too long and is skipped; `None`: there is no more.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let limit = BATCH_LINE_MAX as u64 + 1;
    let read = reader.by_ref().take(limit).read_until(b'\n', line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(true));
    }
    if line.len() <= BATCH_LINE_MAX {
        // The last line may lack its line feed.
        return Ok(Some(true));
    }
    reader.skip_until(b'\n')?;
    Ok(Some(false))
}

fn answer(snapshot: &Snapshot, line: &[u8], now: Timestamp) -> Explanation {
    match serde_json::from_slice::<Question<'_>>(line) {
        Ok(question) => snapshot.answer_text(
            &question.from,
            &question.to,
            &question.op,
            &Moment::at(now, Seen::Nothing),
        ),
        Err(error) => Explanation::denied(format!("not a question: {error}")),
    }
}

fn write_answer(writer: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    let rule = explanation.rule.as_ref().map(ToString::to_string);
    let reply = Reply {
        outcome: explanation.ruled.as_str(),
        reason: &explanation.reason,
        rule: rule.as_deref(),
    };
    serde_json::to_writer(&mut *writer, &reply)?;
    writer.write_all(b"\n")
}
