//! What is accepted, changed and refused in response heads.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; a test that fails should panic"
)]

use ringfence_wire::http1::{
    Backward, Framing, Read, Refusal, ResponseHead, Version, read_response,
};

fn read(bytes: &[u8], to_head: bool) -> Result<ResponseHead<'_>, Refusal> {
    match read_response(bytes, to_head)? {
        Read::Complete { head, .. } => Ok(head),
        Read::Partial => panic!("partial: {}", bytes.escape_ascii()),
    }
}

fn refused(text: &str, expected: Refusal) {
    assert_eq!(
        read_response(text.as_bytes(), false).map(|_| ()),
        Err(expected),
        "{}",
        text.escape_debug()
    );
}

fn written(text: &str, to_head: bool, backward: Backward) -> String {
    let mut out = Vec::new();
    read(text.as_bytes(), to_head)
        .unwrap()
        .write(backward, &mut out);
    String::from_utf8(out).unwrap()
}

const LIVING: Backward = Backward {
    version: Version::Http11,
    close: false,
};

#[test]
fn reads_a_plain_response() {
    let head = read(
        b"HTTP/1.1 200 All is well\r\nContent-Length: 2\r\nA: b\r\n\r\nhi",
        false,
    )
    .unwrap();
    assert_eq!(
        (head.status, head.reason, head.framing),
        (200, &b"All is well"[..], Framing::Length(2))
    );
    assert!(head.keep_alive && !head.is_interim());
}

#[test]
fn a_body_of_unknown_length_goes_in_chunks_where_the_client_knows_them() {
    let text = "HTTP/1.0 200 OK\r\nA: b\r\n\r\n";
    assert_eq!(
        read(text.as_bytes(), false).unwrap().framing,
        Framing::UntilClose
    );
    assert!(!read(text.as_bytes(), false).unwrap().keep_alive);
    assert_eq!(
        written(text, false, LIVING),
        "HTTP/1.1 200 OK\r\nA: b\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let old = Backward {
        version: Version::Http10,
        close: true,
    };
    assert_eq!(
        written(text, false, old),
        "HTTP/1.1 200 OK\r\nA: b\r\nconnection: close\r\n\r\n"
    );
}

#[test]
fn chunks_are_unwrapped_for_http_1_0() {
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n";
    let old = Backward {
        version: Version::Http10,
        close: true,
    };
    assert_eq!(
        written(text, false, old),
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(
        written(text, false, LIVING),
        "HTTP/1.1 200 OK\r\nTrailer: X\r\ntransfer-encoding: chunked\r\n\r\n"
    );
}

#[test]
fn responses_without_body_keep_the_length_they_speak_of() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    assert_eq!(read(text.as_bytes(), true).unwrap().framing, Framing::None);
    assert_eq!(
        written(text, true, LIVING),
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    );
    let unchanged = "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n";
    assert_eq!(
        read(unchanged.as_bytes(), false).unwrap().framing,
        Framing::None
    );
    assert_eq!(
        written(unchanged, false, LIVING),
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"
    );
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        read(chunked.as_bytes(), true).unwrap().framing,
        Framing::None
    );
}

#[test]
fn refuses_a_body_where_there_is_none() {
    refused(
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        Refusal::BodyForbidden,
    );
    refused(
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refusal::BodyForbidden,
    );
    refused(
        "HTTP/1.1 103 Early\r\nContent-Length: 5\r\n\r\n",
        Refusal::BodyForbidden,
    );
    let empty = read(
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        false,
    )
    .unwrap();
    assert_eq!((empty.framing, empty.described), (Framing::None, None));
}

#[test]
fn refuses_the_same_framing_as_in_requests() {
    refused(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refusal::LengthAndEncoding,
    );
    refused(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        Refusal::ContentLengthRepeated,
    );
    refused(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        Refusal::TransferEncoding,
    );
    refused(
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refusal::TransferEncoding,
    );
    refused("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Refusal::Fold);
    refused("HTTP/1.1 200 OK\nA: b\n\n", Refusal::BareLf);
    refused("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Refusal::FieldName);
}

#[test]
fn refuses_malformed_status_lines() {
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1",
        "200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200OK",
    ] {
        let result = read_response(format!("{line}\r\n\r\n").as_bytes(), false).map(|_| ());
        assert!(
            matches!(result, Err(Refusal::StatusLine | Refusal::Version)),
            "{line}: {result:?}"
        );
    }
    refused("HTTP/2.0 200 OK\r\n\r\n", Refusal::Version);
    assert!(read(b"HTTP/1.1 200\r\n\r\n", false).is_ok());
    assert!(read(b"HTTP/1.1 200 \r\n\r\n", false).is_ok());
}

#[test]
fn hop_by_hop_fields_end_here() {
    let text = "HTTP/1.1 200 OK\r\nConnection: close, Upgrade\r\nKeep-Alive: 3\r\nUpgrade: h2c\r\nProxy-Authenticate: x\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        written(text, false, LIVING),
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    );
    assert!(!read(text.as_bytes(), false).unwrap().keep_alive);
    refused(
        "HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\n",
        Refusal::Nomination,
    );
}

#[test]
fn http_1_0_services_stay_only_when_they_say_so() {
    assert!(
        !read(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false)
            .unwrap()
            .keep_alive
    );
    assert!(
        read(
            b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
            false
        )
        .unwrap()
        .keep_alive
    );
}

#[test]
fn interim_responses_never_announce_the_end() {
    let closing = Backward {
        version: Version::Http11,
        close: true,
    };
    assert_eq!(
        written("HTTP/1.1 100 Continue\r\n\r\n", false, closing),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    assert!(
        read(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", false)
            .unwrap()
            .is_interim()
    );
}

#[test]
fn finds_out_another_protocol_by_its_first_bytes() {
    for text in [
        "S",
        "SSH-2.0-OpenSSH",
        "HTTPS",
        "220 smtp",
        "\x15\x03",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        refused(text, Refusal::StatusLine);
    }
    for end in 0..=5 {
        assert_eq!(read_response(&b"HTTP/"[..end], false), Ok(Read::Partial));
    }
}
