//! Heads: that the pieces they arrive in make no difference, that what is written is what was understood, and that no
//! bytes make a reader panic.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; a test that fails should panic"
)]

use proptest::prelude::*;
use ringfence_wire::http1::{
    Backward, Onward, Read, Refusal, Scanner, Version, parse_request, parse_response, read_request,
    read_response,
};

/// Text that is nearly a request.
fn nearly_request() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("GET / HTTP/1.1\r\n"),
        Just("POST /a?b HTTP/1.1\r\n"),
        Just("PUT http://h/a HTTP/1.0\r\n"),
        Just("CONNECT h HTTP/1.1\r\n"),
        Just("GET  / HTTP/1.1\r\n"),
        Just("\r\n"),
    ];
    let field = prop_oneof![
        4 => Just("Host: h\r\n"), 2 => Just("Content-Length: 4\r\n"), 2 => Just("Transfer-Encoding: chunked\r\n"),
        1 => Just("Connection: te, close\r\n"), 1 => Just("x: 1\r\n"), 1 => Just("Expect: 100-continue\r\n"), 1 => Just("A : b\r\n"),
        1 => Just(" fold\r\n"), 1 => Just("A: b\n"), 1 => Just("A: b\r"), 1 => Just("B:\t\r\n"), 1 => Just("x_forwarded_client_cert: f\r\n"),
        1 => Just("\r\n"),
    ];
    (line, prop::collection::vec(field, 0..6))
        .prop_map(|(line, fields)| format!("{line}{}\r\n", fields.concat()).into_bytes())
}

/// Text that is nearly a response.
fn nearly_response() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("HTTP/1.1 200 OK\r\n"),
        Just("HTTP/1.0 404\r\n"),
        Just("HTTP/1.1 204 \r\n"),
        Just("HTTP/1.1 304 x\r\n"),
        Just("HTTP/1.1 100 Continue\r\n"),
        Just("HTTP/1.1 20 x\r\n"),
    ];
    let field = prop_oneof![
        3 => Just("Content-Length: 4\r\n"), 2 => Just("Transfer-Encoding: chunked\r\n"), 1 => Just("Connection: keep-alive\r\n"),
        1 => Just("Connection: close\r\n"), 1 => Just("Trailer: a\r\n"), 1 => Just("A: b\r\n"), 1 => Just("A: b\n"), 1 => Just("\r\n"),
    ];
    (line, prop::collection::vec(field, 0..5))
        .prop_map(|(line, fields)| format!("{line}{}\r\n", fields.concat()).into_bytes())
}

/// Grows the buffer from cut to cut, as a connection does, and says where the head ends.
fn scan_in_pieces(
    bytes: &[u8],
    cuts: impl IntoIterator<Item = usize>,
) -> Result<Option<usize>, Refusal> {
    let mut scanner = Scanner::new();
    for end in cuts {
        if let Some(scanned) = scanner.find(&bytes[..end.min(bytes.len())])? {
            return Ok(Some(scanned.len()));
        }
    }
    Ok(scanner.find(bytes)?.map(|scanned| scanned.len()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn pieces_make_no_difference(bytes in nearly_request()) {
        let whole = Scanner::new().find(&bytes).map(|found| found.map(|s| s.len()));
        prop_assert_eq!(scan_in_pieces(&bytes, 0..bytes.len()), whole);
        for cut in 0..bytes.len() {
            prop_assert_eq!(scan_in_pieces(&bytes, [cut]), whole, "cut at {}", cut);
        }
    }

    #[test]
    fn what_a_request_was_understood_as_is_what_is_written(bytes in nearly_request()) {
        let Ok(Read::Complete { head, .. }) = read_request(&bytes) else { return Ok(()) };
        let path = std::str::from_utf8(head.path).unwrap();
        let mut out = Vec::new();
        head.write(Onward { path, authority: head.authority, client_cert: "us" }, &mut out).unwrap();
        let Ok(Read::Complete { head: again, consumed }) = read_request(&out) else {
            return Err(TestCaseError::fail(format!("unreadable: {}", out.escape_ascii())));
        };
        prop_assert_eq!(consumed, out.len());
        prop_assert_eq!((again.method, again.path, again.query, again.authority), (head.method, head.path, head.query, head.authority));
        prop_assert_eq!((again.framing, again.expect_continue), (head.framing, head.expect_continue));
        prop_assert!(again.onward().eq(head.onward()));
        prop_assert_eq!(again.version, Version::Http11);
        let text = String::from_utf8(out.clone()).unwrap();
        prop_assert_eq!(text.matches("x-forwarded-client-cert: us\r\n").count(), 1);
        prop_assert_eq!(text.to_ascii_lowercase().matches("client").count(), 1);
        prop_assert_eq!(text.matches("host: ").count(), 1);
    }

    #[test]
    fn what_a_response_was_understood_as_is_what_is_written(bytes in nearly_response(), to_head in any::<bool>()) {
        let Ok(Read::Complete { head, .. }) = read_response(&bytes, to_head) else { return Ok(()) };
        let mut out = Vec::new();
        head.write(Backward { version: Version::Http11, close: false }, &mut out);
        let Ok(Read::Complete { head: again, consumed }) = read_response(&out, to_head) else {
            return Err(TestCaseError::fail(format!("unreadable: {}", out.escape_ascii())));
        };
        prop_assert_eq!(consumed, out.len());
        prop_assert_eq!((again.status, again.reason), (head.status, head.reason));
        prop_assert_eq!(again.framing, head.framing_for(Version::Http11));
        prop_assert_eq!(again.described, head.described);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), to_head in any::<bool>()) {
        let _ = read_request(&bytes);
        let _ = read_response(&bytes, to_head);
    }

    #[test]
    fn no_printable_bytes_make_it_panic(text in "[ -~\r\n\t:]{0,300}") {
        let _ = read_request(text.as_bytes());
        let _ = read_response(text.as_bytes(), false);
        if let Ok(Some(scanned)) = Scanner::new().find(text.as_bytes()) {
            let _ = parse_request(scanned);
            let _ = parse_response(scanned, true);
        }
    }
}
