//! Puts records on stdout: a line each, a table, or JSON.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use clap::ValueEnum;
use ringfence_model::{FlowRecord, Outcome, RecordKind};

use super::hint::Hints;
use crate::output::{Colour, Failure, Paint, safe};
use crate::verbs::flows;

/// The column of source and destination grows up to so many characters; longer ones push the rest of their line.
const ROUTE_WIDTH: std::ops::RangeInclusive<usize> = 30..=56;
/// A table's columns are as wide as what so many rows need, and grow with later ones.
const TABLE_ROWS: usize = 256;
/// Widest column of a table, in characters; longer cells push the rest of their row.
const CELL_WIDTH: usize = 48;
/// What a table says of each record; the last is as long as it is.
const COLUMNS: [&str; 10] = [
    "TIME",
    "VERDICT",
    "KIND",
    "FROM",
    "TO",
    "PROTOCOL",
    "OPERATION",
    "COUNT",
    "RULE",
    "REASON",
];

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One line for people
    Compact,
    /// Columns under a header
    Table,
    /// One JSON object per line, without loss
    Json,
}

/// A record on its way into a table.
struct Row {
    cells: [String; COLUMNS.len()],
    outcome: Outcome,
    hint: Option<String>,
}

/// Writes to stdout, buffered.
pub(super) struct Printer {
    out: BufWriter<io::Stdout>,
    format: Format,
    paint: Paint,
    hints: Hints,
    route_width: usize,
    rows: Vec<Row>,
    widths: Option<[usize; COLUMNS.len()]>,
}

impl Printer {
    pub(super) fn new(format: Format, hints: Hints) -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            format,
            paint: Paint::stdout(),
            hints,
            route_width: *ROUTE_WIDTH.start(),
            rows: Vec::new(),
            widths: None,
        }
    }

    /// Prints one record; it is seen after [`Printer::flush`] at the latest.
    pub(super) fn print(&mut self, record: &FlowRecord) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                let json = flows::json(record)?;
                writeln!(self.out, "{json}")?;
            }
            Format::Compact => {
                let line = self.compact(record);
                writeln!(self.out, "{line}")?;
                if let Some(hint) = self.hints.command(record) {
                    self.hint(&hint)?;
                }
            }
            Format::Table => {
                self.rows.push(Row {
                    cells: cells(record),
                    outcome: record.outcome,
                    hint: self.hints.command(record),
                });
                if self.rows.len() >= TABLE_ROWS {
                    self.write_rows()?;
                }
            }
        }
        Ok(())
    }

    /// Nothing printed so far is held back.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.write_rows()?;
        Ok(self.out.flush()?)
    }

    fn write_rows(&mut self) -> Result<(), Failure> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let known = self.widths;
        let mut widths = known.unwrap_or(COLUMNS.map(|name| name.chars().count()));
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.chars().count().min(CELL_WIDTH));
            }
        }
        self.widths = Some(widths);
        if known.is_none() {
            let header = COLUMNS.map(str::to_owned);
            let line = in_columns(&header, widths, |_, cell| cell);
            writeln!(self.out, "{}", self.paint.paint(Colour::Dim, &line))?;
        }
        for row in &rows {
            let line = in_columns(&row.cells, widths, |column, cell| match COLUMNS[column] {
                "VERDICT" => self.paint.paint(word(row.outcome).1, &cell).into_owned(),
                "TIME" | "REASON" => self.paint.paint(Colour::Dim, &cell).into_owned(),
                _ => cell,
            });
            writeln!(self.out, "{line}")?;
            if let Some(hint) = &row.hint {
                self.hint(hint)?;
            }
        }
        Ok(())
    }

    /// A line to paste: nothing but blanks before it.
    fn hint(&mut self, command: &str) -> Result<(), Failure> {
        let line = self.paint.paint(Colour::Dim, command).into_owned();
        Ok(writeln!(self.out, "    {line}")?)
    }

    fn compact(&mut self, record: &FlowRecord) -> String {
        let (word, colour) = word(record.outcome);
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

fn word(outcome: Outcome) -> (&'static str, Colour) {
    match outcome {
        Outcome::Allow => ("allow", Colour::Green),
        Outcome::Deny => ("deny", Colour::Red),
        Outcome::WouldDeny => ("would-deny", Colour::Yellow),
        Outcome::Error => ("error", Colour::Magenta),
        Outcome::Unspecified => ("-", Colour::Dim),
    }
}

/// What a table shows of a record: safe, and `-` for nothing, so that every row has every column.
fn cells(record: &FlowRecord) -> [String; COLUMNS.len()] {
    let to = if record.destination.is_empty() {
        &record.original_destination
    } else {
        &record.destination
    };
    let mut operation = record.operation.clone();
    if let Some(moved) = moved(record) {
        operation += &format!(" {moved}");
    }
    [
        milliseconds(record),
        word(record.outcome).0.to_owned(),
        record.kind.to_string(),
        record.source.clone(),
        to.clone(),
        record.protocol.clone(),
        operation,
        record.count.to_string(),
        record.rule.clone(),
        record.reason.clone(),
    ]
    .map(|cell| match safe(cell.trim()).into_owned() {
        nothing if nothing.is_empty() => "-".to_owned(),
        cell => cell,
    })
}

/// `cells` padded to `widths`, then through `finish`, two blanks apart.
fn in_columns(
    cells: &[String; COLUMNS.len()],
    widths: [usize; COLUMNS.len()],
    finish: impl Fn(usize, String) -> String,
) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if column > 0 {
            line += "  ";
        }
        let last = column + 1 == COLUMNS.len();
        line += &finish(
            column,
            if last {
                cell.clone()
            } else {
                format!("{cell:<width$}")
            },
        );
    }
    line.truncate(line.trim_end().len());
    line
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
    parts.extend(moved(record));
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

/// Of a close: what went each way, and for how long.
fn moved(record: &FlowRecord) -> Option<String> {
    (record.kind == RecordKind::Close).then(|| {
        format!(
            "{} sent, {} received, {:.3} s",
            bytes(record.bytes_sent),
            bytes(record.bytes_received),
            Duration::from_nanos(record.duration_ns).as_secs_f64()
        )
    })
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
