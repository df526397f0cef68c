//! `ringfence observe`: the flow log, for people and for programs.

mod hint;
mod printer;
mod source;

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use hint::Hints;
use printer::{Format, Printer};
use ringfence_audit::Seq;
use ringfence_history::{HistoryError, Mark, Records};
use source::{Input, Lines};

use crate::output::{Failure, finish};
use crate::verbs::configuration::state_dir;
use crate::verbs::flows::{self, Ahead, Filters, Pick, Stretch, read};

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
    #[command(flatten)]
    stretch: Stretch,
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
    let pick = Pick::new(&args.stretch, &args.filters)?;
    if args.explain && args.output == Format::Json {
        return Err(Failure::Usage {
            what: "--explain has no place in JSON, whose every line is a record".to_owned(),
            fix: "pipe the lines into `ringfence policy explain --batch -`".to_owned(),
        });
    }
    let explain = args.explain || (io::stdout().is_terminal() && !args.no_explain);
    let Some(input) = &args.input else {
        let state = state_dir(args.state.as_ref())?;
        let reader = Records::open(&state.join("log")).map_err(flows::failure)?;
        let hints = Hints::new(explain, Some(&state));
        return Session::new(args, pick, hints).log(reader, flows::failure);
    };
    let session = Session::new(args, pick, Hints::new(explain, None));
    match source::open(input)? {
        Input::Lines(lines) => session.lines(lines),
        Input::Log(reader) => session.log(reader, flows::copy_failure),
    }
}

/// One run of the verb.
struct Session<'a> {
    args: &'a ObserveArgs,
    pick: Pick<'a>,
    printer: Printer,
}

impl<'a> Session<'a> {
    fn new(args: &'a ObserveArgs, pick: Pick<'a>, hints: Hints) -> Self {
        Self {
            args,
            pick,
            printer: Printer::new(args.output, hints),
        }
    }

    fn lines(mut self, mut lines: Lines) -> Result<(), Failure> {
        let read = self.each_line(&mut lines);
        // What was read before an error is printed before it is said.
        self.printer.flush()?;
        read?;
        self.pick.say_slips();
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
            if !self.pick.takes(&record) {
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

    fn log(
        mut self,
        mut reader: Records,
        fail: fn(HistoryError) -> Failure,
    ) -> Result<(), Failure> {
        // What comes later belongs to what follows, or to the next run: a log may grow faster than it is printed.
        let end = reader.end().map_err(fail)?;
        let printed = self.begin(&mut reader, end, fail);
        self.printer.flush()?;
        printed?;
        self.pick.say_slips();

        let (follow, until) = (self.args.follow, self.args.stretch.until);
        let mut rest = |reader: &mut Records, end: Seq| {
            let printed = self.rest(reader, end, fail);
            self.printer.flush()?;
            printed
        };
        if follow {
            return flows::follow(&mut reader, fail, until, |reader, end| {
                rest(reader, end).map(|()| Ahead::More)
            });
        }
        flows::settle(&mut reader, fail, rest)
    }

    fn begin(
        &mut self,
        reader: &mut Records,
        end: Seq,
        fail: fn(HistoryError) -> Failure,
    ) -> Result<(), Failure> {
        match self.args.last {
            None => {
                reader.skip_older(self.pick.since_ns()).map_err(fail)?;
                self.rest(reader, end, fail)
            }
            Some(last) if self.pick.takes_all() => {
                let first = end.0.saturating_sub(last);
                reader.skip_to(Seq(first)).map_err(fail)?;
                self.rest(reader, end, fail)
            }
            Some(last) => {
                reader.skip_older(self.pick.since_ns()).map_err(fail)?;
                let mut marks: VecDeque<Mark> = VecDeque::new();
                while reader.next() < end {
                    let mark = reader.mark();
                    let Some((record, _)) = read(reader, fail)? else {
                        break;
                    };
                    if self.pick.takes(&record) {
                        marks.push_back(mark);
                    }
                    if marks.len() as u64 > last {
                        marks.pop_front();
                    }
                }
                let behind = reader.mark();
                for mark in marks {
                    reader.go_to(mark).map_err(fail)?;
                    if let Some((record, _)) = read(reader, fail)? {
                        self.printer.print(&record)?;
                    }
                }
                reader.go_to(behind).map_err(fail)
            }
        }
    }

    /// Prints what is there before record `end`.
    fn rest(
        &mut self,
        reader: &mut Records,
        end: Seq,
        fail: fn(HistoryError) -> Failure,
    ) -> Result<(), Failure> {
        while reader.next() < end
            && let Some((record, _)) = read(reader, fail)?
        {
            if self.pick.takes(&record) {
                self.printer.print(&record)?;
            }
        }
        Ok(())
    }
}
