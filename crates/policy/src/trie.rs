//! Sets of operation patterns, and the walk that matches one operation against a set.
//!
//! A set is a tree: below its root hang methods, below each method segments, in one arena for the whole snapshot. A walk
//! prefers the literal child over `*`, and `*` over `**`, so the most specific rule is the one reported. It allocates
//! nothing, and visits at most as many nodes as the set has.

use std::collections::BTreeMap;

use memchr::memchr;
use ringfence_model::operation::{CONNECT, HttpPattern, Pattern, SEND, Segment, WEBSOCKET};

use crate::verdict::Operation;

/// No such child, no rule here.
const NONE: u32 = u32::MAX;

/// All sets of a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    labels: Vec<u8>,
}

/// The root of one set within [`Tries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Root(u32);

#[derive(Debug)]
struct Node {
    /// Literal children: this many in `edges` from here on, sorted by label.
    first_edge: u32,
    edge_count: u32,
    /// Child for any one non-empty segment, or any method.
    any: u32,
    /// Pattern that ends here.
    end: u32,
    /// Pattern that has `**` here.
    rest: u32,
}

#[derive(Debug)]
struct Edge {
    label_at: u32,
    label_length: u32,
    to: u32,
}

impl Tries {
    /// Whether the arena has outgrown its indices; then nothing in it may be used.
    pub(crate) fn is_overfull(&self) -> bool {
        [self.nodes.len(), self.edges.len(), self.labels.len()]
            .iter()
            .any(|&n| n >= NONE as usize)
    }

    /// Adds a set. A match gives the position in `patterns` of the most specific one, the first among equals.
    pub(crate) fn add(&mut self, patterns: &[Pattern]) -> Root {
        let mut draft = vec![Draft::new()];
        for (position, pattern) in patterns.iter().enumerate() {
            let position = position as u32;
            match pattern {
                Pattern::Connect => only(&mut draft, CONNECT, position),
                Pattern::Send => only(&mut draft, SEND, position),
                Pattern::Http(requests) | Pattern::Grpc(requests) => {
                    add_requests(&mut draft, requests, position);
                }
            }
        }
        self.flatten(&draft)
    }

    fn flatten(&mut self, draft: &[Draft<'_>]) -> Root {
        let base = self.nodes.len() as u32;
        let place = |child: usize| base + child as u32;
        for node in draft {
            let first_edge = self.edges.len() as u32;
            for (label, &to) in &node.literals {
                self.edges.push(Edge {
                    label_at: self.labels.len() as u32,
                    label_length: label.len() as u32,
                    to: place(to),
                });
                self.labels.extend_from_slice(label.as_bytes());
            }
            self.nodes.push(Node {
                first_edge,
                edge_count: node.literals.len() as u32,
                any: node.any.map_or(NONE, place),
                end: node.end.unwrap_or(NONE),
                rest: node.rest.unwrap_or(NONE),
            });
        }
        Root(base)
    }

    /// Position of the pattern that matches.
    pub(crate) fn find(&self, root: Root, operation: Operation<'_>) -> Option<u32> {
        let root = self.nodes.get(root.0 as usize)?;
        match operation {
            Operation::Connect => self.walk(self.child(root, CONNECT.as_bytes())?, None),
            Operation::Send => self.walk(self.child(root, SEND.as_bytes())?, None),
            Operation::Http { .. } | Operation::Grpc(_) => {
                let (method, path) = operation.request()?;
                let path = path.as_str().as_bytes().get(1..);
                self.child(root, method.as_bytes())
                    .and_then(|node| self.walk(node, path))
                    .or_else(|| {
                        let any = self.nodes.get(root.any as usize)?;
                        // `*` is any method of a request, and to open a WebSocket is more than a request.
                        (method != WEBSOCKET).then(|| self.walk(any, path))?
                    })
            }
        }
    }

    /// `path` is what is left after a slash; `None` when no segment is left.
    fn walk(&self, node: &Node, path: Option<&[u8]>) -> Option<u32> {
        let Some(path) = path else {
            return some(node.end).or(some(node.rest));
        };
        let (segment, after) = match memchr(b'/', path) {
            Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
            None => (path, None),
        };
        if let Some(child) = self.child(node, segment)
            && let Some(found) = self.walk(child, after)
        {
            return Some(found);
        }
        if !segment.is_empty()
            && let Some(child) = self.nodes.get(node.any as usize)
            && let Some(found) = self.walk(child, after)
        {
            return Some(found);
        }
        some(node.rest)
    }

    fn child(&self, node: &Node, label: &[u8]) -> Option<&Node> {
        let edges = self
            .edges
            .get(node.first_edge as usize..)?
            .get(..node.edge_count as usize)?;
        let found = edges
            .binary_search_by(|edge| self.label(edge).cmp(label))
            .ok()?;
        self.nodes.get(edges[found].to as usize)
    }

    fn label(&self, edge: &Edge) -> &[u8] {
        &self.labels[edge.label_at as usize..][..edge.label_length as usize]
    }
}

fn some(index: u32) -> Option<u32> {
    (index != NONE).then_some(index)
}

/// A node while its set is being built.
struct Draft<'a> {
    literals: BTreeMap<&'a str, usize>,
    any: Option<usize>,
    end: Option<u32>,
    rest: Option<u32>,
}

impl Draft<'_> {
    fn new() -> Self {
        Self {
            literals: BTreeMap::new(),
            any: None,
            end: None,
            rest: None,
        }
    }
}

fn literal<'a>(draft: &mut Vec<Draft<'a>>, at: usize, label: &'a str) -> usize {
    let next = draft.len();
    let child = *draft[at].literals.entry(label).or_insert(next);
    if child == next {
        draft.push(Draft::new());
    }
    child
}

fn any(draft: &mut Vec<Draft<'_>>, at: usize) -> usize {
    let next = draft.len();
    let child = *draft[at].any.get_or_insert(next);
    if child == next {
        draft.push(Draft::new());
    }
    child
}

fn set_once(slot: &mut Option<u32>, position: u32) {
    slot.get_or_insert(position);
}

/// The one operation of a protocol.
fn only<'a>(draft: &mut Vec<Draft<'a>>, operation: &'a str, position: u32) {
    let node = literal(draft, 0, operation);
    set_once(&mut draft[node].end, position);
}

fn add_requests<'a>(draft: &mut Vec<Draft<'a>>, pattern: &'a HttpPattern, position: u32) {
    let mut at = match &pattern.method {
        Some(method) => literal(draft, 0, method),
        None => any(draft, 0),
    };
    for segment in &pattern.segments {
        at = match segment {
            Segment::Literal(text) => literal(draft, at, text),
            Segment::One(_) => any(draft, at),
        };
    }
    let node = &mut draft[at];
    set_once(
        if pattern.rest {
            &mut node.rest
        } else {
            &mut node.end
        },
        position,
    );
}

#[cfg(test)]
mod tests {
    use ringfence_model::path::Allowances;
    use ringfence_model::{CanonicalPath, Protocol};

    use super::*;

    fn find(patterns: &[&str], operation: &str) -> Option<u32> {
        let parsed: Vec<Pattern> = patterns
            .iter()
            .map(|text| Pattern::parse(text, Protocol::Http, Allowances::default()).unwrap())
            .collect();
        let mut tries = Tries::default();
        tries.add(&[Pattern::Connect]);
        let root = tries.add(&parsed);
        let (method, path) = operation.split_once(' ').unwrap();
        let path = CanonicalPath::new(
            path.as_bytes(),
            Allowances {
                empty_segment: true,
                ..Allowances::default()
            },
        )
        .unwrap();
        tries.find(
            root,
            Operation::Http {
                method,
                path: &path,
            },
        )
    }

    fn matches(pattern: &str, operation: &str) -> bool {
        find(&[pattern], operation).is_some()
    }

    #[test]
    fn star_is_exactly_one_segment_that_is_not_empty() {
        assert!(matches("GET /a/*", "GET /a/b"));
        for operation in ["GET /a", "GET /a/", "GET /a/b/", "GET /a/b/c", "GET /b/b"] {
            assert!(!matches("GET /a/*", operation), "{operation}");
        }
        assert!(matches("GET /{id}/x", "GET /7/x"));
        assert!(!matches("GET /{id}/x", "GET //x"));
        assert!(!matches("GET /*", "GET /"));
    }

    #[test]
    fn two_stars_are_any_number_of_segments() {
        for operation in ["GET /a", "GET /a/", "GET /a/b", "GET /a/b/c/", "GET /a//b"] {
            assert!(matches("GET /a/**", operation), "{operation}");
        }
        for operation in ["GET /", "GET /ab", "GET /b/a"] {
            assert!(!matches("GET /a/**", operation), "{operation}");
        }
        assert!(matches("GET /**", "GET /"));
    }

    #[test]
    fn a_trailing_slash_is_part_of_the_path() {
        assert!(matches("GET /a/", "GET /a/"));
        assert!(!matches("GET /a/", "GET /a"));
        assert!(!matches("GET /a", "GET /a/"));
        assert!(matches("GET /*/", "GET /a/"));
        assert!(matches("GET /", "GET /"));
    }

    #[test]
    fn methods_are_compared_by_case() {
        assert!(matches("* /a", "DELETE /a"));
        assert!(matches("* /a", "x /a"));
        assert!(!matches("GET /a", "get /a"));
        assert!(!matches("GET /a", "GETS /a"));
        assert!(!matches("GET /a", "POST /a"));
    }

    #[test]
    fn a_websocket_is_named_or_not_found() {
        assert!(matches("WEBSOCKET /a/*", "WEBSOCKET /a/b"));
        assert!(!matches("* /**", "WEBSOCKET /a"));
        assert!(!matches("GET /a", "WEBSOCKET /a"));
        assert!(!matches("WEBSOCKET /a", "GET /a"));
        assert_eq!(find(&["* /**", "WEBSOCKET /b"], "WEBSOCKET /a"), None);
    }

    #[test]
    fn the_most_specific_rule_is_found_and_dead_ends_are_left() {
        let rules = [
            "* /**",
            "GET /*/b",
            "GET /a/*",
            "GET /a/b",
            "GET /a/c/d",
            "GET /a/b",
        ];
        assert_eq!(find(&rules, "GET /a/b"), Some(3));
        assert_eq!(find(&rules, "GET /a/x"), Some(2));
        assert_eq!(find(&rules, "GET /x/b"), Some(1));
        assert_eq!(find(&rules, "GET /a/c"), Some(2));
        assert_eq!(find(&rules, "GET /a/c/e"), Some(0));
        assert_eq!(find(&rules, "PUT /a/b"), Some(0));
        assert_eq!(find(&["GET /a/b/c", "GET /*/b"], "GET /a/b"), Some(1));
    }

    #[test]
    fn an_empty_set_matches_nothing() {
        assert_eq!(find(&[], "GET /"), None);
    }
}
