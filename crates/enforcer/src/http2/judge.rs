//! From a header list to a permit, or to the answer that refuses it. Nothing here waits, and nothing moves.

use ringfence_model::{CanonicalPath, GrpcCall, NotACall};
use ringfence_wire::http2::{HeaderList, Onward, Refusal as Unread, RequestHead, read_request};

use super::gate::Gate;
use crate::http::{Asked, Refusal, Said, WHAT_MAX};

/// What the relay has to remember of a request once its head is dealt with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outline {
    pub(super) to_head: bool,
    /// Bytes of body that were announced.
    pub(super) length: Option<u64>,
    /// The client waits for leave to send the body.
    pub(super) expect_continue: bool,
}

/// What became of a header list.
pub(super) enum Judged<P> {
    /// Allowed and recorded; what goes on of it is written.
    Admitted {
        permit: P,
        path: CanonicalPath,
        outline: Outline,
    },
    /// Not decided: the body has to be read first, and all of it judged again.
    BodyFirst {
        outline: Outline,
        /// `METHOD /path`, for the record if that never happens.
        what: String,
    },
    /// Refused with `status`. `is_call`: by one of gRPC.
    Refused {
        status: u16,
        to_head: bool,
        is_call: bool,
    },
    /// Malformed: its stream is reset.
    Malformed,
}

/// Takes one list through all checks, in their order: form, authority, path or call, decision and record. `body`: what was
/// read because a decision before this one asked for it. What goes on is appended to `out`.
pub(super) fn judge<G: Gate>(
    gate: &G,
    list: &mut HeaderList,
    ended: bool,
    body: Option<Said<'_>>,
    held: &mut Option<G::Place>,
    out: &mut Vec<u8>,
) -> Judged<G::Permit> {
    let request = match read_request(list, ended) {
        Ok(request) => request,
        Err(refusal) => return unread(gate, list, refusal),
    };
    let to_head = request.method == "HEAD";
    let refused = |status| Judged::Refused {
        status,
        to_head,
        is_call: gate.is_grpc(),
    };
    if !gate.authority_ok(request.authority) {
        let reason = format!("authority {} is not this service's", request.authority);
        gate.refuse_malformed(&in_words(&request), &reason);
        return refused(403);
    }
    let path = match CanonicalPath::new(request.path, gate.allowances()) {
        Ok(path) => path,
        Err(error) => {
            gate.refuse_malformed(&in_words(&request), &error.to_string());
            return refused(400);
        }
    };
    let call = match gate.is_grpc().then(|| call(&request)) {
        None => None,
        Some(Ok(call)) => Some(call),
        Some(Err(error)) => {
            gate.refuse_malformed(&in_words(&request), &format!("not a call of gRPC: {error}"));
            return Judged::Refused {
                status: if error == NotACall::ContentType {
                    415
                } else {
                    400
                },
                to_head,
                is_call: false,
            };
        }
    };
    let outline = Outline {
        to_head,
        length: request.length,
        expect_continue: request.expect_continue && body.is_none(),
    };
    // Written before the decision: what cannot be sent must not stand in the record as allowed.
    if let Err(refusal) = write(gate, &request, &path, outline.expect_continue, out) {
        gate.refuse_malformed(&in_words(&request), &refusal.to_string());
        return refused(refusal.status().unwrap_or(400));
    }
    let asked = Asked {
        method: request.method,
        path: &path,
        call: call.as_ref(),
        authority: request.authority,
        query: request.query,
        fields: request.fields(),
        body: match body {
            Some(body) => body,
            None if ended || request.length == Some(0) => Said::None,
            None => Said::Unread,
        },
    };
    match gate.admit_stream(&asked, held) {
        Ok(permit) => Judged::Admitted {
            permit,
            path,
            outline,
        },
        Err(Refusal::Refused) => refused(403),
        Err(Refusal::BodyFirst) if asked.body == Said::Unread => Judged::BodyFirst {
            outline,
            what: in_words(&request),
        },
        Err(Refusal::BodyFirst | Refusal::Unavailable) => refused(503),
    }
}

/// Appends what goes on of `request`.
pub(super) fn write<G: Gate>(
    gate: &G,
    request: &RequestHead<'_>,
    path: &CanonicalPath,
    expect_continue: bool,
    out: &mut Vec<u8>,
) -> Result<(), Unread> {
    let own_authority = gate.upstream_authority();
    let onward = Onward {
        scheme: gate.scheme(),
        path: path.as_str(),
        authority: own_authority.as_deref().unwrap_or(request.authority),
        client_cert: gate.client_cert_header(),
        expect_continue,
    };
    request.write(onward, out)
}

/// The call that a request to a service of gRPC is.
fn call(request: &RequestHead<'_>) -> Result<GrpcCall, NotACall> {
    let types = request
        .fields()
        .iter()
        .filter(|field| field.name == "content-type")
        .map(|field| field.value);
    match (request.query, std::str::from_utf8(request.path)) {
        (None, Ok(path)) => GrpcCall::from_request(request.method, path, types),
        _ => Err(NotACall::Path),
    }
}

fn unread<G: Gate>(gate: &G, list: &HeaderList, refusal: Unread) -> Judged<G::Permit> {
    let method = list.first(":method").unwrap_or_default();
    let path = list.first(":path").unwrap_or_default();
    let path = path.split(|b| matches!(b, b'?' | b'#')).next();
    // What has not their form may be anything, userinfo of an absolute form above all.
    let path = path
        .filter(|path| path.starts_with(b"/"))
        .unwrap_or_default();
    let is_method =
        method.len() <= 16 && method.iter().all(|b| b.is_ascii_uppercase() || *b == b'-');
    let method = if is_method { method } else { b"unreadable" };
    let what = format!("{} {}", method.escape_ascii(), path.escape_ascii());
    gate.refuse_malformed(&cut(what), &refusal.to_string());
    match refusal.status() {
        None => Judged::Malformed,
        Some(status) => Judged::Refused {
            status,
            to_head: method == b"HEAD",
            is_call: gate.is_grpc(),
        },
    }
}

/// `METHOD /path`, for the record.
fn in_words(request: &RequestHead<'_>) -> String {
    cut(format!(
        "{} {}",
        request.method,
        request.path.escape_ascii()
    ))
}

/// Cuts to the bound of a record; the text is ASCII.
fn cut(mut text: String) -> String {
    text.truncate(WHAT_MAX);
    text
}
