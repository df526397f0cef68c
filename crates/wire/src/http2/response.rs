//! Response heads, and trailers of either side. A service is trusted no further than a client.

use super::Refusal;
use super::field::{Fields, is_dropped, regular, within_bounds};
use super::hpack::Encoder;
use super::list::HeaderList;
use crate::http1::framing::announced;
use crate::http1::hop::{is_rewritten, may_trail};
use crate::http1::{self, Framing, Version};

/// A response head with every question settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// 100 to 999; not 101.
    pub status: u16,
    /// How many bytes of body there must be. `Some(0)`: there may be none.
    pub length: Option<u64>,
    /// What `content-length` says.
    described: Option<u64>,
    fields: Fields<'a>,
}

/// Reads what a whole header block that begins an answer was decoded to. `to_head`: the request was HEAD. `ended`: no
/// body follows.
pub fn read_response(
    list: &HeaderList,
    to_head: bool,
    ended: bool,
) -> Result<ResponseHead<'_>, Refusal> {
    within_bounds(list)?;
    let mut status = None;
    let mut fields = Fields::with_capacity(16);
    let mut late = false;
    for raw in list.raw() {
        if raw.name.first() == Some(&b':') {
            match raw.name {
                _ if late => return Err(Refusal::PseudoLate),
                b":status" if status.is_some() => return Err(Refusal::PseudoRepeated),
                b":status" => status = Some(read_status(raw.value)?),
                _ => return Err(Refusal::PseudoUnknown),
            }
            continue;
        }
        late = true;
        let field = regular(raw)?;
        if field.name != "te" && !is_dropped(&field) {
            fields.push(field, raw.never)?;
        }
    }
    let status = status.ok_or(Refusal::PseudoMissing)?;
    let described = match announced(&fields.all, Version::Http11)? {
        Framing::Length(length) => Some(length),
        _ => None,
    };
    let never_has_body = matches!(status, 100..=199 | 204);
    if never_has_body && described.is_some_and(|length| length > 0) {
        return Err(http1::Refusal::BodyForbidden.into());
    }
    if status < 200 && ended {
        return Err(Refusal::InterimEnd);
    }
    let length = match to_head || never_has_body || status == 304 {
        true => Some(0),
        false => described,
    };
    if ended && length.is_some_and(|length| length > 0) {
        return Err(Refusal::Length);
    }
    Ok(ResponseHead {
        status,
        length,
        described: described.filter(|_| !never_has_body),
        fields,
    })
}

fn read_status(value: &[u8]) -> Result<u16, Refusal> {
    let &[a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = value else {
        return Err(Refusal::Status);
    };
    let digit = |byte: u8| u16::from(byte - b'0');
    match digit(a) * 100 + digit(b) * 10 + digit(c) {
        // What would follow is read by nobody (RFC 9113, 8.6).
        101 => Err(Refusal::Switched),
        status => Ok(status),
    }
}

impl ResponseHead<'_> {
    /// Another answer to the same request follows this one.
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// Appends the fields of the header block that goes back to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_number(":status", u64::from(self.status), out);
        for (field, never) in self.fields.iter() {
            if !is_rewritten(field) {
                Encoder::field(field.name, field.value, never, out);
            }
        }
        if let Some(length) = self.described {
            write_number("content-length", length, out);
        }
    }
}

/// Appends the fields of an answer of our own, which are known to be sound.
pub fn write_own(status: u16, fields: &[(&str, &str)], out: &mut Vec<u8>) {
    write_number(":status", u64::from(status), out);
    for (name, value) in fields {
        Encoder::field(name, value.as_bytes(), false, out);
    }
}

fn write_number(name: &str, mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    Encoder::field(name, &digits[at..], false, out);
}

/// Trailers, checked, without those that could be taken for something of the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailers<'a>(Fields<'a>);

/// Reads what a whole header block that ends a stream was decoded to.
pub fn read_trailers(list: &HeaderList) -> Result<Trailers<'_>, Refusal> {
    within_bounds(list)?;
    let mut fields = Fields::with_capacity(4);
    for raw in list.raw() {
        if raw.name.first() == Some(&b':') {
            return Err(Refusal::PseudoLate);
        }
        let field = regular(raw)?;
        if may_trail(&field) {
            fields.push(field, raw.never)?;
        }
    }
    Ok(Trailers(fields))
}

impl Trailers<'_> {
    /// Whether nothing is left of them.
    pub fn is_empty(&self) -> bool {
        self.0.all.is_empty()
    }

    /// Appends the fields of the header block that goes on to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (field, never) in self.0.iter() {
            Encoder::field(field.name, field.value, never, out);
        }
    }
}
