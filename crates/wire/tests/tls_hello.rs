//! The one message of TLS that is read: what is a server name in it, and that nothing could be another.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use ringfence_wire::tls::limits::{HELLO_MAX, RECORDS_MAX};
use ringfence_wire::tls::{Behind, Refusal, asks_again, behind_hello, read_hello};

fn vector16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(value)].concat()
}

fn names(names: &[(u8, &[u8])]) -> Vec<u8> {
    let list: Vec<u8> = names
        .iter()
        .flat_map(|&(kind, name)| [vec![kind], vector16(name)].concat())
        .collect();
    extension(0, &vector16(&list))
}

fn name(text: &str) -> Vec<u8> {
    names(&[(0, text.as_bytes())])
}

/// TLS 1.3 and 1.2.
fn versions() -> Vec<u8> {
    extension(43, &[4, 3, 4, 3, 3])
}

/// A ClientHello, as a handshake message.
struct Hello {
    version: u16,
    session: Vec<u8>,
    suites: Vec<u8>,
    compressions: Vec<u8>,
    /// `None`: not even their length.
    extensions: Option<Vec<u8>>,
    behind: Vec<u8>,
}

impl Hello {
    fn with(extensions: &[Vec<u8>]) -> Self {
        Self {
            version: 0x0303,
            session: vec![7; 32],
            suites: vec![0x13, 1, 0xc0, 0x2f],
            compressions: vec![0],
            extensions: Some(extensions.concat()),
            behind: Vec::new(),
        }
    }

    fn message(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([9; 32]);
        body.push(self.session.len() as u8);
        body.extend(&self.session);
        body.extend(vector16(&self.suites));
        body.push(self.compressions.len() as u8);
        body.extend(&self.compressions);
        if let Some(extensions) = &self.extensions {
            body.extend(vector16(extensions));
        }
        body.extend(&self.behind);
        message(1, &body)
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

/// In one record.
fn record(fragment: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &vector16(fragment)].concat()
}

fn told(message: &[u8]) -> Result<String, Refusal> {
    read_hello(&record(message)).map(|hello| hello.expect("it is all there").server_name)
}

fn refused(hello: &Hello, refusal: Refusal) {
    assert_eq!(told(&hello.message()), Err(refusal));
}

#[test]
fn reads_the_server_name() {
    for (sent, read) in [
        ("ledger", "ledger"),
        ("Ledger.Ringfence.INTERNAL", "ledger.ringfence.internal"),
        ("a-b.c_d.e1", "a-b.c_d.e1"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ] {
        let hello = Hello::with(&[extension(10, &[0, 2, 0, 29]), name(sent), versions()]);
        assert_eq!(told(&hello.message()).as_deref(), Ok(read));
    }
    // TLS 1.2 alone says so by the field that later versions leave as it was.
    let hello = Hello::with(&[name("ledger")]);
    assert_eq!(told(&hello.message()).as_deref(), Ok("ledger"));
}

#[test]
fn what_follows_the_hello_is_not_looked_at() {
    let hello = record(&Hello::with(&[name("ledger")]).message());
    let bytes = [&hello[..], b"\x14\x03\x03\x00\x01\x01 and early data"].concat();
    let read = read_hello(&bytes).unwrap().unwrap();
    assert_eq!(read.consumed, hello.len());
}

#[test]
fn a_hello_is_the_same_in_however_many_records() {
    let message = Hello::with(&[name("ledger"), versions()]).message();
    for size in [3, 4, 5, 50, message.len() - 1, message.len()] {
        let bytes: Vec<u8> = message.chunks(size).flat_map(record).collect();
        let read = read_hello(&bytes).unwrap().unwrap();
        assert_eq!(
            (read.server_name.as_str(), read.consumed),
            ("ledger", bytes.len())
        );
    }
    // As many as may be, and one more.
    for (records, fits) in [(RECORDS_MAX, true), (RECORDS_MAX + 1, false)] {
        let padded = |padding| {
            let padding = extension(21, &vec![0; padding]);
            Hello::with(&[name("ledger"), padding]).message()
        };
        let message = padded(4 * records - padded(0).len());
        let bytes: Vec<u8> = message.chunks(4).flat_map(record).collect();
        assert_eq!(bytes.len(), 9 * records);
        let read = read_hello(&bytes).map(|it| it.map(|it| it.server_name));
        match fits {
            true => assert_eq!(read, Ok(Some("ledger".to_owned()))),
            false => assert_eq!(read, Err(Refusal::TooManyRecords)),
        }
    }
}

#[test]
fn other_than_one_plain_host_name_is_refused() {
    let one = |text: &[u8]| Hello::with(&[names(&[(0, text)])]);
    for text in [
        &b""[..],
        b".",
        b"ledger.",
        b".ledger",
        b"a..b",
        b"-a",
        b"a-",
        b"a b",
        b"a\0b",
        b"led\xc3\xa4ger",
        b"\xff",
        b"*.example",
        b"a/b",
        &[b'a'; 64],
    ] {
        refused(&one(text), Refusal::Name);
    }
    let long = ["a".repeat(63).as_str(); 4].join(".") + ".aa";
    refused(&one(long.as_bytes()), Refusal::Name);
    for text in [
        "10.0.0.1",
        "::1",
        "[::1]",
        "fe80::1%lo",
        "1",
        "0x7f.1",
        "a.b.9",
        "a:443",
    ] {
        refused(&one(text.as_bytes()), Refusal::Address);
    }
    refused(&Hello::with(&[versions()]), Refusal::NoName);
    refused(
        &Hello {
            extensions: None,
            ..Hello::with(&[])
        },
        Refusal::NoName,
    );
    refused(&Hello::with(&[]), Refusal::NoName);
    for list in [
        &[][..],
        &[(1, &b"ledger"[..])],
        &[(0, b"ledger"), (0, b"other")],
        &[(0, b"ledger"), (1, b"other")],
        &[(1, b"other"), (0, b"ledger")],
    ] {
        refused(&Hello::with(&[names(list)]), Refusal::Names);
    }
    // What only a server may send.
    refused(&Hello::with(&[extension(0, &[])]), Refusal::Malformed);
    refused(
        &Hello::with(&[name("ledger"), name("other")]),
        Refusal::ExtensionTwice,
    );
}

#[test]
fn a_name_that_may_be_another_inside_is_refused() {
    for kind in [0xfe0d, 0xffce] {
        let hello = Hello::with(&[name("ledger"), extension(kind, &[0; 40])]);
        refused(&hello, Refusal::Encrypted);
    }
}

#[test]
fn vectors_end_where_they_say() {
    let hello = || Hello::with(&[name("ledger")]);
    let malformed = [
        Hello {
            session: vec![7; 33],
            ..hello()
        },
        Hello {
            suites: vec![],
            ..hello()
        },
        Hello {
            suites: vec![0x13, 1, 0xc0],
            ..hello()
        },
        Hello {
            compressions: vec![],
            ..hello()
        },
        Hello {
            version: 0x0304,
            ..hello()
        },
        Hello {
            behind: vec![0],
            ..hello()
        },
        // A list of names that is shorter than its extension.
        Hello::with(&[extension(
            0,
            &[0, 9, 0, 0, 6, b'l', b'e', b'd', b'g', b'e', b'r', 0],
        )]),
        // A name that is longer than its list.
        Hello::with(&[extension(
            0,
            &[0, 9, 0, 0, 7, b'l', b'e', b'd', b'g', b'e', b'r'],
        )]),
        Hello::with(&[name("ledger"), vec![0, 43, 0]]),
        Hello::with(&[name("ledger"), extension(43, &[3, 3, 4, 3])]),
    ];
    for hello in malformed {
        refused(&hello, Refusal::Malformed);
    }
    refused(
        &Hello {
            compressions: vec![1],
            ..hello()
        },
        Refusal::Compression,
    );
    let psk = Hello::with(&[extension(41, &[0; 8]), name("ledger")]);
    refused(&psk, Refusal::PskNotLast);
    let psk = Hello::with(&[name("ledger"), extension(41, &[0; 8])]);
    assert_eq!(told(&psk.message()).as_deref(), Ok("ledger"));
}

#[test]
fn versions_below_1_2_are_refused() {
    for version in [0x0200, 0x0300, 0x0301, 0x0302] {
        let hello = Hello {
            version,
            ..Hello::with(&[name("ledger")])
        };
        refused(&hello, Refusal::Version);
    }
    let old = Hello::with(&[name("ledger"), extension(43, &[4, 3, 2, 3, 1])]);
    refused(&old, Refusal::Version);
}

#[test]
fn what_is_no_client_hello_is_found_out_at_once() {
    for (bytes, refusal) in [
        (&b"G"[..], Refusal::NotTls),
        (b"\x16\x02", Refusal::NotTls),
        (b"\x16\x03\x05", Refusal::NotTls),
        (b"\x17\x03\x03\x00\x10", Refusal::NotTls),
        // SSL 2.
        (b"\x80\x2e\x01\x03\x01", Refusal::NotTls),
        (b"\x16\x03\x01\x00\x00", Refusal::RecordLength),
        (b"\x16\x03\x01\x40\x01", Refusal::RecordLength),
        (b"\x16\x03\x01\x00\x40\x02", Refusal::NotHello),
        (b"\x16\x03\x01\x00\x40\x01\x01\x00\x00", Refusal::TooLong),
        (
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x00\x00",
            Refusal::Trailing,
        ),
    ] {
        assert_eq!(read_hello(bytes), Err(refusal), "{}", bytes.escape_ascii());
    }
    for bytes in [&b""[..], b"\x16", b"\x16\x03\x01\x00\x40\x01\x00"] {
        assert_eq!(read_hello(bytes), Ok(None), "{}", bytes.escape_ascii());
    }
    // Another record that is none.
    let message = Hello::with(&[name("ledger")]).message();
    let bytes = [record(&message[..20]), b"\x14\x03\x03\x00\x01\x01".to_vec()].concat();
    assert_eq!(read_hello(&bytes), Err(Refusal::NotTls));
}

#[test]
fn a_hello_of_any_size_up_to_the_bound_is_read() {
    let padded =
        |padding: usize| Hello::with(&[name("ledger"), extension(21, &vec![0; padding])]).message();
    let base = padded(0).len();
    let message = padded(HELLO_MAX - base);
    assert_eq!(message.len(), HELLO_MAX);
    assert_eq!(told(&message).as_deref(), Ok("ledger"));
    assert_eq!(
        told(&padded(HELLO_MAX - base + 1)[..16_384]),
        Err(Refusal::TooLong)
    );
}

/// A ServerHello with this `random`.
fn server_hello(random: [u8; 32]) -> Vec<u8> {
    let body = [&[3, 3][..], &random, b"\0\x13\x01\0\0\0"].concat();
    message(2, &body)
}

/// RFC 8446, 4.1.3.
const RETRY: &str = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c";

fn retry() -> [u8; 32] {
    std::array::from_fn(|at| u8::from_str_radix(&RETRY[2 * at..][..2], 16).unwrap())
}

#[test]
fn a_server_that_asks_for_another_hello_is_understood() {
    let alert = b"\x15\x03\x03\x00\x02\x01\x70";
    let mut other = retry();
    other[31] ^= 1;
    for (random, asks) in [(retry(), true), (other, false), ([0; 32], false)] {
        let hello = server_hello(random);
        for size in [1, 2, 5, 37, 38, hello.len()] {
            let records: Vec<u8> = hello.chunks(size).flat_map(record).collect();
            for bytes in [records.clone(), [&alert[..], &records].concat()] {
                let told: Vec<_> = (0..=bytes.len())
                    .map(|end| asks_again(&bytes[..end]))
                    .collect();
                let at = told.iter().position(Option::is_some).unwrap();
                assert!(told[at..].iter().all(|it| *it == Some(asks)), "{size}");
                if size == hello.len() {
                    assert_eq!(at, bytes.len() - records.len() + 5 + 38);
                }
            }
        }
    }
    for nothing in [&b""[..], b"\x16", b"\x16\x03\x03\x00", alert] {
        assert_eq!(asks_again(nothing), None);
    }
    for other in [
        &b"220 ready\r\n"[..],
        b"\x17\x03\x03",
        b"\x14\x03\x03",
        b"\x16\x03\x03\x00\x04\x00",
        b"\x16\x03\x03\x00\x04\x0b",
    ] {
        assert_eq!(asks_again(other), Some(false), "{}", other.escape_ascii());
    }
}

#[test]
fn only_whole_records_that_hold_no_hello_go_before_one() {
    for (bytes, told) in [
        (&b""[..], Ok(Behind::Part)),
        (b"\x14", Ok(Behind::Part)),
        (b"\x14\x03\x03\x00\x01", Ok(Behind::Part)),
        (b"\x14\x03\x03\x00\x01\x01", Ok(Behind::Record(6))),
        (b"\x17\x03\x03\x00\x02abcd", Ok(Behind::Record(7))),
        (b"\x15\x03\x03\x00\x02\x02\x28", Ok(Behind::Record(7))),
        (b"\x17\x03\x03\x41\x00", Ok(Behind::Part)),
        (b"\x17\x03\x03\x41\x01", Err(Refusal::RecordLength)),
        (b"\x16", Ok(Behind::Handshake)),
        (b"\x18\x03", Ok(Behind::Handshake)),
        (b"G", Ok(Behind::Handshake)),
    ] {
        assert_eq!(behind_hello(bytes), told, "{}", bytes.escape_ascii());
    }
}

proptest! {
    /// Byte by byte, and in whatever records, it says the same as at once, and never more too early.
    #[test]
    fn pieces_make_no_difference(
        mut message in prop_oneof![
            Just(Hello::with(&[name("ledger"), versions()]).message()),
            proptest::collection::vec(any::<u8>(), 0..200),
        ],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        size in 1_usize..200,
    ) {
        for (at, byte) in changes {
            if !message.is_empty() {
                let at = at.index(message.len());
                message[at] = byte;
            }
        }
        let bytes: Vec<u8> = message.chunks(size).flat_map(record).collect();
        let whole = read_hello(&bytes);
        for end in 0..bytes.len() {
            match read_hello(&bytes[..end]) {
                Ok(None) => {}
                early => {
                    prop_assert_eq!(&early, &whole, "after {} of {}", end, bytes.len());
                    break;
                }
            }
        }
    }
}
