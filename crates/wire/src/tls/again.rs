//! Whether a server asks for a second ClientHello (RFC 8446, 4.1.4), and what a client sends until it comes.

use super::Refusal;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const SERVER_HELLO: u8 = 2;
const RECORD_HEADER: usize = 5;
/// Longest record that is encrypted (RFC 8446, 5.2; RFC 5246, 6.2.3 allows more, and no one sends it this early).
const LONGEST_RECORD: usize = (1 << 14) + 256;
/// A ServerHello begins with its type, its length and a version; then comes what tells.
const BEFORE_RANDOM: usize = 6;
/// `random` of a ServerHello that is a HelloRetryRequest (RFC 8446, 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Whether the answer to a ClientHello that begins with `bytes` asks for another one; `None` where more is needed. Of what
/// is no ServerHello, alerts before it apart, `false`: no server goes on to a second one from there.
pub fn asks_again(bytes: &[u8]) -> Option<bool> {
    let mut hello = Vec::new();
    let mut rest = bytes;
    loop {
        let kind = *rest.first()?;
        if !matches!(kind, HANDSHAKE | ALERT) {
            return Some(false);
        }
        let (header, after) = rest.split_at_checked(RECORD_HEADER)?;
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if kind == HANDSHAKE {
            hello.extend_from_slice(after.get(..length).unwrap_or(after));
            if hello.first().is_some_and(|&kind| kind != SERVER_HELLO) {
                return Some(false);
            }
            if let Some(random) = hello.get(BEFORE_RANDOM..BEFORE_RANDOM + RETRY.len()) {
                return Some(random == RETRY);
            }
        }
        rest = after.get(length..)?;
    }
}

/// What is at the start of what a client sends behind its ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// No whole record, of a kind that holds no ClientHello. May be nothing at all.
    Part,
    /// A whole record of such a kind, this long: early data, or what stands in for a change of ciphers.
    Record(usize),
    /// A handshake, or no TLS: the next ClientHello, if the server has asked for one.
    Handshake,
}

/// Tells what `bytes` begin with.
pub fn behind_hello(bytes: &[u8]) -> Result<Behind, Refusal> {
    match bytes.first() {
        None => Ok(Behind::Part),
        Some(&(CHANGE_CIPHER_SPEC | ALERT | APPLICATION_DATA)) => {
            let Some(header) = bytes.get(..RECORD_HEADER) else {
                return Ok(Behind::Part);
            };
            let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
            if length > LONGEST_RECORD {
                return Err(Refusal::RecordLength);
            }
            let whole = RECORD_HEADER + length;
            Ok(match bytes.len() < whole {
                true => Behind::Part,
                false => Behind::Record(whole),
            })
        }
        Some(_) => Ok(Behind::Handshake),
    }
}
