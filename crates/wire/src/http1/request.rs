//! Request heads.

use super::bytes::{is_other_spelling, token};
use super::field::{parse_fields, write_field};
use super::framing::{announced, write_framing};
use super::hop::{CLIENT_CERT, Connection, ends_here, is_rewritten, overrides_operation};
use super::limits::{METHOD_MAX, SENT_FIELDS_MAX};
use super::target::{parse_authority, parse_target};
use super::websocket::{self, Asking, WebSocketKey};
use super::{Field, Framing, Read, Refusal, Scanned, Scanner, Version};

/// A request head with every question settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// A token without small letters; never CONNECT.
    pub method: &'a str,
    /// The raw path: starts with `/`, holds no `?`, `#`, space or control byte. Not yet canonical.
    pub path: &'a [u8],
    /// What followed `?`: printable ASCII without `#`.
    pub query: Option<&'a [u8]>,
    /// From Host: `host` or `host:port`, no userinfo, case as sent.
    pub authority: &'a str,
    /// As sent; what is written is HTTP/1.1.
    pub version: Version,
    /// Never [`Framing::UntilClose`].
    pub framing: Framing,
    /// The client waits for leave to send the body.
    pub expect_continue: bool,
    /// The client may send another request after this one. Never with HTTP/1.0.
    pub keep_alive: bool,
    /// The client asks to open a WebSocket, which is an operation of its own.
    pub websocket: Option<WebSocketKey>,
    /// The fields that the service will see, in their order: what may be asked about. Those that are written anew with
    /// the same meaning are among them as they were sent, those that end here are not.
    pub fields: Vec<Field<'a>>,
}

/// What takes the place of the client's own words on the way to the service.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// The canonical path, as it was decided on.
    pub path: &'a str,
    /// For the Host field.
    pub authority: &'a str,
    /// For `x-forwarded-client-cert`.
    pub client_cert: &'a str,
}

/// Reads the request head at the start of `bytes`.
pub fn read_request(bytes: &[u8]) -> Result<Read<RequestHead<'_>>, Refusal> {
    match Scanner::new().find(bytes)? {
        Some(scanned) => Ok(Read::Complete {
            head: parse_request(scanned)?,
            consumed: scanned.len(),
        }),
        None => Ok(Read::Partial),
    }
}

/// Reads a request head whose end was found.
pub fn parse_request(scanned: Scanned<'_>) -> Result<RequestHead<'_>, Refusal> {
    let mut lines = scanned.lines();
    let line = lines.next().ok_or(Refusal::RequestLine)?;
    let mut words = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::RequestLine);
    };
    let version = Version::parse(version)?;
    let method = token(method)
        .filter(|m| m.len() <= METHOD_MAX)
        .ok_or(Refusal::Method)?;
    // Some frameworks put it in capitals before they look at it. Policy compares letter by letter.
    if method.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(if method.eq_ignore_ascii_case("CONNECT") {
            Refusal::Connect
        } else {
            Refusal::MethodCase
        });
    }
    if method == "CONNECT" {
        return Err(Refusal::Connect);
    }
    if websocket::is_operation(method) {
        return Err(Refusal::WebSocketMethod);
    }
    if target.is_empty() || target.contains(&b'\t') {
        return Err(Refusal::RequestLine);
    }
    let target = parse_target(target, method)?;
    let mut fields = parse_fields(lines)?;
    let authority = host(&fields)?;
    if target
        .authority
        .is_some_and(|named| !named.eq_ignore_ascii_case(authority))
    {
        return Err(Refusal::AuthorityMismatch);
    }
    let framing = announced(&fields, version)?;
    let expect_continue = expectation(&fields)? && version == Version::Http11;
    if fields.iter().any(overrides_operation) {
        return Err(Refusal::Override);
    }
    let connection = Connection::read(&fields)?;
    let asking = Asking {
        method,
        version,
        framing,
        expect_continue,
        connection,
    };
    let websocket = websocket::asked(&asking, &fields)?;
    fields.retain(|field| is_rewritten(field) || !ends_here(field));
    refuse_two_spellings(&fields)?;
    Ok(RequestHead {
        method,
        path: target.path,
        query: target.query,
        authority,
        version,
        framing,
        expect_continue,
        keep_alive: version == Version::Http11 && !connection.close,
        websocket,
        fields,
    })
}

fn host<'a>(fields: &[Field<'a>]) -> Result<&'a str, Refusal> {
    let mut hosts = fields.iter().filter(|field| field.is("host"));
    let host = hosts.next().ok_or(Refusal::HostMissing)?;
    if hosts.next().is_some() {
        return Err(Refusal::HostRepeated);
    }
    parse_authority(host.value).ok_or(Refusal::Host)
}

/// Where a name has two spellings, a gateway interface makes one variable of both, by a rule of its own, and other
/// servers drop one of them.
pub(crate) fn refuse_two_spellings(fields: &[Field<'_>]) -> Result<(), Refusal> {
    let odd = |field: &&Field<'_>| {
        let usual = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !field.name.bytes().all(usual)
    };
    let doubled = |odd: &Field<'_>| {
        fields
            .iter()
            .any(|other| is_other_spelling(odd.name, other.name))
    };
    match fields.iter().filter(odd).any(doubled) {
        true => Err(Refusal::TwoSpellings),
        false => Ok(()),
    }
}

pub(crate) fn expectation(fields: &[Field<'_>]) -> Result<bool, Refusal> {
    let mut expected = false;
    for field in fields.iter().filter(|field| field.is("expect")) {
        if expected || !field.value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::Expectation);
        }
        expected = true;
    }
    Ok(expected)
}

impl<'a> RequestHead<'a> {
    /// The fields that are sent on as they are, in their order.
    pub fn onward(&self) -> impl Iterator<Item = &Field<'a>> {
        let chunked = self.framing == Framing::Chunked;
        self.fields
            .iter()
            .filter(|field| !is_rewritten(field))
            .filter(move |field| chunked || !field.is("trailer"))
    }

    /// How many fields [`Self::write`] writes.
    fn sent_fields(&self) -> usize {
        let (host, client_cert) = (1, 1);
        host + self.onward().count()
            + usize::from(self.framing != Framing::None)
            + usize::from(self.framing.has_body())
            + usize::from(self.expect_continue)
            + 2 * usize::from(self.websocket.is_some())
            + client_cert
    }

    /// Appends the canonical head to `out`. Errors leave `out` as it was: nothing may be sent then.
    pub fn write(&self, onward: Onward<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let printable = |text: &str| text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if !onward.path.starts_with('/')
            || !onward
                .path
                .bytes()
                .all(|b| (0x21..0x7f).contains(&b) && b != b'?' && b != b'#')
            || parse_authority(onward.authority.as_bytes()).is_none()
            || !printable(onward.client_cert)
        {
            return Err(Refusal::Insertion);
        }
        if self.sent_fields() > SENT_FIELDS_MAX {
            return Err(Refusal::TooManyFields);
        }
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(onward.path.as_bytes());
        if let Some(query) = self.query {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        write_field("host", onward.authority.as_bytes(), out);
        for field in self.onward() {
            field.write(out);
        }
        write_framing(self.framing, out);
        if self.framing.has_body() {
            // Some services leave a body unread and take it for their next request, which nobody has decided. After
            // this they may read no request any more (RFC 9112, 9.6).
            write_field("connection", b"close", out);
        }
        if self.websocket.is_some() {
            websocket::write_upgrade(out);
        }
        if self.expect_continue {
            write_field("expect", b"100-continue", out);
        }
        write_field(CLIENT_CERT, onward.client_cert.as_bytes(), out);
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// Puts another authority into a head that [`RequestHead::write`] has written, for a service that turned out to answer
/// to another name than expected when it was dialled. Errors leave `head` as it was: nothing may be sent then.
pub fn replace_authority(head: &mut Vec<u8>, authority: &str) -> Result<(), Refusal> {
    const FIELD: &[u8] = b"\r\nhost: ";
    if parse_authority(authority.as_bytes()).is_none() {
        return Err(Refusal::Insertion);
    }
    // Host is always written first, right behind the request line.
    let line = memchr::memchr(b'\r', head).ok_or(Refusal::Insertion)?;
    let start = line + FIELD.len();
    let rest = head.get(start..).ok_or(Refusal::Insertion)?;
    if head.get(line..start) != Some(FIELD) {
        return Err(Refusal::Insertion);
    }
    let length = memchr::memchr(b'\r', rest).ok_or(Refusal::Insertion)?;
    head.splice(start..start + length, authority.bytes());
    Ok(())
}
