//! The HTTP relays as they serve a connection, for their fuzz targets.
//!
//! Always compiled: behind a feature, the crate would be built twice in every build of the workspace. Nothing that ships
//! calls it, so nothing that ships has it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ringfence_model::operation::WEBSOCKET;
use ringfence_model::path::Allowances;
use ringfence_wire::foreign::Spoken;
use ringfence_wire::http2::Violation;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::http::{self, Asked, Ended, Gate, Read, Refusal, Said};
use crate::http2;
use crate::limits::HELD_PER_COMPARTMENT;
use crate::memory::Memory;
use crate::whole::Whole;

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Let through: method, canonical path, query.
    Admitted(String, String, Option<Vec<u8>>),
    /// Refused: by policy, or for what could not be read.
    Refused,
}

/// A relay's diary, in order.
#[derive(Debug)]
pub struct Relayed {
    /// Each request that was decided.
    pub judged: Vec<Judged>,
    /// Why it ended.
    pub ended: String,
}

/// Relays what `client` says to services that `dial` gives, until one side is done. Policy refuses paths under `/no`, and
/// reads the body before it allows those under `/body`.
pub async fn relay<U>(client: TcpStream, dial: impl Fn() -> U + Send + Sync) -> Relayed
where
    U: AsyncRead + AsyncWrite + Unpin + Send,
{
    let diary = Diary {
        dial,
        memory: Memory::new(HELD_PER_COMPARTMENT),
        judged: Mutex::default(),
    };
    let ended = http::relay(client, &diary).await.to_string();
    let judged = diary.judged.into_inner();
    Relayed {
        judged: judged.unwrap_or_else(PoisonError::into_inner),
        ended,
    }
}

/// The same over HTTP/2: [`relay`] has the rules.
pub async fn relay_http2<U>(client: TcpStream, dial: impl Fn() -> U + Send + Sync) -> Relayed
where
    U: AsyncRead + AsyncWrite + Unpin + Send,
{
    let diary = Diary {
        dial,
        memory: Memory::new(HELD_PER_COMPARTMENT),
        judged: Mutex::default(),
    };
    let ended = http2::relay(client, &diary).await.to_string();
    let judged = diary.judged.into_inner();
    Relayed {
        judged: judged.unwrap_or_else(PoisonError::into_inner),
        ended,
    }
}

struct Diary<D> {
    dial: D,
    memory: Arc<Memory>,
    judged: Mutex<Vec<Judged>>,
}

impl<D> Diary<D> {
    fn note(&self, judged: Judged) {
        let mut all = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(judged);
    }
}

impl<U, D> Gate for Diary<D>
where
    U: AsyncRead + AsyncWrite + Unpin + Send,
    D: Fn() -> U + Send + Sync,
{
    /// Whether the body was read.
    type Permit = bool;
    type Upstream = U;

    fn allowances(&self) -> Allowances {
        Allowances::default()
    }

    fn authority_ok(&self, _authority: &str) -> bool {
        true
    }

    fn admit(&self, asked: &Asked<'_>) -> Result<bool, Refusal> {
        let path = asked.path.as_str();
        let judges_body = path.starts_with("/body");
        if judges_body && asked.body == Said::Unread {
            return Err(Refusal::BodyFirst);
        }
        if path.starts_with("/no") {
            self.note(Judged::Refused);
            return Err(Refusal::Refused);
        }
        self.note(Judged::Admitted(
            // Of a WebSocket the service sees the request that asks for it.
            match asked.method {
                WEBSOCKET => "GET".to_owned(),
                method => method.to_owned(),
            },
            path.to_owned(),
            asked.query.map(<[u8]>::to_vec),
        ));
        Ok(judges_body)
    }

    fn saw_fields(&self, permit: &bool) -> bool {
        *permit
    }

    fn refuse_malformed(&self, _what: &str, _reason: &str) {
        self.note(Judged::Refused);
    }

    fn refuse_foreign(&self, _what: &str, _seen: Spoken) {
        self.note(Judged::Refused);
    }

    async fn carry(&self, _: &bool, _: &mut Whole, _: &mut U, _: Read) -> Ended {
        // Nobody reads what is said on it.
        Ended::Finished
    }

    async fn dial(&self) -> io::Result<U> {
        Ok((self.dial)())
    }

    fn upstream_authority(&self) -> Option<String> {
        None
    }

    fn client_cert_header(&self) -> &str {
        "By=us"
    }

    async fn revoked(&self, _permit: Option<&bool>) {
        std::future::pending().await
    }

    fn upstream_failed(&self, _reason: &str) {}

    fn count(&self, _sent: u64, _received: u64) {}

    fn sent_on(&self, _arrived: Instant) {}
}

impl<U, D> http2::Gate for Diary<D>
where
    U: AsyncRead + AsyncWrite + Unpin + Send,
    D: Fn() -> U + Send + Sync,
{
    type Place = ();
    type Watch = ();

    fn is_grpc(&self) -> bool {
        false
    }

    fn admit_stream(&self, asked: &Asked<'_>, _held: &mut Option<()>) -> Result<bool, Refusal> {
        self.admit(asked)
    }

    fn scheme(&self) -> &'static str {
        "http"
    }

    fn watch(&self) {}

    async fn changed(&self, _watch: &mut ()) {
        std::future::pending().await
    }

    fn may_stay(&self, _watch: &mut ()) -> bool {
        true
    }

    fn may_go_on(&self, _watch: &mut (), _permit: &bool) -> bool {
        true
    }

    fn has_time(&self, _permit: &bool) -> bool {
        false
    }

    fn note(&self, _watch: &mut (), _permit: &bool) {}

    fn breach(&self, _what: Option<&str>, _violation: Violation) {
        Diary::note(self, Judged::Refused);
    }

    fn over_bound(&self, _what: &str, _reason: &str) {
        Diary::note(self, Judged::Refused);
    }

    fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    fn out_of_memory(&self, _what: &str) {
        Diary::note(self, Judged::Refused);
    }
}
