//! Response heads. A service is trusted no further than a client: what it sends is read as strictly.

use super::field::{parse_fields, write_field};
use super::framing::{announced, write_framing};
use super::hop::{Connection, ends_here};
use super::websocket;
use super::{Field, Framing, Read, Refusal, Scanned, Scanner, Version};

/// A response head with every question settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// 100 to 999.
    pub status: u16,
    /// May be empty; no control bytes but HTAB.
    pub reason: &'a [u8],
    /// As sent; what is written is HTTP/1.1.
    pub version: Version,
    /// The body that follows.
    pub framing: Framing,
    /// The length a response without body speaks of (to HEAD, or 304).
    pub described: Option<u64>,
    /// The service may take another request on this connection.
    pub keep_alive: bool,
    /// The fields that are sent on as they are.
    pub fields: Vec<Field<'a>>,
}

/// How a response goes back to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backward {
    /// What the client asked in. HTTP/1.0 knows no chunks.
    pub version: Version,
    /// The connection to the client closes after this response.
    pub close: bool,
}

/// Reads the response head at the start of `bytes`. `to_head`: the request was HEAD.
pub fn read_response(bytes: &[u8], to_head: bool) -> Result<Read<ResponseHead<'_>>, Refusal> {
    match Scanner::response().find(bytes)? {
        Some(scanned) => Ok(Read::Complete {
            head: parse_response(scanned, to_head)?,
            consumed: scanned.len(),
        }),
        None => Ok(Read::Partial),
    }
}

/// Reads a response head whose end was found. `to_head`: the request was HEAD.
pub fn parse_response(scanned: Scanned<'_>, to_head: bool) -> Result<ResponseHead<'_>, Refusal> {
    let mut lines = scanned.lines();
    let line = lines.next().ok_or(Refusal::StatusLine)?;
    let (version, rest) = line.split_at_checked(8).ok_or(Refusal::StatusLine)?;
    let version = Version::parse(version)?;
    let (status, reason) = match rest {
        [
            b' ',
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            rest @ ..,
        ] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            (digit(a) * 100 + digit(b) * 10 + digit(c), rest)
        }
        _ => return Err(Refusal::StatusLine),
    };
    let reason = match reason {
        [] => reason,
        [b' ', reason @ ..] => reason,
        _ => return Err(Refusal::StatusLine),
    };
    let mut fields = parse_fields(lines)?;
    let announced = announced(&fields, version)?;
    let connection = Connection::read(&fields)?;
    let bodiless = to_head || matches!(status, 100..=199 | 204 | 304);
    let (framing, described) = match (announced, bodiless) {
        // A body here would be read as the next response by whoever knows the rule, and as a body by whoever does not.
        (Framing::Chunked | Framing::Length(1..), true) if matches!(status, 100..=199 | 204) => {
            return Err(Refusal::BodyForbidden);
        }
        (Framing::Length(length), true) if !matches!(status, 100..=199 | 204) => {
            (Framing::None, Some(length))
        }
        (_, true) => (Framing::None, None),
        (Framing::None, false) => (Framing::UntilClose, None),
        (announced, false) => (announced, None),
    };
    fields
        .retain(|field| !ends_here(field) && (framing == Framing::Chunked || !field.is("trailer")));
    let asked_to_live = match version {
        Version::Http11 => true,
        Version::Http10 => connection.keep_alive,
    };
    Ok(ResponseHead {
        status,
        reason,
        version,
        framing,
        described,
        keep_alive: asked_to_live && !connection.close && framing != Framing::UntilClose,
        fields,
    })
}

impl ResponseHead<'_> {
    /// Another response to the same request follows this one.
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// How the body is framed on its way to the client: a body of unknown length goes in chunks where the client
    /// knows them, so that a cut cannot be mistaken for its end.
    pub fn framing_for(&self, client: Version) -> Framing {
        match (self.framing, client) {
            (Framing::Chunked | Framing::UntilClose, Version::Http11) => Framing::Chunked,
            (Framing::Chunked | Framing::UntilClose, Version::Http10) => Framing::UntilClose,
            (framing, _) => framing,
        }
    }

    /// Appends the canonical head to `out`.
    pub fn write(&self, backward: Backward, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(self.status.to_string().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.reason);
        out.extend_from_slice(b"\r\n");
        let framing = self.framing_for(backward.version);
        for field in &self.fields {
            if framing == Framing::Chunked || !field.is("trailer") {
                field.write(out);
            }
        }
        match self.described {
            Some(length) => write_framing(Framing::Length(length), out),
            None => write_framing(framing, out),
        }
        if self.status == 101 {
            // Nothing else is ever switched to.
            websocket::write_upgrade(out);
        }
        if backward.close && !self.is_interim() {
            write_field("connection", b"close", out);
        }
        out.extend_from_slice(b"\r\n");
    }
}
