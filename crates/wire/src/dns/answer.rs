//! Writing the answer to a query.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Edns, Message, Metadata, Query as Question, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{Name, RData, Record};

use super::query::Query;

/// How long, in seconds, an answer may be kept. Short, because what an agent may reach can change at any time.
pub const TTL: u32 = 30;
/// Largest UDP answer, in bytes, to a query without EDNS (RFC 1035). A longer one is cut to its question with the
/// truncation bit, and the asker comes back over TCP.
pub const UDP_MIN: u16 = 512;
/// Largest UDP answer, in bytes, whatever EDNS size the asker offers: one that no link fragments.
pub const UDP_MAX: u16 = 1232;

/// How the query came, which bounds the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In one datagram: at most [`UDP_MAX`] bytes and what the asker takes.
    Udp,
    /// Over a stream: at most 65,535 bytes.
    Tcp,
}

/// What to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The name's IPv4 address.
    A(Ipv4Addr),
    /// The name's IPv6 address.
    Aaaa(Ipv6Addr),
    /// The address's name (ASCII, with or without final dot).
    Ptr(&'a str),
    /// The name exists, but has nothing of this type.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// Not answered, for reasons of policy.
    Refused,
    /// Not answered, because something of ours is not working.
    ServFail,
}

impl Query {
    /// Writes the answer: same id, the question echoed as it was asked, authoritative, EDNS if the query had it.
    pub fn answer(&self, answer: Answer<'_>, transport: Transport) -> Vec<u8> {
        let mut message = reply(&self.metadata, code(answer));
        message.add_query(self.question.clone());
        match data(answer) {
            Ok(Some(data)) => {
                message.add_answer(Record::from_rdata(self.question.name().clone(), TTL, data));
            }
            Ok(None) => {}
            Err(NotAName) => return bare(&self.metadata, ResponseCode::ServFail),
        }
        if self.edns_size.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_MAX);
            message.set_edns(edns);
        }
        let bytes = write(&message, &self.metadata);
        let limit = match transport {
            Transport::Udp => usize::from(self.edns_size.unwrap_or(UDP_MIN)),
            Transport::Tcp => usize::from(u16::MAX),
        };
        if bytes.len() <= limit {
            return bytes;
        }
        message.answers.clear();
        message.metadata.truncation = true;
        write(&message, &self.metadata)
    }
}

/// Text that was to be the target of a PTR record is no domain name.
struct NotAName;

fn data(answer: Answer<'_>) -> Result<Option<RData>, NotAName> {
    Ok(match answer {
        Answer::A(address) => Some(RData::A(A(address))),
        Answer::Aaaa(address) => Some(RData::AAAA(AAAA(address))),
        Answer::Ptr(name) => {
            let mut name = Name::from_ascii(name).map_err(|_| NotAName)?;
            name.set_fqdn(true);
            Some(RData::PTR(PTR(name)))
        }
        Answer::NoData | Answer::NxDomain | Answer::Refused | Answer::ServFail => None,
    })
}

fn code(answer: Answer<'_>) -> ResponseCode {
    match answer {
        Answer::A(_) | Answer::Aaaa(_) | Answer::Ptr(_) | Answer::NoData => ResponseCode::NoError,
        Answer::NxDomain => ResponseCode::NXDomain,
        Answer::Refused => ResponseCode::Refused,
        Answer::ServFail => ResponseCode::ServFail,
    }
}

fn reply(asked: &Metadata, code: ResponseCode) -> Message {
    let mut message = Message::response(asked.id, asked.op_code);
    message.metadata = Metadata::response_from_request(asked);
    message.metadata.authoritative = true;
    // Stub resolvers complain about a server that does not offer recursion, although nothing here recurses.
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message
}

/// An answer that echoes no question, because none could be read.
pub(super) fn bare(asked: &Metadata, code: ResponseCode) -> Vec<u8> {
    let mut message = reply(asked, code);
    message.metadata.authoritative = false;
    write(&message, asked)
}

/// BADVERS: the asker speaks an EDNS that does not exist yet (RFC 6891, 6.1.3).
pub(super) fn bad_version(asked: &Metadata, question: &Question) -> Vec<u8> {
    let mut message = reply(asked, ResponseCode::BADVERS);
    message.add_query(question.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_MAX);
    edns.set_rcode_high(ResponseCode::BADVERS.high());
    message.set_edns(edns);
    write(&message, asked)
}

/// Encodes; what cannot be encoded is answered by a server failure of twelve bytes, written by hand.
fn write(message: &Message, asked: &Metadata) -> Vec<u8> {
    message.to_vec().unwrap_or_else(|_| {
        let [high, low] = asked.id.to_be_bytes();
        vec![
            high,
            low,
            0x80,
            ResponseCode::ServFail.low(),
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ]
    })
}
