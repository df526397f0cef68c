//! What the relay asks of the connection it serves, and how it says that it has ended.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Instant;

use ringfence_model::path::Allowances;
use ringfence_model::{CanonicalPath, GrpcCall};
use ringfence_wire::foreign::Spoken;
use ringfence_wire::http1::Field;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::whole::Whole;

/// The connection's side of the relay: decides, records, dials. The relay itself knows no policy and no log.
///
/// Order, for every request: read head → [`Gate::authority_ok`] → canonical path → [`Gate::admit`] →
/// [`Gate::dial`] (unless a connection from an earlier request is still good) → first byte moves. Where the decision
/// rests on the body, `admit` asks for it, and all is asked again from the start once it has been read.
pub(crate) trait Gate: Send + Sync {
    /// Proof that a request was allowed *and recorded*. Held while the request is under way, dropped at its end.
    type Permit: Send + Sync;
    /// A connection to the receiver. Dropping it in the middle of an exchange must not look like a clean end
    /// where the transport can tell the difference.
    type Upstream: AsyncRead + AsyncWrite + Unpin + Send;

    /// Path forms the receiver accepts although they are refused by default.
    fn allowances(&self) -> Allowances;

    /// Whether `authority` (the Host header: no userinfo, `host` or `host:port`, any case) is one of the
    /// receiver's names or addresses.
    fn authority_ok(&self, authority: &str) -> bool;

    /// Decides one request and records the decision, allow or deny, before it returns (kind `operation`).
    /// Nothing of the request has moved yet. [`Refusal::BodyFirst`] decides and records nothing.
    fn admit(&self, asked: &Asked<'_>) -> Result<Self::Permit, Refusal>;

    /// Whether the decision rested on more than method and path. Then no trailers go on: a service that takes them
    /// for fields of the head would see what nobody has asked about.
    fn saw_fields(&self, permit: &Self::Permit) -> bool;

    /// Records a request that was refused before it could be decided (outcome deny).
    ///
    /// `what` is the request as far as it could be read (`GET /a/../b`, or the start of its first line), printable
    /// ASCII of at most [`super::limits::WHAT_MAX`] bytes; `reason` is for operators only.
    fn refuse_malformed(&self, what: &str, reason: &str);

    /// Records a client that speaks another protocol from its first byte (outcome deny). `what` is as for
    /// [`Gate::refuse_malformed`].
    fn refuse_foreign(&self, what: &str, seen: Spoken);

    /// Opens a fresh connection to the receiver. [`io::ErrorKind::TimedOut`] is answered with 504, any other
    /// error with 502. The relay gives up after [`super::limits::DIAL_TIMEOUT`] by itself.
    fn dial(&self) -> impl Future<Output = io::Result<Self::Upstream>> + Send;

    /// The authority to send on instead of the client's own (endpoints outside); `None` keeps the client's. Asked
    /// before a request is admitted, and again behind every dial, which may have settled it otherwise.
    fn upstream_authority(&self) -> Option<String>;

    /// The value of `x-forwarded-client-cert` that names the caller. Control bytes in it make every request 503.
    fn client_cert_header(&self) -> &str;

    /// Resolves when the request (`Some`), or the connection between requests (`None`), is no longer allowed.
    /// The relay then stops at once and resets the client. Must resolve immediately when that is already so.
    fn revoked(&self, permit: Option<&Self::Permit>) -> impl Future<Output = ()> + Send;

    /// Carries what is said on a WebSocket once it is open, both ways and unread, and says how it ended. `there` is what has
    /// been read from the client already, `back` what the service has said. Unless both sides finish in order, each of
    /// them sees a reset.
    fn carry(
        &self,
        permit: &Self::Permit,
        client: &mut Whole,
        upstream: &mut Self::Upstream,
        read: Read,
    ) -> impl Future<Output = Ended> + Send;

    /// The service has let an admitted request down: no answer, a broken one, or one that could be read two ways.
    /// `reason` is for operators only, and concerns the last request admitted.
    fn upstream_failed(&self, reason: &str);

    /// Bytes just relayed, heads included: `sent` towards the receiver, `received` towards the client. Called as
    /// they move, so a relay that is dropped half-way has still counted. Answers of our own are not counted.
    fn count(&self, sent: u64, received: u64);

    /// The first byte of a request has just gone to the receiver; its head (and its body, where that had
    /// to be judged) was complete at `arrived`.
    fn sent_on(&self, arrived: Instant);
}

/// Bytes that were read from either side of a WebSocket and belong on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// From the client.
    pub(crate) there: Vec<u8>,
    /// From the service.
    pub(crate) back: Vec<u8>,
}

/// A request that is to be decided, as the client sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// Case as sent; of one that asks to open a WebSocket, [`WEBSOCKET`](ringfence_model::operation::WEBSOCKET).
    pub(crate) method: &'a str,
    /// Under [`Gate::allowances`].
    pub(crate) path: &'a CanonicalPath,
    /// The call that it is, to a receiver that speaks gRPC; then `path` is of that.
    pub(crate) call: Option<&'a GrpcCall>,
    /// Passed [`Gate::authority_ok`].
    pub(crate) authority: &'a str,
    /// What followed `?`.
    pub(crate) query: Option<&'a [u8]>,
    /// All that the receiver will see, in their order.
    pub(crate) fields: &'a [Field<'a>],
    /// As far as it is known.
    pub(crate) body: Said<'a>,
}

/// What is known of a request's body before it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// There is one, and nobody has looked.
    Unread,
    /// There is none.
    None,
    /// There is more of it than [`super::limits::EARLY_MAX`].
    TooLong,
    /// All of it, without its framing.
    Whole(&'a [u8]),
}

/// Why [`Gate::admit`] gave no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The decision rests on the body, which is [`Said::Unread`].
    BodyFirst,
    /// Policy says no: 403.
    Refused,
    /// The decision could not be recorded or made: 503.
    Unavailable,
}

/// Why a relay ended; [`fmt::Display`] is the reason for the close record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The last exchange was complete and the client, or the way it framed its request, asked for the end.
    Finished,
    /// The client sent nothing for [`super::limits::IDLE_TIMEOUT`].
    Idle,
    /// The client began a request head and did not finish it within [`super::limits::HEAD_TIMEOUT`].
    HeadTimeout,
    /// The client did not send a body that had to be judged within [`super::limits::EARLY_TIMEOUT`].
    BodyTimeout,
    /// The client went away in the middle of a request or of its answer.
    ClientGone,
    /// The client sent what is not HTTP/1.x, or what two servers could read differently.
    Malformed,
    /// A refused request had a body too long to skip, so the connection was closed after the answer.
    RefusedBody,
    /// The receiver answered before it had read the whole request.
    EarlyAnswer,
    /// The receiver broke off in the middle of its answer, or framed it unsoundly.
    UpstreamBroke,
    /// No byte moved in either direction for [`super::limits::STALL_TIMEOUT`].
    Stalled,
    /// One side of a WebSocket broke off.
    WebSocketBroke,
    /// [`Gate::revoked`] resolved.
    Revoked,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "finished",
            Self::Idle => "idle for too long",
            Self::HeadTimeout => "request head not complete in time",
            Self::BodyTimeout => "request body not complete in time",
            Self::ClientGone => "client went away",
            Self::Malformed => "malformed request",
            Self::RefusedBody => "refused request with a long body",
            Self::EarlyAnswer => "answered before the request was complete",
            Self::UpstreamBroke => "service broke off",
            Self::Stalled => "stalled",
            Self::WebSocketBroke => "one side of the WebSocket broke off",
            Self::Revoked => "revoked",
        })
    }
}
