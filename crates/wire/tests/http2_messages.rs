//! Header lists as requests, answers and trailers: what is refused, what goes on.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; a test that fails should panic"
)]

use proptest::prelude::*;
use ringfence_wire::http1;
use ringfence_wire::http2::hpack::{Decoder, Encoder};
use ringfence_wire::http2::{
    Block, Frame, HeaderList, Onward, Refusal, Violation, read_frame, read_request, read_response,
    read_trailers,
};

type Pair<'a> = (&'a str, &'a str);

fn list(fields: &[Pair<'_>]) -> HeaderList {
    let mut block = Vec::new();
    for (name, value) in fields {
        Encoder::field(name, value.as_bytes(), false, &mut block);
    }
    let mut list = HeaderList::default();
    Decoder::default().decode(&block, &mut list).unwrap();
    list
}

/// A sound request with `more` behind it.
fn with(more: &[Pair<'_>]) -> HeaderList {
    let mut fields = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "Shop:80"),
        (":path", "/a?b"),
    ];
    fields.extend_from_slice(more);
    list(&fields)
}

fn refusal(mut list: HeaderList) -> Refusal {
    read_request(&mut list, false).unwrap_err()
}

/// What goes on of a request, as `name=value`.
fn sent(mut list: HeaderList) -> Vec<String> {
    let head = read_request(&mut list, false).unwrap();
    let onward = Onward {
        scheme: "http",
        path: "/canonical",
        authority: head.authority,
        client_cert: "By=us",
        expect_continue: head.expect_continue,
    };
    let mut block = Vec::new();
    head.write(onward, &mut block).unwrap();
    fields(&block)
}

fn fields(block: &[u8]) -> Vec<String> {
    let mut list = HeaderList::default();
    Decoder::default().decode(block, &mut list).unwrap();
    let word =
        |(name, value): (&[u8], &[u8])| format!("{}={}", name.escape_ascii(), value.escape_ascii());
    list.pairs().map(word).collect()
}

#[test]
fn a_request_is_understood_and_written_anew() {
    let mut list = with(&[
        ("cookie", "a=1"),
        ("x-forwarded-client-cert", "URI=me"),
        ("x_forwarded_client_cert", "URI=me"),
        ("client-cert", "x"),
        ("proxy-authorization", "x"),
        ("http2-settings", "x"),
        ("te", "trailers"),
        ("host", "shop:80"),
        ("cookie", "b=2"),
        ("content-length", "007"),
        ("expect", "100-Continue"),
        ("x-empty", ""),
    ]);
    let head = read_request(&mut list, false).unwrap();
    assert_eq!(
        (head.method, head.path, head.query),
        ("POST", &b"/a"[..], Some(&b"b"[..]))
    );
    assert_eq!(
        (head.authority, head.length, head.expect_continue),
        ("Shop:80", Some(7), true)
    );
    let seen: Vec<_> = head.fields().iter().map(|field| field.name).collect();
    assert_eq!(
        seen,
        [
            "host",
            "cookie",
            "te",
            "content-length",
            "expect",
            "x-empty"
        ]
    );
    assert_eq!(head.fields()[1].value, b"a=1; b=2");
    assert_eq!(
        sent(list),
        [
            ":method=POST",
            ":scheme=http",
            ":authority=Shop:80",
            ":path=/canonical?b",
            "cookie=a=1; b=2",
            "te=trailers",
            "x-empty=",
            "content-length=7",
            "expect=100-continue",
            "x-forwarded-client-cert=By=us",
        ]
    );
}

#[test]
fn a_request_is_refused_for_each_rule_it_breaks() {
    let sound = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/"),
    ];
    for at in 0..4 {
        let mut less = sound.to_vec();
        let (name, _) = less.remove(at);
        let why = refusal(list(&less));
        let expected = match name {
            ":authority" => Refusal::Http(http1::Refusal::HostMissing),
            _ => Refusal::PseudoMissing,
        };
        assert_eq!(why, expected, "{name}");
        let mut double = sound.to_vec();
        double.push(sound[at]);
        assert_eq!(refusal(list(&double)), Refusal::PseudoRepeated, "{name}");
        let mut late = less.clone();
        late.extend([("a", "b"), sound[at]]);
        let why = refusal(list(&late));
        assert!(
            matches!(why, Refusal::PseudoLate | Refusal::PseudoMissing),
            "{name}: {why}"
        );
    }
    let replaced = |name: &str, value: &str| {
        let fields: Vec<_> = sound
            .iter()
            .map(|(n, v)| if *n == name { (*n, value) } else { (*n, *v) })
            .collect();
        refusal(list(&fields))
    };
    let http = Refusal::Http;
    use http1::Refusal as Http;
    assert_eq!(replaced(":method", "CONNECT"), http(Http::Connect));
    assert_eq!(replaced(":method", "get"), http(Http::MethodCase));
    assert_eq!(replaced(":method", "G T"), http(Http::Method));
    assert_eq!(replaced(":scheme", "https"), Refusal::Scheme);
    assert_eq!(replaced(":path", ""), Refusal::PathEmpty);
    assert_eq!(replaced(":path", "*"), http(Http::Asterisk));
    assert_eq!(replaced(":path", "http://a/"), http(Http::Target));
    assert_eq!(replaced(":path", "/#a"), http(Http::Fragment));
    assert_eq!(replaced(":path", "/?\u{e4}"), http(Http::Query));
    assert_eq!(replaced(":path", "/a\r\nb: c"), Refusal::FieldValue);
    assert_eq!(replaced(":authority", "me@a"), http(Http::Host));
    let cases: &[(&[Pair<'_>], Refusal)] = &[
        (&[(":status", "200")], Refusal::PseudoUnknown),
        (&[(":protocol", "websocket")], Refusal::PseudoUnknown),
        (&[("A", "b")], Refusal::FieldName),
        (&[("", "b")], Refusal::FieldName),
        (&[("a b", "c")], Refusal::FieldName),
        (&[("a:", "c")], Refusal::FieldName),
        (&[("a", "b\0")], Refusal::FieldValue),
        (&[("a", "b\nc")], Refusal::FieldValue),
        (&[("a", " b")], Refusal::FieldValue),
        (&[("a", "b\t")], Refusal::FieldValue),
        (&[("connection", "close")], Refusal::ConnectionField),
        (&[("keep-alive", "1")], Refusal::ConnectionField),
        (&[("proxy-connection", "close")], Refusal::ConnectionField),
        (
            &[("transfer-encoding", "chunked")],
            Refusal::ConnectionField,
        ),
        (&[("upgrade", "h2c")], Refusal::ConnectionField),
        (&[("te", "gzip")], Refusal::Te),
        (&[("te", "trailers, deflate")], Refusal::Te),
        (&[("host", "b")], http(Http::AuthorityMismatch)),
        (
            &[("host", "Shop:80"), ("host", "Shop:80")],
            http(Http::HostRepeated),
        ),
        (
            &[("content-length", "1"), ("content-length", "1")],
            http(Http::ContentLengthRepeated),
        ),
        (&[("content-length", "+1")], http(Http::ContentLength)),
        (&[("content_length", "1")], http(Http::FramingLookalike)),
        (&[("expect", "a-miracle")], http(Http::Expectation)),
        (
            &[("x-http-method-override", "DELETE")],
            http(Http::Override),
        ),
        (&[("x_original_url", "/")], http(Http::Override)),
        (&[("x-a", "1"), ("x_a", "2")], http(Http::TwoSpellings)),
    ];
    for (more, expected) in cases {
        assert_eq!(refusal(with(more)), *expected, "{more:?}");
    }
    let mut ended = with(&[("content-length", "1")]);
    assert_eq!(read_request(&mut ended, true).unwrap_err(), Refusal::Length);
}

#[test]
fn bounds_of_a_list_hold_at_their_edge() {
    let names: Vec<_> = (0..101).map(|nth| format!("x-{nth}")).collect();
    let many = |count: usize| -> Vec<Pair<'_>> {
        names
            .iter()
            .take(count)
            .map(|name| (name.as_str(), ""))
            .collect()
    };
    assert!(read_request(&mut with(&many(100)), false).is_ok());
    let too_many = Refusal::Http(http1::Refusal::TooManyFields);
    assert_eq!(refusal(with(&many(101))), too_many);
    // Ninety-five of the client's are as many as may be sent on with ours.
    assert_eq!(sent(with(&many(95))).len(), 4 + 95 + 1);
    let mut list = with(&many(96));
    let head = read_request(&mut list, false).unwrap();
    let onward = Onward {
        scheme: "http",
        path: "/",
        authority: "a",
        client_cert: "",
        expect_continue: false,
    };
    let mut out = Vec::new();
    assert_eq!(head.write(onward, &mut out), Err(too_many));
    assert!(out.is_empty());
    // Names, values, and 32 for each field.
    let taken = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "Shop:80"),
        (":path", "/a?b"),
        ("x", ""),
    ];
    let size: usize = taken
        .iter()
        .map(|(name, value)| name.len() + value.len() + 32)
        .sum();
    let value = "y".repeat(64 * 1024 - size);
    assert!(read_request(&mut with(&[("x", &value)]), false).is_ok());
    let value = value + "y";
    assert_eq!(refusal(with(&[("x", &value)])), Refusal::ListTooLong);
    assert_eq!(Refusal::ListTooLong.status(), Some(431));
    for onward in [
        Onward {
            path: "a",
            ..onward
        },
        Onward {
            path: "/?",
            ..onward
        },
        Onward {
            path: "/ ",
            ..onward
        },
        Onward {
            authority: "a\r\n",
            ..onward
        },
        Onward {
            client_cert: "\n",
            ..onward
        },
    ] {
        let mut list = with(&[]);
        let head = read_request(&mut list, false).unwrap();
        assert_eq!(
            head.write(onward, &mut out),
            Err(Refusal::Http(http1::Refusal::Insertion))
        );
    }
}

#[test]
fn bounds_of_frames_and_blocks_hold_at_their_edge() {
    let frame = |kind: u8, payload: &[u8]| {
        let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let stream = u8::from(kind != 4);
        [&[a, b, c, kind, 0, 0, 0, 0, stream], payload].concat()
    };
    let largest = frame(0, &[0; 16_384]);
    let (read, taken) = read_frame(&largest).unwrap().unwrap();
    assert_eq!(taken, 9 + 16_384);
    assert!(matches!(read, Frame::Data { data, .. } if data.len() == 16_384));
    // The header alone tells.
    let larger = frame(0, &[0; 16_385]);
    assert_eq!(read_frame(&larger[..9]), Err(Violation::FrameSize));

    assert!(read_frame(&frame(4, &[0; 32 * 6])).is_ok());
    assert_eq!(
        read_frame(&frame(4, &[0; 33 * 6])),
        Err(Violation::TooManySettings)
    );
    let window = |value: u32| {
        let [a, b, c, d] = value.to_be_bytes();
        read_frame(&frame(4, &[0, 4, a, b, c, d])).map(drop)
    };
    assert_eq!(window(0x7fff_ffff), Ok(()));
    assert_eq!(window(0x8000_0000), Err(Violation::WindowTooLarge));

    let mut block = Block::begin(1, true, b"");
    for _ in 0..16 {
        block.extend(1, b"").unwrap();
    }
    assert_eq!(block.extend(1, b""), Err(Violation::EndlessBlock));
    let mut block = Block::begin(1, true, &[0; 16_384]);
    for _ in 0..3 {
        block.extend(1, &[0; 16_384]).unwrap();
    }
    assert_eq!(block.bytes().len(), 64 * 1024);
    assert_eq!(block.extend(1, &[0]), Err(Violation::EndlessBlock));
}

#[test]
fn an_answer_is_read_as_strictly() {
    let read = |fields: &[Pair<'_>], to_head: bool, ended: bool| {
        let list = list(fields);
        read_response(&list, to_head, ended).map(|head| {
            let mut block = Vec::new();
            head.write(&mut block);
            (head.status, head.length, super_fields(&block))
        })
    };
    assert_eq!(
        read(
            &[
                (":status", "200"),
                ("content-length", "2"),
                ("set-cookie", "a"),
                ("set-cookie", "b"),
                ("x-forwarded-client-cert", "x"),
                ("host", "x"),
            ],
            false,
            false
        ),
        Ok((
            200,
            Some(2),
            ":status=200 set-cookie=a set-cookie=b content-length=2".to_owned()
        ))
    );
    let described = [(":status", "200"), ("content-length", "2")];
    assert_eq!(
        read(&described, true, true),
        Ok((200, Some(0), ":status=200 content-length=2".to_owned()))
    );
    assert_eq!(
        read(&[(":status", "304"), ("content-length", "2")], false, true)
            .unwrap()
            .1,
        Some(0)
    );
    assert_eq!(
        read(&[(":status", "204"), ("content-length", "0")], false, true)
            .unwrap()
            .2,
        ":status=204"
    );
    let cases: &[(&[Pair<'_>], bool, Refusal)] = &[
        (&[("a", "b")], true, Refusal::PseudoMissing),
        (
            &[(":status", "200"), (":status", "200")],
            true,
            Refusal::PseudoRepeated,
        ),
        (&[("a", "b"), (":status", "200")], true, Refusal::PseudoLate),
        (
            &[(":status", "200"), (":path", "/")],
            true,
            Refusal::PseudoUnknown,
        ),
        (&[(":status", "099")], true, Refusal::Status),
        (&[(":status", "2000")], true, Refusal::Status),
        (&[(":status", "+20")], true, Refusal::Status),
        (&[(":status", "101")], false, Refusal::Switched),
        (&[(":status", "100")], true, Refusal::InterimEnd),
        (&described, true, Refusal::Length),
        (&[(":status", "200"), ("Up", "x")], true, Refusal::FieldName),
        (
            &[(":status", "200"), ("upgrade", "x")],
            true,
            Refusal::ConnectionField,
        ),
        (
            &[(":status", "204"), ("content-length", "2")],
            false,
            Refusal::Http(http1::Refusal::BodyForbidden),
        ),
    ];
    for (fields, ended, expected) in cases {
        assert_eq!(read(fields, false, *ended), Err(*expected), "{fields:?}");
    }
}

fn super_fields(block: &[u8]) -> String {
    fields(block).join(" ")
}

#[test]
fn trailers_hold_nothing_of_a_head() {
    let list_of = list;
    let trailers = list_of(&[
        ("grpc-status", "0"),
        ("authorization", "x"),
        ("content-length", "3"),
        ("x-forwarded-for", "x"),
        ("x-sum", "1"),
        ("te", "trailers"),
    ]);
    let mut block = Vec::new();
    read_trailers(&trailers).unwrap().write(&mut block);
    assert_eq!(fields(&block), ["grpc-status=0", "x-sum=1"]);
    for (bad, expected) in [
        ((":status", "200"), Refusal::PseudoLate),
        (("A", "b"), Refusal::FieldName),
        (("connection", "x"), Refusal::ConnectionField),
    ] {
        assert_eq!(read_trailers(&list_of(&[bad])).unwrap_err(), expected);
    }
}

#[test]
fn what_nobody_may_keep_in_a_table_stays_so() {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/"),
    ] {
        Encoder::field(name, value.as_bytes(), false, &mut block);
    }
    Encoder::field("x-open", b"1", false, &mut block);
    Encoder::field("x-key", b"secret", true, &mut block);
    let mut list = HeaderList::default();
    Decoder::default().decode(&block, &mut list).unwrap();
    let head = read_request(&mut list, true).unwrap();
    let mut out = Vec::new();
    let onward = Onward {
        scheme: "http",
        path: "/",
        authority: "a",
        client_cert: "",
        expect_continue: false,
    };
    head.write(onward, &mut out).unwrap();
    let never: &[u8] = b"\x10\x05x-key\x06secret";
    let open: &[u8] = b"\x00\x06x-open\x011";
    assert!(out.windows(never.len()).any(|part| part == never));
    assert!(out.windows(open.len()).any(|part| part == open));
}

proptest! {
    /// A frame is told by its own bytes alone, however many are there.
    #[test]
    fn frames_are_read_alike_in_any_pieces(bytes in prop::collection::vec(any::<u8>(), 0..64), kind in 0u8..12, length in 0u8..40) {
        let mut bytes = bytes;
        if bytes.len() > 9 {
            bytes[0] = 0;
            bytes[1] = 0;
            bytes[2] = length;
            bytes[3] = kind;
        }
        let whole = read_frame(&bytes);
        for end in 0..bytes.len() {
            match (read_frame(&bytes[..end]), &whole) {
                (Ok(None), _) => {}
                (Ok(Some((frame, taken))), Ok(Some((all, used)))) => {
                    prop_assert_eq!((frame, taken), (*all, *used));
                    prop_assert!(taken <= end);
                }
                // What breaks a rule of the header is told before the rest is there.
                (Err(early), Err(late)) => prop_assert_eq!(early, *late),
                (early, late) => prop_assert!(false, "{:?} and {:?}", early, late),
            }
        }
    }

    #[test]
    fn no_list_breaks_a_reader(
        fields in prop::collection::vec((prop::sample::select(vec![
            ":method", ":scheme", ":path", ":authority", ":status", "host", "cookie", "te", "content-length", "a", "A",
        ]), ".{0,12}"), 0..9),
        ended in any::<bool>(),
    ) {
        let pairs: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut list = list(&pairs);
        let _any_answer = (read_response(&list, false, ended).is_ok(), read_trailers(&list).is_ok());
        if let Ok(head) = read_request(&mut list, ended) {
            prop_assert!(head.path.starts_with(b"/"));
            prop_assert!(!head.authority.is_empty());
        }
    }
}
