//! Opening a WebSocket (RFC 6455, 4): what the request must hold, and what the answer to it.
//!
//! What is said on it once it is open is read by nobody, so a request either asks for exactly this, or is refused; and an
//! answer either opens exactly what was asked for, or is broken.

use sha1_smol::Sha1;

use super::bytes::trim;
use super::field::{parse_fields, write_field};
use super::hop::Connection;
use super::{Field, Framing, Refusal, Scanned, Version};

/// Stands where a method does in the operation. Nobody may send it as one.
const OPERATION: &str = "WEBSOCKET";
const PROTOCOL: &[u8] = b"websocket";
const VERSION: &[u8] = b"13";
/// RFC 6455, 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// 16 bytes in base64.
const KEY_LENGTH: usize = 24;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a client asks with, and the service has to know when it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WebSocketKey([u8; KEY_LENGTH]);

/// What is known of a request when it is asked whether it opens a WebSocket.
pub(super) struct Asking<'a> {
    pub(super) method: &'a str,
    pub(super) version: Version,
    pub(super) framing: Framing,
    pub(super) expect_continue: bool,
    pub(super) connection: Connection,
}

/// Whether `method` is none, because operations have that name.
pub(super) fn is_operation(method: &str) -> bool {
    method == OPERATION
}

/// The key of a request that asks to open a WebSocket; `None` of one that does not. One that names the protocol in `Upgrade`
/// and is no whole handshake is refused: a service might see one in it.
pub(super) fn asked(
    asking: &Asking<'_>,
    fields: &[Field<'_>],
) -> Result<Option<WebSocketKey>, Refusal> {
    let names_it = |field: &Field<'_>| {
        field.value.split(|&b| b == b',').any(|one| {
            let name = one.split(|&b| b == b'/').next().unwrap_or_default();
            trim(name).eq_ignore_ascii_case(PROTOCOL)
        })
    };
    if !fields.iter().filter(|it| it.is("upgrade")).any(names_it) {
        return Ok(None);
    }
    let sound = asking.method == "GET"
        && asking.version == Version::Http11
        && asking.framing == Framing::None
        && !asking.expect_continue
        && !asking.connection.close
        && asking.connection.upgrade
        && only(fields, "upgrade").is_some_and(|value| value.eq_ignore_ascii_case(PROTOCOL));
    if !sound {
        return Err(Refusal::WebSocketHandshake);
    }
    if only(fields, "sec-websocket-version") != Some(VERSION) {
        return Err(Refusal::WebSocketVersion);
    }
    only(fields, "sec-websocket-key")
        .and_then(WebSocketKey::read)
        .map(Some)
        .ok_or(Refusal::WebSocketHandshake)
}

/// Whether a 101 opens the WebSocket that was asked for with `key`.
pub fn opens_websocket(scanned: Scanned<'_>, key: WebSocketKey) -> Result<(), Refusal> {
    let mut lines = scanned.lines();
    let status = lines.next().unwrap_or_default();
    let fields = parse_fields(lines)?;
    let accept = key.accept();
    let opens = status.starts_with(b"HTTP/1.1 101")
        && Connection::read(&fields)?.upgrade
        && only(&fields, "upgrade").is_some_and(|value| value.eq_ignore_ascii_case(PROTOCOL))
        && only(&fields, "sec-websocket-accept") == Some(&accept[..]);
    if opens {
        Ok(())
    } else {
        Err(Refusal::WebSocketAccept)
    }
}

/// Appends the fields by which either side switches.
pub(super) fn write_upgrade(out: &mut Vec<u8>) {
    write_field("connection", b"Upgrade", out);
    write_field("upgrade", PROTOCOL, out);
}

/// The value of the only field of this name.
fn only<'a>(fields: &[Field<'a>], name: &str) -> Option<&'a [u8]> {
    let mut named = fields.iter().filter(|field| field.is(name));
    match (named.next(), named.next()) {
        (Some(field), None) => Some(field.value),
        _ => None,
    }
}

impl WebSocketKey {
    /// Exactly 16 bytes in base64, in its one canonical spelling.
    fn read(text: &[u8]) -> Option<Self> {
        let key: [u8; KEY_LENGTH] = text.try_into().ok()?;
        let (digits, padding) = key.split_at(KEY_LENGTH - 2);
        let spelled = digits.iter().all(|b| ALPHABET.contains(b))
            && padding == b"=="
            // The last digit stands for two bits only.
            && matches!(digits.last(), Some(b'A' | b'Q' | b'g' | b'w'));
        spelled.then_some(Self(key))
    }

    /// What shows that the service has understood it.
    fn accept(self) -> [u8; 28] {
        let mut hash = Sha1::new();
        hash.update(&self.0);
        hash.update(GUID);
        let digest = hash.digest().bytes();
        let mut out = [b'='; 28];
        for (three, four) in digest.chunks(3).zip(out.chunks_mut(4)) {
            let bits = three
                .iter()
                .enumerate()
                .fold(0u32, |bits, (at, &b)| bits | u32::from(b) << (16 - 8 * at));
            // So many digits as there are bytes, and one more; the rest is padding.
            for (at, digit) in four.iter_mut().take(three.len() + 1).enumerate() {
                *digit = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455, 1.3.
    #[test]
    fn accepts_as_the_standard_shows() {
        let key = WebSocketKey::read(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        assert_eq!(&key.accept(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_have_one_spelling() {
        for text in [
            &b""[..],
            b"dGhlIHNhbXBsZSBub25jZQ=",
            b"dGhlIHNhbXBsZSBub25jZQ===",
            b"dGhlIHNhbXBsZSBub25jZR==",
            b"dGhlIHNhbXBsZSBub25jZQQQ",
            b"dGhlIHNhbXBsZSBub25j Q==",
            b"=GhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert_eq!(WebSocketKey::read(text), None, "{}", text.escape_ascii());
        }
    }
}
