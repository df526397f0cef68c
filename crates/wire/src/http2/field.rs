//! Fields, with what RFC 9113 (8.2) demands of every one.

use super::Refusal;
use super::list::{Excess, HeaderList, Raw};
use crate::http1::bytes::{is_control, token};
use crate::http1::hop::{ends_here, is_rewritten};
use crate::http1::limits::FIELDS_MAX;
use crate::http1::{self, Field};

/// Fields that are kept, and which of them nobody may put into a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    pub(super) all: Vec<Field<'a>>,
    /// One bit each: there are at most a hundred and one.
    never: u128,
}

impl<'a> Fields<'a> {
    pub(super) fn with_capacity(count: usize) -> Self {
        Self {
            all: Vec::with_capacity(count),
            never: 0,
        }
    }

    pub(super) fn push(&mut self, field: Field<'a>, never: bool) -> Result<(), Refusal> {
        if self.all.len() > FIELDS_MAX {
            return Err(http1::Refusal::TooManyFields.into());
        }
        self.never |= u128::from(never) << self.all.len();
        self.all.push(field);
        Ok(())
    }

    /// Each with whether it must not be put into a table.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Field<'a>, bool)> {
        let never = |at: usize| self.never >> at & 1 != 0;
        self.all
            .iter()
            .enumerate()
            .map(move |(at, field)| (field, never(at)))
    }
}

/// The list, unless there was too much of it.
pub(super) fn within_bounds(list: &HeaderList) -> Result<(), Refusal> {
    match list.excess() {
        None => Ok(()),
        Some(Excess::Size) => Err(Refusal::ListTooLong),
        Some(Excess::Count) => Err(http1::Refusal::TooManyFields.into()),
    }
}

/// A field that is no pseudo-header field.
pub(super) fn regular(raw: Raw<'_>) -> Result<Field<'_>, Refusal> {
    if raw.name.iter().any(u8::is_ascii_uppercase) {
        return Err(Refusal::FieldName);
    }
    let name = token(raw.name).ok_or(Refusal::FieldName)?;
    let field = Field {
        name,
        value: value(raw.value)?,
    };
    match name {
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => {
            Err(Refusal::ConnectionField)
        }
        "te" if !field.value.eq_ignore_ascii_case(b"trailers") => Err(Refusal::Te),
        _ => Ok(field),
    }
}

/// A value without control bytes, and without whitespace at its ends.
pub(super) fn value(value: &[u8]) -> Result<&[u8], Refusal> {
    let is_white = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let unsound = |&byte: &u8| is_control(byte) || byte == b'\r' || byte == b'\n';
    if is_white(value.first()) || is_white(value.last()) || value.iter().any(unsound) {
        return Err(Refusal::FieldValue);
    }
    Ok(value)
}

/// Whether `field` goes no further than here, and is not written anew either.
pub(super) fn is_dropped(field: &Field<'_>) -> bool {
    field.name != "te" && !is_rewritten(field) && ends_here(field)
}
