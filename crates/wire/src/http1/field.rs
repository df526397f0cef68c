//! Header and trailer field lines.

use super::Refusal;
use super::bytes::{token, trim};
use super::limits::FIELDS_MAX;
use super::scan::Lines;

/// One field as it was sent, its value without the whitespace around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// A token, in the case it was sent in.
    pub name: &'a str,
    /// No control bytes but HTAB; bytes above 0x7F may occur.
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Whether this field has the given name (in lower case).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Appends `name: value` and a line end.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        write_field(self.name, self.value, out);
    }
}

/// Appends `name: value` and a line end.
pub(crate) fn write_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Reads all lines as fields.
pub(super) fn parse_fields(lines: Lines<'_>) -> Result<Vec<Field<'_>>, Refusal> {
    let mut fields = Vec::with_capacity(16);
    for line in lines {
        if fields.len() == FIELDS_MAX {
            return Err(Refusal::TooManyFields);
        }
        fields.push(parse_field(line)?);
    }
    Ok(fields)
}

fn parse_field(line: &[u8]) -> Result<Field<'_>, Refusal> {
    if let [b' ' | b'\t', ..] = line {
        return Err(Refusal::Fold);
    }
    let colon = memchr::memchr(b':', line).ok_or(Refusal::FieldName)?;
    let (name, value) = line.split_at(colon);
    let name = token(name).ok_or(Refusal::FieldName)?;
    Ok(Field {
        name,
        value: trim(value.get(1..).unwrap_or_default()),
    })
}
