//! The fields of one header block, in one piece of memory that is used again for the next.

use super::hpack::FIELD_OVERHEAD;
use super::limits::HEADER_LIST_MAX;
use crate::http1::limits::FIELDS_MAX;

/// Fields as they were decoded: nothing is checked but how much there is.
#[derive(Debug, Default)]
pub struct HeaderList {
    /// Names and values, one behind the other; what is staged comes last.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Bytes of all fields that were committed, kept or not.
    size: usize,
    /// Where the staged field begins.
    staged_at: usize,
    excess: Option<Excess>,
}

/// What a list has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// Bytes.
    Size,
    /// Fields.
    Count,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    name: u32,
    value: u32,
    never: bool,
}

/// A field as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// No one may keep it in a table.
    pub(super) never: bool,
}

/// Pseudo-header fields stand beside those that [`FIELDS_MAX`] counts.
const PSEUDO: usize = 5;

impl HeaderList {
    /// Forgets all fields, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.size = 0;
        self.staged_at = 0;
        self.excess = None;
    }

    /// Bytes of memory that it takes, with what it has room for.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Names and values in the order in which they came, unchecked.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.raw().map(|raw| (raw.name, raw.value))
    }

    /// The value of the first field with this name, unchecked: for records.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let mut raws = self.raw();
        raws.find(|raw| raw.name == name.as_bytes())
            .map(|raw| raw.value)
    }

    /// What there was too much of; the fields of such a list are not all there.
    pub(super) fn excess(&self) -> Option<Excess> {
        self.excess
    }

    /// In the order in which they came.
    pub(super) fn raw(&self) -> impl Iterator<Item = Raw<'_>> + Clone {
        self.entries.iter().map(|entry| {
            let start = entry.start as usize;
            let end = start + entry.name as usize;
            Raw {
                name: self.bytes.get(start..end).unwrap_or_default(),
                value: self
                    .bytes
                    .get(end..end + entry.value as usize)
                    .unwrap_or_default(),
                never: entry.never,
            }
        })
    }

    /// Makes one field of all `cookie` fields, where the first stood: they are crumbs of one (RFC 9113, 8.2.3).
    pub(super) fn join_cookies(&mut self) {
        let is_cookie = |raw: &Raw<'_>| raw.name == b"cookie";
        if self.raw().filter(is_cookie).nth(1).is_none() {
            return;
        }
        let crumbs: Vec<_> = self.raw().filter(is_cookie).collect();
        let never = crumbs.iter().any(|crumb| crumb.never);
        let values: Vec<_> = crumbs.iter().map(|crumb| crumb.value).collect();
        let joined = values.join(&b"; "[..]);
        let is_crumb: Vec<_> = self.raw().map(|raw| is_cookie(&raw)).collect();
        let entry = Entry {
            start: self.bytes.len() as u32,
            name: b"cookie".len() as u32,
            value: joined.len() as u32,
            never,
        };
        self.bytes.extend_from_slice(b"cookie");
        self.bytes.extend_from_slice(&joined);
        let mut first = Some(entry);
        let mut index = 0;
        self.entries.retain_mut(|kept| {
            let crumb = is_crumb.get(index).copied().unwrap_or_default();
            index += 1;
            match (crumb, first.take_if(|_| crumb)) {
                (true, Some(joined)) => *kept = joined,
                (true, None) => return false,
                (false, _) => {}
            }
            true
        });
    }

    /// Where the decoder puts the next bytes of the staged field.
    pub(super) fn staging(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends to the staged field.
    pub(super) fn stage(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes staged so far.
    pub(super) fn staged(&self) -> usize {
        self.bytes.len() - self.staged_at
    }

    /// The staged field: a name, and its value behind it.
    pub(super) fn staged_bytes(&self) -> &[u8] {
        self.bytes.get(self.staged_at..).unwrap_or_default()
    }

    /// Takes the staged field, whose name has `name` bytes, if there is room for it.
    pub(super) fn commit(&mut self, name: usize, never: bool) {
        let length = self.staged();
        self.size = self.size.saturating_add(length + FIELD_OVERHEAD);
        if self.size > HEADER_LIST_MAX {
            self.excess.get_or_insert(Excess::Size);
        } else if self.entries.len() == FIELDS_MAX + PSEUDO {
            self.excess.get_or_insert(Excess::Count);
        }
        if self.excess.is_some() {
            self.bytes.truncate(self.staged_at);
            return;
        }
        self.entries.push(Entry {
            start: self.staged_at as u32,
            name: name as u32,
            value: (length - name) as u32,
            never,
        });
        self.staged_at = self.bytes.len();
    }
}
