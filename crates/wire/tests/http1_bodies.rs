//! Bodies: what is accepted, what is refused, and that the pieces they arrive in make no difference.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; a test that fails should panic"
)]

use proptest::prelude::*;
use ringfence_wire::http1::limits::{CHUNK_EXTENSION_MAX, CHUNK_EXTENSIONS_MAX};
use ringfence_wire::http1::{BodyReader, Framing, Refusal, Step, write_chunk, write_last_chunk};

/// What a body held: its data, its trailers, and how many bytes of input it took.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    data: Vec<u8>,
    trailers: String,
    used: usize,
}

/// Reads `bytes` given in pieces that end at `cuts`. `None`: it goes on.
fn read_in_pieces(framing: Framing, bytes: &[u8], cuts: &[usize]) -> Result<Option<Held>, Refusal> {
    let mut reader = BodyReader::new(framing);
    let mut data = Vec::new();
    let mut used = 0;
    let mut cuts: Vec<usize> = cuts
        .iter()
        .map(|&c| c.min(bytes.len()))
        .chain([bytes.len()])
        .collect();
    cuts.sort_unstable();
    for end in cuts {
        let mut input = &bytes[used..end];
        loop {
            let before = input.len();
            let step = reader.next(&mut input)?;
            used += before - input.len();
            match step {
                Step::Data(piece) => {
                    assert!(!piece.is_empty());
                    data.extend_from_slice(piece);
                }
                Step::Partial => {
                    assert!(input.is_empty());
                    break;
                }
                Step::End => {
                    let trailers = String::from_utf8(reader.trailers().to_vec()).unwrap();
                    return Ok(Some(Held {
                        data,
                        trailers,
                        used,
                    }));
                }
            }
        }
    }
    Ok(None)
}

fn read(framing: Framing, bytes: &[u8]) -> Result<Option<Held>, Refusal> {
    read_in_pieces(framing, bytes, &[])
}

fn chunked(text: &str) -> Result<Option<Held>, Refusal> {
    read(Framing::Chunked, text.as_bytes())
}

fn refused(text: &str, expected: Refusal) {
    assert_eq!(chunked(text), Err(expected), "{}", text.escape_debug());
}

#[test]
fn reads_lengths_exactly() {
    let held = read(Framing::Length(3), b"abcdef").unwrap().unwrap();
    assert_eq!((held.data, held.used), (b"abc".to_vec(), 3));
    assert_eq!(read(Framing::Length(3), b"ab"), Ok(None));
    assert_eq!(read(Framing::Length(0), b"ab").unwrap().unwrap().used, 0);
    assert_eq!(read(Framing::None, b"ab").unwrap().unwrap().used, 0);
}

#[test]
fn reads_chunks_drops_extensions_and_keeps_harmless_trailers() {
    let held = chunked("3;a=\"b c\"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-Sum: 1\r\nTransfer-Encoding: x\r\n\r\nGET").unwrap().unwrap();
    assert_eq!(held.data, b"abc0123456789");
    assert_eq!(held.trailers, "X-Sum: 1\r\n");
    assert_eq!(
        held.used,
        "3;a=\"b c\"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-Sum: 1\r\nTransfer-Encoding: x\r\n\r\n"
            .len()
    );
}

#[test]
fn refuses_chunk_sizes_that_are_no_plain_number() {
    for size in [
        "",
        " 1",
        "1 ",
        "+1",
        "-1",
        "0x1",
        "g",
        "1\t",
        "10000000000000000",
        "8000000000000000",
        "ffffffffffffffff",
        "00000000000000001",
    ] {
        refused(&format!("{size}\r\na\r\n"), Refusal::ChunkSize);
    }
    refused(";x\r\n", Refusal::ChunkSize);
    refused("1\n", Refusal::ChunkSize);
    refused("1\ra", Refusal::ChunkSize);
}

#[test]
fn refuses_line_ends_within_chunk_extensions() {
    refused("1;\nx\r\na\r\n0\r\n\r\n", Refusal::ChunkSize);
    refused("1;a\rb\r\n", Refusal::ChunkSize);
    refused("1;a\x00\r\n", Refusal::ChunkSize);
    refused("1;a\x7f\r\n", Refusal::ChunkSize);
}

#[test]
fn refuses_endless_chunk_extensions() {
    refused(
        &format!("1;{}\r\na\r\n", "x".repeat(257)),
        Refusal::ChunkExtension,
    );
    let chunk = format!("1;{}\r\na\r\n", "x".repeat(200));
    refused(&chunk.repeat(100), Refusal::ChunkExtension);
    assert!(chunked(&(chunk.repeat(80) + "0\r\n\r\n")).is_ok());
}

#[test]
fn takes_what_is_just_as_long_as_it_may_be() {
    let extended = |bytes: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(bytes));
    assert!(chunked(&extended(256)).is_ok());
    refused(&extended(257), Refusal::ChunkExtension);
    let sized = |digits: usize| format!("{}1\r\na\r\n0\r\n\r\n", "0".repeat(digits - 1));
    assert!(chunked(&sized(16)).is_ok());
    refused(&sized(17), Refusal::ChunkSize);
    // Of all chunks together, each as long as it may be.
    let each = format!("1;{}\r\na\r\n", "x".repeat(CHUNK_EXTENSION_MAX));
    let extensions = |last: &str| {
        let full = each.repeat(CHUNK_EXTENSIONS_MAX / CHUNK_EXTENSION_MAX);
        format!("{full}1{last}\r\na\r\n0\r\n\r\n")
    };
    assert!(chunked(&extensions("")).unwrap().is_some());
    assert!(chunked(&extensions(";")).unwrap().is_some());
    refused(&extensions(";x"), Refusal::ChunkExtension);
    // All the lines, with the empty one.
    let trailing = |bytes: usize| format!("0\r\nA: {}\r\n\r\n", "b".repeat(bytes - 7));
    assert!(chunked(&trailing(8 * 1024)).is_ok());
    refused(&trailing(8 * 1024 + 1), Refusal::TrailersTooLong);
}

#[test]
fn refuses_chunks_that_do_not_end_where_they_say() {
    for text in [
        "1\r\nab\r\n",
        "1\r\na\n",
        "1\r\na\r\r\n",
        "2\r\na\r\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
    ] {
        assert_eq!(
            chunked(text),
            Err(Refusal::ChunkEnd),
            "{}",
            text.escape_debug()
        );
    }
}

#[test]
fn refuses_malformed_and_endless_trailers() {
    refused("0\r\nA : b\r\n\r\n", Refusal::FieldName);
    refused("0\r\nA: b\r\n c\r\n\r\n", Refusal::Fold);
    refused("0\r\nA: b\n\r\n", Refusal::BareLf);
    refused("0\r\n\n", Refusal::BareLf);
    refused("0\r\nA: \x01\r\n\r\n", Refusal::ControlByte);
    refused(
        &format!("0\r\n{}\r\n", "A: b\r\n".repeat(101)),
        Refusal::TooManyFields,
    );
    refused(
        &format!("0\r\nA: {}", "b".repeat(8192)),
        Refusal::TrailersTooLong,
    );
}

#[test]
fn drops_trailers_that_frame_route_or_authenticate() {
    for name in [
        "Host",
        "Content-Length",
        "content_length",
        "Transfer-Encoding",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "X-Forwarded-Client-Cert",
        "x_forwarded_client_cert",
        "X-Forwarded-For",
        "Connection",
        "Content-Type",
        "Trailer",
        "TE",
        "Upgrade",
        "Proxy-Authorization",
        "X-HTTP-Method-Override",
        "Expect",
        "Range",
    ] {
        let held = chunked(&format!("0\r\n{name}: x\r\nGrpc-Status: 0\r\n\r\n"))
            .unwrap()
            .unwrap();
        assert_eq!(held.trailers, "Grpc-Status: 0\r\n", "{name}");
    }
}

#[test]
fn an_end_of_input_ends_only_what_ends_so() {
    assert_eq!(BodyReader::new(Framing::UntilClose).end_of_input(), Ok(()));
    assert_eq!(
        BodyReader::new(Framing::Length(1)).end_of_input(),
        Err(Refusal::Truncated)
    );
    assert_eq!(
        BodyReader::new(Framing::Chunked).end_of_input(),
        Err(Refusal::Truncated)
    );
    let mut reader = BodyReader::new(Framing::UntilClose);
    assert_eq!(reader.next(&mut &b"abc"[..]), Ok(Step::Data(b"abc")));
    assert_eq!(reader.end_of_input(), Ok(()));
    assert_eq!(reader.next(&mut &b""[..]), Ok(Step::End));
}

/// The simplest reader of chunked bodies that could be right: whole input, no limits but those of the format.
fn naive(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut at = 0;
    let mut data = Vec::new();
    let line = |at: usize| {
        bytes[at..]
            .windows(2)
            .position(|w| w == b"\r\n")
            .map(|n| &bytes[at..at + n])
    };
    loop {
        let size_line = line(at)?;
        let text = std::str::from_utf8(size_line).ok()?;
        let digits = text.split(';').next()?;
        if digits.is_empty() || digits.len() > 16 || !digits.bytes().all(|b| b.is_ascii_hexdigit())
        {
            return None;
        }
        if text.bytes().any(|b| b < 0x20 && b != b'\t' || b == 0x7f) {
            return None;
        }
        let size = usize::from_str_radix(digits, 16).ok()?;
        at += size_line.len() + 2;
        if size == 0 {
            while let Some(field) = line(at) {
                at += field.len() + 2;
                if field.is_empty() {
                    return Some((data, at));
                }
                let (name, value) = std::str::from_utf8(field).ok()?.split_once(':')?;
                if name.is_empty()
                    || !name
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
                {
                    return None;
                }
                if value.bytes().any(|b| b < 0x20 && b != b'\t' || b == 0x7f) {
                    return None;
                }
            }
            return None;
        }
        data.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size;
        if bytes.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
}

/// Text that is nearly a chunked body.
fn nearly_chunked() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("\r\n"),
        Just("0\r\n\r\n"),
        Just("1"),
        Just("2"),
        Just("a"),
        Just("0"),
        Just(";x=y"),
        Just("\n"),
        Just("\r"),
        Just("A: b\r\n"),
        Just(" "),
        Just("1\r\nx\r\n"),
        Just("3\r\nxyz\r\n"),
        Just(";"),
        Just(":"),
        Just("\t"),
    ];
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat().into_bytes())
}

fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_naive_reader(bytes in nearly_chunked()) {
        let strict = read(Framing::Chunked, &bytes);
        match naive(&bytes) {
            Some((data, used)) => {
                let held = strict.unwrap().unwrap();
                prop_assert_eq!((held.data, held.used), (data, used));
            }
            None => prop_assert!(!matches!(strict, Ok(Some(_))), "{:?}", strict),
        }
    }

    #[test]
    fn pieces_make_no_difference(bytes in nearly_chunked(), cuts in prop::collection::vec(0usize..60, 0..6)) {
        prop_assert_eq!(read_in_pieces(Framing::Chunked, &bytes, &cuts), read(Framing::Chunked, &bytes));
        let single: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(read_in_pieces(Framing::Chunked, &bytes, &single), read(Framing::Chunked, &bytes));
    }

    #[test]
    fn what_is_written_is_read_back(pieces in pieces(), rest in prop::collection::vec(any::<u8>(), 0..20)) {
        let mut bytes = Vec::new();
        for piece in &pieces {
            write_chunk(piece, &mut bytes);
        }
        write_last_chunk(b"X-Sum: 1\r\n", &mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(&rest);
        let held = read(Framing::Chunked, &bytes).unwrap().unwrap();
        prop_assert_eq!(held.data, pieces.concat());
        prop_assert_eq!(held.trailers.as_str(), "X-Sum: 1\r\n");
        prop_assert_eq!(held.used, length);
    }

    #[test]
    fn re_encoding_is_a_fixed_point(bytes in nearly_chunked()) {
        let Ok(Some(held)) = read(Framing::Chunked, &bytes) else { return Ok(()) };
        let mut once = Vec::new();
        write_chunk(&held.data, &mut once);
        write_last_chunk(held.trailers.as_bytes(), &mut once);
        let again = read(Framing::Chunked, &once).unwrap().unwrap();
        prop_assert_eq!((&again.data, &again.trailers, again.used), (&held.data, &held.trailers, once.len()));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), length in any::<u64>()) {
        for framing in [Framing::Chunked, Framing::Length(length), Framing::UntilClose, Framing::None] {
            let _ = read(framing, &bytes);
        }
    }
}
