//! `ringfence observe`: the flow log, for people and for programs.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use ringfence_audit::{LogError, Mark, Reader, Seq, Wait};
use ringfence_model::flow::Flow;
use ringfence_model::{FlowRecord, Outcome, RecordKind};

use crate::output::{Colour, Failure, Paint, finish, safe, safe_json, say};

/// Follow mode waits this long at a time; new records are seen much sooner.
const WAIT: Duration = Duration::from_secs(60);
/// A record that a live node is writing right now is whole within this time.
const SETTLE: Duration = Duration::from_millis(100);
/// The column of source and destination grows up to so many characters; longer ones push the rest of their line.
const ROUTE_WIDTH: std::ops::RangeInclusive<usize> = 30..=56;

const EXAMPLES: &str = "\
Examples:
  ringfence observe --last 20
  ringfence observe -f --verdict deny
  ringfence observe --from assistant --to library
  ringfence observe -o json | jq -r 'select(.outcome==\"deny\") | .operation'

In JSON, every line is one record; docs/flows.md says what each key means.";

/// Shows what workloads tried, and what came of it.
///
/// Reads the flow log of a node, running or stopped. Without options it prints every record, oldest first.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ObserveArgs {
    /// State directory of the node [default: as `ringfence up` chooses it]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Keep running, and print records as they come
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last N records that match
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// Only records whose source is the workload NAME
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Only records whose destination is the workload NAME, or an address someone tried
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// Only records with this outcome
    #[arg(long, value_enum)]
    verdict: Option<VerdictArg>,
    /// One line for people, or one JSON object per line
    #[arg(
        short,
        long,
        value_enum,
        default_value = "compact",
        value_name = "FORMAT"
    )]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum VerdictArg {
    Allow,
    Deny,
    WouldDeny,
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Compact,
    Json,
}

/// Runs the verb.
pub(crate) fn run(args: ObserveArgs) -> ExitCode {
    finish(observe(&args).map(|()| ExitCode::SUCCESS))
}

fn observe(args: &ObserveArgs) -> Result<(), Failure> {
    let state = match &args.state {
        Some(state) => state.clone(),
        None => ringfence_node::default_dir().map_err(|e| Failure::new(&e, e.fix()))?,
    };
    let directory = state.join("log");
    let mut reader = Reader::open(&directory).map_err(log_failure)?;
    let filter = Filter::from(args);
    let mut printer = Printer::new(args.output);

    let printed = print_from_start(args, &filter, &mut reader, &mut printer);
    // What was read before an error is printed before it is said.
    printer.flush()?;
    printed?;

    if args.follow {
        return follow(&filter, &mut reader, &mut printer);
    }
    if reader.unfinished() > 0 {
        reader.wait(None, SETTLE).map_err(log_failure)?;
        print_rest(&filter, &mut reader, &mut printer)?;
        printer.flush()?;
        if reader.unfinished() > 0 {
            say(format!(
                "the last {} bytes of the log are no whole record; the node cuts them off when it starts",
                reader.unfinished()
            ));
        }
    }
    Ok(())
}

fn print_from_start(
    args: &ObserveArgs,
    filter: &Filter,
    reader: &mut Reader,
    printer: &mut Printer,
) -> Result<(), Failure> {
    match args.last {
        None => print_rest(filter, reader, printer),
        Some(last) if filter.takes_all() => {
            reader.go_to_last(last).map_err(log_failure)?;
            print_rest(filter, reader, printer)
        }
        Some(last) => {
            let mut marks: VecDeque<Mark> = VecDeque::new();
            loop {
                let mark = reader.mark();
                let Some((_, flow)) = reader.read().map_err(log_failure)? else {
                    break;
                };
                if filter.takes(&flow) {
                    marks.push_back(mark);
                }
                if marks.len() as u64 > last {
                    marks.pop_front();
                }
            }
            let end = reader.mark();
            for mark in marks {
                reader.go_to(mark);
                if let Some((seq, flow)) = reader.read().map_err(log_failure)? {
                    printer.print(seq, &flow)?;
                }
            }
            reader.go_to(end);
            // Records that came meanwhile belong to what follows.
            print_rest(filter, reader, printer)
        }
    }
}

fn print_rest(filter: &Filter, reader: &mut Reader, printer: &mut Printer) -> Result<(), Failure> {
    while let Some((seq, flow)) = reader.read().map_err(log_failure)? {
        if filter.takes(&flow) {
            printer.print(seq, &flow)?;
        }
    }
    Ok(())
}

fn follow(filter: &Filter, reader: &mut Reader, printer: &mut Printer) -> Result<(), Failure> {
    let stdout = io::stdout();
    loop {
        match reader
            .wait(Some(stdout.as_fd()), WAIT)
            .map_err(log_failure)?
        {
            Wait::Quiet => {}
            Wait::OutletClosed => return Err(Failure::OutletClosed),
            Wait::More => {
                let printed = print_rest(filter, reader, printer);
                printer.flush()?;
                printed?;
            }
            Wait::Replaced => {
                say("the node began a new log; following it from record 0");
                reader.reopen().map_err(log_failure)?;
            }
        }
    }
}

fn log_failure(error: LogError) -> Failure {
    match error {
        LogError::Open { ref cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(
                error,
                "only the node's own user and root read its log: use that user, or sudo",
            )
        }
        LogError::Corrupt { .. } => Failure::new(
            error,
            "records before it are whole; restart the node, which moves the damaged log aside and begins a new one",
        ),
        other => Failure::Because {
            what: other.to_string(),
            fix: None,
        },
    }
}

/// Which records are wanted.
struct Filter {
    from: Option<String>,
    to: Option<String>,
    outcome: Option<i32>,
}

impl From<&ObserveArgs> for Filter {
    fn from(args: &ObserveArgs) -> Self {
        let outcome = args.verdict.map(|verdict| match verdict {
            VerdictArg::Allow => Outcome::Allow,
            VerdictArg::Deny => Outcome::Deny,
            VerdictArg::WouldDeny => Outcome::WouldDeny,
            VerdictArg::Error => Outcome::Error,
        });
        Self {
            from: args.from.clone(),
            to: args.to.clone(),
            outcome: outcome.map(Outcome::number),
        }
    }
}

impl Filter {
    fn takes_all(&self) -> bool {
        self.from.is_none() && self.to.is_none() && self.outcome.is_none()
    }

    fn takes(&self, flow: &Flow) -> bool {
        let goes_to = |name: &String| {
            flow.destination == *name
                || flow.original_destination == *name
                || (flow.original_destination.parse())
                    .is_ok_and(|address: SocketAddr| address.ip().to_string() == *name)
        };
        self.from.as_ref().is_none_or(|name| flow.source == *name)
            && self.to.as_ref().is_none_or(goes_to)
            && self.outcome.is_none_or(|outcome| flow.outcome == outcome)
    }
}

/// Puts records on stdout.
struct Printer {
    out: BufWriter<io::Stdout>,
    format: Format,
    paint: Paint,
    route_width: usize,
}

impl Printer {
    fn new(format: Format) -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            format,
            paint: Paint::stdout(),
            route_width: *ROUTE_WIDTH.start(),
        }
    }

    fn print(&mut self, seq: Seq, flow: &Flow) -> Result<(), Failure> {
        let record = FlowRecord::new(seq.0, flow).map_err(|e| Failure::Because {
            what: e.to_string(),
            fix: None,
        })?;
        let line = match self.format {
            Format::Json => {
                let json = serde_json::to_string(&record).map_err(|e| Failure::Because {
                    what: format!("record {seq}: {e}"),
                    fix: None,
                })?;
                safe_json(&json).into_owned()
            }
            Format::Compact => self.compact(&record),
        };
        writeln!(self.out, "{line}")?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }

    fn compact(&mut self, record: &FlowRecord) -> String {
        let (word, colour) = match record.outcome {
            Outcome::Allow => ("allow", Colour::Green),
            Outcome::Deny => ("deny", Colour::Red),
            Outcome::WouldDeny => ("would-deny", Colour::Yellow),
            Outcome::Error => ("error", Colour::Magenta),
            Outcome::Unspecified => ("-", Colour::Dim),
        };
        let route = safe(&route(record)).into_owned();
        let width = route.chars().count();
        self.route_width = self.route_width.max(width.min(*ROUTE_WIDTH.end()));
        let mut line = format!(
            "{}  {}  {:<10}  {route:<route_width$}  {}",
            self.paint.paint(Colour::Dim, &milliseconds(record)),
            self.paint.paint(colour, &format!("{word:<10}")),
            record.kind,
            safe(&what(record)),
            route_width = self.route_width,
        );
        let mut why = safe(&record.reason).into_owned();
        if !record.rule.is_empty() {
            why += &format!(" ({})", safe(&record.rule));
        }
        if !why.trim().is_empty() {
            line += "  ";
            line += &self.paint.paint(Colour::Dim, why.trim());
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// RFC 3339, in UTC, to the millisecond.
fn milliseconds(record: &FlowRecord) -> String {
    let time = record.time();
    // 2026-11-21T05:00:03.123 of 2026-11-21T05:00:03.123456789Z.
    time.get(..23)
        .map_or_else(|| time.clone(), |short| format!("{short}Z"))
}

/// From where to where.
fn route(record: &FlowRecord) -> String {
    let to = if record.destination.is_empty() {
        record.original_destination.as_str()
    } else {
        record.destination.as_str()
    };
    match (record.source.as_str(), to) {
        ("", "") => format!("node {}", record.node),
        (from, "") => from.to_owned(),
        ("", to) => format!("? → {to}"),
        (from, to) => format!("{from} → {to}"),
    }
}

/// What was tried, how often, and what moved.
fn what(record: &FlowRecord) -> String {
    let mut parts = vec![record.protocol.clone(), record.operation.clone()];
    if record.count != 1 {
        parts.push(format!("×{}", record.count));
    }
    if record.kind == RecordKind::Close {
        parts.push(format!(
            "{} sent, {} received, {:.3} s",
            bytes(record.bytes_sent),
            bytes(record.bytes_received),
            Duration::from_nanos(record.duration_ns).as_secs_f64()
        ));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

/// In the largest unit of 1024 that leaves a number of at least one.
fn bytes(count: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| count >> shift > 0) {
        // Tenths, rounded down, in whole numbers.
        Some((shift, unit)) => {
            let tenths = (u128::from(count) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{count} B"),
    }
}
