//! From a request head to a permit, or to the answer that refuses it. Nothing here waits, and nothing moves.

use ringfence_model::CanonicalPath;
use ringfence_model::operation::WEBSOCKET;
use ringfence_wire::foreign::{Spoken, spoken};
use ringfence_wire::http1::{
    self, BodyReader, Framing, Onward, RequestHead, Scanned, Version, WebSocketKey,
};

use super::early::Early;
use super::gate::{Asked, Gate, Refusal, Said};
use super::limits::{SKIP_MAX, WHAT_MAX};

/// Bytes of another protocol that stand in its record: type and version of a TLS record, `SSH-2.0-`.
const TLS_SHOWN: usize = 3;
const SSH_SHOWN: usize = 8;
/// Letters of a method of something that is no request.
const METHOD_SHOWN: usize = 16;
/// What stands in the record of something that has not even the form of a request.
const UNREADABLE: &[u8] = b"unreadable";

/// What the relay has to remember of a request once its head is dealt with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outline {
    pub(super) version: Version,
    /// As it is sent on.
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    /// The client still waits for leave to send the body.
    pub(super) expect_continue: bool,
    pub(super) to_head: bool,
    /// All of the body has been taken from the client.
    body_taken: bool,
}

impl Outline {
    fn of(head: &RequestHead<'_>) -> Self {
        Self {
            version: head.version,
            framing: head.framing,
            keep_alive: head.keep_alive,
            expect_continue: head.expect_continue,
            to_head: head.method == "HEAD",
            body_taken: false,
        }
    }

    /// How many bytes of body to skip so that the connection can live on after a refusal. `None`: it cannot, because
    /// the client asked for the end, the body is long or of unknown length, or may never come.
    pub(super) fn skippable(&self) -> Option<u64> {
        match self.framing {
            _ if !self.keep_alive => None,
            _ if self.body_taken => Some(0),
            Framing::None | Framing::Length(0) => Some(0),
            Framing::Length(length) if length <= SKIP_MAX && !self.expect_continue => Some(length),
            _ => None,
        }
    }
}

/// What is sent of an admitted request before its body is read on.
pub(super) struct Start {
    /// The canonical head, and behind it what has been read of the body.
    pub(super) head: Vec<u8>,
    /// Reads the rest of the body, if some of it has been read.
    pub(super) begun: Option<Box<BodyReader>>,
    /// Whether trailers go on.
    pub(super) trailers: bool,
    /// It asks to open a WebSocket.
    pub(super) websocket: Option<Box<WebSocketKey>>,
}

/// What became of a request head.
pub(super) enum Judged<P> {
    /// Allowed and recorded.
    Admitted {
        permit: P,
        outline: Outline,
        start: Start,
    },
    /// Not decided: the body has to be read first, and all of it judged again.
    BodyFirst {
        outline: Outline,
        /// `METHOD /path`, for the record if that never happens.
        what: String,
    },
    /// Understood, and refused with `status`.
    Refused { status: u16, outline: Outline },
    /// Not understood: where the next request begins is unknown.
    Malformed { status: u16 },
}

/// Takes one head through all checks, in their order: form, authority, path, decision and record. `early`: what was
/// read of its body because a decision before this one asked for it.
pub(super) fn judge<G: Gate>(
    gate: &G,
    scanned: Scanned<'_>,
    bytes: &[u8],
    early: Option<Early>,
) -> Judged<G::Permit> {
    let mut request = match http1::parse_request(scanned) {
        Ok(request) => request,
        Err(refusal) => {
            unreadable(gate, bytes, &refusal.to_string());
            return Judged::Malformed {
                status: refusal.status(),
            };
        }
    };
    if let Some(early) = &early {
        request.framing = early.framing();
        request.expect_continue &= !early.has_begun();
    }
    let outline = Outline {
        body_taken: early.as_ref().is_some_and(Early::is_whole),
        ..Outline::of(&request)
    };
    if !gate.authority_ok(request.authority) {
        let reason = format!("authority {} is not this service's", request.authority);
        gate.refuse_malformed(&in_words(&request), &reason);
        return Judged::Refused {
            status: 403,
            outline,
        };
    }
    let path = match CanonicalPath::new(request.path, gate.allowances()) {
        Ok(path) => path,
        Err(error) => {
            gate.refuse_malformed(&in_words(&request), &error.to_string());
            return Judged::Refused {
                status: 400,
                outline,
            };
        }
    };
    // Written before the decision: what cannot be sent must not stand in the record as allowed.
    let mut head = Vec::with_capacity(bytes.len().min(4096) + 256);
    let own_authority = gate.upstream_authority();
    let onward = Onward {
        path: path.as_str(),
        authority: own_authority.as_deref().unwrap_or(request.authority),
        client_cert: gate.client_cert_header(),
    };
    if let Err(refusal) = request.write(onward, &mut head) {
        gate.refuse_malformed(&in_words(&request), &refusal.to_string());
        return Judged::Refused {
            status: refusal.status(),
            outline,
        };
    }
    let asked = Asked {
        method: method(&request),
        path: &path,
        call: None,
        authority: request.authority,
        query: request.query,
        fields: &request.fields,
        body: match &early {
            Some(early) => early.said(),
            None if request.framing.has_body() => Said::Unread,
            None => Said::None,
        },
    };
    let refused = |status| Judged::Refused { status, outline };
    match gate.admit(&asked) {
        Ok(permit) => Judged::Admitted {
            outline,
            start: Start {
                begun: early.map(|early| Box::new(early.append_to(&mut head))),
                head,
                trailers: !gate.saw_fields(&permit),
                websocket: request.websocket.map(Box::new),
            },
            permit,
        },
        Err(Refusal::Refused) => refused(403),
        Err(Refusal::BodyFirst) if asked.body == Said::Unread => Judged::BodyFirst {
            outline,
            what: in_words(&request),
        },
        Err(Refusal::BodyFirst | Refusal::Unavailable) => refused(503),
    }
}

/// `METHOD /path`, for the record.
fn in_words(request: &RequestHead<'_>) -> String {
    cut(format!(
        "{} {}",
        method(request),
        request.path.escape_ascii()
    ))
}

/// What stands for the method in the operation.
fn method<'a>(request: &RequestHead<'a>) -> &'a str {
    match request.websocket {
        Some(_) => WEBSOCKET,
        None => request.method,
    }
}

/// Records what is no request, by what it is if that can be told.
pub(super) fn unreadable<G: Gate>(gate: &G, bytes: &[u8], reason: &str) {
    let what = first_line(bytes);
    match spoken(bytes) {
        Some(seen) if seen != Spoken::Http1 => gate.refuse_foreign(&what, seen),
        _ => gate.refuse_malformed(&what, reason),
    }
}

/// The start of something that is no request, for the record: what stands where method and target belong, as far as
/// they look like those. A query, userinfo, and what may be the body of a request before, carry secrets, and so may any word
/// that is none of ours: of what has not even the form of a request, no more is shown than tells a protocol from others.
pub(crate) fn first_line(bytes: &[u8]) -> String {
    let line = bytes
        .split(|b| matches!(b, b'\r' | b'\n' | b'?' | b'#'))
        .next()
        .unwrap_or_default();
    let shown = match line.iter().position(|b| *b == b' ') {
        Some(at) if is_method(&line[..at]) => request_line(line, at + 1),
        _ => match spoken(bytes) {
            Some(Spoken::Tls) => line.get(..TLS_SHOWN).unwrap_or(line),
            Some(Spoken::Ssh) => line.get(..SSH_SHOWN).unwrap_or(line),
            Some(Spoken::Http1) | None => UNREADABLE,
            Some(Spoken::Http2 | Spoken::Proxy) => &[],
        },
    };
    cut(shown
        .get(..WHAT_MAX)
        .unwrap_or(shown)
        .escape_ascii()
        .to_string())
}

/// A word that stands where a method does, and looks like one of those there are.
fn is_method(word: &[u8]) -> bool {
    let upper = |b: &u8| b.is_ascii_uppercase() || *b == b'-';
    (1..=METHOD_SHOWN).contains(&word.len()) && word.iter().all(upper)
}

/// As much of a line as is method, path and version; its target begins at `at`.
fn request_line(line: &[u8], at: usize) -> &[u8] {
    let target = &line[at..];
    let end = target.iter().position(|b| *b == b' ');
    let (target, rest) = target.split_at(end.unwrap_or(target.len()));
    let in_form =
        target.starts_with(b"/") || target.starts_with(b"http") && !target.contains(&b'@');
    match rest {
        _ if !in_form => &line[..at],
        b"" | b" HTTP/1.1" | b" HTTP/1.0" => line,
        _ => &line[..at + target.len()],
    }
}

/// Cuts to the bound of a record; the text is ASCII.
fn cut(mut text: String) -> String {
    text.truncate(WHAT_MAX);
    text
}
