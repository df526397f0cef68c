//! Whether anything is left of a rule when others have had their say.

use ringfence_model::operation::{HttpPattern, Pattern, Segment};
use ringfence_model::path::Allowances;

use crate::patterns::{covers, meet};

/// A method or segment that no rule writes: not a token, and no text of a canonical path.
const FRESH: &str = "\0";

/// Whether some operation of `rule` belongs to every list of `required` and to no pattern of `forbidden`.
///
/// Exact, but for services that accept empty segments: of those it may say yes where the answer is no.
pub(super) fn remains(
    rule: &Pattern,
    required: &[&[Pattern]],
    forbidden: &[&[Pattern]],
    allowances: Allowances,
) -> bool {
    match required.split_first() {
        None => escapes(rule, forbidden, allowances),
        Some((list, rest)) => list
            .iter()
            .filter_map(|other| meet(rule, other))
            .any(|both| remains(&both, rest, forbidden, allowances)),
    }
}

/// Whether some operation of `pattern` belongs to none of `forbidden`.
fn escapes(pattern: &Pattern, forbidden: &[&[Pattern]], allowances: Allowances) -> bool {
    let touching: Vec<&Pattern> = forbidden
        .iter()
        .flat_map(|list| list.iter())
        .filter(|other| other.overlaps(pattern))
        .collect();
    if touching.iter().any(|other| covers(other, pattern)) {
        return false;
    }
    let Pattern::Http(http) = pattern else {
        return touching.is_empty();
    };
    if touching.is_empty() || (http.rest && allowances.empty_segment) {
        return true;
    }
    // What is fresh in all places belongs to the fewest others. Only length and an empty end remain to be tried.
    let longest = touching
        .iter()
        .map(|other| length(other))
        .max()
        .unwrap_or(0);
    let tails = if http.rest {
        (longest + 1).saturating_sub(http.segments.len())
    } else {
        0
    };
    (0..=tails)
        .flat_map(|tail| [request(http, tail, FRESH), request(http, tail, "")])
        .flatten()
        .any(|request| !touching.iter().any(|other| other.overlaps(&request)))
}

fn length(pattern: &Pattern) -> usize {
    match pattern {
        Pattern::Http(http) => http.segments.len(),
        Pattern::Connect | Pattern::Send => 0,
    }
}

/// One request of `pattern`, with this many segments beyond those it writes, the last of them `last`.
fn request(pattern: &HttpPattern, tail: usize, last: &str) -> Option<Pattern> {
    let mut segments: Vec<Segment> = pattern
        .segments
        .iter()
        .map(|segment| match segment {
            Segment::One(_) => Segment::Literal(FRESH.into()),
            literal => literal.clone(),
        })
        .collect();
    segments.resize_with(segments.len() + tail, || Segment::Literal(FRESH.into()));
    if tail > 0 {
        segments.pop();
        segments.push(Segment::Literal(last.into()));
    }
    // The shortest path is one empty segment.
    (!segments.is_empty()).then(|| {
        Pattern::Http(HttpPattern {
            method: Some(pattern.method.clone().unwrap_or_else(|| FRESH.into())),
            segments,
            rest: false,
        })
    })
}

#[cfg(test)]
mod tests {
    use ringfence_model::Protocol;

    use super::*;

    fn http(texts: &[&str]) -> Vec<Pattern> {
        let parse = |text: &&str| Pattern::parse(text, Protocol::Http, Allowances::default());
        texts.iter().map(parse).collect::<Result<_, _>>().unwrap()
    }

    fn left(rule: &str, required: &[&[&str]], forbidden: &[&[&str]]) -> bool {
        let lists = |texts: &[&[&str]]| texts.iter().map(|list| http(list)).collect::<Vec<_>>();
        let (required, forbidden) = (lists(required), lists(forbidden));
        let required: Vec<&[Pattern]> = required.iter().map(Vec::as_slice).collect();
        let forbidden: Vec<&[Pattern]> = forbidden.iter().map(Vec::as_slice).collect();
        remains(
            &http(&[rule])[0],
            &required,
            &forbidden,
            Allowances::default(),
        )
    }

    #[test]
    fn tells_what_is_left_of_a_rule() {
        for (rule, required, forbidden) in [
            ("GET /a", &[][..], &[][..]),
            ("GET /*", &[], &[&["GET /a", "GET /b"]]),
            ("* /a", &[], &[&["GET /a"]]),
            ("GET /**", &[], &[&["GET /*", "GET /*/*/**"]]),
            ("GET /a/**", &[], &[&["GET /a", "GET /a/*/**"]]),
            ("GET /**", &[&["* /a/*"], &["* /*/b"]], &[&["POST /**"]]),
        ] as [(&str, &[&[&str]], &[&[&str]]); 6]
        {
            assert!(left(rule, required, forbidden), "{rule} {forbidden:?}");
        }
        for (rule, required, forbidden) in [
            ("GET /a", &[&["POST /a"][..]][..], &[][..]),
            ("GET /*", &[], &[&["* /**"]]),
            (
                "GET /a/**",
                &[],
                &[&["GET /a", "GET /a/"], &["GET /a/*/**"]],
            ),
            ("GET /**", &[&["* /a/*"], &["* /*/b"]], &[&["GET /a/b"]]),
            ("GET /**", &[&["* /a", "* /b"]], &[&["GET /a"], &["GET /*"]]),
        ] as [(&str, &[&[&str]], &[&[&str]]); 5]
        {
            assert!(!left(rule, required, forbidden), "{rule} {forbidden:?}");
        }
    }
}
