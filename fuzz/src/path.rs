//! Request paths.

use ringfence_model::CanonicalPath;
use ringfence_model::Protocol;
use ringfence_model::operation::{Concrete, Pattern};
use ringfence_model::path::{Allowances, PATH_MAX};

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "path",
    holds: "a canonical path is its own canonical form, and means to a server that decodes what the raw one means; no dots, no slash more or less",
    length_max: 2048,
    run,
};

/// Each accepted form alone, none, and all.
fn settings() -> impl Iterator<Item = Allowances> {
    (0..7)
        .map(one)
        .chain([Allowances::default(), Allowances::ALL])
}

fn one(which: u8) -> Allowances {
    Allowances {
        encoded_slash: which == 0,
        encoded_backslash: which == 1,
        empty_segment: which == 2,
        semicolon: which == 3,
        raw_non_ascii: which == 4,
        double_escape: which == 5,
        not_utf8: which == 6,
    }
}

/// As a server decodes: every escape, once.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let escape = text.get(at + 1..at + 3).filter(|_| text[at] == b'%');
        let hex = escape.filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
}

fn run(bytes: &[u8]) {
    let strict = CanonicalPath::new(bytes, Allowances::default());
    for allowances in settings() {
        let Ok(path) = CanonicalPath::new(bytes, allowances) else {
            assert!(
                strict.is_err(),
                "what a service accepts more of makes it refuse"
            );
            continue;
        };
        if let Ok(strict) = &strict {
            assert_eq!(&path, strict, "what a service accepts changes another path");
        }
        canonical(bytes, &path, allowances);
        if let Some(plain) = path.plain() {
            assert!(plain.plain().is_none());
            assert_eq!(decoded(plain.as_str().as_bytes()), decoded(bytes));
            assert_eq!(plain.segments().count(), path.segments().count());
        }
        as_policy_has_it(&path, allowances);
    }
}

fn canonical(raw: &[u8], path: &CanonicalPath, allowances: Allowances) {
    let text = path.as_str();
    assert!(text.len() <= PATH_MAX && text.starts_with('/'));
    assert_eq!(
        CanonicalPath::new(text.as_bytes(), allowances).as_ref(),
        Ok(path),
        "not idempotent"
    );
    let sendable = |b| (0x21..0x7f).contains(&b) && !b"\"#<>?[\\]^`{|}".contains(&b);
    assert!(text.bytes().all(sendable), "{text:?}");
    assert_eq!(
        decoded(text.as_bytes()),
        decoded(raw),
        "it means something else"
    );
    let raw_segments: Vec<&[u8]> = raw[1..].split(|&b| b == b'/').collect();
    assert_eq!(path.segments().count(), raw_segments.len());
    for (index, (segment, raw)) in path.segments().zip(&raw_segments).enumerate() {
        let meant = decoded(segment.as_bytes());
        assert_eq!(meant, decoded(raw));
        assert!(
            !meant.iter().any(|&b| b < 0x20 || b == 0x7f),
            "a control byte"
        );
        let last = index + 1 == raw_segments.len();
        assert!(!meant.is_empty() || last || allowances.empty_segment);
        assert!(allowances.encoded_slash || !meant.contains(&b'/'));
        assert!(allowances.encoded_backslash || !meant.contains(&b'\\'));
        assert!(allowances.semicolon || !meant.contains(&b';'));
        assert!(allowances.not_utf8 || std::str::from_utf8(&meant).is_ok());
        assert!(
            allowances.double_escape || decoded(&meant) == meant,
            "an escape within an escape"
        );
        // Whatever a server takes for the end of a segment, and however often it decodes, nothing in it goes up.
        let mut level = meant;
        loop {
            for piece in level.split(|b| b"/\\;".contains(b)) {
                assert!(piece != b"." && piece != b"..", "dots in {text:?}");
            }
            let deeper = decoded(&level);
            if deeper == level {
                break;
            }
            level = deeper;
        }
    }
}

/// A rule that says exactly this path holds for it, and for no other spelling that is another path.
fn as_policy_has_it(path: &CanonicalPath, allowances: Allowances) {
    let operation = format!("GET {path}");
    let asked = Concrete::parse(&operation, Protocol::Http, allowances);
    assert!(
        matches!(&asked, Ok(Concrete::Http { method, path: read }) if method == "GET" && read == path),
        "{operation:?} is asked as {asked:?}"
    );
    let Ok(Pattern::Http(pattern)) = Pattern::parse(&operation, Protocol::Http, allowances) else {
        // Wildcards, and more segments than a rule may have.
        assert!(
            path.as_str().contains('*') || path.segments().count() > 256,
            "{operation:?} is no rule"
        );
        return;
    };
    if !path.as_str().contains('*') {
        assert!(
            pattern.matches("GET", path),
            "{operation:?} is not what it says"
        );
        assert!(!pattern.matches("POST", path));
        let longer = format!("{path}/x");
        if let Ok(longer) = CanonicalPath::new(longer.as_bytes(), allowances) {
            assert!(
                !pattern.matches("GET", &longer),
                "{operation:?} is wider than it says"
            );
        }
    }
}
