//! From a request head to a permit, or to the answer that refuses it. Nothing here waits, and nothing moves.

use ringfence_model::CanonicalPath;
use ringfence_wire::http1::{self, Framing, Onward, RequestHead, Scanned, Version};

use super::gate::{Gate, Refusal};
use super::limits::{SKIP_MAX, WHAT_MAX};

/// What the relay has to remember of a request once its head is dealt with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outline {
    pub(super) version: Version,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) expect_continue: bool,
    pub(super) to_head: bool,
}

impl Outline {
    fn of(head: &RequestHead<'_>) -> Self {
        Self {
            version: head.version,
            framing: head.framing,
            keep_alive: head.keep_alive,
            expect_continue: head.expect_continue,
            to_head: head.method == "HEAD",
        }
    }

    /// How many bytes of body to skip so that the connection can live on after a refusal. `None`: it cannot, because
    /// the client asked for the end, the body is long or of unknown length, or may never come.
    pub(super) fn skippable(&self) -> Option<u64> {
        match self.framing {
            _ if !self.keep_alive => None,
            Framing::None | Framing::Length(0) => Some(0),
            Framing::Length(length) if length <= SKIP_MAX && !self.expect_continue => Some(length),
            _ => None,
        }
    }
}

/// What became of a request head.
pub(super) enum Judged<P> {
    /// Allowed and recorded.
    Admitted {
        permit: P,
        outline: Outline,
        /// The canonical head to send.
        head: Vec<u8>,
    },
    /// Understood, and refused with `status`.
    Refused { status: u16, outline: Outline },
    /// Not understood: where the next request begins is unknown.
    Malformed { status: u16 },
}

/// Takes one head through all checks, in their order: form, authority, path, decision and record.
pub(super) fn judge<G: Gate>(gate: &G, scanned: Scanned<'_>, bytes: &[u8]) -> Judged<G::Permit> {
    let request = match http1::parse_request(scanned) {
        Ok(request) => request,
        Err(refusal) => {
            gate.refuse_malformed(&first_line(bytes), &refusal.to_string());
            return Judged::Malformed {
                status: refusal.status(),
            };
        }
    };
    let outline = Outline::of(&request);
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
    let client_cert = gate.client_cert_header();
    let onward = Onward {
        path: path.as_str(),
        authority: own_authority.as_deref().unwrap_or(request.authority),
        client_cert: &client_cert,
    };
    if let Err(refusal) = request.write(onward, &mut head) {
        gate.refuse_malformed(&in_words(&request), &refusal.to_string());
        return Judged::Refused {
            status: refusal.status(),
            outline,
        };
    }
    match gate.admit(request.method, &path) {
        Ok(permit) => Judged::Admitted {
            permit,
            outline,
            head,
        },
        Err(Refusal::Refused) => Judged::Refused {
            status: 403,
            outline,
        },
        Err(Refusal::Unavailable) => Judged::Refused {
            status: 503,
            outline,
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

/// The start of something that is no request, for the record.
pub(super) fn first_line(bytes: &[u8]) -> String {
    let line = bytes
        .split(|b| matches!(b, b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    cut(line
        .get(..WHAT_MAX)
        .unwrap_or(line)
        .escape_ascii()
        .to_string())
}

/// Cuts to the bound of a record; the text is ASCII.
fn cut(mut text: String) -> String {
    text.truncate(WHAT_MAX);
    text
}
