//! Exact questions about sets of operations: is there one that these have in common and those leave over?
//!
//! Requests are searched segment by segment. At each place only the literals of patterns that still fit can tell requests
//! apart, beside one segment that none of them names, so the search is finite. It is cut off after [`STATES_MAX`] states.

use std::collections::{BTreeSet, HashSet};

use ringfence_model::operation::{CONNECT, HttpPattern, Pattern, SEND, Segment};
use ringfence_model::path::Allowances;

/// Most states of one search.
const STATES_MAX: usize = 20_000;
/// A segment, or a method, that no pattern names; lengthened until that is so.
const OTHER_SEGMENT: &str = "x";
const OTHER_METHOD: &str = "X";

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Witness {
    /// An operation, as a test would write it.
    Found(String),
    /// There is none.
    None,
    /// The search was cut off.
    Unknown,
}

/// Whether a path may have empty segments before its last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Empty {
    Accepted,
    Refused,
}

impl From<Allowances> for Empty {
    fn from(allowances: Allowances) -> Self {
        match allowances.empty_segment {
            true => Self::Accepted,
            false => Self::Refused,
        }
    }
}

/// An operation that some pattern of each of `required` has and no pattern of `forbidden` has.
///
/// Patterns are all of one protocol: that of the first list, which must not be empty to have a witness.
pub(crate) fn witness(required: &[&[&Pattern]], forbidden: &[&Pattern], empty: Empty) -> Witness {
    let Some(first) = required.first().and_then(|list| list.first()) else {
        return Witness::None;
    };
    match first {
        Pattern::Connect => single(first, CONNECT, required, forbidden),
        Pattern::Send => single(first, SEND, required, forbidden),
        Pattern::Http(_) | Pattern::Grpc(_) => {
            let http = |pattern: &&'_ Pattern| pattern.requests().cloned();
            let owned: Vec<Vec<HttpPattern>> = required
                .iter()
                .map(|list| list.iter().filter_map(http).collect())
                .collect();
            let forbidden: Vec<HttpPattern> = forbidden.iter().filter_map(http).collect();
            let found = Search::new(&owned, &forbidden, empty).run();
            match (first, found) {
                // A call is written without its method: patterns of calls all have the same.
                (Pattern::Grpc(_), Witness::Found(request)) => {
                    let call = request.split_once(" /").map_or("", |(_, call)| call);
                    Witness::Found(call.to_owned())
                }
                (_, found) => found,
            }
        }
    }
}

fn single(
    the_one: &Pattern,
    name: &str,
    required: &[&[&Pattern]],
    forbidden: &[&Pattern],
) -> Witness {
    let all = required.iter().all(|list| list.contains(&the_one));
    if all && !forbidden.contains(&the_one) {
        Witness::Found(name.to_owned())
    } else {
        Witness::None
    }
}

struct Search<'a> {
    required: &'a [Vec<HttpPattern>],
    forbidden: &'a [HttpPattern],
    empty: Empty,
    seen: HashSet<(usize, Vec<u64>)>,
    states: usize,
}

/// Which patterns still fit, by list; the last list is of those forbidden.
type Alive<'a> = Vec<Vec<&'a HttpPattern>>;

impl<'a> Search<'a> {
    fn new(required: &'a [Vec<HttpPattern>], forbidden: &'a [HttpPattern], empty: Empty) -> Self {
        Self {
            required,
            forbidden,
            empty,
            seen: HashSet::new(),
            states: 0,
        }
    }

    fn run(mut self) -> Witness {
        let all = || self.required.iter().flatten().chain(self.forbidden);
        let mut methods: BTreeSet<&str> = all().filter_map(|it| it.method.as_deref()).collect();
        // The common ones first, so that examples look like what people send.
        let other = unused(OTHER_METHOD, &methods);
        methods.insert(&other);
        let mut ordered: Vec<&str> = ["GET", "POST"]
            .into_iter()
            .filter(|method| methods.contains(method))
            .collect();
        ordered.extend(methods.iter().filter(|it| !matches!(**it, "GET" | "POST")));
        let mut unknown = false;
        for method in ordered {
            let of_method = |list: &'a [HttpPattern]| {
                list.iter()
                    .filter(|it| it.takes_method(method))
                    .collect::<Vec<_>>()
            };
            let mut alive: Alive<'a> = self.required.iter().map(|it| of_method(it)).collect();
            alive.push(of_method(self.forbidden));
            self.seen.clear();
            let mut path = Vec::new();
            match self.extend(&alive, &mut path) {
                Some(true) => {
                    return Witness::Found(format!("{method} /{}", path.join("/")));
                }
                Some(false) => {}
                None => unknown = true,
            }
        }
        if unknown {
            Witness::Unknown
        } else {
            Witness::None
        }
    }

    /// Whether some path that begins with `path` is a witness; it is completed. `None`: cut off.
    fn extend(&mut self, alive: &Alive<'a>, path: &mut Vec<String>) -> Option<bool> {
        let (forbidden, required) = alive.split_last()?;
        let depth = path.len();
        if required.iter().any(Vec::is_empty) {
            return Some(false);
        }
        // Whatever follows is forbidden.
        if forbidden
            .iter()
            .any(|it| it.rest && it.segments.len() <= depth)
        {
            return Some(false);
        }
        let ends = |it: &&HttpPattern| {
            if it.rest {
                it.segments.len() <= depth
            } else {
                it.segments.len() == depth
            }
        };
        if depth > 0
            && required.iter().all(|list| list.iter().any(ends))
            && !forbidden.iter().any(ends)
        {
            return Some(true);
        }
        // Where they are refused, an empty segment is the last one.
        if self.empty == Empty::Refused && depth > 0 && path[depth - 1].is_empty() {
            return Some(false);
        }
        // Past the last segment of all patterns, one more segment changes nothing.
        let longest = alive.iter().flatten().map(|it| it.segments.len()).max()?;
        if depth > longest {
            return Some(false);
        }
        self.states += 1;
        if self.states > STATES_MAX {
            return None;
        }
        let key = alive
            .iter()
            .flatten()
            .map(|it| std::ptr::from_ref::<HttpPattern>(it) as usize as u64)
            .collect();
        if !self.seen.insert((depth, key)) {
            return Some(false);
        }
        let mut literals: BTreeSet<&str> = BTreeSet::new();
        for pattern in alive.iter().flatten() {
            if let Some(Segment::Literal(text)) = pattern.segments.get(depth) {
                literals.insert(text);
            }
        }
        let other = unused(OTHER_SEGMENT, &literals);
        literals.insert("");
        let mut unknown = false;
        for candidate in std::iter::once(other.as_str())
            .chain(literals.iter().copied().filter(|it| !it.is_empty()))
            .chain([""])
        {
            let fits = |it: &&&'a HttpPattern| match it.segments.get(depth) {
                Some(Segment::Literal(text)) => **text == *candidate,
                Some(Segment::One(_)) => !candidate.is_empty(),
                None => it.rest,
            };
            let next: Alive<'a> = alive
                .iter()
                .map(|list| list.iter().filter(fits).copied().collect())
                .collect();
            path.push(candidate.to_owned());
            match self.extend(&next, path) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => unknown = true,
            }
            path.pop();
        }
        if unknown { None } else { Some(false) }
    }
}

fn unused(word: &str, known: &BTreeSet<&str>) -> String {
    let mut word = word.to_owned();
    while known.contains(word.as_str()) {
        word.push('x');
    }
    word
}

#[cfg(test)]
mod tests {
    use ringfence_model::Protocol;

    use super::*;

    fn http(text: &str) -> Pattern {
        Pattern::parse(text, Protocol::Http, Allowances::default()).unwrap()
    }

    fn ask(required: &[&[&str]], forbidden: &[&str]) -> Witness {
        let parse = |list: &[&str]| list.iter().map(|text| http(text)).collect::<Vec<_>>();
        let required: Vec<Vec<Pattern>> = required.iter().map(|list| parse(list)).collect();
        let required: Vec<Vec<&Pattern>> =
            required.iter().map(|list| list.iter().collect()).collect();
        let required: Vec<&[&Pattern]> = required.iter().map(Vec::as_slice).collect();
        let forbidden = parse(forbidden);
        witness(
            &required,
            &forbidden.iter().collect::<Vec<_>>(),
            Empty::Refused,
        )
    }

    fn found(required: &[&[&str]], forbidden: &[&str]) -> String {
        match ask(required, forbidden) {
            Witness::Found(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn finds_what_lists_share_and_others_leave_over() {
        assert_eq!(found(&[&["GET /a/*"]], &[]), "GET /a/x");
        assert_eq!(found(&[&["GET /a/*"], &["* /*/b"]], &[]), "GET /a/b");
        assert_eq!(found(&[&["GET /**"]], &["GET /*"]), "GET /x/x");
        assert_eq!(found(&[&["* /a"]], &["GET /a", "POST /a"]), "X /a");
        assert_eq!(
            found(&[&["GET /a/**"]], &["GET /a", "GET /a/*/**"]),
            "GET /a/"
        );
        assert_eq!(found(&[&["GET /", "PUT /b"], &["PUT /**"]], &[]), "PUT /b");
        assert_eq!(ask(&[&["GET /a"], &["GET /b"]], &[]), Witness::None);
        assert_eq!(ask(&[&["GET /a"], &["POST /a"]], &[]), Witness::None);
        assert_eq!(
            ask(&[&["GET /a/**"]], &["GET /a", "GET /a/", "GET /a/*/**"]),
            Witness::None
        );
        assert_eq!(ask(&[&["GET /a/*"]], &["* /**"]), Witness::None);
        assert_eq!(ask(&[&[]], &[]), Witness::None);
        assert_eq!(found(&[&["WEBSOCKET /a"]], &["* /**"]), "WEBSOCKET /a");
        assert_eq!(ask(&[&["* /a"], &["WEBSOCKET /a"]], &[]), Witness::None);
        assert_eq!(
            witness(&[&[&Pattern::Send]], &[], Empty::Refused),
            Witness::Found("send".into())
        );
        assert_eq!(
            witness(
                &[&[&Pattern::Connect]],
                &[&Pattern::Connect],
                Empty::Refused
            ),
            Witness::None
        );
    }

    #[test]
    fn finds_calls_and_writes_them_as_calls() {
        let grpc =
            |text: &str| Pattern::parse(text, Protocol::Grpc, Allowances::default()).unwrap();
        let (any, all, one) = (grpc("*"), grpc("a.C/*"), grpc("a.C/Do"));
        let found = |text: &str| Witness::Found(text.to_owned());
        let witness = |required: &[&[&Pattern]], forbidden: &[&Pattern]| {
            witness(required, forbidden, Empty::Refused)
        };
        assert_eq!(witness(&[&[&any], &[&all]], &[]), found("a.C/x"));
        assert_eq!(witness(&[&[&all], &[&one]], &[]), found("a.C/Do"));
        assert_eq!(witness(&[&[&any]], &[&all]), found("x/x"));
        assert_eq!(witness(&[&[&one]], &[&all]), Witness::None);
        assert_eq!(witness(&[&[&all], &[&grpc("b.C/Do")]], &[]), Witness::None);
    }

    /// One pattern covers another exactly where the search finds nothing that is left over.
    #[test]
    fn agrees_with_what_single_patterns_cover() {
        let texts = [
            "GET /**",
            "* /**",
            "GET /",
            "GET /a",
            "GET /a/",
            "GET /a/b",
            "GET /a/*",
            "* /a/*",
            "GET /a/{id}",
            "GET /a/**",
            "GET /*/b",
            "POST /a/b",
            "GET /a/*/**",
            "GET /*/**",
        ];
        for (outer, inner) in texts.iter().flat_map(|a| texts.iter().map(move |b| (a, b))) {
            let (wide, narrow) = (http(outer), http(inner));
            let left = witness(&[&[&narrow]], &[&wide], Empty::Refused);
            let covered = crate::patterns::covers(&wide, &narrow);
            assert_eq!(
                left == Witness::None,
                covered,
                "{outer} over {inner}: {left:?}"
            );
        }
    }

    /// A receiver that takes `//` has operations that others have not.
    #[test]
    fn empty_segments_are_searched_where_they_are_accepted() {
        let (wide, narrow) = (http("GET /**"), [http("GET /"), http("GET /*/**")]);
        let forbidden: Vec<&Pattern> = narrow.iter().collect();
        let found = |empty| witness(&[&[&wide]], &forbidden, empty);
        assert_eq!(found(Empty::Refused), Witness::None);
        assert_eq!(found(Empty::Accepted), Witness::Found("GET //x".into()));
    }

    #[test]
    fn a_search_without_end_is_cut_off() {
        let many: Vec<String> = (0..40)
            .flat_map(|n| {
                (0..40).map(move |m| {
                    format!(
                        "GET /{}/s{m}/{}",
                        "*/".repeat(n % 8) + "s",
                        "*/".repeat(m % 8) + "t"
                    )
                })
            })
            .collect();
        let lists: Vec<&str> = many.iter().map(String::as_str).collect();
        let began = std::time::Instant::now();
        let _any = ask(&[&["GET /**"]], &lists);
        assert!(began.elapsed() < std::time::Duration::from_secs(30));
    }
}
