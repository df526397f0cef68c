//! Queries, and the answers to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use ringfence_wire::dns::{Answer, Kind, Query, Rejected, Transport, UDP_MAX, UDP_MIN, read};

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "dns_query",
    holds: "an answer echoes id and question byte for byte, fits its transport, says what was asked to say; responses are never answered",
    length_max: 1024,
    run,
};

fn run(bytes: &[u8]) {
    match read(bytes) {
        Ok(query) => answered(bytes, &query),
        Err(Rejected { answer, .. }) => {
            let is_response = bytes.get(2).is_some_and(|flags| flags & 0x80 != 0);
            if bytes.len() < 12 || is_response {
                assert!(
                    answer.is_none(),
                    "two answering machines would talk for ever"
                );
            }
            if let Some(answer) = answer {
                assert_eq!(answer.get(..2), bytes.get(..2), "another id");
                assert!(answer[2] & 0x80 != 0, "no response");
                assert!(answer.len() <= bytes.len().max(12) + 11, "amplified");
                Message::from_vec(&answer).expect("a rejection can be read");
            }
        }
    }
}

/// Where the question ends, by hand: labels, a root, type and class.
fn question(bytes: &[u8]) -> &[u8] {
    let mut at = 12;
    while bytes[at] != 0 {
        assert!(bytes[at] < 64, "a pointer or worse was taken");
        at += usize::from(bytes[at]) + 1;
    }
    &bytes[12..at + 5]
}

fn answered(bytes: &[u8], query: &Query) {
    let question = question(bytes);
    let name = query.name();
    assert!(!name.is_empty() && name.len() <= 1020);
    assert!(name.bytes().all(|b| (0x21..0x7f).contains(&b)), "{name:?}");
    assert!(!name.bytes().any(|b| b.is_ascii_uppercase()));
    if let Some(address) = query.reverse() {
        assert!(name.ends_with(".arpa"));
        let labels = name.split('.').count();
        assert_eq!(labels, if address.is_ipv4() { 6 } else { 34 });
    }
    let kind = u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]]);
    match query.kind() {
        Kind::A => assert_eq!(kind, 1),
        Kind::Aaaa => assert_eq!(kind, 28),
        Kind::Ptr => assert_eq!(kind, 12),
        Kind::Other(other) => assert_eq!(kind, other),
    }
    for answer in [
        Answer::A(Ipv4Addr::new(10, 0, 0, 1)),
        Answer::Aaaa(Ipv6Addr::LOCALHOST),
        Answer::Ptr("payments.internal"),
        Answer::Ptr("no name at all..\u{7f}"),
        Answer::NoData,
        Answer::NxDomain,
        Answer::Refused,
        Answer::ServFail,
    ] {
        for transport in [Transport::Udp, Transport::Tcp] {
            let reply = query.answer(answer, transport);
            if transport == Transport::Udp {
                assert!(reply.len() <= usize::from(UDP_MAX));
                let edns = bytes[11] != 0;
                assert!(edns || reply.len() <= usize::from(UDP_MIN));
            }
            assert_eq!(reply.get(..2), bytes.get(..2), "another id");
            let message = Message::from_vec(&reply).expect("an answer can be read");
            assert_eq!(message.metadata.message_type, MessageType::Response);
            if message.queries.is_empty() {
                assert_eq!(message.metadata.response_code, ResponseCode::ServFail);
                continue;
            }
            assert_eq!(
                reply.get(12..12 + question.len()),
                Some(question),
                "another question"
            );
            assert!(message.answers.len() <= 1 && message.authorities.is_empty());
            if let Some(record) = message.answers.first() {
                let told = match answer {
                    Answer::A(address) => Some(IpAddr::V4(address)),
                    Answer::Aaaa(address) => Some(IpAddr::V6(address)),
                    _ => None,
                };
                assert_eq!(record.data.ip_addr(), told);
            }
        }
    }
}
