//! Our reader of requests against those of others.

use ringfence_wire::http1::{
    Framing, Onward, Read, RequestHead, read_request, write_chunk, write_last_chunk,
};

use super::known::{Form, Message, is_known};
use super::request::plain_field;
use super::{Body, read_body};
use crate::peers::{Ended, PEERS, Peer, Request};
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "http1_differential",
    holds: "whatever we take for a request, hyper, http_parser and h11 each refuse or read alike, to its last byte, and not all refuse; what we send on, they take",
    length_max: 2048,
    run,
};

/// Follows each request, to see whether a parser comes out of it where we do.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n";
/// Requests of one input that are looked at.
const REQUESTS_MAX: usize = 4;

fn run(bytes: &[u8]) {
    let mut rest = bytes;
    for _ in 0..REQUESTS_MAX {
        let Ok(Read::Complete { head, consumed }) = read_request(rest) else {
            return;
        };
        // What follows it is no request to anybody before it is answered.
        if head.websocket.is_some() {
            return;
        }
        let Ok(
            body @ Body {
                length: Some(length),
                ..
            },
        ) = read_body(head.framing, &rest[consumed..], [])
        else {
            return;
        };
        let (message, after) = rest.split_at(consumed + length);
        rest = after;
        let (sent, onward) = (as_sent(&head, &body), sent_on(&head, &body));
        // What has no canonical path goes nowhere, and may look as it likes.
        let mut alone = onward.is_some();
        for peer in &PEERS {
            let message = Message {
                form: Form::AsSent,
                bytes: message,
                head: consumed,
                request: &sent,
            };
            let excused = is_known(peer.name, &message);
            alone &= !excused && !compare(peer, &message, true);
            if let Some((bytes, head, request)) = &onward {
                let message = Message {
                    form: Form::SentOn,
                    bytes,
                    head: *head,
                    request,
                };
                let excused = is_known(peer.name, &message);
                compare(peer, &message, excused);
                alone &= !excused;
            }
        }
        // Nobody else may be laxer than we are, but to be the only one is to be wrong.
        assert!(!alone, "nobody else takes {}", message.escape_ascii());
    }
}

/// Whether `peer` takes it. Panics where it reads it otherwise, or refuses what it may not.
fn compare(peer: &Peer, message: &Message<'_>, may_refuse: bool) -> bool {
    let seen = peer.read(&[message.bytes, NEXT].concat());
    let ours = message.request;
    let differs = |what: &str| -> ! {
        panic!(
            "{} {what}\n{:?}: {}\nours: {}\ntheirs: {}, then {:?}",
            peer.name,
            message.form,
            message.bytes.escape_ascii(),
            shown(ours),
            seen.requests
                .iter()
                .map(shown)
                .collect::<Vec<_>>()
                .join(", "),
            seen.ended
        )
    };
    let Some(first) = seen.requests.first() else {
        match seen.ended {
            Ended::Rejected if may_refuse => return false,
            Ended::Rejected => differs("refuses what we send on"),
            _ => differs("sees no end where we do"),
        }
    };
    if (&first.method, &first.target) != (&ours.method, &ours.target) {
        differs("sees another operation");
    }
    if first.body != ours.body {
        differs("sees another body");
    }
    // What ends at this hop is not among ours.
    let goes_on = |(name, _): &&(Vec<u8>, Vec<u8>)| !ends_here(name);
    let theirs = first.fields.iter().filter(goes_on);
    if !theirs.eq(ours.fields.iter().filter(goes_on)) {
        differs("sees other fields");
    }
    match &seen.requests[1..] {
        [] if seen.ended == Ended::Closed => {}
        [next] if next.target == b"/next" && next.method == b"GET" && next.body.is_empty() => {}
        _ => differs("goes on elsewhere"),
    }
    true
}

fn shown(request: &Request) -> String {
    let fields: Vec<String> = request
        .fields
        .iter()
        .map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.escape_ascii()))
        .collect();
    format!(
        "{} {} {fields:?} {}",
        request.method.escape_ascii(),
        request.target.escape_ascii(),
        request.body.escape_ascii()
    )
}

fn as_sent(head: &RequestHead<'_>, body: &Body) -> Request {
    let mut fields: Vec<_> = head.fields.iter().map(plain_field).collect();
    for (name, value) in &mut fields {
        if name == b"transfer-encoding" {
            value.make_ascii_lowercase();
        }
    }
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    Request {
        method: head.method.as_bytes().to_vec(),
        target: target(head.path, head.query),
        fields,
        body: body.data.clone(),
    }
}

fn target(path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    match query {
        Some(query) => [path, b"?", query].concat(),
        None => path.to_vec(),
    }
}

/// The message in canonical form, how long its head is, and what it says. `None`: it cannot be sent.
fn sent_on(head: &RequestHead<'_>, body: &Body) -> Option<(Vec<u8>, usize, Request)> {
    let path = ringfence_model::CanonicalPath::new(head.path, Default::default()).ok()?;
    let mut message = Vec::new();
    let onward = Onward {
        path: path.as_str(),
        authority: head.authority,
        client_cert: "By=us",
    };
    head.write(onward, &mut message).ok()?;
    let Ok(Read::Complete {
        head: again,
        consumed,
    }) = read_request(&message)
    else {
        return None;
    };
    let request = as_sent(&again, body);
    match head.framing {
        Framing::Chunked => {
            write_chunk(&body.data, &mut message);
            write_last_chunk(&body.trailers, &mut message);
        }
        _ => message.extend_from_slice(&body.data),
    }
    Some((message, consumed, request))
}

/// Connection's own, what other proxies say, and what only we may say.
fn ends_here(name: &[u8]) -> bool {
    const HOP: [&[u8]; 6] = [
        b"connection",
        b"keep-alive",
        b"te",
        b"upgrade",
        b"http2-settings",
        b"proxy",
    ];
    const OURS: [&[u8]; 3] = [
        b"x-forwarded-client-cert",
        b"client-cert",
        b"client-cert-chain",
    ];
    let letters: Vec<u8> = name
        .iter()
        .map(|&b| if b.is_ascii_alphanumeric() { b } else { b'-' })
        .collect();
    HOP.contains(&name) || name.starts_with(b"proxy-") || OURS.contains(&&*letters)
}
