//! Rows on their way out: a table for people, JSON lines, CSV.

use std::io::{IsTerminal, Write, stdout};

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use ringfence_model::text::{safe, safe_json};

use crate::QueryError;

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns under a header
    Table,
    /// One JSON object per line; keys without a value are left out
    Json,
    /// Comma-separated values, RFC 4180, with a header
    Csv,
}

/// A table's columns are as wide as what so many rows need; a later row that needs more pushes the rest of its line.
const TABLE_ROWS: usize = 1000;
/// Widest column of a table, in characters.
const CELL_WIDTH: usize = 60;
/// As in the JSON of a record, so that texts sort as times do.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.9fZ";

pub(crate) struct Printer<'a> {
    format: Format,
    names: Vec<String>,
    numbers: Vec<bool>,
    /// CSV has no way to write down what a terminal would obey.
    is_shown: bool,
    to: &'a mut (dyn Write + Send),
    rows: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(
        format: Format,
        schema: &Schema,
        to: &'a mut (dyn Write + Send),
    ) -> Result<Self, QueryError> {
        let names: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let mut printer = Self {
            format,
            is_shown: stdout().is_terminal(),
            numbers: schema
                .fields()
                .iter()
                .map(|field| field.data_type().is_numeric())
                .collect(),
            names,
            to,
            rows: Vec::new(),
            widths: None,
        };
        if format == Format::Csv {
            printer.csv_line(&printer.names.clone())?;
        }
        Ok(printer)
    }

    fn csv_line(&mut self, cells: &[impl AsRef<str>]) -> Result<(), QueryError> {
        let cells = cells.iter().map(|cell| match self.is_shown {
            true => csv(&safe(cell.as_ref())),
            false => csv(cell.as_ref()),
        });
        let line = cells.collect::<Vec<_>>().join(",");
        Ok(write!(self.to, "{line}\r\n")?)
    }

    pub(crate) fn print(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let options = FormatOptions::default()
            .with_timestamp_tz_format(Some(TIME))
            .with_timestamp_format(Some(TIME));
        let failed =
            |error: datafusion::arrow::error::ArrowError| QueryError::Failed(error.to_string());
        let formatters: Result<Vec<ArrayFormatter<'_>>, _> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect();
        let formatters = formatters.map_err(failed)?;
        for row in 0..batch.num_rows() {
            let mut cells = Vec::with_capacity(formatters.len());
            for (formatter, column) in formatters.iter().zip(batch.columns()) {
                let text = formatter.value(row).try_to_string().map_err(failed)?;
                cells.push((!column.is_null(row)).then_some(text));
            }
            self.row(cells, batch.columns())?;
        }
        Ok(())
    }

    fn row(&mut self, cells: Vec<Option<String>>, columns: &[ArrayRef]) -> Result<(), QueryError> {
        match self.format {
            Format::Json => {
                let line = self.json(&cells, columns)?;
                writeln!(self.to, "{}", safe_json(&line))?;
            }
            Format::Csv => {
                let cells = cells.iter().map(|cell| cell.as_deref().unwrap_or_default());
                self.csv_line(&cells.collect::<Vec<_>>())?;
            }
            Format::Table if self.is_plan() => {
                for line in cells.iter().flatten().flat_map(|cell| cell.lines()) {
                    writeln!(self.to, " {}", safe(line))?;
                }
            }
            Format::Table => {
                let cells = cells.into_iter().map(|cell| match cell {
                    Some(text) if !text.is_empty() => safe(&text).into_owned(),
                    _ => "-".to_owned(),
                });
                self.rows.push(cells.collect());
                if self.rows.len() >= TABLE_ROWS {
                    self.write_rows()?;
                }
            }
        }
        Ok(())
    }

    /// What EXPLAIN answers: texts of many lines, of which a table would make one each.
    fn is_plan(&self) -> bool {
        self.names == ["plan_type", "plan"]
    }

    fn json(&self, cells: &[Option<String>], columns: &[ArrayRef]) -> Result<String, QueryError> {
        let mut line = String::from("{");
        for ((name, cell), column) in self.names.iter().zip(cells).zip(columns) {
            let Some(cell) = cell else { continue };
            let value = match column.data_type() {
                of if of.is_integer() => cell.clone(),
                of if of.is_floating() && cell.parse::<f64>().is_ok_and(f64::is_finite) => {
                    cell.clone()
                }
                DataType::Boolean => cell.clone(),
                _ => quoted(cell)?,
            };
            if line.len() > 1 {
                line.push(',');
            }
            line.push_str(&quoted(name)?);
            line.push(':');
            line.push_str(&value);
        }
        line.push('}');
        Ok(line)
    }

    fn write_rows(&mut self) -> Result<(), QueryError> {
        let is_first = self.widths.is_none();
        let header: Vec<String> = self
            .names
            .iter()
            .map(|name| safe(name).into_owned())
            .collect();
        let mut widths = self
            .widths
            .take()
            .unwrap_or_else(|| header.iter().map(|name| name.chars().count()).collect());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count().min(CELL_WIDTH));
            }
        }
        let rows = std::mem::take(&mut self.rows);
        for cells in is_first.then_some(&header).into_iter().chain(&rows) {
            let mut line = String::from(" ");
            for ((cell, width), number) in cells.iter().zip(&widths).zip(&self.numbers) {
                let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
                line.push_str(&if *number {
                    gap + cell
                } else {
                    format!("{cell}{gap}")
                });
                line.push_str("  ");
            }
            writeln!(self.to, "{}", line.trim_end())?;
        }
        self.widths = Some(widths);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(), QueryError> {
        if self.format == Format::Table && !self.is_plan() {
            self.write_rows()?;
        }
        Ok(self.to.flush()?)
    }
}

fn quoted(text: &str) -> Result<String, QueryError> {
    serde_json::to_string(text).map_err(|error| QueryError::Failed(error.to_string()))
}

fn csv(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
