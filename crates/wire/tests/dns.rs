//! Questions and answers, held against the parser of hickory-proto on the other side.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; a test that fails should panic"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as Question, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use proptest::prelude::*;
use ringfence_wire::dns::{
    Answer, Kind, Next, QUERY_MAX, Query, Transport, Unreadable, next_message, read, write_framed,
};

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Question::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn query(message: &Message) -> Query {
    read(&message.to_vec().unwrap()).unwrap()
}

fn answered(query: &Query, answer: Answer<'_>) -> Message {
    Message::from_vec(&query.answer(answer, Transport::Udp)).unwrap()
}

/// The reason, and the response code of the answer if there is one.
fn rejected(bytes: &[u8]) -> (Unreadable, Option<ResponseCode>) {
    let rejected = read(bytes).unwrap_err();
    let code = rejected.answer.map(|bytes| {
        let message = Message::from_vec(&bytes).unwrap();
        assert_eq!(message.metadata.message_type, MessageType::Response);
        message.metadata.response_code
    });
    (rejected.reason, code)
}

#[test]
fn reads_the_name_in_lower_case_and_the_kind() {
    let read = query(&question("PayMents.Ringfence.Internal.", RecordType::AAAA));
    assert_eq!(
        (read.name(), read.kind()),
        ("payments.ringfence.internal", Kind::Aaaa)
    );
    assert_eq!(
        query(&question("a.", RecordType::TXT)).kind(),
        Kind::Other(16)
    );
    assert_eq!(query(&question(".", RecordType::NS)).name(), ".");
    assert_eq!(Kind::Other(16).to_string(), "TXT");
    assert_eq!(Kind::Other(65_280).to_string(), "TYPE65280");
}

#[test]
fn answers_with_the_same_id_and_question() {
    let read = query(&question("PayMents.", RecordType::A));
    let answer = answered(&read, Answer::A(Ipv4Addr::new(100, 64, 0, 7)));
    assert_eq!(
        (answer.metadata.id, answer.metadata.message_type),
        (0x1234, MessageType::Response)
    );
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(
        answer.metadata.authoritative
            && answer.metadata.recursion_desired
            && answer.metadata.recursion_available
    );
    assert_eq!(answer.queries[0].name().to_ascii(), "PayMents.");
    assert_eq!(answer.answers.len(), 1);
    assert_eq!(
        answer.answers[0].data,
        RData::A(A(Ipv4Addr::new(100, 64, 0, 7)))
    );
    assert_eq!(answer.answers[0].ttl, 30);
    assert!(answer.edns.is_none());
}

#[test]
fn answers_every_kind() {
    let read = query(&question("a.", RecordType::AAAA));
    let v6 = "fd52:6600::7".parse::<Ipv6Addr>().unwrap();
    assert_eq!(
        answered(&read, Answer::Aaaa(v6)).answers[0].data,
        RData::AAAA(AAAA(v6))
    );
    let ptr = answered(&read, Answer::Ptr("payments.ringfence.internal")).answers[0]
        .data
        .clone();
    assert_eq!(
        ptr,
        RData::PTR(PTR(
            Name::from_ascii("payments.ringfence.internal.").unwrap()
        ))
    );
    for (answer, code) in [
        (Answer::NoData, ResponseCode::NoError),
        (Answer::NxDomain, ResponseCode::NXDomain),
        (Answer::Refused, ResponseCode::Refused),
        (Answer::ServFail, ResponseCode::ServFail),
    ] {
        let message = answered(&read, answer);
        assert_eq!(message.metadata.response_code, code);
        assert!(message.answers.is_empty() && message.queries.len() == 1);
    }
    assert_eq!(
        answered(&read, Answer::Ptr("not..a name"))
            .metadata
            .response_code,
        ResponseCode::ServFail
    );
}

#[test]
fn tells_reverse_names_from_others() {
    let reverse = |name: &str| query(&question(name, RecordType::PTR)).reverse();
    assert_eq!(
        reverse("7.0.64.100.in-addr.arpa."),
        Some(IpAddr::V4(Ipv4Addr::new(100, 64, 0, 7)))
    );
    let v6 = "fd52:6600::7".parse::<Ipv6Addr>().unwrap();
    assert_eq!(
        reverse(&Name::from(IpAddr::V6(v6)).to_ascii()),
        Some(IpAddr::V6(v6))
    );
    for name in [
        "0.64.100.in-addr.arpa.",
        "7.7.0.64.100.in-addr.arpa.",
        "07.0.64.100.in-addr.arpa.",
        "256.0.64.100.in-addr.arpa.",
        "a.b.c.d.in-addr.arpa.",
        "in-addr.arpa.",
        "7.0.0.0.ip6.arpa.",
        "a.",
    ] {
        assert_eq!(reverse(name), None, "{name}");
    }
}

#[test]
fn tolerates_edns_and_bounds_the_answer() {
    let mut message = question("a.", RecordType::PTR);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    message.set_edns(edns);
    let answer = answered(&query(&message), Answer::NoData);
    assert_eq!(answer.edns.unwrap().max_payload(), 1232);
}

#[test]
fn cuts_an_answer_that_does_not_fit_a_datagram() {
    let long = [["x"; 31].concat(), ["y"; 31].concat()].join(".");
    let name = [long.as_str(); 3].join(".") + "." + &"z".repeat(50);
    let read = query(&question(&name, RecordType::PTR));
    let target = [long.replace('x', "w").as_str(); 3].join(".") + "." + &"q".repeat(50);
    let over_udp = Message::from_vec(&read.answer(Answer::Ptr(&target), Transport::Udp)).unwrap();
    let over_tcp = Message::from_vec(&read.answer(Answer::Ptr(&target), Transport::Tcp)).unwrap();
    assert_eq!(over_tcp.answers.len(), 1);
    assert!(!over_tcp.metadata.truncation);
    assert!(read.answer(Answer::Ptr(&target), Transport::Tcp).len() > 512);
    assert!(over_udp.metadata.truncation && over_udp.answers.is_empty());
    assert!(read.answer(Answer::Ptr(&target), Transport::Udp).len() <= 512);
}

#[test]
fn never_answers_a_response() {
    let mut message = question("a.", RecordType::A);
    message.metadata.message_type = MessageType::Response;
    assert_eq!(
        rejected(&message.to_vec().unwrap()),
        (Unreadable::NotAQuery, None)
    );
}

#[test]
fn refuses_other_opcodes_classes_and_counts() {
    let mut message = question("a.", RecordType::A);
    message.metadata.op_code = OpCode::Update;
    assert_eq!(
        rejected(&message.to_vec().unwrap()),
        (Unreadable::Opcode, Some(ResponseCode::NotImp))
    );

    let mut message = question("a.", RecordType::A);
    message.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(
        rejected(&message.to_vec().unwrap()),
        (Unreadable::Class, Some(ResponseCode::Refused))
    );

    let mut message = question("a.", RecordType::A);
    message.add_query(Question::query(
        Name::from_ascii("b.").unwrap(),
        RecordType::A,
    ));
    assert_eq!(
        rejected(&message.to_vec().unwrap()),
        (Unreadable::QuestionCount, Some(ResponseCode::FormErr))
    );
    let none = Message::new(1, MessageType::Query, OpCode::Query);
    assert_eq!(
        rejected(&none.to_vec().unwrap()),
        (Unreadable::QuestionCount, Some(ResponseCode::FormErr))
    );
}

#[test]
fn refuses_records_and_bytes_that_no_question_has() {
    let record = Record::from_rdata(
        Name::from_ascii("a.").unwrap(),
        1,
        RData::A(A(Ipv4Addr::LOCALHOST)),
    );
    let form = (Unreadable::Malformed, Some(ResponseCode::FormErr));
    let mut message = question("a.", RecordType::A);
    message.add_answer(record.clone());
    assert_eq!(rejected(&message.to_vec().unwrap()), form);
    let mut message = question("a.", RecordType::A);
    message.add_authority(record.clone());
    assert_eq!(rejected(&message.to_vec().unwrap()), form);
    let mut message = question("a.", RecordType::A);
    message.add_additional(record);
    assert_eq!(rejected(&message.to_vec().unwrap()), form);
    let mut bytes = question("a.", RecordType::A).to_vec().unwrap();
    bytes.push(0);
    assert_eq!(rejected(&bytes), form);
    let whole = question("a.b.", RecordType::A).to_vec().unwrap();
    for end in 12..whole.len() {
        assert_eq!(rejected(&whole[..end]), form, "cut at {end}");
    }
    for end in 0..12 {
        assert_eq!(rejected(&whole[..end]), (Unreadable::TooShort, None));
    }
}

#[test]
fn refuses_a_compressed_question() {
    let mut bytes = question("a.", RecordType::A).to_vec().unwrap();
    bytes.truncate(12);
    // A pointer into the header, where the bytes of the id are read as a label.
    bytes[0] = 1;
    bytes[1] = b'x';
    bytes[2] = 0;
    bytes.extend_from_slice(&[0xc0, 0x00, 0, 1, 0, 1]);
    assert_eq!(
        rejected(&bytes),
        (Unreadable::Malformed, Some(ResponseCode::FormErr))
    );
}

#[test]
fn refuses_other_versions_of_edns() {
    let mut message = question("a.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    message.set_edns(edns);
    let rejected = read(&message.to_vec().unwrap()).unwrap_err();
    assert_eq!(rejected.reason, Unreadable::EdnsVersion);
    let answer = Message::from_vec(&rejected.answer.unwrap()).unwrap();
    // 16 is BADVERS in an OPT record and BADSIG in a TSIG; the parser only knows the number.
    assert_eq!(
        u16::from(answer.metadata.response_code),
        u16::from(ResponseCode::BADVERS)
    );
    assert_eq!(answer.edns.unwrap().version(), 0);
}

#[test]
fn odd_bytes_in_a_label_never_look_like_another_name() {
    for label in [&b"a.b"[..], b"a\x00b", b"a b", b"\xe4", b"a\\b", b"a\nb"] {
        let name = Name::from_labels([label]).unwrap();
        let mut message = Message::new(1, MessageType::Query, OpCode::Query);
        message.add_query(Question::query(name, RecordType::A));
        let read = query(&message);
        assert!(read.name().contains('\\'), "{}", read.name());
        assert!(
            read.name().bytes().all(|b| (0x21..0x7f).contains(&b)),
            "{}",
            read.name()
        );
    }
}

#[test]
fn cuts_messages_from_a_stream() {
    let mut stream = Vec::new();
    assert!(write_framed(b"one", &mut stream));
    assert!(write_framed(b"three", &mut stream));
    assert_eq!(
        next_message(&stream),
        Next::Message {
            message: b"one",
            consumed: 5
        }
    );
    assert_eq!(
        next_message(&stream[5..]),
        Next::Message {
            message: b"three",
            consumed: 7
        }
    );
    for end in 0..5 {
        assert_eq!(next_message(&stream[..end]), Next::Partial);
    }
    assert_eq!(next_message(&[0, 0, 1]), Next::Oversized);
    assert_eq!(next_message(&[0xff, 0xff]), Next::Oversized);
    let announcing = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    assert_eq!(next_message(&announcing(QUERY_MAX)), Next::Partial);
    assert_eq!(next_message(&announcing(QUERY_MAX + 1)), Next::Oversized);
    assert!(!write_framed(&[0; 65_536], &mut stream));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = next_message(&bytes);
        if let Ok(query) = read(&bytes) {
            let _ = (query.kind(), query.reverse());
            let answer = query.answer(Answer::A(Ipv4Addr::LOCALHOST), Transport::Udp);
            prop_assert!(answer.len() <= 1232);
        }
    }

    #[test]
    fn every_answer_fits_and_parses(
        tail in prop::collection::vec(any::<u8>(), 0..100),
        labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..64), 0..4),
        kind in any::<u16>(),
        id in any::<u16>(),
    ) {
        // A well-formed question around arbitrary labels, with arbitrary bytes behind it in half of the cases.
        let mut bytes = vec![0; 12];
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        bytes[5] = 1;
        for label in &labels {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label);
        }
        bytes.push(0);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        if id % 2 == 0 {
            bytes.extend_from_slice(&tail);
        }
        match read(&bytes) {
            Ok(query) => {
                prop_assert!(query.name().bytes().all(|b| (0x21..0x7f).contains(&b)));
                prop_assert!(query.name().len() <= 1020);
                let answer = query.answer(Answer::NxDomain, Transport::Udp);
                prop_assert!(answer.len() <= 512);
                let message = Message::from_vec(&answer).unwrap();
                prop_assert_eq!(message.metadata.id, id);
                prop_assert_eq!(message.metadata.response_code, ResponseCode::NXDomain);
            }
            Err(rejected) => prop_assert!(id % 2 == 0 && !tail.is_empty(), "{:?}", rejected),
        }
    }
}
