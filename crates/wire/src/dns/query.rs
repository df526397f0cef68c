//! Reading a query, or saying why it is none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{
    HeaderCounts, Message, MessageType, Metadata, OpCode, Query as Question, ResponseCode,
};
use hickory_proto::rr::{DNSClass, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable};

use super::answer::{self, UDP_MAX, UDP_MIN};

/// Bytes of a DNS header.
const HEADER: usize = 12;

/// What a question asks for, as far as the door can tell anything apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// The name of an address.
    Ptr,
    /// Any other type, by number. Nothing at the door has data of it.
    Other(u16),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::A => f.write_str("A"),
            Self::Aaaa => f.write_str("AAAA"),
            Self::Ptr => f.write_str("PTR"),
            // RFC 3597 for those without a name of their own.
            Self::Other(number) => match RecordType::from(*number) {
                RecordType::Unknown(number) => write!(f, "TYPE{number}"),
                named => write!(f, "{named}"),
            },
        }
    }
}

/// One readable query.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) metadata: Metadata,
    pub(super) question: Question,
    /// Largest UDP answer the asker takes; `None` when it sent no EDNS.
    pub(super) edns_size: Option<u16>,
    name: String,
}

/// Why a message is not a query that can be answered. For operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Shorter than a header.
    #[error("dns message shorter than its header")]
    TooShort,
    /// A response, not a query. Never answered: two answering machines would talk for ever.
    #[error("dns response where a query was due")]
    NotAQuery,
    /// Another opcode than QUERY.
    #[error("dns opcode other than query")]
    Opcode,
    /// None or several questions.
    #[error("dns message without exactly one question")]
    QuestionCount,
    /// Another class than IN.
    #[error("dns class other than IN")]
    Class,
    /// An EDNS version that is not 0.
    #[error("edns version other than 0")]
    EdnsVersion,
    /// Records where a query has none, bytes after its end, or a name that does not parse.
    #[error("malformed dns message")]
    Malformed,
}

/// A message that [`read`] refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub reason: Unreadable,
    /// What to answer; `None` is silence.
    pub answer: Option<Vec<u8>>,
}

/// Reads one DNS message (without the length prefix of TCP).
///
/// Accepts opcode QUERY with exactly one question of class IN, its name not compressed, no answer or authority
/// records, and at most an EDNS(0) record beside it, whose options are ignored.
pub fn read(message: &[u8]) -> Result<Query, Rejected> {
    let silent = |reason| Rejected {
        reason,
        answer: None,
    };
    if message.len() < HEADER {
        return Err(silent(Unreadable::TooShort));
    }
    let mut decoder = BinDecoder::new(message);
    let header =
        hickory_proto::op::Header::read(&mut decoder).map_err(|_| silent(Unreadable::TooShort))?;
    let metadata = header.metadata;
    if metadata.message_type != MessageType::Query {
        return Err(silent(Unreadable::NotAQuery));
    }
    let reject = |reason, code| Rejected {
        reason,
        answer: Some(answer::bare(&metadata, code)),
    };
    if metadata.op_code != OpCode::Query {
        return Err(reject(Unreadable::Opcode, ResponseCode::NotImp));
    }
    let HeaderCounts {
        queries,
        answers,
        authorities,
        additionals,
        ..
    } = header.counts;
    if queries != 1 {
        return Err(reject(Unreadable::QuestionCount, ResponseCode::FormErr));
    }
    let malformed = || reject(Unreadable::Malformed, ResponseCode::FormErr);
    if answers != 0 || authorities != 0 || additionals > 1 || metadata.truncation {
        return Err(malformed());
    }
    let question = Question::read(&mut decoder).map_err(|_| malformed())?;
    // What is echoed must be what was asked: a compressed or otherwise odd encoding would not survive.
    if question.to_bytes().ok().as_deref() != message.get(HEADER..decoder.index()) {
        return Err(malformed());
    }
    let (others, edns, signature) =
        Message::read_records(&mut decoder, usize::from(additionals), true, OpCode::Query)
            .map_err(|_| malformed())?;
    if !others.is_empty() || signature.is_some() || !decoder.is_empty() {
        return Err(malformed());
    }
    if question.query_class() != DNSClass::IN {
        return Err(reject(Unreadable::Class, ResponseCode::Refused));
    }
    let edns_size = match edns {
        Some(edns) if edns.version() != 0 => {
            return Err(Rejected {
                reason: Unreadable::EdnsVersion,
                answer: Some(answer::bad_version(&metadata, &question)),
            });
        }
        Some(edns) => Some(edns.max_payload().clamp(UDP_MIN, UDP_MAX)),
        None => None,
    };
    let name = lower_text(&question);
    Ok(Query {
        metadata,
        question,
        edns_size,
        name,
    })
}

/// The name in lower case, without the final dot. Bytes that host names do not have come out as `\` escapes, so
/// that no label with a dot or a control byte in it can look like another name.
fn lower_text(question: &Question) -> String {
    let mut name = question.name().to_ascii().to_ascii_lowercase();
    if name.len() > 1 && name.ends_with('.') {
        name.pop();
    }
    name
}

impl Query {
    /// The name asked for: lower case, no final dot (the root is `.`), unusual bytes escaped; printable ASCII of at
    /// most 1,020 bytes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is asked of that name.
    pub fn kind(&self) -> Kind {
        match self.question.query_type() {
            RecordType::A => Kind::A,
            RecordType::AAAA => Kind::Aaaa,
            RecordType::PTR => Kind::Ptr,
            other => Kind::Other(other.into()),
        }
    }

    /// The address whose name is asked for, when the name is a whole one of `in-addr.arpa` or `ip6.arpa`.
    pub fn reverse(&self) -> Option<IpAddr> {
        reverse_v4(&self.name)
            .map(IpAddr::V4)
            .or_else(|| reverse_v6(&self.name).map(IpAddr::V6))
    }
}

fn reverse_v4(name: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut labels = name.strip_suffix(".in-addr.arpa")?.split('.');
    for octet in octets.iter_mut().rev() {
        let label = labels.next()?;
        if label.len() > 1 && label.starts_with('0') || !label.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = label.parse().ok()?;
    }
    labels.next().is_none().then(|| Ipv4Addr::from(octets))
}

fn reverse_v6(name: &str) -> Option<Ipv6Addr> {
    let mut bits = 0u128;
    let mut labels = name.strip_suffix(".ip6.arpa")?.split('.');
    for shift in (0..32).map(|nibble| nibble * 4) {
        let label = labels.next()?;
        if label.len() != 1 {
            return None;
        }
        bits |= u128::from_str_radix(label, 16).ok()? << shift;
    }
    labels.next().is_none().then(|| Ipv6Addr::from(bits))
}
