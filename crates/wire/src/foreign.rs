//! What a client speaks, from its first bytes: for the record, where it is not what the service declares.
//!
//! Nothing is let through by what is told here. A client whose bytes are none of these is refused all the same, in the
//! words of the reader that refused them.

use std::fmt;

/// A protocol that gives itself away at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spoken {
    /// A TLS handshake.
    Tls,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// HTTP/1.x.
    Http1,
    /// SSH.
    Ssh,
    /// The header by which a proxy tells of its client, of either version.
    Proxy,
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "a TLS handshake",
            Self::Http2 => "the preface of HTTP/2",
            Self::Http1 => "a request of HTTP/1",
            Self::Ssh => "the banner of SSH",
            Self::Proxy => "a PROXY header",
        })
    }
}

/// The preface of HTTP/2 (RFC 9113, 3.4), as far as no request of HTTP/1 begins so.
const HTTP2: &[u8] = b"PRI * HTTP/2.0";
const SSH: &[u8] = b"SSH-";
const PROXY: &[&[u8]] = &[b"PROXY TCP", b"PROXY UNKNOWN", b"\r\n\r\n\0\r\nQUIT\n"];
const METHODS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"PATCH ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
];

/// What `first`, the first bytes of a connection, are the start of; `None` where that is not known, or not yet.
pub fn spoken(first: &[u8]) -> Option<Spoken> {
    let is_one_of = |starts: &[&[u8]]| starts.iter().any(|start| first.starts_with(start));
    if matches!(first, [22, 3, 0..=4, ..]) {
        Some(Spoken::Tls)
    } else if first.starts_with(HTTP2) {
        Some(Spoken::Http2)
    } else if first.starts_with(SSH) {
        Some(Spoken::Ssh)
    } else if is_one_of(PROXY) {
        Some(Spoken::Proxy)
    } else if is_one_of(METHODS) {
        Some(Spoken::Http1)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_protocols_by_their_first_bytes() {
        for (first, told) in [
            (&b"\x16\x03\x01\x02\x00\x01"[..], Some(Spoken::Tls)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Spoken::Http2)),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Some(Spoken::Ssh)),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", Some(Spoken::Proxy)),
            (b"\r\n\r\n\0\r\nQUIT\n\x21", Some(Spoken::Proxy)),
            (b"PROXY TCP6 ::1 ::1 1 2\r\n", Some(Spoken::Proxy)),
            (b"PROXY UNKNOWN\r\n", Some(Spoken::Proxy)),
            (b"PROXY x\r\n", None),
            (b"\x16\x03\x04\x02\x00", Some(Spoken::Tls)),
            (b"\x16\x03\x05\x02\x00", None),
            (b"\x17\x03\x03\x02\x00", None),
            (b"SSH-1.99-x\r\n", Some(Spoken::Ssh)),
            (b"", None),
            (b"\x16\x03", None),
            (b"PRI * HTTP/1.1\r\n", None),
            (b"GETS / HTTP/1.1", None),
            (b"EHLO x\r\n", None),
        ] {
            assert_eq!(spoken(first), told, "{}", first.escape_ascii());
        }
        for method in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE",
        ] {
            let first = format!("{method} / HTTP/1.1\r\n");
            assert_eq!(spoken(first.as_bytes()), Some(Spoken::Http1), "{method}");
        }
    }
}
