//! Parsers of HTTP/1 that others wrote, each made to say what it sees in a stream of requests.

mod h11;
mod http_parser;
mod hyper;

use crate::target::contained;

/// One request, as far as two parsers can be held against each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// As sent.
    pub method: Vec<u8>,
    /// Path and query; of the absolute form without its authority.
    pub target: Vec<u8>,
    /// Names in lower case, values without whitespace around them; sorted by name, those of one name in their order.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Without its framing.
    pub body: Vec<u8>,
}

/// How a stream ended for a parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It refuses what comes next.
    Rejected,
    /// It takes no more requests on this connection.
    Closed,
    /// It is between two requests.
    Between,
    /// It is in the middle of one, and waits.
    Waiting,
}

/// What a parser made of a stream.
#[derive(Debug)]
pub struct Seen {
    /// Whole requests.
    pub requests: Vec<Request>,
    /// What came after them.
    pub ended: Ended,
}

/// A parser.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// For people.
    pub name: &'static str,
    read: fn(&[u8]) -> Seen,
}

impl Peer {
    /// Lets it read a whole stream. One that breaks down has refused it.
    pub fn read(&self, stream: &[u8]) -> Seen {
        let mut seen = contained(|| (self.read)(stream)).unwrap_or(Seen {
            requests: Vec::new(),
            ended: Ended::Rejected,
        });
        for request in &mut seen.requests {
            request.target = without_authority(&request.target);
            for (name, value) in &mut request.fields {
                name.make_ascii_lowercase();
                // http_parser leaves whitespace at the end of a value to its user, and so does RFC 9112 (5.1) to any.
                *value = trimmed(value).to_vec();
                // h11 gives the names of codings in lower case, and so may any (RFC 9112, 7).
                if name == b"transfer-encoding" {
                    value.make_ascii_lowercase();
                }
            }
            // hyper keeps no order among names.
            request.fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        seen
    }
}

/// hyper 1 with httparse; http_parser, which Node had until version 12; h11, after Python's of that name.
pub const PEERS: [Peer; 3] = [
    Peer {
        name: "hyper",
        read: hyper::read,
    },
    Peer {
        name: "http_parser",
        read: http_parser::read,
    },
    Peer {
        name: "h11",
        read: h11::read,
    },
];

fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|b| !blank(b))
        .map_or(start, |at| at + 1);
    &value[start..end]
}

fn without_authority(target: &[u8]) -> Vec<u8> {
    let Some((scheme, rest)) = target.split_at_checked(7) else {
        return target.to_vec();
    };
    if !scheme.eq_ignore_ascii_case(b"http://") {
        return target.to_vec();
    }
    let path = rest.iter().position(|b| b"/?".contains(b));
    let path = path.map_or(&[][..], |at| &rest[at..]);
    match path {
        [b'/', ..] => path.to_vec(),
        _ => [b"/", path].concat(),
    }
}
