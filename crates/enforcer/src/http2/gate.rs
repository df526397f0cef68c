//! What the relay asks of the connection it serves, beyond what the relay of HTTP/1.1 asks, and how it says that it has
//! ended.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use ringfence_wire::http2::Violation;

use crate::http;
use crate::http::{Asked, Refusal};
use crate::memory::Memory;

/// The connection's side of the relay: decides, records, dials. The relay itself knows no policy and no log.
///
/// Order, for every stream: header list → [`http::Gate::authority_ok`] → canonical path, or call → [`Gate::admit_stream`] →
/// [`http::Gate::dial`] (for the first) → first byte moves. [`Gate::watch`] comes before all of them.
pub(crate) trait Gate: http::Gate {
    /// A place for a body that is read before its stream is decided.
    type Place: Send;
    /// Hears of everything that decisions may rest on.
    type Watch: Send;

    /// Whether streams are calls of gRPC.
    fn is_grpc(&self) -> bool;

    /// [`http::Gate::admit`] for one stream among many: what [`Refusal::BodyFirst`] leaves in `held` is handed in again
    /// with the body.
    fn admit_stream(
        &self,
        asked: &Asked<'_>,
        held: &mut Option<Self::Place>,
    ) -> Result<Self::Permit, Refusal>;

    /// `https` where the connection to the service is in TLS. Asked when that is there.
    fn scheme(&self) -> &'static str;

    /// Begins to listen. What changes from here on is heard of.
    fn watch(&self) -> Self::Watch;

    /// Resolves when something has changed since [`Gate::may_stay`] was asked last, or time has come that was noted.
    fn changed(&self, watch: &mut Self::Watch) -> impl Future<Output = ()> + Send;

    /// Whether the two may be connected still. If not, the reason is kept for the close record.
    fn may_stay(&self, watch: &mut Self::Watch) -> bool;

    /// Whether a stream may go on. If not, that is recorded.
    fn may_go_on(&self, watch: &mut Self::Watch, permit: &Self::Permit) -> bool;

    /// Whether a permit may end by itself, when its time has come.
    fn has_time(&self, permit: &Self::Permit) -> bool;

    /// Notes when a new permit has to be asked about again.
    fn note(&self, watch: &mut Self::Watch, permit: &Self::Permit);

    /// Records that the client has broken the protocol, or reached one of its bounds. The connection ends. `what` it said,
    /// where that is no HTTP/2 at all.
    fn breach(&self, what: Option<&str>, violation: Violation);

    /// Records a stream over a bound, of which nothing was decided.
    fn over_bound(&self, what: &str, reason: &str);

    /// What the caller's requests may take beyond what each of its connections may hold by itself.
    fn memory(&self) -> &Arc<Memory>;

    /// Records that there was none left of it for `what`.
    fn out_of_memory(&self, what: &str);
}

/// Why a relay ended; [`fmt::Display`] is the reason for the close record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The client closed, and no stream was open.
    Finished,
    /// No stream was open for [`super::limits::IDLE_TIMEOUT`].
    Idle,
    /// The client went away, and streams were open.
    ClientGone,
    /// The client broke the protocol.
    Violation(Violation),
    /// The service says that it takes no more on this connection, and what it took is done.
    ServiceLeft,
    /// The client took nothing for [`super::limits::WRITE_STALL`].
    Stalled,
    /// Policy says no to the connection.
    Revoked,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "finished",
            Self::Idle => "idle for too long",
            Self::ClientGone => "client went away",
            Self::Violation(violation) => return violation.fmt(f),
            Self::ServiceLeft => "service takes no more on this connection",
            Self::Stalled => "stalled",
            Self::Revoked => "revoked",
        })
    }
}
