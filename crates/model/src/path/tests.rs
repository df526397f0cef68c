use proptest::prelude::*;

use super::*;

fn strict(raw: &str) -> Result<String, PathError> {
    CanonicalPath::new(raw.as_bytes(), Allowances::default()).map(|path| path.0)
}

fn with(raw: &[u8], allow: impl Fn(&mut Allowances)) -> Result<String, PathError> {
    let mut allowances = Allowances::default();
    allow(&mut allowances);
    CanonicalPath::new(raw, allowances).map(|path| path.0)
}

#[test]
fn brings_to_one_form() {
    for (raw, canonical) in [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/%61%2d%7E%5f", "/a-~_"),
        ("/a%c3%a4", "/a%C3%A4"),
        ("/a%20b", "/a%20b"),
        ("/%2a", "/%2A"),
        ("/*", "/*"),
        ("/100%25/of%25it/%25", "/100%25/of%25it/%25"),
        ("/%f0%9f%98%80", "/%F0%9F%98%80"),
        ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
        ("/{x}|\"<>[]^`", "/%7Bx%7D%7C%22%3C%3E%5B%5D%5E%60"),
        ("/...", "/..."),
        ("/.a", "/.a"),
        ("/a..", "/a.."),
    ] {
        assert_eq!(strict(raw).as_deref(), Ok(canonical), "{raw}");
    }
}

#[test]
fn refuses_what_two_servers_read_differently() {
    for (raw, error) in [
        ("", PathError::NotAbsolute),
        ("a", PathError::NotAbsolute),
        ("*", PathError::NotAbsolute),
        ("http://x/", PathError::NotAbsolute),
        ("/a b", PathError::ControlByte),
        ("/a\nb", PathError::ControlByte),
        ("/a%00", PathError::ControlByte),
        ("/a%0d%0a", PathError::ControlByte),
        ("/a%7f", PathError::ControlByte),
        ("/a\u{7f}", PathError::ControlByte),
        ("/a\\b", PathError::Backslash),
        ("/a%2Fb", PathError::EncodedSlash),
        ("/a%2fb", PathError::EncodedSlash),
        ("/a%5cb", PathError::EncodedBackslash),
        ("/.", PathError::DotSegment),
        ("/a/..", PathError::DotSegment),
        ("/a/../b", PathError::DotSegment),
        ("/a/./b", PathError::DotSegment),
        ("/%2e%2E/b", PathError::DotSegment),
        ("/.%2e", PathError::DotSegment),
        ("//", PathError::EmptySegment),
        ("//a", PathError::EmptySegment),
        ("/a//b", PathError::EmptySegment),
        ("/a//", PathError::EmptySegment),
        ("/a;b", PathError::Semicolon),
        ("/a%3bb", PathError::Semicolon),
        ("/%", PathError::BrokenEscape),
        ("/%4", PathError::BrokenEscape),
        ("/%zz", PathError::BrokenEscape),
        ("/%+1", PathError::BrokenEscape),
        ("/%u0041", PathError::BrokenEscape),
        ("/ä", PathError::RawNonAscii),
        ("/a%2541", PathError::DoubleEscape),
        ("/a%25%34%31", PathError::DoubleEscape),
        ("/%252e%252e/a", PathError::DoubleEscape),
        ("/%25252e", PathError::DoubleEscape),
        ("/a%252fb", PathError::DoubleEscape),
        ("/%c0%ae%c0%ae/a", PathError::NotUtf8),
        ("/%e0%80%ae", PathError::NotUtf8),
        ("/a%c0%afb", PathError::NotUtf8),
        ("/%ed%a0%80", PathError::NotUtf8),
        ("/%e4", PathError::NotUtf8),
        ("/%f8%88%80%80%ae", PathError::NotUtf8),
        ("/a?b", PathError::NotAPath),
        ("/a#b", PathError::NotAPath),
    ] {
        assert_eq!(strict(raw), Err(error), "{raw:?}");
    }
}

#[test]
fn an_allowance_opens_that_one_thing() {
    assert_eq!(
        with(b"/a%2fb", |a| a.encoded_slash = true).as_deref(),
        Ok("/a%2Fb")
    );
    assert_eq!(
        with(b"/a%5cb", |a| a.encoded_backslash = true).as_deref(),
        Ok("/a%5Cb")
    );
    assert_eq!(
        with(b"//a//b//", |a| a.empty_segment = true).as_deref(),
        Ok("//a//b//")
    );
    assert_eq!(
        with(b"/a;b/c%3b", |a| a.semicolon = true).as_deref(),
        Ok("/a;b/c%3B")
    );
    assert_eq!(
        with("/ä".as_bytes(), |a| a.raw_non_ascii = true).as_deref(),
        Ok("/%C3%A4")
    );
    assert_eq!(
        with(b"/a%2520b", |a| a.double_escape = true).as_deref(),
        Ok("/a%2520b")
    );
    assert_eq!(with(b"/%e4", |a| a.not_utf8 = true).as_deref(), Ok("/%E4"));
    assert_eq!(
        with(b"/\xe4", |a| a.raw_non_ascii = true),
        Err(PathError::NotUtf8)
    );
    let all = Allowances::ALL;
    for raw in ["/a\\b", "/a/..", "/%00", "/a b", "/a?b", "/%", "/%2e/b"] {
        assert!(CanonicalPath::new(raw.as_bytes(), all).is_err(), "{raw}");
    }
}

#[test]
fn an_allowance_does_not_bring_dot_segments_back() {
    for raw in ["/a/..;/b", "/a/..;x=1/b", "/a/.%2e%3bx", "/;/..;"] {
        assert_eq!(
            with(raw.as_bytes(), |a| a.semicolon = true),
            Err(PathError::DotSegment),
            "{raw}"
        );
    }
    for raw in ["/a/..%2f..%2fb", "/x%2f..", "/x%2f%2e%2e%2fy", "/x%2F."] {
        assert_eq!(
            with(raw.as_bytes(), |a| a.encoded_slash = true),
            Err(PathError::DotSegment),
            "{raw}"
        );
    }
    assert_eq!(
        with(b"/a/..%5c..%5cb", |a| a.encoded_backslash = true),
        Err(PathError::DotSegment)
    );
    for raw in ["/a/%252e%252e/b", "/%25252e", "/a/..%252fb", "/x%253b.."] {
        assert_eq!(
            with(raw.as_bytes(), |a| a.double_escape = true),
            Err(PathError::DotSegment),
            "{raw}"
        );
    }
    // As deep as a path can be: no work without end.
    let deep = format!("/%25{}2e", "25".repeat(4000));
    assert_eq!(
        with(deep.as_bytes(), |a| a.double_escape = true),
        Err(PathError::DoubleEscape)
    );
    assert!(with(b"/a%2525252541", |a| a.double_escape = true).is_err());
    assert!(with(b"/a%25252541", |a| a.double_escape = true).is_ok());
    assert!(with(b"/a..;b/c;..d", |a| a.semicolon = true).is_ok());
}

#[test]
fn refuses_what_is_too_long_before_and_after() {
    let long = format!("/{}", "a".repeat(PATH_MAX - 1));
    assert!(strict(&long).is_ok());
    assert_eq!(strict(&format!("{long}a")), Err(PathError::TooLong));
    let grows = format!("/{}", "|".repeat(PATH_MAX / 2));
    assert_eq!(strict(&grows), Err(PathError::TooLong));
}

/// Every byte, raw and escaped, against the words of the specification.
#[test]
fn knows_every_byte() {
    for byte in 0..=u8::MAX {
        let taken = |raw: &[u8]| CanonicalPath::new(raw, Allowances::default()).is_ok();
        let control = byte < 0x20 || byte == 0x7F;
        // A lone dot is a segment of its own kind, so the byte stands between others.
        let raw = control || b" \\;?#%/".contains(&byte) && byte != b'/' || byte >= 0x80;
        assert_eq!(taken(&[b'/', b'a', byte, b'b']), !raw, "raw {byte:#x}");
        let escaped = control || b"/\\;".contains(&byte) || byte >= 0x80;
        // A dot between letters, a percent sign before none.
        assert_eq!(
            taken(format!("/g%{byte:02x}g").as_bytes()),
            !escaped,
            "escaped {byte:#x}"
        );
    }
}

#[test]
fn decodes_more_for_comparing() {
    let plain = |raw: &str| {
        let path = CanonicalPath::new(raw.as_bytes(), Allowances::ALL).unwrap();
        path.plain().map(|path| path.as_str().to_owned())
    };
    let decoded = plain("/a%3ab/%40%21%24%26%27%28%29%2A%2B%2C%3D%3B/%20%25/%2F%5C%C3%A4");
    assert_eq!(
        decoded.as_deref(),
        Some("/a:b/@!$&'()*+,=;/%20%25/%2F%5C%C3%A4")
    );
    assert_eq!(plain("/a%253Ab"), None, "decoded once, not twice");
    assert_eq!(plain("/a:b/c"), None);
}

#[test]
fn splits_into_segments() {
    let of = |raw: &str| {
        let path = CanonicalPath::new(raw.as_bytes(), Allowances::default()).unwrap();
        path.segments().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of("/"), [""]);
    assert_eq!(of("/a"), ["a"]);
    assert_eq!(of("/a/b/"), ["a", "b", ""]);
}

/// Written from the text of the specification, on lists of decoded characters, without the scanner's state.
fn reference(raw: &[u8], allow: Allowances) -> Option<String> {
    #[derive(Clone, Copy, PartialEq)]
    struct Char {
        byte: u8,
        escaped: bool,
    }
    if raw.len() > PATH_MAX || raw.first() != Some(&b'/') {
        return None;
    }
    let mut chars = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        if raw[at] == b'%' {
            let digits = std::str::from_utf8(raw.get(at + 1..at + 3)?).ok()?;
            if !digits.bytes().all(|d| d.is_ascii_hexdigit()) {
                return None;
            }
            chars.push(Char {
                byte: u8::from_str_radix(digits, 16).ok()?,
                escaped: true,
            });
            at += 3;
        } else {
            chars.push(Char {
                byte: raw[at],
                escaped: false,
            });
            at += 1;
        }
    }
    let unreserved =
        |b: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".contains(&b);
    for c in &chars {
        let refused = match (c.byte, c.escaped) {
            (b' ', escaped) => !escaped,
            (b, _) if b.is_ascii_control() => true,
            (b'?' | b'#' | b'\\', false) => true,
            (b'/', true) => !allow.encoded_slash,
            (b'\\', true) => !allow.encoded_backslash,
            (b';', _) => !allow.semicolon,
            (b, false) if !b.is_ascii() => !allow.raw_non_ascii,
            _ => false,
        };
        if refused {
            return None;
        }
    }
    let segments: Vec<&[Char]> = chars[1..]
        .split(|c| {
            *c == Char {
                byte: b'/',
                escaped: false,
            }
        })
        .collect();
    for (index, segment) in segments.iter().enumerate() {
        if segment.is_empty() && index + 1 < segments.len() && !allow.empty_segment {
            return None;
        }
        for piece in segment.split(|c| matches!(c.byte, b'/' | b'\\' | b';')) {
            let bytes: Vec<u8> = piece.iter().map(|c| c.byte).collect();
            if bytes == b"." || bytes == b".." {
                return None;
            }
        }
        let bytes: Vec<u8> = segment.iter().map(|c| c.byte).collect();
        if !allow.not_utf8 && String::from_utf8(bytes.clone()).is_err() {
            return None;
        }
        // Whoever decodes again sees another text, and another, until nothing changes.
        let mut text: String = bytes.iter().map(|&b| char::from(b)).collect();
        let mut decodings = 1;
        loop {
            if text
                .split(['/', '\\', ';'])
                .any(|piece| piece == "." || piece == "..")
            {
                return None;
            }
            let mut again = String::new();
            let mut rest = text.as_str();
            while let Some(c) = rest.chars().next() {
                let hex = rest
                    .get(1..3)
                    .filter(|hex| hex.bytes().all(|d| d.is_ascii_hexdigit()));
                match hex.filter(|_| c == '%') {
                    Some(hex) => {
                        again.push(char::from(u8::from_str_radix(hex, 16).ok()?));
                        rest = &rest[3..];
                    }
                    None => {
                        again.push(c);
                        rest = &rest[c.len_utf8()..];
                    }
                }
            }
            if again == text {
                break;
            }
            if !allow.double_escape {
                return None;
            }
            text = again;
            decodings += 1;
            if decodings > 4 {
                return None;
            }
        }
    }
    let mut out = String::new();
    for c in chars {
        let raw_ok = if c.escaped {
            unreserved(c.byte)
        } else {
            unreserved(c.byte) || b"/!$&'()*+,;=:@".contains(&c.byte)
        };
        if raw_ok {
            out.push(c.byte as char)
        } else {
            out.push_str(&format!("%{:02X}", c.byte))
        }
    }
    (out.len() <= PATH_MAX).then_some(out)
}

fn any_path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9._~-]{0,3}".prop_map(String::into_bytes),
        3 => Just(b"/".to_vec()),
        2 => proptest::sample::select(vec![
            "%2e", "%2E", "%2f", "%2F", "%5c", "%3b", ";", ".", "..", "%", "%4", "%41", "%c3%A4",
            "%00", "%20", "*", "{", "?", "\\", " ", "//", "%25", "%2", "..;", "%252e", "%25", "2e", "%c0%ae",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
        1 => any::<u8>().prop_map(|byte| format!("%{byte:02x}").into_bytes()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| {
        let mut path = b"/".to_vec();
        path.extend(pieces.concat());
        path
    })
}

fn any_allowances() -> impl Strategy<Value = Allowances> {
    proptest::array::uniform7(any::<bool>()).prop_map(|flags| Allowances {
        encoded_slash: flags[0],
        encoded_backslash: flags[1],
        empty_segment: flags[2],
        semicolon: flags[3],
        raw_non_ascii: flags[4],
        double_escape: flags[5],
        not_utf8: flags[6],
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_reference(raw in any_path(), allow in any_allowances()) {
        let ours = CanonicalPath::new(&raw, allow).ok().map(|path| path.0);
        prop_assert_eq!(ours, reference(&raw, allow));
    }

    #[test]
    fn is_idempotent_and_clean(raw in any_path(), allow in any_allowances()) {
        if let Ok(path) = CanonicalPath::new(&raw, allow) {
            prop_assert!(path.as_str().bytes().all(|b| (0x21..0x7F).contains(&b)));
            prop_assert_eq!(CanonicalPath::new(path.as_str().as_bytes(), allow), Ok(path));
        }
    }

    #[test]
    fn never_panics(raw in proptest::collection::vec(any::<u8>(), 0..64), allow in any_allowances()) {
        let _ = CanonicalPath::new(&raw, allow);
    }
}
