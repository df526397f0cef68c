//! CSV as RFC 4180 has it, for spreadsheets that would rather calculate.

use std::io::{self, Write};

use crate::output::safe;

/// One record. Cells stand on one line; one that a spreadsheet would take for a formula gets a `'` in front (OWASP, "CSV
/// injection").
pub(crate) fn line(
    out: &mut impl Write,
    cells: impl IntoIterator<Item = String>,
) -> io::Result<()> {
    let cells: Vec<String> = cells.into_iter().map(|cell| quoted(&cell)).collect();
    write!(out, "{}\r\n", cells.join(","))
}

fn quoted(cell: &str) -> String {
    let mut text = safe(cell).into_owned();
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        text.insert(0, '\'');
    }
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        let mut out = Vec::new();
        let cells = ["a", "b,c", "d\"e", "=1+1", "-X /a", "@x", "a\nb", "", "ä"];
        line(&mut out, cells.map(str::to_owned)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a,\"b,c\",\"d\"\"e\",'=1+1,'-X /a,'@x,a\\nb,,ä\r\n"
        );
    }
}
