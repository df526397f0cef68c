//! The values that come with an operation, as its record has them: in clear where the callee's resource names them,
//! otherwise as HMACs, with which one can check that a value was this one and not find out which it was.
//!
//! A name that a caller may choose is a value too: of the parameters of a query, and of fields that are not in [`KNOWN`], the
//! name stands in the HMAC only. What is too much is counted, not recorded. docs/flows.md has the form of the text.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;

use ringfence_audit::FieldKey;
use ringfence_model::resource::Recorded;
use ringfence_wire::http1::Field;

use crate::limits::{FIELD_CLEAR, RECORD_FIELDS, RECORD_FIELDS_MAX};

/// How names begin.
const QUERY: &str = "query";
const HEADER: &str = "header";

/// Fields whose names say nothing of who sent them, in order. `false`: not recorded at all, as they are about the message, not in it.
const KNOWN: [(&str, bool); 66] = [
    ("accept", false),
    ("accept-charset", false),
    ("accept-encoding", false),
    ("accept-language", false),
    ("access-control-request-headers", true),
    ("access-control-request-method", true),
    ("api-key", true),
    ("authorization", true),
    ("baggage", true),
    ("cache-control", false),
    ("connection", false),
    ("content-disposition", true),
    ("content-encoding", false),
    ("content-language", false),
    ("content-length", false),
    ("content-md5", true),
    ("content-type", false),
    ("cookie", true),
    ("date", false),
    ("dnt", false),
    ("expect", false),
    ("forwarded", true),
    ("from", true),
    ("grpc-accept-encoding", false),
    ("grpc-encoding", false),
    ("grpc-timeout", false),
    ("host", false),
    ("idempotency-key", true),
    ("if-match", true),
    ("if-modified-since", false),
    ("if-none-match", true),
    ("if-range", true),
    ("if-unmodified-since", false),
    ("keep-alive", false),
    ("link", true),
    ("mcp-protocol-version", true),
    ("mcp-session-id", true),
    ("origin", true),
    ("pragma", false),
    ("priority", false),
    ("proxy-authorization", true),
    ("range", true),
    ("referer", true),
    ("sec-websocket-extensions", false),
    ("sec-websocket-key", false),
    ("sec-websocket-protocol", true),
    ("sec-websocket-version", false),
    ("te", false),
    ("traceparent", true),
    ("tracestate", true),
    ("trailer", false),
    ("transfer-encoding", false),
    ("upgrade", false),
    ("upgrade-insecure-requests", false),
    ("user-agent", false),
    ("via", true),
    ("x-amz-security-token", true),
    ("x-api-key", true),
    ("x-auth-token", true),
    ("x-correlation-id", true),
    ("x-csrf-token", true),
    ("x-forwarded-client-cert", true),
    ("x-forwarded-for", true),
    ("x-forwarded-host", true),
    ("x-forwarded-proto", true),
    ("x-request-id", true),
];

/// What came with an operation.
#[derive(Clone, Copy)]
pub(crate) struct Sent<'a> {
    /// What followed `?`.
    pub(crate) query: Option<&'a [u8]>,
    pub(crate) fields: &'a [Field<'a>],
    /// What the callee lets be recorded in clear.
    pub(crate) record: &'a Recorded,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Memory that is kept from one operation to the next.
#[derive(Default)]
struct Scratch {
    /// `query.NAME`, `header.NAME`
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Sent<'_> {
    /// Appends all of it to `out`. `key` is asked once at most, where an HMAC is to be made; where it gives none, those are counted
    /// as left out. Gives the number of the key that was used, or 0.
    pub(crate) fn write(
        &self,
        out: &mut String,
        key: impl FnOnce() -> Option<Arc<FieldKey>>,
    ) -> u64 {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut page = Page {
                out,
                entries: 0,
                left_out: 0,
                lazy: Some(key),
                key: None,
            };
            for piece in self.query.unwrap_or_default().split(|b| *b == b'&') {
                if !piece.is_empty() {
                    self.parameter(piece, scratch, &mut page);
                }
            }
            for field in self.fields {
                self.field(field, scratch, &mut page);
            }
            page.finish()
        })
    }

    fn parameter<K: Key>(&self, piece: &[u8], scratch: &mut Scratch, page: &mut Page<'_, K>) {
        let Scratch { name, value } = scratch;
        let (raw_name, raw_value) = match piece.iter().position(|b| *b == b'=') {
            Some(at) => (&piece[..at], &piece[at + 1..]),
            None => (piece, &[][..]),
        };
        begin(name, QUERY);
        value.clear();
        if decode(raw_name, name).is_none() || decode(raw_value, value).is_none() {
            return page.hide(QUERY, "", QUERY.as_bytes(), piece);
        }
        match named(&self.record.query, &name[QUERY.len() + 1..]) {
            Some(shown) => page.show(QUERY, shown, name, value),
            None => page.hide(QUERY, "", name, value),
        }
    }

    fn field<K: Key>(&self, field: &Field<'_>, scratch: &mut Scratch, page: &mut Page<'_, K>) {
        let name = &mut scratch.name;
        begin(name, HEADER);
        name.extend(field.name.bytes().map(|b| b.to_ascii_lowercase()));
        let own = &name[HEADER.len() + 1..];
        if let Some(shown) = named(&self.record.headers, own) {
            return page.show(HEADER, shown, name, field.value);
        }
        match KNOWN.binary_search_by(|(known, _)| known.as_bytes().cmp(own)) {
            Ok(at) => match KNOWN[at] {
                (_, false) => {}
                (shown, true) => page.hide(HEADER, shown, name, field.value),
            },
            Err(_) => page.hide(HEADER, "", name, field.value),
        }
    }
}

fn begin(name: &mut Vec<u8>, kind: &str) {
    name.clear();
    name.extend_from_slice(kind.as_bytes());
    name.push(b'.');
}

/// The name in a resource that this one is.
fn named<'a>(names: &'a [String], name: &[u8]) -> Option<&'a str> {
    let found = names.iter().find(|known| known.as_bytes() == name);
    found.map(String::as_str)
}

/// Appends what a part of a query says, as forms are encoded. `None`: an escape is broken.
fn decode(raw: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = raw.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            other => *other,
        });
    }
    Some(())
}

trait Key: FnOnce() -> Option<Arc<FieldKey>> {}
impl<T: FnOnce() -> Option<Arc<FieldKey>>> Key for T {}

/// A text that is being written.
struct Page<'o, K> {
    out: &'o mut String,
    entries: usize,
    left_out: u64,
    lazy: Option<K>,
    key: Option<Arc<FieldKey>>,
}

impl<K: Key> Page<'_, K> {
    /// A value that may be read, unless it is too long for that.
    fn show(&mut self, kind: &str, shown: &str, name: &[u8], value: &[u8]) {
        if value.len() > FIELD_CLEAR {
            return self.hide(kind, shown, name, value);
        }
        self.entry(kind, shown, |out| {
            out.push('=');
            for byte in value {
                match byte {
                    b'%' | ..=b' ' | 0x7f.. => {
                        let _never_fails = write!(out, "%{byte:02X}");
                    }
                    plain => out.push(char::from(*plain)),
                }
            }
        });
    }

    /// A value that may be checked only. `shown` is its name where that may be read.
    fn hide(&mut self, kind: &str, shown: &str, name: &[u8], value: &[u8]) {
        if self.entries >= RECORD_FIELDS_MAX {
            self.left_out += 1;
            return;
        }
        if let Some(lazy) = self.lazy.take() {
            self.key = lazy();
        }
        let Some(key) = self.key.as_ref() else {
            self.left_out += 1;
            return;
        };
        let hmac = key.hmac(name, value);
        self.entry(kind, shown, |out| {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.push('~');
            for byte in hmac {
                out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                out.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        });
    }

    fn entry(&mut self, kind: &str, shown: &str, rest: impl FnOnce(&mut String)) {
        let before = self.out.len();
        if before > 0 {
            self.out.push(' ');
        }
        self.out.push_str(kind);
        if !shown.is_empty() {
            self.out.push('.');
            self.out.push_str(shown);
        }
        rest(self.out);
        if self.entries >= RECORD_FIELDS_MAX || self.out.len() > RECORD_FIELDS {
            self.out.truncate(before);
            self.left_out += 1;
        } else {
            self.entries += 1;
        }
    }

    fn finish(self) -> u64 {
        if self.left_out > 0 {
            let blank = if self.out.is_empty() { "" } else { " " };
            let _never_fails = write!(self.out, "{blank}+{}", self.left_out);
        }
        // A number of which nothing was made says nothing.
        match self.key {
            Some(key) if self.out.contains('~') => key.number(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests;
