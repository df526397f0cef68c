//! `ringfence audit export`: records on their way to other systems.

mod csv;

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use prost::Message;
use ringfence_audit::Seq;
use ringfence_history::Records;
use ringfence_model::FlowRecord;
use ringfence_model::flow::Flow;

use super::Whose;
use crate::output::{Failure, safe_json, say};
use crate::verbs::flows::{self, Ahead, ColumnFilters, Pick, Stretch};

const EXAMPLES: &str = "\
Examples:
  ringfence audit export --format json --since 1d > day.jsonl
  ringfence audit export --format csv --verdict deny > denials.csv
  ringfence audit export --format ocsf --follow --from 847 | ship-it   go on where shipping stopped: record 847 is first

Numbers of records are their `seq`: --from and --to are both included. Whoever passes records on keeps the `seq` of \
the last one that arrived, and starts again with the next: then each arrives at least once, and none is left out.

The same filter twice means either; different filters must all hold; `--not` leaves out what the filter behind it \
matches. docs/flows.md says what the keys mean, docs/ocsf.md what the events of OCSF are, docs/export.md how to ship without \
loss.

Exit codes: 0 also when nothing matches, and when the reader goes away; 1 no log, or a part of it that cannot be read; \
2 usage.";

/// Write records in the form that other systems read
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    whose: Whose,
    /// Form of the output
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Format,
    /// Keep running, and write records as they come
    #[arg(short, long)]
    follow: bool,
    /// Begin with the record of this number
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// End with the record of this number; with --follow, wait for it
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    #[command(flatten)]
    stretch: Stretch,
    /// With --format csv: no line of column names, as for going on in a file
    #[arg(long)]
    no_header: bool,
    #[command(flatten)]
    filters: ColumnFilters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One event per line, after the Open Cybersecurity Schema Framework
    Ocsf,
    /// One JSON object per line, without loss: the lines of `ringfence observe -o json`
    Json,
    /// RFC 4180, with the same columns; no cell is a formula
    Csv,
}

/// Runs the verb.
pub(super) fn export(args: &ExportArgs) -> Result<ExitCode, Failure> {
    check(args)?;
    let pick = Pick::new(&args.stretch, &args.filters.0)?;
    let log = args.whose.log()?;
    let mut reader = Records::open(&log).map_err(flows::failure)?;
    let mut export = Export {
        from: args.from.unwrap_or(0),
        to: args.to.unwrap_or(u64::MAX),
        format: args.format,
        origin: origin(&log)?,
        pick,
        out: BufWriter::new(io::stdout()),
    };
    export.begin(&mut reader)?;
    // What comes later belongs to what follows, or to the next run: a log may grow faster than it is written.
    let end = reader.end().map_err(flows::failure)?;
    if args.format == Format::Csv && !args.no_header {
        csv::header(&mut export.out)?;
    }
    let ahead = export.rest(&mut reader, end)?;
    export.pick.say_slips();
    if ahead == Ahead::More && args.follow {
        let until = args.stretch.until;
        flows::follow(&mut reader, flows::failure, until, |reader, end| {
            export.rest(reader, end)
        })?;
    } else if ahead == Ahead::More {
        flows::settle(&mut reader, flows::failure, |reader, end| {
            export.rest(reader, end).map(|_| ())
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(args: &ExportArgs) -> Result<(), Failure> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(Failure::Usage {
            what: format!("record {from} of --from comes after record {to} of --to"),
            fix: "exchange them; both are included".to_owned(),
        });
    }
    if args.no_header && args.format != Format::Csv {
        return Err(Failure::Usage {
            what: "--no-header is about the column names of CSV".to_owned(),
            fix: "leave it out: JSON names every value".to_owned(),
        });
    }
    Ok(())
}

/// The name of the log in `log`: that of its public key, in the form of C2SP signed notes. A log that is not signed has
/// none.
fn origin(log: &Path) -> Result<Option<String>, Failure> {
    let path = log.join("key.pub");
    match std::fs::read_to_string(&path) {
        Ok(key) => Ok(key.split('+').next().map(str::to_owned)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::plain(format!(
            "{} cannot be read: {error}",
            path.display()
        ))),
    }
}

/// One run of the verb.
struct Export<'a> {
    from: u64,
    to: u64,
    format: Format,
    /// Name of the log.
    origin: Option<String>,
    pick: Pick<'a>,
    out: BufWriter<io::Stdout>,
}

impl Export<'_> {
    /// Goes to the first record that is asked for.
    fn begin(&self, reader: &mut Records) -> Result<(), Failure> {
        let Some(before) = self.from.checked_sub(1) else {
            let since = self.pick.since_ns();
            return reader.skip_older(since).map_err(flows::failure);
        };
        // The record before it has to have been there: whoever goes on behind it has seen it.
        if reader.skip_to(Seq(before)).map_err(flows::failure)?
            && let Some((found, _)) = reader.leaf().map_err(flows::failure)?
        {
            if found.0 > self.from {
                say(format!(
                    "records {} to {} are not in the log any more; going on with record {found}",
                    self.from,
                    found.0 - 1
                ));
            }
            if found.0 > before {
                reader.skip_to(Seq(self.from)).map_err(flows::failure)?;
            }
            return Ok(());
        }
        Err(Failure::new(
            format!(
                "the log has no record {before} yet, so it cannot go on at {}",
                self.from
            ),
            "if there was one, the state directory was emptied or put back since (`ringfence audit verify` tells); \
             start with --from 0",
        ))
    }

    /// Writes what is there before record `end`, and holds nothing of it back.
    fn rest(&mut self, reader: &mut Records, end: Seq) -> Result<Ahead, Failure> {
        let written = self.each(reader, end);
        // What was read before an error is written before it is said.
        self.out.flush()?;
        written
    }

    fn each(&mut self, reader: &mut Records, end: Seq) -> Result<Ahead, Failure> {
        while reader.next() < end
            && let Some((record, flow)) = flows::read(reader, flows::failure)?
        {
            if record.seq > self.to {
                return Ok(Ahead::Enough);
            }
            if self.pick.takes(&record) {
                self.write(&record, &flow)?;
            }
            if record.seq == self.to {
                return Ok(Ahead::Enough);
            }
        }
        Ok(Ahead::More)
    }

    fn write(&mut self, record: &FlowRecord, flow: &Flow) -> Result<(), Failure> {
        match self.format {
            Format::Ocsf => {
                let origin = self.origin.as_deref().unwrap_or(&record.node);
                // Encodings are deterministic, so this is how it stands in the log.
                let event = ringfence_ocsf::event(record, &flow.encode_to_vec(), origin);
                writeln!(self.out, "{}", safe_json(&event.to_string()))?;
            }
            Format::Json => writeln!(self.out, "{}", flows::json(record)?)?,
            Format::Csv => csv::row(&mut self.out, record)?,
        }
        Ok(())
    }
}
