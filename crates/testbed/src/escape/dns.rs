//! Queries of DNS as an attacker writes them, and whether there is anything in the answer.

use std::io;

/// A query for a name in parts, of any type (RFC 1035, 4.1).
pub(super) fn query(parts: &[&str], kind: u16) -> Vec<u8> {
    // Any number, recursion desired, one question.
    let mut bytes = vec![0x52, 0x46, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for part in parts {
        bytes.push(part.len() as u8);
        bytes.extend(part.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

/// How many records an answer has; an error when it has none, or is none.
pub(super) fn records(answer: &[u8]) -> io::Result<String> {
    let code = answer.get(3).map(|flags| flags & 0xf);
    let count = answer.get(6..8).and_then(|count| count.first_chunk());
    match (code, count.map(|count| u16::from_be_bytes(*count))) {
        (Some(0), Some(count @ 1..)) => Ok(format!("{count} records")),
        (Some(code), Some(_)) => Err(io::Error::other(format!("code {code}"))),
        _ => Err(io::Error::other("no answer to a query")),
    }
}
