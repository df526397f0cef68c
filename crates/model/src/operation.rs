//! Operations: what one workload does to another, as a rule writes them and as they happen.
//!
//! HTTP operations are `METHOD /path`, of HTTP/1.1 and HTTP/2 alike. In a pattern, a segment `*` or `{name}` is exactly one
//! non-empty segment, `**` (last only) is zero or more segments, and the method `*` is any method. To open a WebSocket is an
//! operation of its own, `WEBSOCKET /path`, of which neither `GET` nor `*` speaks. gRPC operations are
//! `package.Service/Method`; in a pattern, `package.Service/*` is each method of one service, and `*` is every call. The one
//! operation of tcp and of tls is `connect`, of udp `send`.

use std::fmt;

use crate::Protocol;
use crate::grpc::{GRPC_CALL_MAX, GRPC_METHOD, GrpcCall, is_name, is_service};
use crate::path::{Allowances, CanonicalPath, PathError};

/// Most segments of a pattern. More are refused.
pub const PATTERN_SEGMENTS_MAX: usize = 256;
/// Longest method, in bytes. A longer one is refused.
pub const METHOD_MAX: usize = 64;
/// Longest method of a request that is let through, in bytes. A rule for a longer one loads, and lint says that it matches
/// nothing.
pub const METHOD_SENT_MAX: usize = 32;

/// The operation of tcp, and of tls.
pub const CONNECT: &str = "connect";
/// Stands where a method does in the operation of a request that asks to open a WebSocket. No request has it as its method.
pub const WEBSOCKET: &str = "WEBSOCKET";

/// The operation of udp.
pub const SEND: &str = "send";

/// Stands for a wildcard while the literal rest of a pattern is brought to canonical form. Its own canonical form.
const PLACEHOLDER: &str = "x";

/// What a rule allows, ready to compare.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// The one operation of tcp, and of tls.
    Connect,
    /// The one operation of udp.
    Send,
    /// Requests.
    Http(HttpPattern),
    /// Calls, as the requests that they are: `POST`, and two segments.
    Grpc(HttpPattern),
}

/// A set of HTTP requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpPattern {
    /// `None`: any, but not [`WEBSOCKET`].
    pub method: Option<Box<str>>,
    /// Without a final `**`.
    pub segments: Vec<Segment>,
    /// Ends in `**`: zero or more segments follow.
    pub rest: bool,
}

/// One place between slashes of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Exactly this, in canonical form. Empty only at the end, or where the service accepts empty segments.
    Literal(Box<str>),
    /// One non-empty segment: `*`, or `{name}`.
    One(Option<Box<str>>),
}

/// One concrete operation that owns its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concrete {
    /// The one operation of tcp, and of tls.
    Connect,
    /// The one operation of udp.
    Send,
    /// A call.
    Grpc(GrpcCall),
    /// A request.
    Http {
        /// As sent, case kept; or [`WEBSOCKET`].
        method: String,
        /// Without query.
        path: CanonicalPath,
    },
}

/// Why a text is not an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// Not one of the protocol's.
    #[error("{0:?} is not an operation of {1}")]
    WrongProtocol(String, Protocol),
    /// No method, no path, or not exactly one space between them.
    #[error("{0:?} is not METHOD /path")]
    Shape(String),
    /// Not an HTTP token.
    #[error("{0:?} is not an HTTP method")]
    Method(String),
    /// The path is refused wherever it is asked for.
    #[error("{1}: {0:?}")]
    Path(String, PathError),
    /// `*` beside other characters.
    #[error("* is not alone in segment {0:?}")]
    PartialWildcard(String),
    /// `**` before the end.
    #[error("** is not the last segment of {0:?}")]
    RestNotLast(String),
    /// `{` or `}` other than round a name.
    #[error("segment {0:?} is not {{name}}")]
    Braces(String),
    /// `{id}` twice.
    #[error("{{{0}}} stands twice in one path")]
    NameTwice(String),
    /// Over [`PATTERN_SEGMENTS_MAX`].
    #[error("the path has more than {PATTERN_SEGMENTS_MAX} segments")]
    TooManySegments,
    /// [`WEBSOCKET`] where requests are sent over HTTP/2.
    #[error("{0:?}: no WebSocket is opened over http2")]
    WebSocket(String),
    /// A call whose names are none, or with a wildcard in the wrong place.
    #[error("{0:?} is not package.Service/Method")]
    Call(String),
    /// Over [`GRPC_CALL_MAX`].
    #[error("the call is longer than {GRPC_CALL_MAX} bytes")]
    CallTooLong,
}

impl OperationError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::WrongProtocol(_, Protocol::Tcp) => "tcp has one operation: connect".into(),
            Self::WrongProtocol(_, Protocol::Udp) => "udp has one operation: send".into(),
            Self::WrongProtocol(_, Protocol::Tls) => {
                "tls has one operation: connect. What is said inside cannot be seen; to decide it, let the service speak \
                 http, http2 or grpc"
                    .into()
            }
            Self::WrongProtocol(_, Protocol::Grpc) | Self::Call(_) => {
                "write package.Service/Method, package.Service/* for each method of one service, or * for every call; \
                 names are of letters, digits and _"
                    .into()
            }
            Self::WebSocket(_) => {
                "let the service speak http on another port, or remove it: extended CONNECT is refused".into()
            }
            Self::CallTooLong => "allow the whole service: package.Service/*".into(),
            Self::WrongProtocol(_, Protocol::Http | Protocol::Http2) => {
                "write METHOD /path, such as GET /customers/*".into()
            }
            Self::Shape(_) => {
                "write a method, one space, and a path, such as GET /customers/*".into()
            }
            Self::Method(_) => "write a method such as GET, or * for any".into(),
            Self::Path(_, error) => error.help().into(),
            Self::PartialWildcard(_) => {
                "* stands for one whole segment, such as /customers/*/notes; end in /** for any number of segments".into()
            }
            Self::RestNotLast(_) => "use * for one segment; ** may only end a path".into(),
            Self::Braces(_) => "write {name} as a whole segment, or %7B and %7D for braces themselves".into(),
            Self::NameTwice(name) => format!("name the second one differently, such as {{{name}2}}"),
            Self::TooManySegments => "end it earlier, in /**".into(),
        }
    }

    /// Whether the text has the shape of an operation, and only its path is one that is always refused.
    pub fn is_refused_path(&self) -> bool {
        matches!(self, Self::Path(..))
    }
}

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= METHOD_MAX
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Method and path, with exactly one space between.
fn split(text: &str) -> Result<(&str, &str), OperationError> {
    match text.split_once(' ') {
        Some((method, path))
            if !method.is_empty() && !path.is_empty() && !path.starts_with(' ') =>
        {
            Ok((method, path))
        }
        _ if matches!(text, CONNECT | SEND) => {
            Err(OperationError::WrongProtocol(cut(text), Protocol::Http))
        }
        _ => Err(OperationError::Shape(cut(text))),
    }
}

/// Only HTTP/1.1 opens WebSockets here.
fn no_websocket(
    method: Option<&str>,
    text: &str,
    protocol: Protocol,
) -> Result<(), OperationError> {
    match (method, protocol) {
        (Some(WEBSOCKET), Protocol::Http2) => Err(OperationError::WebSocket(cut(text))),
        _ => Ok(()),
    }
}

/// Keeps an unreasonable text out of messages.
fn cut(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

impl Pattern {
    /// Reads what a rule says, for a callee that speaks `protocol` and accepts paths under `allowances`.
    pub fn parse(
        text: &str,
        protocol: Protocol,
        allowances: Allowances,
    ) -> Result<Self, OperationError> {
        match protocol {
            Protocol::Tcp | Protocol::Tls if text == CONNECT => Ok(Self::Connect),
            Protocol::Udp if text == SEND => Ok(Self::Send),
            Protocol::Tcp | Protocol::Tls | Protocol::Udp => {
                Err(OperationError::WrongProtocol(cut(text), protocol))
            }
            Protocol::Http | Protocol::Http2 => {
                let pattern = HttpPattern::parse(text, allowances)?;
                no_websocket(pattern.method.as_deref(), text, protocol)?;
                Ok(Self::Http(pattern))
            }
            Protocol::Grpc => HttpPattern::parse_calls(text).map(Self::Grpc),
        }
    }

    /// The requests it stands for; `None` of a protocol without requests.
    pub fn requests(&self) -> Option<&HttpPattern> {
        match self {
            Self::Http(requests) | Self::Grpc(requests) => Some(requests),
            Self::Connect | Self::Send => None,
        }
    }

    /// Whether some operation belongs to both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Connect, Self::Connect) | (Self::Send, Self::Send) => true,
            (Self::Http(a), Self::Http(b)) | (Self::Grpc(a), Self::Grpc(b)) => a.overlaps(b),
            _ => false,
        }
    }
}

impl HttpPattern {
    fn parse(text: &str, allowances: Allowances) -> Result<Self, OperationError> {
        let (method, path) = split(text)?;
        if !is_token(method) || (method.contains('*') && method != "*") {
            return Err(OperationError::Method(cut(method)));
        }
        let method = (method != "*").then(|| method.into());
        let Some(inner) = path.strip_prefix('/') else {
            return Err(OperationError::Path(cut(path), PathError::NotAbsolute));
        };
        let mut written: Vec<&str> = inner.split('/').collect();
        if written.len() > PATTERN_SEGMENTS_MAX {
            return Err(OperationError::TooManySegments);
        }
        let rest = written.last() == Some(&"**");
        if rest {
            written.pop();
        }
        let wildcards = wildcards(&written)?;
        // The literal part is judged as a whole, so that nothing is canonical in pieces only.
        let mut literal = String::with_capacity(path.len());
        for (segment, wildcard) in written.iter().zip(&wildcards) {
            literal.push('/');
            literal.push_str(if wildcard.is_some() {
                PLACEHOLDER
            } else {
                segment
            });
        }
        if rest {
            literal.push('/');
            literal.push_str(PLACEHOLDER);
        }
        let canonical = CanonicalPath::new(literal.as_bytes(), allowances)
            .map_err(|error| OperationError::Path(cut(path), error))?;
        let segments = wildcards
            .into_iter()
            .zip(canonical.segments())
            .map(|(wildcard, literal)| wildcard.unwrap_or_else(|| Segment::Literal(literal.into())))
            .collect();
        Ok(Self {
            method,
            segments,
            rest,
        })
    }

    /// `package.Service/Method`, `package.Service/*`, `*`.
    fn parse_calls(text: &str) -> Result<Self, OperationError> {
        if text.len() > GRPC_CALL_MAX {
            return Err(OperationError::CallTooLong);
        }
        let segments = match text.split_once('/') {
            _ if text == "*" => vec![Segment::One(None), Segment::One(None)],
            Some((service, "*")) if is_service(service) => {
                vec![Segment::Literal(service.into()), Segment::One(None)]
            }
            Some((service, method)) if is_service(service) && is_name(method) => {
                vec![
                    Segment::Literal(service.into()),
                    Segment::Literal(method.into()),
                ]
            }
            _ if matches!(text, CONNECT | SEND) => {
                return Err(OperationError::WrongProtocol(cut(text), Protocol::Grpc));
            }
            _ => return Err(OperationError::Call(cut(text))),
        };
        Ok(Self {
            method: Some(GRPC_METHOD.into()),
            segments,
            rest: false,
        })
    }

    /// Whether requests with this method may belong to it.
    pub fn takes_method(&self, method: &str) -> bool {
        match &self.method {
            Some(own) => **own == *method,
            None => method != WEBSOCKET,
        }
    }

    /// Whether a request belongs to it.
    pub fn matches(&self, method: &str, path: &CanonicalPath) -> bool {
        if !self.takes_method(method) {
            return false;
        }
        let mut sent = path.segments();
        let fits = |own: &Segment, sent: &str| match own {
            Segment::Literal(text) => **text == *sent,
            Segment::One(_) => !sent.is_empty(),
        };
        self.segments
            .iter()
            .all(|own| sent.next().is_some_and(|sent| fits(own, sent)))
            && (self.rest || sent.next().is_none())
    }

    /// Whether some request belongs to both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let methods = match (&self.method, &other.method) {
            (Some(method), _) => other.takes_method(method),
            (None, Some(method)) => self.takes_method(method),
            (None, None) => true,
        };
        let lengths = match (self.rest, other.rest) {
            (false, false) => self.segments.len() == other.segments.len(),
            (true, false) => self.segments.len() <= other.segments.len(),
            (false, true) => other.segments.len() <= self.segments.len(),
            (true, true) => true,
        };
        methods
            && lengths
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|pair| match pair {
                    (Segment::Literal(a), Segment::Literal(b)) => a == b,
                    (Segment::Literal(text), Segment::One(_))
                    | (Segment::One(_), Segment::Literal(text)) => !text.is_empty(),
                    (Segment::One(_), Segment::One(_)) => true,
                })
    }
}

/// Which of the written segments are wildcards; `None` for a literal.
fn wildcards(written: &[&str]) -> Result<Vec<Option<Segment>>, OperationError> {
    let mut names: Vec<&str> = Vec::new();
    let mut out = Vec::with_capacity(written.len());
    for &segment in written {
        let wildcard = if segment == "*" {
            Some(Segment::One(None))
        } else if segment == "**" {
            return Err(OperationError::RestNotLast(cut(&format!(
                "/{}",
                written.join("/")
            ))));
        } else if segment.contains('*') {
            return Err(OperationError::PartialWildcard(cut(segment)));
        } else if segment.contains(['{', '}']) {
            let name = segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'))
                .filter(|name| is_identifier(name))
                .ok_or_else(|| OperationError::Braces(cut(segment)))?;
            if names.contains(&name) {
                return Err(OperationError::NameTwice(name.to_owned()));
            }
            names.push(name);
            Some(Segment::One(Some(name.into())))
        } else {
            None
        };
        out.push(wildcard);
    }
    Ok(out)
}

fn is_identifier(text: &str) -> bool {
    text.len() <= crate::name::NAME_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl Concrete {
    /// Reads one operation, as people and tests write it.
    pub fn parse(
        text: &str,
        protocol: Protocol,
        allowances: Allowances,
    ) -> Result<Self, OperationError> {
        match protocol {
            Protocol::Tcp | Protocol::Tls if text == CONNECT => Ok(Self::Connect),
            Protocol::Udp if text == SEND => Ok(Self::Send),
            Protocol::Tcp | Protocol::Tls | Protocol::Udp => {
                Err(OperationError::WrongProtocol(cut(text), protocol))
            }
            Protocol::Grpc if text.len() > GRPC_CALL_MAX => Err(OperationError::CallTooLong),
            Protocol::Grpc => GrpcCall::new(text)
                .map(Self::Grpc)
                .ok_or_else(|| OperationError::Call(cut(text))),
            Protocol::Http | Protocol::Http2 => {
                let (method, path) = split(text)?;
                if !is_token(method) {
                    return Err(OperationError::Method(cut(method)));
                }
                no_websocket(Some(method), text, protocol)?;
                let path = CanonicalPath::new(path.as_bytes(), allowances)
                    .map_err(|error| OperationError::Path(cut(path), error))?;
                Ok(Self::Http {
                    method: method.to_owned(),
                    path,
                })
            }
        }
    }
}

impl fmt::Display for Concrete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str(CONNECT),
            Self::Send => f.write_str(SEND),
            Self::Grpc(call) => call.fmt(f),
            Self::Http { method, path } => write!(f, "{method} {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(text: &str) -> Result<HttpPattern, OperationError> {
        HttpPattern::parse(text, Allowances::default())
    }

    fn overlap(a: &str, b: &str) -> bool {
        let (a, b) = (http(a).unwrap(), http(b).unwrap());
        assert_eq!(a.overlaps(&b), b.overlaps(&a));
        a.overlaps(&b)
    }

    #[test]
    fn reads_patterns() {
        let pattern = http("PATCH /customers/{id}/%6Eotes/*/**").unwrap();
        assert_eq!(pattern.method.as_deref(), Some("PATCH"));
        assert!(pattern.rest);
        assert_eq!(
            pattern.segments,
            [
                Segment::Literal("customers".into()),
                Segment::One(Some("id".into())),
                Segment::Literal("notes".into()),
                Segment::One(None),
            ]
        );
        let all = http("* /**").unwrap();
        assert_eq!((all.method, all.segments.len(), all.rest), (None, 0, true));
        assert_eq!(
            http("GET /").unwrap().segments,
            [Segment::Literal("".into())]
        );
        assert_eq!(http("GET /a/").unwrap().segments.len(), 2);
        assert_eq!(http("get /a").unwrap().method.as_deref(), Some("get"));
    }

    #[test]
    fn refuses_patterns_that_mean_nothing() {
        use OperationError as E;
        for text in [
            "", "GET", "GET ", " /a", "/a", "GET  /a", "GET/a", "GET\t/a",
        ] {
            assert!(matches!(http(text), Err(E::Shape(_))), "{text:?}");
        }
        assert!(matches!(http("connect"), Err(E::WrongProtocol(..))));
        assert!(matches!(http("G(T /a"), Err(E::Method(_))));
        assert!(matches!(http("GE* /a"), Err(E::Method(_))));
        assert!(matches!(
            http("GET a"),
            Err(E::Path(_, PathError::NotAbsolute))
        ));
        assert!(matches!(
            http("GET /a "),
            Err(E::Path(_, PathError::ControlByte))
        ));
        assert!(matches!(
            http("GET /a?b"),
            Err(E::Path(_, PathError::NotAPath))
        ));
        assert!(matches!(
            http("GET /a//**"),
            Err(E::Path(_, PathError::EmptySegment))
        ));
        assert!(matches!(
            http("GET /../*"),
            Err(E::Path(_, PathError::DotSegment))
        ));
        assert!(matches!(http("GET /a*"), Err(E::PartialWildcard(_))));
        assert!(matches!(http("GET /***"), Err(E::PartialWildcard(_))));
        assert!(matches!(http("GET /**/a"), Err(E::RestNotLast(_))));
        assert!(matches!(http("GET /**/"), Err(E::RestNotLast(_))));
        assert!(matches!(http("GET /**/**"), Err(E::RestNotLast(_))));
        for text in [
            "GET /{",
            "GET /{}",
            "GET /a{b}",
            "GET /{b}c",
            "GET /{a-b}",
            "GET /{1}",
        ] {
            assert!(matches!(http(text), Err(E::Braces(_))), "{text:?}");
        }
        assert!(matches!(http("GET /{a}/{a}"), Err(E::NameTwice(_))));
        assert!(matches!(
            http(&format!("GET {}", "/a".repeat(257))),
            Err(E::TooManySegments)
        ));
        assert!(Pattern::parse("GET /", Protocol::Tcp, Allowances::default()).is_err());
        assert_eq!(
            Pattern::parse("connect", Protocol::Tcp, Allowances::default()),
            Ok(Pattern::Connect)
        );
    }

    #[test]
    fn a_websocket_is_named_or_not_meant() {
        let path = CanonicalPath::new(b"/feed", Allowances::default()).unwrap();
        for (pattern, meant) in [
            ("WEBSOCKET /feed", true),
            ("WEBSOCKET /**", true),
            ("WEBSOCKET /x", false),
            ("GET /feed", false),
            ("* /feed", false),
            ("* /**", false),
        ] {
            assert_eq!(
                http(pattern).unwrap().matches(WEBSOCKET, &path),
                meant,
                "{pattern}"
            );
        }
        assert!(!http("WEBSOCKET /feed").unwrap().matches("GET", &path));
        assert!(!overlap("* /**", "WEBSOCKET /feed"));
        assert!(!overlap("GET /feed", "WEBSOCKET /feed"));
        assert!(overlap("WEBSOCKET /*", "WEBSOCKET /feed"));
        assert!(overlap("* /*", "* /feed"));
        let h2 = |text| Pattern::parse(text, Protocol::Http2, Allowances::default());
        assert!(matches!(
            h2("WEBSOCKET /feed"),
            Err(OperationError::WebSocket(_))
        ));
        assert!(h2("GET /feed").is_ok());
        let h2 = |text| Concrete::parse(text, Protocol::Http2, Allowances::default());
        assert!(h2("WEBSOCKET /feed").is_err());
    }

    #[test]
    fn reads_calls() {
        let grpc = |text: &str| Pattern::parse(text, Protocol::Grpc, Allowances::default());
        let one = grpc("shop.v1.Orders/Create").unwrap();
        let all = grpc("shop.v1.Orders/*").unwrap();
        let any = grpc("*").unwrap();
        assert!(one.overlaps(&all) && all.overlaps(&any) && any.overlaps(&one));
        for other in [
            "shop.v1.Orders/create",
            "shop.v1.orders/Create",
            "shop.v1.OrdersX/*",
            "v1.Orders/*",
            "Orders/Create",
        ] {
            assert!(!one.overlaps(&grpc(other).unwrap()), "{other}");
        }
        assert!(!any.overlaps(&Pattern::Http(http("* /**").unwrap())));
        for text in [
            "",
            "/",
            "a",
            "a/",
            "/a",
            "*/Do",
            "a.*/Do",
            "a.C/D*",
            "*/*",
            "a.C/**",
            "/a.C/Do",
            "a.C/Do/x",
            "POST /a.C/Do",
            "a-b/C",
            "a b/C",
            "a.C/{m}",
            "a..C/D",
            ".C/D",
            "C./D",
            "1/D",
            "C/1",
        ] {
            assert!(
                matches!(grpc(text), Err(OperationError::Call(_))),
                "{text:?}"
            );
        }
        assert!(grpc(&format!("{}/D", "a".repeat(GRPC_CALL_MAX))).is_err());
        let concrete = |text| Concrete::parse(text, Protocol::Grpc, Allowances::default());
        assert_eq!(concrete("a.C/Do").unwrap().to_string(), "a.C/Do");
        for text in ["a.C/*", "*", "POST /a.C/Do", "connect", "a.C"] {
            assert!(concrete(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tls_has_one_operation_and_says_why() {
        let tls = |text: &str| Pattern::parse(text, Protocol::Tls, Allowances::default());
        assert_eq!(tls("connect"), Ok(Pattern::Connect));
        for text in ["GET /", "* /**", "*", "a.C/Do", "send"] {
            let error = tls(text).unwrap_err();
            assert!(error.help().contains("cannot be seen"), "{text}");
        }
    }

    #[test]
    fn sees_whether_two_patterns_share_a_request() {
        for (a, b) in [
            ("GET /a", "GET /a"),
            ("* /a", "GET /a"),
            ("GET /*", "GET /a"),
            ("GET /*/b", "GET /a/{x}"),
            ("GET /**", "GET /a"),
            ("GET /a/**", "GET /a"),
            ("GET /a/**", "GET /**"),
            ("GET /a/**", "GET /*/b/c"),
            ("GET /", "GET /**"),
        ] {
            assert!(overlap(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("GET /a", "POST /a"),
            ("GET /a", "get /a"),
            ("GET /a", "GET /b"),
            ("GET /*", "GET /"),
            ("GET /a/*", "GET /a/"),
            ("GET /a", "GET /a/"),
            ("GET /*", "GET /a/b"),
            ("GET /a/b/**", "GET /a"),
            ("GET /a/**", "GET /b/**"),
        ] {
            assert!(!overlap(a, b), "{a} {b}");
        }
    }

    #[test]
    fn reads_concrete_operations() {
        let of = |text| Concrete::parse(text, Protocol::Http, Allowances::default());
        assert_eq!(of("GET /%61").unwrap().to_string(), "GET /a");
        assert!(of("GET /a/../b").unwrap_err().is_refused_path());
        assert!(!of("GET").unwrap_err().is_refused_path());
        assert!(of("connect").is_err());
        let connect = Concrete::parse("connect", Protocol::Tcp, Allowances::default());
        assert_eq!(connect, Ok(Concrete::Connect));
    }
}
