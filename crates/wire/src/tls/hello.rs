//! The ClientHello (RFC 8446, 4.1.2; RFC 5246, 7.4.1.2).

use std::net::Ipv4Addr;

use super::Refusal;
use super::limits::SERVER_NAME_MAX;
use super::records::{self, Message};

/// `legacy_version` of TLS 1.2, and of everything after it.
const TLS12: u16 = 0x0303;
const TLS13: u16 = 0x0304;

const SERVER_NAME: u16 = 0;
const PRE_SHARED_KEY: u16 = 41;
const SUPPORTED_VERSIONS: u16 = 43;
/// Encrypted Client Hello, and the encrypted name that came before it.
const ENCRYPTED: [u16; 2] = [0xfe0d, 0xffce];

/// What a client asks for in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// A host name of letters, digits, `-`, `_` and dots, in lower case, without a final dot; not an address.
    pub server_name: String,
    /// Bytes of the stream that it took. What follows is not for us to read.
    pub consumed: usize,
}

/// Reads the ClientHello at the start of `bytes`; `None` where more is needed. At most
/// [`HELLO_MAX`](super::limits::HELLO_MAX) bytes and the headers of [`RECORDS_MAX`](super::limits::RECORDS_MAX) records are.
pub fn read_hello(bytes: &[u8]) -> Result<Option<ClientHello>, Refusal> {
    let Some(Message { body, consumed }) = records::message(bytes)? else {
        return Ok(None);
    };
    let server_name = server_name(&body)?;
    Ok(Some(ClientHello {
        server_name,
        consumed,
    }))
}

fn server_name(body: &[u8]) -> Result<String, Refusal> {
    let mut body = Input(body);
    let legacy_version = body.u16()?;
    let _random = body.take(32)?;
    let session = body.vector8()?;
    let suites = body.vector16()?;
    let compressions = body.vector8()?;
    if legacy_version < TLS12 {
        return Err(Refusal::Version);
    }
    if legacy_version != TLS12
        || session.0.len() > 32
        || suites.0.is_empty()
        || suites.0.len() % 2 != 0
        || compressions.0.is_empty()
    {
        return Err(Refusal::Malformed);
    }
    if !compressions.0.contains(&0) {
        return Err(Refusal::Compression);
    }
    if body.is_empty() {
        return Err(Refusal::NoName);
    }
    let mut extensions = body.vector16()?;
    body.end()?;
    let mut seen = Vec::new();
    let mut name = None;
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let mut value = extensions.vector16()?;
        if seen.last() == Some(&PRE_SHARED_KEY) {
            return Err(Refusal::PskNotLast);
        }
        if seen.contains(&kind) {
            return Err(Refusal::ExtensionTwice);
        }
        seen.push(kind);
        match kind {
            SERVER_NAME => {
                name = Some(host_name(&mut value)?);
                value.end()?;
            }
            SUPPORTED_VERSIONS => {
                let mut versions = value.vector8()?;
                value.end()?;
                let mut offered = false;
                while !versions.is_empty() {
                    offered |= matches!(versions.u16()?, TLS12 | TLS13);
                }
                if !offered {
                    return Err(Refusal::Version);
                }
            }
            kind if ENCRYPTED.contains(&kind) => return Err(Refusal::Encrypted),
            _ => {}
        }
    }
    name.ok_or(Refusal::NoName)
}

/// The one name of a `ServerNameList` (RFC 6066, 3).
fn host_name(value: &mut Input<'_>) -> Result<String, Refusal> {
    let mut list = value.vector16()?;
    if list.is_empty() {
        return Err(Refusal::Names);
    }
    if list.u8()? != 0 {
        return Err(Refusal::Names);
    }
    let name = list.vector16()?;
    if !list.is_empty() {
        return Err(Refusal::Names);
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let text = std::str::from_utf8(name.0).map_err(|_| Refusal::Name)?;
    // Some readers of addresses take a last label of digits for one.
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    if text.parse::<Ipv4Addr>().is_ok()
        || text.contains(':')
        || text
            .rsplit('.')
            .next()
            .is_some_and(|last| !last.is_empty() && numeric(last))
    {
        return Err(Refusal::Address);
    }
    if text.len() > SERVER_NAME_MAX || !text.split('.').all(label) {
        return Err(Refusal::Name);
    }
    Ok(text.to_ascii_lowercase())
}

/// Bytes that are taken from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Refusal::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Refusal> {
        match self.take(1)? {
            [a] => Ok(*a),
            _ => Err(Refusal::Malformed),
        }
    }

    fn u16(&mut self) -> Result<u16, Refusal> {
        match self.take(2)? {
            [a, b] => Ok(u16::from_be_bytes([*a, *b])),
            _ => Err(Refusal::Malformed),
        }
    }

    fn vector8(&mut self) -> Result<Self, Refusal> {
        let length = self.u8()?;
        self.take(length.into()).map(Self)
    }

    fn vector16(&mut self) -> Result<Self, Refusal> {
        let length = self.u16()?;
        self.take(length.into()).map(Self)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn end(&self) -> Result<(), Refusal> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(Refusal::Malformed),
        }
    }
}
