//! Which records are wanted, by time and by what they say.

use jiff::Timestamp;
use ringfence_model::FlowRecord;

use super::filter::{Filters, Names};
use super::moment;
use crate::output::{Failure, say};

/// A stretch of time.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Stretch {
    /// Only records of this time and later: 10m (ago), 09:14, 2026-11-21, RFC 3339; UTC
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    since: Option<Timestamp>,
    /// Only records before this time; with --follow, end when it comes
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    pub(crate) until: Option<Timestamp>,
}

/// The same times as records have them: nanoseconds since 1970. `None`: no end.
pub(crate) fn bounds(
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<(u64, Option<u64>), Failure> {
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        return Err(Failure::Usage {
            what: format!("--since {since} is not before --until {until}"),
            fix: "exchange them; times without an offset are UTC".to_owned(),
        });
    }
    // Records know no time before 1970, nor after 2554.
    let ns = |at: Timestamp| {
        u64::try_from(at.as_nanosecond()).unwrap_or(if at < Timestamp::UNIX_EPOCH {
            0
        } else {
            u64::MAX
        })
    };
    Ok((since.map_or(0, ns), until.map(ns)))
}

/// Tells the wanted records of a log from the others.
pub(crate) struct Pick<'a> {
    filters: &'a Filters,
    since_ns: u64,
    until_ns: Option<u64>,
    all: bool,
    names: Names,
}

impl<'a> Pick<'a> {
    /// Those of `stretch` that `filters` take.
    pub(crate) fn new(stretch: &Stretch, filters: &'a Filters) -> Result<Self, Failure> {
        let (since_ns, until_ns) = bounds(stretch.since, stretch.until)?;
        Ok(Self {
            filters,
            since_ns,
            until_ns,
            all: filters.take_all() && stretch.since.is_none() && stretch.until.is_none(),
            names: Names::default(),
        })
    }

    /// No record before this time is wanted.
    pub(crate) fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// Whether every record is wanted.
    pub(crate) fn takes_all(&self) -> bool {
        self.all
    }

    /// Judges each record by itself: clocks are set, so time may run backwards in a log.
    pub(crate) fn takes(&mut self, record: &FlowRecord) -> bool {
        if !self.filters.take_all() {
            self.names.note(record);
        }
        let in_time = record.time_ns >= self.since_ns
            && self.until_ns.is_none_or(|until| record.time_ns < until);
        in_time && self.filters.take(record)
    }

    /// Says what was probably meant, once all there is has been read.
    pub(crate) fn say_slips(&self) {
        self.names.slips(self.filters).iter().for_each(say);
    }
}
