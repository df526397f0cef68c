//! `ringfence observe`: the flow log, for people and for programs.

mod filter;
mod hint;
mod moment;
mod printer;
mod source;

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use filter::{Filters, Names};
use hint::Hints;
use jiff::Timestamp;
use printer::{Format, Printer};
use ringfence_audit::{LogError, Mark, Reader, Wait};
use ringfence_model::FlowRecord;
use source::{Input, Lines};

use crate::output::{Failure, finish, say};
use crate::verbs::configuration::state_dir;

/// Follow mode waits this long at a time; new records are seen much sooner.
const WAIT: Duration = Duration::from_secs(60);
/// With `--until`, the clock is looked at this often: it may be set while we wait.
const CLOCK: Duration = Duration::from_secs(1);
/// A record that a live node is writing right now is whole within this time.
const SETTLE: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  ringfence observe --last 20
  ringfence observe -f --verdict deny
  ringfence observe --since 10m --from assistant --to library -o table
  ringfence observe --not --protocol dns --not --kind close
  ringfence observe -o json | jq -r 'select(.outcome==\"deny\") | .operation'
  ringfence observe --verdict deny -o json | ringfence policy explain --batch -
                                        what today's policy says of what was refused

The same filter twice means either; different filters must all hold; `--not` leaves out what the filter behind it \
matches. Below a denial, a terminal shows the command that explains it.

In JSON, every line is one record; docs/flows.md says what each key means, docs/observe.md has the rest.

Exit codes: 0 also when nothing matches; 1 no log, or a part of it that cannot be read; 2 usage.";

/// Shows what workloads tried, and what came of it.
///
/// Reads the flow log of a node, running or stopped. Without options it prints every record, oldest first.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ObserveArgs {
    /// State directory of the node [default: as `ringfence up` chooses it]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Read FILE instead of the node's log (`-`: standard input): JSON lines that `-o json` printed, or a copy of a log
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["state", "follow"])]
    input: Option<PathBuf>,
    /// Keep running, and print records as they come
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last N records that match
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// Only records of this time and later: 10m (ago), 09:14, 2026-11-21, RFC 3339; UTC
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    since: Option<Timestamp>,
    /// Only records before this time; with --follow, end when it comes
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    until: Option<Timestamp>,
    #[command(flatten)]
    filters: Filters,
    /// How to print them
    #[arg(
        short,
        long,
        value_enum,
        default_value = "compact",
        value_name = "FORMAT"
    )]
    output: Format,
    /// Below each denial by policy, the command that explains it [default: on a terminal]
    #[arg(long, overrides_with = "no_explain")]
    explain: bool,
    /// Never that command
    #[arg(long)]
    no_explain: bool,
}

/// Runs the verb.
pub(crate) fn run(args: ObserveArgs) -> ExitCode {
    finish(observe(&args).map(|()| ExitCode::SUCCESS))
}

fn observe(args: &ObserveArgs) -> Result<(), Failure> {
    if let (Some(since), Some(until)) = (args.since, args.until)
        && since >= until
    {
        return Err(Failure::Usage {
            what: format!("--since {since} is not before --until {until}"),
            fix: "exchange them; times without an offset are UTC".to_owned(),
        });
    }
    if args.explain && args.output == Format::Json {
        return Err(Failure::Usage {
            what: "--explain has no place in JSON, whose every line is a record".to_owned(),
            fix: "pipe the lines into `ringfence policy explain --batch -`".to_owned(),
        });
    }
    let explain = args.explain || (io::stdout().is_terminal() && !args.no_explain);
    let Some(input) = &args.input else {
        let state = state_dir(args.state.as_ref())?;
        let reader = Reader::open(&state.join("log")).map_err(source::failure)?;
        let hints = Hints::new(explain, Some(&state));
        return Session::new(args, hints).log(reader, source::failure);
    };
    let session = Session::new(args, Hints::new(explain, None));
    match source::open(input)? {
        Input::Lines(lines) => session.lines(lines),
        Input::Log(reader) => session.log(reader, source::copy_failure),
    }
}

/// One run of the verb.
struct Session<'a> {
    args: &'a ObserveArgs,
    since_ns: u64,
    until_ns: u64,
    names: Names,
    printer: Printer,
}

impl<'a> Session<'a> {
    fn new(args: &'a ObserveArgs, hints: Hints) -> Self {
        // Records know no time before 1970, nor after 2554.
        let ns = |at: Timestamp| {
            u64::try_from(at.as_nanosecond()).unwrap_or(if at < Timestamp::UNIX_EPOCH {
                0
            } else {
                u64::MAX
            })
        };
        Self {
            args,
            since_ns: args.since.map_or(0, ns),
            until_ns: args.until.map_or(u64::MAX, ns),
            names: Names::default(),
            printer: Printer::new(args.output, hints),
        }
    }

    fn takes_all(&self) -> bool {
        self.args.filters.take_all() && self.args.since.is_none() && self.args.until.is_none()
    }

    /// Judges each record by itself: clocks are set, so time may run backwards in a log.
    fn takes(&mut self, record: &FlowRecord) -> bool {
        if !self.args.filters.take_all() {
            self.names.note(record);
        }
        let in_time = record.time_ns >= self.since_ns
            && (record.time_ns < self.until_ns || self.args.until.is_none());
        in_time && self.args.filters.take(record)
    }

    /// What was probably meant, once all there is has been read.
    fn say_slips(&self) {
        self.names.slips(&self.args.filters).iter().for_each(say);
    }

    fn lines(mut self, mut lines: Lines) -> Result<(), Failure> {
        let read = self.each_line(&mut lines);
        // What was read before an error is printed before it is said.
        self.printer.flush()?;
        read?;
        self.say_slips();
        Ok(())
    }

    fn each_line(&mut self, lines: &mut Lines) -> Result<(), Failure> {
        let mut kept = VecDeque::new();
        let mut wrong = None;
        loop {
            if lines.may_wait() {
                self.printer.flush()?;
            }
            let record = match lines.read() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => {
                    wrong = Some(error);
                    break;
                }
            };
            if !self.takes(&record) {
                continue;
            }
            match self.args.last {
                None => self.printer.print(&record)?,
                Some(last) => {
                    kept.push_back(record);
                    if kept.len() as u64 > last {
                        kept.pop_front();
                    }
                }
            }
        }
        for record in &kept {
            self.printer.print(record)?;
        }
        wrong.map_or(Ok(()), Err)
    }

    fn log(mut self, mut reader: Reader, fail: fn(LogError) -> Failure) -> Result<(), Failure> {
        let printed = self.begin(&mut reader, fail);
        self.printer.flush()?;
        printed?;
        self.say_slips();

        if self.args.follow {
            return self.follow(&mut reader, fail);
        }
        if reader.unfinished() > 0 {
            reader.wait(None, SETTLE).map_err(fail)?;
            self.rest(&mut reader, fail)?;
            self.printer.flush()?;
            if reader.unfinished() > 0 {
                say(format!(
                    "the last {} bytes of the log are no whole record; the node cuts them off when it starts",
                    reader.unfinished()
                ));
            }
        }
        Ok(())
    }

    fn begin(&mut self, reader: &mut Reader, fail: fn(LogError) -> Failure) -> Result<(), Failure> {
        match self.args.last {
            None => self.rest(reader, fail),
            Some(last) if self.takes_all() => {
                reader.go_to_last(last).map_err(fail)?;
                self.rest(reader, fail)
            }
            Some(last) => {
                let mut marks: VecDeque<Mark> = VecDeque::new();
                loop {
                    let mark = reader.mark();
                    let Some(record) = read(reader, fail)? else {
                        break;
                    };
                    if self.takes(&record) {
                        marks.push_back(mark);
                    }
                    if marks.len() as u64 > last {
                        marks.pop_front();
                    }
                }
                let end = reader.mark();
                for mark in marks {
                    reader.go_to(mark);
                    if let Some(record) = read(reader, fail)? {
                        self.printer.print(&record)?;
                    }
                }
                reader.go_to(end);
                // Records that came meanwhile belong to what follows.
                self.rest(reader, fail)
            }
        }
    }

    fn rest(&mut self, reader: &mut Reader, fail: fn(LogError) -> Failure) -> Result<(), Failure> {
        while let Some(record) = read(reader, fail)? {
            if self.takes(&record) {
                self.printer.print(&record)?;
            }
        }
        Ok(())
    }

    fn follow(
        &mut self,
        reader: &mut Reader,
        fail: fn(LogError) -> Failure,
    ) -> Result<(), Failure> {
        let stdout = io::stdout();
        loop {
            let (wait, over) = match self.args.until {
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
                    let printed = self.rest(reader, fail);
                    self.printer.flush()?;
                    printed?;
                    if over {
                        return Ok(());
                    }
                }
                Wait::Replaced => {
                    say("the node began a new log; following it from record 0");
                    reader.reopen().map_err(fail)?;
                }
            }
        }
    }
}

/// The next record of a log.
fn read(reader: &mut Reader, fail: fn(LogError) -> Failure) -> Result<Option<FlowRecord>, Failure> {
    let Some((seq, flow)) = reader.read().map_err(fail)? else {
        return Ok(None);
    };
    FlowRecord::new(seq.0, &flow)
        .map(Some)
        .map_err(Failure::plain)
}
