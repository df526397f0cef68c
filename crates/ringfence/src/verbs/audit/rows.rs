//! How the daily questions are answered: a table for people, or one JSON object per row.

use std::io::{self, BufWriter, Write};

use comfy_table::CellAlignment;
use serde::Serialize;

use crate::output::{Failure, Form, json, plain_table, print_table, safe};

/// Columns of numbers, which stand on the right.
const NUMBERS: [&str; 4] = ["ATTEMPTS", "DENIED", "SENT", "RECEIVED"];

/// In which form.
#[derive(Debug, clap::Args)]
pub(super) struct Rows {
    /// For people, or one JSON object per line
    #[arg(
        short,
        long,
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    output: Form,
}

impl Rows {
    /// Prints `rows`; for people, the `cells` of each under `columns`.
    pub(super) fn print<T: Serialize>(
        &self,
        rows: &[T],
        columns: &[&str],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        match self.output {
            Form::Json => {
                for row in rows {
                    writeln!(out, "{}", json(row)?)?;
                }
            }
            Form::Table => {
                let mut table = plain_table();
                table.set_header(columns.to_vec());
                for (at, name) in columns.iter().enumerate() {
                    let is_number = NUMBERS.contains(name);
                    if let Some(column) = table.column_mut(at).filter(|_| is_number) {
                        column.set_cell_alignment(CellAlignment::Right);
                    }
                }
                for row in rows {
                    table.add_row(cells(row).into_iter().map(|cell| match cell.as_str() {
                        "" => "-".to_owned(),
                        text => safe(text).into_owned(),
                    }));
                }
                print_table(&mut out, &table)?;
            }
        }
        Ok(out.flush()?)
    }
}
