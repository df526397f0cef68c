//! What is accepted, changed and refused in request heads.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; a test that fails should panic"
)]

use ringfence_wire::http1::{
    Field, Framing, Onward, Read, Refusal, RequestHead, Version, read_request, replace_authority,
};

fn read(bytes: &[u8]) -> Result<RequestHead<'_>, Refusal> {
    match read_request(bytes)? {
        Read::Complete { head, consumed } => {
            assert!(consumed <= bytes.len());
            Ok(head)
        }
        Read::Partial => panic!("partial: {}", bytes.escape_ascii()),
    }
}

/// A GET of `/` at host `h` with more field lines.
fn with(fields: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes()
}

fn refused(bytes: impl AsRef<[u8]>, expected: Refusal) {
    let bytes = bytes.as_ref();
    assert_eq!(
        read_request(bytes).map(|_| ()),
        Err(expected),
        "{}",
        bytes.escape_ascii()
    );
}

fn written(bytes: &[u8]) -> String {
    let head = read(bytes).unwrap();
    let path = std::str::from_utf8(head.path).unwrap();
    let mut out = Vec::new();
    head.write(
        Onward {
            path,
            authority: head.authority,
            client_cert: "URI=spiffe://z/agent/a",
        },
        &mut out,
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

/// The field lines that are sent on, besides those always there.
fn passed(fields: &str) -> Vec<String> {
    written(&with(fields))
        .lines()
        .skip(1)
        .filter(|l| {
            !l.is_empty()
                && !l.starts_with("host:")
                && !l.starts_with("x-forwarded-client-cert: URI=spiffe")
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn reads_a_plain_request() {
    let bytes = b"POST /a/b?c=d&e HTTP/1.1\r\nHost: shop:8080\r\nContent-Length: 3\r\nX-A:  v \t\r\n\r\nxyz";
    let head = read(bytes).unwrap();
    assert_eq!(head.method, "POST");
    assert_eq!(head.path, b"/a/b");
    assert_eq!(head.query, Some(&b"c=d&e"[..]));
    assert_eq!(head.authority, "shop:8080");
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.framing, Framing::Length(3));
    assert!(head.keep_alive && !head.expect_continue);
    let fields = |field: &Field<'static>| (field.name, field.value);
    let onward: Vec<_> = head.onward().map(fields).collect();
    assert_eq!(onward, [("X-A", &b"v"[..])]);
    let asked: Vec<_> = head.fields.iter().map(fields).collect();
    assert_eq!(
        asked,
        [
            ("Host", &b"shop:8080"[..]),
            ("Content-Length", b"3"),
            ("X-A", b"v")
        ]
    );
}

#[test]
fn writes_the_canonical_head_and_nothing_else() {
    assert_eq!(
        written(b"PUT http://Shop/a?b HTTP/1.1\r\nhOST:Shop\r\nContent-Length: 0005\r\nx-Y:  1\r\nExpect: 100-Continue\r\n\r\n"),
        "PUT /a?b HTTP/1.1\r\nhost: Shop\r\nx-Y: 1\r\ncontent-length: 5\r\nconnection: close\r\nexpect: 100-continue\r\n\
         x-forwarded-client-cert: URI=spiffe://z/agent/a\r\n\r\n"
    );
}

#[test]
fn says_partial_until_the_empty_line_is_there() {
    let bytes = with("A: b\r\n");
    for end in 0..bytes.len() {
        assert_eq!(read_request(&bytes[..end]), Ok(Read::Partial), "at {end}");
    }
    assert!(matches!(read_request(&bytes), Ok(Read::Complete { .. })));
}

#[test]
fn refuses_length_beside_encoding() {
    refused(
        with("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
        Refusal::LengthAndEncoding,
    );
    refused(
        with("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
        Refusal::LengthAndEncoding,
    );
}

#[test]
fn refuses_repeated_lengths_even_when_equal() {
    refused(
        with("Content-Length: 4\r\nContent-Length: 4\r\n"),
        Refusal::ContentLengthRepeated,
    );
    refused(
        with("Content-Length: 4\r\ncontent-length: 5\r\n"),
        Refusal::ContentLengthRepeated,
    );
}

#[test]
fn refuses_lengths_that_are_no_plain_number() {
    for value in [
        "",
        "+1",
        "-1",
        "1,1",
        "1, 1",
        "0x1",
        "1 1",
        "1;",
        "one",
        "9223372036854775808",
        "18446744073709551616",
    ] {
        refused(
            with(&format!("Content-Length: {value}\r\n")),
            Refusal::ContentLength,
        );
    }
    assert_eq!(
        read(&with("Content-Length: 9223372036854775807\r\n"))
            .unwrap()
            .framing,
        Framing::Length(i64::MAX as u64)
    );
}

#[test]
fn refuses_encodings_other_than_one_chunked() {
    for value in [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "chunked,",
        "xchunked",
        "chunked;q=1",
        "\"chunked\"",
        "chunked identity",
    ] {
        refused(
            with(&format!("Transfer-Encoding: {value}\r\n")),
            Refusal::TransferEncoding,
        );
    }
    refused(
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        Refusal::TransferEncoding,
    );
    refused(
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refusal::TransferEncoding,
    );
    assert_eq!(
        read(&with("Transfer-Encoding: Chunked\r\n"))
            .unwrap()
            .framing,
        Framing::Chunked
    );
}

#[test]
fn refuses_fields_that_look_like_framing_to_some() {
    refused(with("Content_Length: 4\r\n"), Refusal::FramingLookalike);
    refused(
        with("transfer_encoding: chunked\r\n"),
        Refusal::FramingLookalike,
    );
    refused(
        with("Transfer.Encoding: chunked\r\n"),
        Refusal::FramingLookalike,
    );
}

#[test]
fn refuses_line_ends_that_are_not_crlf() {
    refused("GET / HTTP/1.1\nHost: h\n\n", Refusal::BareLf);
    refused("GET / HTTP/1.1\r\nHost: h\n\r\n", Refusal::BareLf);
    refused("GET / HTTP/1.1\rHost: h\r\r", Refusal::BareCr);
    refused(with("A: b\rc\r\n"), Refusal::BareCr);
    refused("GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", Refusal::BareCr);
    refused(
        "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        Refusal::LeadingEmptyLine,
    );
}

#[test]
fn refuses_unsound_line_ends_before_the_head_is_complete() {
    refused("GET / HTTP/1.1\n", Refusal::BareLf);
    refused("\x16\x03\x01", Refusal::ControlByte);
}

#[test]
fn refuses_control_bytes_anywhere() {
    for byte in (0..0x20u8).chain([0x7f]).filter(|b| !b"\t\r\n".contains(b)) {
        let mut bytes = with("A: b#c\r\n");
        let at = bytes.iter().position(|&b| b == b'#').unwrap();
        bytes[at] = byte;
        refused(&bytes, Refusal::ControlByte);
    }
}

#[test]
fn passes_tabs_and_obs_text_in_values() {
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nA: b\tc\xe4\xff\r\n\r\n";
    assert_eq!(
        read(head).unwrap().onward().next().unwrap().value,
        b"b\tc\xe4\xff"
    );
}

#[test]
fn refuses_folded_lines() {
    refused(with("A: b\r\n c\r\n"), Refusal::Fold);
    refused(with("A: b\r\n\tc\r\n"), Refusal::Fold);
    refused("GET / HTTP/1.1\r\n Host: h\r\n\r\n", Refusal::Fold);
}

#[test]
fn refuses_field_names_that_are_no_tokens() {
    for line in [
        "A : b", "A\t: b", ": b", "A b: c", "A", "A@: b", "Ä: b", "(A): b", "A[]: b",
    ] {
        refused(with(&format!("{line}\r\n")), Refusal::FieldName);
    }
}

#[test]
fn refuses_malformed_request_lines() {
    for line in [
        "GET",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET / x HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET /\t HTTP/1.1",
    ] {
        let result = read_request(format!("{line}\r\nHost: h\r\n\r\n").as_bytes()).map(|_| ());
        assert_eq!(result, Err(Refusal::RequestLine), "{line}");
    }
}

#[test]
fn refuses_other_versions() {
    for version in [
        "HTTP/2.0",
        "HTTP/1.2",
        "HTTP/0.9",
        "http/1.1",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1,1",
        "HTTPS/1.1",
        "HTTP/",
    ] {
        refused(
            format!("GET / {version}\r\nHost: h\r\n\r\n"),
            Refusal::Version,
        );
    }
    refused("PRI * HTTP/2.0\r\n\r\n", Refusal::Version);
}

#[test]
fn refuses_methods_that_are_no_tokens() {
    for method in ["", "G(T", "GET:", "\"GET\"", "GÄT", &"A".repeat(33)] {
        refused(
            format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"),
            Refusal::Method,
        );
    }
}

/// Django, Werkzeug and others put a method in capitals: `delete` would be judged as one method and done as another.
#[test]
fn refuses_methods_that_are_not_in_capitals() {
    for method in ["get", "delete", "Delete", "DELETe", "x-PURGE"] {
        refused(
            format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"),
            Refusal::MethodCase,
        );
    }
    let sent = read(b"M-SEARCH2 / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert_eq!(sent.method, "M-SEARCH2");
}

#[test]
fn refuses_connect_in_any_case_and_form() {
    refused(
        "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n",
        Refusal::Connect,
    );
    refused("connect / HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Connect);
}

#[test]
fn refuses_asterisk_form() {
    refused("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Asterisk);
    refused(
        "OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n",
        Refusal::Asterisk,
    );
}

#[test]
fn refuses_targets_that_are_neither_form() {
    for target in [
        "a",
        "h:80",
        "//h@",
        "https://h/",
        "ftp://h/",
        "http:/h/",
        "http:///a",
        "http://u@h/",
        "http://h:port/",
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let result = read_request(text.as_bytes());
        // `//h@` is an origin form whose path is for the canonical check to refuse.
        if target.starts_with("//") {
            assert!(result.is_ok());
        } else {
            assert_eq!(result.map(|_| ()), Err(Refusal::Target), "{target}");
        }
    }
}

#[test]
fn refuses_fragments_and_raw_bytes_in_the_query() {
    refused("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Fragment);
    refused("GET /a?b#c HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Fragment);
    refused("GET /a?ä HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Query);
    assert_eq!(
        read(b"GET /?a[]={\"b\"}|c?d HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap()
            .query,
        Some(&b"a[]={\"b\"}|c?d"[..])
    );
}

#[test]
fn absolute_form_agrees_with_host_and_becomes_origin_form() {
    let head = read(b"GET HTTP://H:8080/a?b HTTP/1.1\r\nHost: h:8080\r\n\r\n").unwrap();
    assert_eq!(
        (head.path, head.query, head.authority),
        (&b"/a"[..], Some(&b"b"[..]), "h:8080")
    );
    assert_eq!(
        read(b"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap()
            .path,
        b"/"
    );
    assert_eq!(
        read(b"GET http://h?q HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap()
            .path,
        b"/"
    );
    refused(
        "GET http://other/a HTTP/1.1\r\nHost: h\r\n\r\n",
        Refusal::AuthorityMismatch,
    );
    refused(
        "GET http://h:80/a HTTP/1.1\r\nHost: h\r\n\r\n",
        Refusal::AuthorityMismatch,
    );
}

#[test]
fn refuses_missing_repeated_and_odd_hosts() {
    refused("GET / HTTP/1.1\r\n\r\n", Refusal::HostMissing);
    refused("GET / HTTP/1.0\r\n\r\n", Refusal::HostMissing);
    refused(with("Host: h\r\n"), Refusal::HostRepeated);
    for host in [
        "", "a b", "a,b", "u@a", "a/b", "a:", "a:b", "a:99999", "a:80:80", "[::1", "[g]", "::1",
        "a\\b", "%61", "a?b", "[::1]x", "ä", "a:+80", "a:080", "a:0",
    ] {
        refused(
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            Refusal::Host,
        );
    }
    for host in ["a", "A.b-c_d.", "10.0.0.1:80", "[fd52::1]:8080", "[::]"] {
        assert!(
            read(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).is_ok(),
            "{host}"
        );
    }
}

#[test]
fn http_1_0_gets_one_request_and_no_leave_to_continue() {
    let head = read(
        b"POST / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n",
    )
    .unwrap();
    assert_eq!(head.version, Version::Http10);
    assert!(!head.keep_alive && !head.expect_continue);
}

#[test]
fn refuses_other_expectations() {
    refused(with("Expect: 200-ok\r\n"), Refusal::Expectation);
    refused(
        with("Expect: 100-continue\r\nExpect: 100-continue\r\n"),
        Refusal::Expectation,
    );
    assert_eq!(Refusal::Expectation.status(), 417);
    assert!(
        read(&with("Expect: 100-Continue\r\n"))
            .unwrap()
            .expect_continue
    );
}

#[test]
fn strips_connection_fields() {
    assert_eq!(
        passed(
            "Connection: TE, keep-alive ,,\r\nX-Kept: 2\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: x\r\nProxy-Connection: y\r\nProxy: z\r\n"
        ),
        ["X-Kept: 2"]
    );
}

/// A condition on `x-dry-run` must not be met by a field that the service never sees.
#[test]
fn what_ends_here_cannot_be_asked_about() {
    let sent = with(
        "Connection: proxy-a, upgrade\r\nUpgrade: h2c\r\nTE: trailers\r\nProxy-A: 1\r\n\
         X_Forwarded-Client-Cert: URI=x\r\nClient-Cert: x\r\nclient_cert_chain: x\r\nKeep-Alive: 5\r\nX-A: v\r\n",
    );
    let head = read(&sent).unwrap();
    let names: Vec<_> = head.fields.iter().map(|field| field.name).collect();
    assert_eq!(names, ["Host", "X-A"]);
}

#[test]
fn drops_upgrades_and_lets_the_request_pass_plain() {
    assert_eq!(
        passed(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\nA: b\r\n"
        ),
        ["A: b"]
    );
    let other = "Connection: Upgrade\r\nUpgrade: websocket-ish, TLS/1.0\r\n";
    assert_eq!(passed(other), [""; 0]);
}

const HANDSHAKE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn a_websocket_is_asked_for_by_a_whole_handshake() {
    let sent = with(HANDSHAKE);
    let head = read(&sent).unwrap();
    assert!(head.websocket.is_some());
    assert_eq!(
        passed(HANDSHAKE),
        [
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "connection: Upgrade",
            "upgrade: websocket"
        ]
    );
    assert!(read(&with("A: b\r\n")).unwrap().websocket.is_none());
}

#[test]
fn refuses_half_a_websocket_handshake() {
    let without = |name: &str| {
        let lines = HANDSHAKE.split_inclusive("\r\n");
        lines
            .filter(|line| !line.starts_with(name))
            .collect::<String>()
    };
    let instead = |from: &str, to: &str| {
        assert!(HANDSHAKE.contains(from), "{from}");
        HANDSHAKE.replace(from, to)
    };
    for fields in [
        without("Connection"),
        without("Sec-WebSocket-Key"),
        instead("Upgrade\r\nUp", "close\r\nUp"),
        instead("Upgrade\r\nUp", "Upgrade, close\r\nUp"),
        instead(": WebSocket", ": websocket, h2c"),
        instead(": WebSocket", ": h2c, websocket"),
        instead(": WebSocket", ": websocket/13"),
        instead("ZQ==", "ZQ="),
        format!("{HANDSHAKE}Upgrade: websocket\r\n"),
        format!("{HANDSHAKE}Upgrade: h2c\r\n"),
        format!("{HANDSHAKE}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
        format!("{HANDSHAKE}Content-Length: 0\r\n"),
        format!("{HANDSHAKE}Content-Length: 3\r\n"),
        format!("{HANDSHAKE}Transfer-Encoding: chunked\r\n"),
        format!("{HANDSHAKE}Expect: 100-continue\r\n"),
    ] {
        let refused = read(&with(&fields)).unwrap_err();
        assert_eq!(refused, Refusal::WebSocketHandshake, "{fields}");
    }
    for fields in [
        without("Sec-WebSocket-Version"),
        instead(": 13", ": 8"),
        instead(": 13", ": 13, 8"),
        format!("{HANDSHAKE}Sec-WebSocket-Version: 13\r\n"),
    ] {
        let refused = read(&with(&fields)).unwrap_err();
        assert_eq!(refused, Refusal::WebSocketVersion, "{fields}");
    }
    for line in ["POST / HTTP/1.1", "HEAD / HTTP/1.1", "GET / HTTP/1.0"] {
        let text = format!("{line}\r\nHost: h\r\n{HANDSHAKE}\r\n");
        assert_eq!(
            read(text.as_bytes()).unwrap_err(),
            Refusal::WebSocketHandshake,
            "{line}"
        );
    }
}

#[test]
fn nobody_sends_the_name_of_the_operation_as_a_method() {
    let text = "WEBSOCKET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(read(text.as_bytes()).unwrap_err(), Refusal::WebSocketMethod);
}

#[test]
fn refuses_nomination_of_whatever_does_not_end_here_anyway() {
    for name in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Authorization",
        "Cookie",
        "X-Forwarded-Client-Cert",
        "X_Forwarded_Client_Cert",
        "X-Forwarded-For",
        "Content-Type",
        "Expect",
        "Trailer",
        "Connection",
        "X-User-Id",
        "a",
    ] {
        refused(
            with(&format!("Connection: close, {name}\r\n")),
            Refusal::Nomination,
        );
    }
    refused(with("Connection: a b\r\n"), Refusal::Connection);
    refused(with("Connection: \"close\"\r\n"), Refusal::Connection);
}

/// `x-a` and `x_a` are one variable to a gateway interface, and which of them it holds is that server's own affair.
#[test]
fn refuses_two_spellings_of_one_name() {
    for fields in [
        "Content-Type: a\r\nContent_Type: b\r\n",
        "x_a: 1\r\nX-A: 1\r\n",
        "x.a: 1\r\nx_a: 1\r\n",
        "x_a-b: 1\r\ny: 1\r\nx-a_b: 1\r\n",
    ] {
        refused(with(fields), Refusal::TwoSpellings);
    }
    assert_eq!(
        passed("x_a: 1\r\nX_A: 2\r\nx-ab: 3\r\n"),
        ["x_a: 1", "X_A: 2", "x-ab: 3"]
    );
    // Those that end here are nobody's.
    assert_eq!(
        passed("X_Forwarded_Client_Cert: 1\r\nX-Forwarded_Client_Cert: 2\r\n"),
        [""; 0]
    );
}

#[test]
fn close_ends_the_connection_wherever_it_stands() {
    assert!(!read(&with("Connection: te, CLOSE\r\n")).unwrap().keep_alive);
    assert!(
        !read(&with("Connection: te\r\nConnection: close\r\n"))
            .unwrap()
            .keep_alive
    );
}

#[test]
fn the_clients_own_client_cert_never_passes_in_any_spelling() {
    for name in [
        "x-forwarded-client-cert",
        "X-Forwarded-Client-Cert",
        "X_FORWARDED_CLIENT_CERT",
        "x-forwarded_client-cert",
        "X.Forwarded.Client.Cert",
        "x~forwarded-client-cert",
    ] {
        assert_eq!(
            passed(&format!("{name}: URI=forged\r\nA: b\r\n")),
            ["A: b"],
            "{name}"
        );
    }
}

#[test]
fn refuses_fields_that_name_another_method_or_path() {
    for name in [
        "X-HTTP-Method-Override",
        "x_http_method_override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Rewrite-Url",
        "SCRIPT_NAME",
        "Path-Info",
    ] {
        refused(with(&format!("{name}: DELETE\r\n")), Refusal::Override);
    }
}

#[test]
fn trailer_is_announced_only_with_chunks() {
    assert_eq!(passed("Trailer: X-Sum\r\n"), [""; 0]);
    assert_eq!(
        passed("Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n"),
        [
            "Trailer: X-Sum",
            "transfer-encoding: chunked",
            "connection: close"
        ]
    );
}

#[test]
fn refuses_what_is_too_long() {
    refused(with(&"A: b\r\n".repeat(100)), Refusal::TooManyFields);
    assert!(read(&with(&"A: b\r\n".repeat(99))).is_ok());
    // Ours count: a request is not sent with more fields than every server takes.
    let onward = Onward {
        path: "/",
        authority: "h",
        client_cert: "",
    };
    let write = |fields: String| read(&with(&fields)).unwrap().write(onward, &mut Vec::new());
    let many = |count: usize| "A: b\r\n".repeat(count);
    assert_eq!(write(many(97)), Ok(()));
    assert_eq!(write(many(98)), Err(Refusal::TooManyFields));
    let body = "Content-Length: 1\r\n";
    assert_eq!(write(many(95) + body), Ok(()));
    assert_eq!(write(many(96) + body), Err(Refusal::TooManyFields));
    let long = "a".repeat(64 * 1024);
    refused(with(&format!("A: {long}\r\n")), Refusal::HeadTooLong);
    refused(
        &with(&format!("A: {long}"))[..64 * 1024],
        Refusal::HeadTooLong,
    );
    refused(
        format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(16 * 1024)),
        Refusal::TargetTooLong,
    );
}

#[test]
fn takes_what_is_just_as_long_as_it_may_be() {
    // The head with its empty line.
    let frame = with("A: \r\n").len();
    let fill = |bytes: usize| with(&format!("A: {}\r\n", "a".repeat(bytes)));
    assert_eq!(fill(64 * 1024 - frame).len(), 64 * 1024);
    assert!(read(&fill(64 * 1024 - frame)).is_ok());
    refused(fill(64 * 1024 - frame + 1), Refusal::HeadTooLong);
    // The target with its slash and its query.
    let target = |bytes: usize| format!("/?{}", "a".repeat(bytes - 2));
    let asking = |method: &str, target: &str, host: &str| {
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
    };
    assert!(read(&asking("GET", &target(16 * 1024), "h")).is_ok());
    let longer = asking("GET", &target(16 * 1024 + 1), "h");
    refused(longer, Refusal::TargetTooLong);
    assert!(read(&asking(&"A".repeat(32), "/", "h")).is_ok());
    assert!(read_request(&asking(&"A".repeat(33), "/", "h")).is_err());
    let host = |bytes: usize| "h".repeat(bytes - 6) + ":65535";
    assert!(read(&asking("GET", "/", &host(261))).is_ok());
    assert!(read_request(&asking("GET", "/", &host(262))).is_err());
}

#[test]
fn writes_nothing_when_what_is_to_be_inserted_is_unsound() {
    let bytes = with("");
    let head = read(&bytes).unwrap();
    let sound = Onward {
        path: "/a",
        authority: "h",
        client_cert: "x",
    };
    for onward in [
        Onward {
            path: "/a b",
            ..sound
        },
        Onward { path: "a", ..sound },
        Onward {
            path: "/a?b",
            ..sound
        },
        Onward {
            path: "/a\r\nx: y",
            ..sound
        },
        Onward {
            authority: "h\r\nx: y",
            ..sound
        },
        Onward {
            authority: "",
            ..sound
        },
        Onward {
            client_cert: "x\r\ny: z",
            ..sound
        },
        Onward {
            client_cert: "x\u{e4}",
            ..sound
        },
    ] {
        let mut out = Vec::new();
        assert_eq!(head.write(onward, &mut out), Err(Refusal::Insertion));
        assert!(out.is_empty());
    }
    assert_eq!(head.write(sound, &mut Vec::new()), Ok(()));
}

#[test]
fn replaces_the_authority_of_a_written_head_and_nothing_else() {
    let mut head =
        written(b"GET /host:%20x?host:%20y HTTP/1.1\r\nHost: h\r\nA: host: z\r\n\r\n").into_bytes();
    let before = String::from_utf8(head.clone()).unwrap();
    replace_authority(&mut head, "api.example.com:8443").unwrap();
    let after = String::from_utf8(head.clone()).unwrap();
    assert_eq!(
        after,
        before.replace("\r\nhost: h\r\n", "\r\nhost: api.example.com:8443\r\n")
    );
    for unsound in ["", "a b", "a\r\nb: c"] {
        assert_eq!(
            replace_authority(&mut head, unsound),
            Err(Refusal::Insertion)
        );
        assert_eq!(String::from_utf8(head.clone()).unwrap(), after);
    }
    assert_eq!(
        replace_authority(&mut b"GET / HTTP/1.1\r\nA: b\r\n\r\n".to_vec(), "h"),
        Err(Refusal::Insertion)
    );
}
