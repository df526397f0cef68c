//! Questions on single patterns: is one inside another, and what do two have in common.

use ringfence_model::operation::{CONNECT, HttpPattern, Pattern, SEND, Segment};

/// Whether every operation of `narrow` belongs to `wide`. Exact.
pub(crate) fn covers(wide: &Pattern, narrow: &Pattern) -> bool {
    match (wide, narrow) {
        (Pattern::Connect, Pattern::Connect) | (Pattern::Send, Pattern::Send) => true,
        (Pattern::Http(wide), Pattern::Http(narrow))
        | (Pattern::Grpc(wide), Pattern::Grpc(narrow)) => covers_requests(wide, narrow),
        _ => false,
    }
}

fn covers_requests(wide: &HttpPattern, narrow: &HttpPattern) -> bool {
    let methods = match &narrow.method {
        Some(method) => wide.takes_method(method),
        None => wide.method.is_none(),
    };
    let lengths = if wide.rest {
        wide.segments.len() <= narrow.segments.len()
    } else {
        !narrow.rest && wide.segments.len() == narrow.segments.len()
    };
    methods
        && lengths
        && wide
            .segments
            .iter()
            .zip(&narrow.segments)
            .all(|pair| match pair {
                (Segment::Literal(a), Segment::Literal(b)) => a == b,
                (Segment::One(_), Segment::Literal(text)) => !text.is_empty(),
                (Segment::One(_), Segment::One(_)) => true,
                (Segment::Literal(_), Segment::One(_)) => false,
            })
}

/// The operations of both, which are one pattern again; `None` where there are none. Exact.
pub(crate) fn meet(a: &Pattern, b: &Pattern) -> Option<Pattern> {
    match (a, b) {
        (Pattern::Connect, Pattern::Connect) => Some(Pattern::Connect),
        (Pattern::Send, Pattern::Send) => Some(Pattern::Send),
        (Pattern::Http(a), Pattern::Http(b)) if a.overlaps(b) => {
            Some(Pattern::Http(meet_requests(a, b)))
        }
        (Pattern::Grpc(a), Pattern::Grpc(b)) if a.overlaps(b) => {
            Some(Pattern::Grpc(meet_requests(a, b)))
        }
        _ => None,
    }
}

/// Of two that overlap.
fn meet_requests(a: &HttpPattern, b: &HttpPattern) -> HttpPattern {
    let (long, short) = if a.segments.len() >= b.segments.len() {
        (a, b)
    } else {
        (b, a)
    };
    let segments = long
        .segments
        .iter()
        .enumerate()
        .map(|(index, own)| match (own, short.segments.get(index)) {
            // A name that somebody gave is worth keeping.
            (Segment::One(None), Some(other)) => other.clone(),
            (Segment::One(Some(_)), Some(literal @ Segment::Literal(_))) => literal.clone(),
            _ => own.clone(),
        })
        .collect();
    HttpPattern {
        method: a.method.clone().or_else(|| b.method.clone()),
        segments,
        rest: a.rest && b.rest,
    }
}

/// As a rule would write it, in canonical form.
pub(crate) fn written(pattern: &Pattern) -> String {
    let http = match pattern {
        Pattern::Connect => return CONNECT.to_owned(),
        Pattern::Send => return SEND.to_owned(),
        Pattern::Grpc(call) => return written_call(call),
        Pattern::Http(http) => http,
    };
    let mut text = format!("{} ", http.method.as_deref().unwrap_or("*"));
    for segment in &http.segments {
        text.push('/');
        match segment {
            Segment::Literal(literal) => text.push_str(literal),
            Segment::One(None) => text.push('*'),
            Segment::One(Some(name)) => {
                text.push('{');
                text.push_str(name);
                text.push('}');
            }
        }
    }
    if http.rest {
        text.push_str("/**");
    }
    text
}

/// `package.Service/Method`, `package.Service/*` or `*`.
fn written_call(call: &HttpPattern) -> String {
    let name = |segment: &Segment| match segment {
        Segment::Literal(name) => name.to_string(),
        Segment::One(_) => "*".to_owned(),
    };
    if call.segments.iter().all(|it| matches!(it, Segment::One(_))) {
        return "*".to_owned();
    }
    let names: Vec<String> = call.segments.iter().map(name).collect();
    names.join("/")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringfence_model::Protocol;
    use ringfence_model::path::Allowances;

    use super::*;

    fn http(text: &str) -> Pattern {
        Pattern::parse(text, Protocol::Http, Allowances::default()).unwrap()
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        for (wide, narrow) in [
            ("GET /a", "GET /a"),
            ("* /a", "GET /a"),
            ("GET /*", "GET /{x}"),
            ("GET /a/*", "GET /a/b"),
            ("GET /**", "GET /"),
            ("GET /a/**", "GET /a"),
            ("GET /a/**", "GET /a/b/**"),
            ("* /**", "* /*/**"),
        ] {
            assert!(covers(&http(wide), &http(narrow)), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("GET /a", "* /a"),
            ("GET /a", "get /a"),
            ("GET /*", "GET /"),
            ("GET /a/*", "GET /a/"),
            ("GET /a/*", "GET /a/**"),
            ("GET /*/**", "GET /**"),
            ("GET /a/b/**", "GET /a/**"),
            ("GET /a", "GET /*"),
            ("* /**", "WEBSOCKET /a"),
            ("GET /a", "WEBSOCKET /a"),
            ("WEBSOCKET /**", "* /a"),
        ] {
            assert!(!covers(&http(wide), &http(narrow)), "{wide} {narrow}");
        }
        assert!(!covers(&Pattern::Connect, &http("GET /")));
    }

    #[test]
    fn two_patterns_meet_in_one() {
        for (a, b, both) in [
            ("* /a/**", "GET /*/b", Some("GET /a/b")),
            ("GET /**", "* /x/**", Some("GET /x/**")),
            ("GET /*/{id}", "GET /a/*", Some("GET /a/{id}")),
            ("GET /a", "GET /a", Some("GET /a")),
            ("GET /a", "POST /a", None),
            ("GET /*", "GET /", None),
        ] {
            let found = meet(&http(a), &http(b)).map(|it| written(&it));
            assert_eq!(found.as_deref(), both, "{a} {b}");
        }
    }

    #[test]
    fn calls_cover_and_meet_as_their_names_say() {
        let grpc =
            |text: &str| Pattern::parse(text, Protocol::Grpc, Allowances::default()).unwrap();
        let texts = ["a.C/Do", "a.C/*", "*", "a.C/Go", "b.C/Do"];
        for (wide, narrow, covered, both) in [
            (2, 1, true, Some("a.C/*")),
            (1, 0, true, Some("a.C/Do")),
            (0, 1, false, Some("a.C/Do")),
            (0, 3, false, None),
            (1, 4, false, None),
            (2, 2, true, Some("*")),
        ] {
            let (a, b) = (grpc(texts[wide]), grpc(texts[narrow]));
            assert_eq!(covers(&a, &b), covered, "{wide} {narrow}");
            let met = meet(&a, &b).map(|it| written(&it));
            assert_eq!(met.as_deref(), both, "{wide} {narrow}");
        }
        assert!(!covers(&http("* /**"), &grpc("a.C/Do")));
        assert_eq!(meet(&http("* /**"), &grpc("a.C/Do")), None);
    }

    fn pattern() -> impl Strategy<Value = String> {
        let segment = prop_oneof!["a", "b", Just("*".to_owned())];
        let tail = prop_oneof![Just(""), Just("/"), Just("/**")];
        let method = prop_oneof![Just("GET"), Just("PUT"), Just("WEBSOCKET"), Just("*")];
        (method, proptest::collection::vec(segment, 0..4), tail).prop_map(
            |(method, segments, tail)| {
                let path: String = segments
                    .iter()
                    .map(|segment| format!("/{segment}"))
                    .collect();
                match (path.as_str(), tail) {
                    ("", "") => format!("{method} /"),
                    _ => format!("{method} {path}{tail}"),
                }
            },
        )
    }

    /// Every request with at most four segments of `a`, `b`, `c` and a trailing slash.
    fn requests() -> Vec<Pattern> {
        let mut paths = vec![String::new()];
        let mut all = vec!["/".to_owned()];
        for _ in 0..4 {
            paths = paths
                .iter()
                .flat_map(|path| ["a", "b", "c"].map(|segment| format!("{path}/{segment}")))
                .collect();
            all.extend(
                paths
                    .iter()
                    .flat_map(|path| [path.clone(), format!("{path}/")]),
            );
        }
        ["GET", "PUT", "HEAD", "WEBSOCKET"]
            .iter()
            .flat_map(|method| {
                all.iter()
                    .map(move |path| http(&format!("{method} {path}")))
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Against every request, one by one.
        #[test]
        fn covers_and_meet_are_what_requests_say((a, b) in (pattern(), pattern())) {
            let (a, b) = (http(&a), http(&b));
            let both = meet(&a, &b);
            let mut inside = true;
            for request in requests() {
                let (of_a, of_b) = (a.overlaps(&request), b.overlaps(&request));
                inside &= of_a || !of_b;
                prop_assert_eq!(of_a && of_b, both.as_ref().is_some_and(|it| it.overlaps(&request)));
            }
            prop_assert_eq!(covers(&a, &b), inside);
            if let Some(both) = both {
                prop_assert_eq!(http(&written(&both)), both);
            }
        }
    }
}
