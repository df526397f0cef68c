//! A million questions, one JSON line each, one answer for each, in order. A record of the flow log is a question too.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use jiff::Timestamp;
use memchr::memchr;
use ringfence_model::text::safe_json;
use ringfence_model::{FLOW_LINE_MAX, FlowRecord, RecordKind};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::condition::{Moment, Seen};
use crate::explain::Explanation;
use crate::snapshot::Snapshot;
use crate::verdict::Ruled;
use crate::with::Context;

/// Longest line of input, in bytes without its line feed. A longer one is answered `deny` and skipped to its end.
/// Every record of the flow log fits.
pub const BATCH_LINE_MAX: usize = FLOW_LINE_MAX;
/// Bytes read, and written, at a time.
const CHUNK: usize = 128 * 1024;

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchSummary {
    /// Lines read; each is answered or passed over.
    pub lines: u64,
    /// Answered `allow`.
    pub allowed: u64,
    /// Answered `deny`, with those that were not understood.
    pub denied: u64,
    /// Flow records that ask policy nothing: closes, walls, events. They get no answer.
    pub passed_over: u64,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with from, to and op, and perhaps with"
)]
struct Question<'a> {
    #[serde(borrow)]
    from: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    to: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    op: std::borrow::Cow<'a, str>,
    /// What conditions may see; without it, nothing.
    #[serde(default)]
    with: Option<Context>,
}

/// [`Answer`](crate::Answer) without owning anything.
#[derive(Serialize)]
struct Reply<'a> {
    outcome: &'a str,
    reason: &'a str,
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    conditional: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    needs: &'a [String],
}

/// Whether a line means to be a flow record.
#[derive(Deserialize)]
struct Mark {
    seq: Option<IgnoredAny>,
}

/// The answer to a flow record: which one, what was asked, what was decided then.
#[derive(Serialize)]
struct RecordReply<'a> {
    seq: u64,
    from: &'a str,
    to: &'a str,
    /// `null`: whether they may meet at all.
    op: Option<&'a str>,
    was: &'a str,
    #[serde(flatten)]
    reply: Reply<'a>,
}

/// What a line asks.
enum Asked<'a> {
    /// By a person or a program.
    Question(Question<'a>),
    /// What once happened.
    Record(Box<FlowRecord>),
}

/// Reads lines `{"from":…,"to":…,"op":…}` and writes one [`Answer`](crate::Answer) for each, in order: also for empty lines
/// and for those that are no such question, which are denied with the reason. Answers are flushed whenever the next
/// question has not arrived yet. Decided as of the time each part of the input arrives. A line may carry `with`, what
/// its conditions see, shaped as [`Moment::supplied`] takes it.
///
/// A line may also be a [`FlowRecord`]: a connection or operation is asked about as it happened then, and its answer has
/// `seq`, `from`, `to`, `op` and `was` besides; other records are passed over.
pub fn batch(
    snapshot: &Snapshot,
    reader: impl Read,
    writer: impl Write,
) -> io::Result<BatchSummary> {
    let mut reader = BufReader::with_capacity(CHUNK, reader);
    let mut writer = BufWriter::with_capacity(CHUNK, writer);
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
        summary.lines += 1;
        let asked = if whole {
            parse(&line)
        } else {
            Err(format!("the line is longer than {BATCH_LINE_MAX} bytes"))
        };
        let allowed = match asked {
            Ok(Asked::Question(Question { from, to, op, with })) => {
                let with = with.as_ref().map(|Context(with)| with);
                let answer = match Moment::supplied(with, now) {
                    Ok(moment) => snapshot.answer_text(&from, &to, &op, &moment),
                    Err(error) => Explanation::denied(format!("{error}; {}", error.help)),
                };
                write_answer(&mut writer, &answer)?;
                answer.allowed
            }
            Ok(Asked::Record(record)) => match answer_record(snapshot, &record, now) {
                Some(answer) => {
                    write_record_answer(&mut writer, &record, &answer)?;
                    answer.allowed
                }
                None => {
                    summary.passed_over += 1;
                    continue;
                }
            },
            Err(reason) => {
                write_answer(&mut writer, &Explanation::denied(reason))?;
                false
            }
        };
        if allowed {
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

/// Nothing is known of the request: what a condition needs of it is missing.
fn unseen(now: Timestamp) -> Moment<'static> {
    Moment::at(now, Seen::Nothing)
}

fn parse(line: &[u8]) -> Result<Asked<'_>, String> {
    let error = match serde_json::from_slice(line) {
        Ok(question) => return Ok(Asked::Question(question)),
        Err(error) => error,
    };
    if serde_json::from_slice::<Mark>(line).is_ok_and(|mark| mark.seq.is_some()) {
        return serde_json::from_slice(line)
            .map(|record| Asked::Record(Box::new(record)))
            .map_err(|error| format!("not a flow record: {error}"));
    }
    Err(format!("not a question: {error}"))
}

/// The operation that a record was about. `None`: the two met, and nothing was known yet of what they would do.
fn operation(record: &FlowRecord) -> Option<&str> {
    match (record.kind, record.protocol.as_str()) {
        (_, "dns") | (RecordKind::Connection, "http" | "http2" | "grpc") => None,
        _ => Some(&record.operation),
    }
}

/// Nothing for records of what policy was not asked about.
fn answer_record(snapshot: &Snapshot, record: &FlowRecord, now: Timestamp) -> Option<Explanation> {
    match record.kind {
        RecordKind::Connection | RecordKind::Operation => {}
        RecordKind::Close
        | RecordKind::Wall
        | RecordKind::Event
        | RecordKind::Void
        | RecordKind::Unspecified => return None,
    }
    let (from, to) = (record.source.as_str(), record.destination.as_str());
    // The door tells everyone in the estate its own name; policy is asked about others.
    if record.protocol == "dns" && from == to && snapshot.find(from).is_some() {
        return Some(Explanation {
            allowed: true,
            ruled: Ruled::Allow,
            ..Explanation::denied("its own name".to_owned())
        });
    }
    Some(if to.is_empty() {
        Explanation::denied("it went to no workload, and what is nobody's is denied".to_owned())
    } else {
        match operation(record) {
            Some(operation) => snapshot.answer_text(from, to, operation, &unseen(now)),
            None => snapshot.explain_meeting(from, to, now),
        }
    })
}

fn reply<'a>(explanation: &'a Explanation, rule: Option<&'a str>) -> Reply<'a> {
    Reply {
        outcome: explanation.ruled.as_str(),
        reason: &explanation.reason,
        rule,
        conditional: explanation.conditional,
        needs: &explanation.needs,
    }
}

fn write_answer(writer: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    let rule = explanation.rule.as_ref().map(ToString::to_string);
    serde_json::to_writer(&mut *writer, &reply(explanation, rule.as_deref()))?;
    writer.write_all(b"\n")
}

/// Repeats text of others, so nothing in it may be obeyed by a terminal.
fn write_record_answer(
    writer: &mut impl Write,
    record: &FlowRecord,
    explanation: &Explanation,
) -> io::Result<()> {
    let rule = explanation.rule.as_ref().map(ToString::to_string);
    let json = serde_json::to_string(&RecordReply {
        seq: record.seq,
        from: &record.source,
        to: &record.destination,
        op: operation(record),
        was: record.outcome.as_str(),
        reply: reply(explanation, rule.as_deref()),
    })?;
    writeln!(writer, "{}", safe_json(&json))
}
