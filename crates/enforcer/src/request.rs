//! A request, as policy is asked about it: when it arrives, and again while it is under way.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use jiff::Timestamp;
use ringfence_model::{CanonicalPath, GrpcCall};
use ringfence_policy::{Body, Moment, Operation, Recheck, Request, Seen, Snapshot};

use crate::http::{Asked, Said};
use crate::inforce::Stands;
use crate::judge::{self, Admitted, Denied, Pair};
use crate::memory::{Loan, Memory};
use crate::slots::Slot;

/// A request that was let through, as far as it takes to decide it again.
pub(crate) struct UnderWay {
    what: What,
    /// When to ask again, as far as that was known when it was let through.
    recheck: Recheck,
    /// Only where conditions may ask about it: most requests leave nothing behind.
    kept: Option<Box<Kept>>,
    /// For the body in it, as long as that is held.
    place: Option<Slot>,
    /// For the rest of it.
    loan: Option<Loan>,
    /// Where the decision does not depend on time.
    stands: Option<Stands>,
}

/// What it does.
enum What {
    Request {
        method: Cow<'static, str>,
        path: CanonicalPath,
    },
    Call(GrpcCall),
}

impl What {
    fn operation(&self) -> Operation<'_> {
        match self {
            Self::Request { method, path } => Operation::Http { method, path },
            Self::Call(call) => Operation::Grpc(call),
        }
    }
}

/// What conditions may ask about.
struct Kept {
    authority: String,
    query: Option<Box<[u8]>>,
    fields: Vec<(String, Box<[u8]>)>,
    body: KeptBody,
}

enum KeptBody {
    Unread,
    None,
    TooLong,
    Whole(Box<[u8]>),
}

/// A decision that can be made now.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are the large one, and a box for each request costs more"
)]
pub(crate) enum Decided {
    /// It rests on the body, which nobody has read.
    BodyFirst,
    /// It may pass.
    Yes(UnderWay, Admitted),
}

/// Decides a request as it arrived.
pub(crate) fn decide(
    snapshot: &Snapshot,
    pair: Pair,
    asked: &Asked<'_>,
    now: Timestamp,
) -> Result<Decided, Denied> {
    let operation = asked.operation();
    let under_way = |kept, recheck| UnderWay {
        what: match asked.call {
            Some(call) => What::Call(call.clone()),
            None => What::Request {
                method: usual(asked.method),
                path: asked.path.clone(),
            },
        },
        recheck,
        kept,
        place: None,
        loan: None,
        stands: None,
    };
    if !snapshot.reads_request(pair.from, pair.to) {
        let moment = Moment::at(now, Seen::Nothing);
        let admitted = judge::may(snapshot, pair, operation, &moment)?;
        return Ok(Decided::Yes(under_way(None, admitted.recheck), admitted));
    }
    if asked.body == Said::Unread && snapshot.reads_body(pair.from, pair.to, operation) {
        return Ok(Decided::BodyFirst);
    }
    let headers: Vec<_> = asked
        .fields
        .iter()
        .map(|field| (field.name, field.value))
        .collect();
    let request = Request {
        host: asked.authority,
        query: asked.query,
        headers: &headers,
        body: match asked.body {
            Said::Unread => Body::Unread,
            Said::None => Body::None,
            Said::TooLong => Body::TooLong,
            Said::Whole(bytes) => Body::Bytes(bytes),
        },
    };
    let moment = Moment::at(now, Seen::Request(&request));
    let admitted = judge::may(snapshot, pair, operation, &moment)?;
    let kept = Box::new(Kept::of(asked));
    Ok(Decided::Yes(
        under_way(Some(kept), admitted.recheck),
        admitted,
    ))
}

impl UnderWay {
    /// Decides again. A condition that asks for something that was not kept cannot be evaluated, and denies.
    pub(crate) fn may_go_on(
        &self,
        snapshot: &Snapshot,
        pair: Pair,
        now: Timestamp,
    ) -> Result<Admitted, Denied> {
        let operation = self.what.operation();
        let Some(kept) = &self.kept else {
            let moment = Moment::at(now, Seen::Nothing);
            return judge::may(snapshot, pair, operation, &moment);
        };
        let headers: Vec<_> = kept
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), &**value))
            .collect();
        let request = Request {
            host: &kept.authority,
            query: kept.query.as_deref(),
            headers: &headers,
            body: match &kept.body {
                KeptBody::Unread => Body::Unread,
                KeptBody::None => Body::None,
                KeptBody::TooLong => Body::TooLong,
                KeptBody::Whole(bytes) => Body::Bytes(bytes),
            },
        };
        let moment = Moment::at(now, Seen::Request(&request));
        judge::may(snapshot, pair, operation, &moment)
    }

    /// Notes under what it was decided, unless the decision depends on time.
    pub(crate) fn stands_under(mut self, stands: Stands, recheck: Recheck) -> Self {
        self.stands = (!recheck.is_due()).then_some(stands);
        self
    }

    /// Under what it was decided, and would be again.
    pub(crate) fn stands(&self) -> Option<Stands> {
        self.stands
    }

    /// Keeps the place of its body until it is over.
    pub(crate) fn hold(mut self, place: Option<Slot>) -> Self {
        self.place = place;
        self
    }

    /// Takes of `memory` what it keeps; `None` where so much is not left.
    pub(crate) fn borrow(mut self, memory: &Arc<Memory>) -> Option<Self> {
        if let Some(kept) = &self.kept {
            self.loan = Some(memory.lend(kept.bytes())?);
        }
        Some(self)
    }

    /// When to ask again, as far as that was known when it was let through.
    pub(crate) fn recheck(&self) -> Recheck {
        self.recheck
    }

    /// As records name it.
    pub(crate) fn operation(&self) -> String {
        in_words(self.what.operation())
    }

    /// Whether conditions may have asked about more than method and path.
    pub(crate) fn was_seen(&self) -> bool {
        self.kept.is_some()
    }
}

impl<'a> Asked<'a> {
    /// What policy is asked about.
    pub(crate) fn operation(&self) -> Operation<'a> {
        match self.call {
            Some(call) => Operation::Grpc(call),
            None => Operation::Http {
                method: self.method,
                path: self.path,
            },
        }
    }
}

/// `method`, without memory of its own where it is one of those that nearly all are.
fn usual(method: &str) -> Cow<'static, str> {
    const USUAL: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    match USUAL.into_iter().find(|one| *one == method) {
        Some(one) => Cow::Borrowed(one),
        None => Cow::Owned(method.to_owned()),
    }
}

thread_local! {
    /// Memory for an operation's name, kept from one request to the next.
    static WORDS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Hands `use_it` what [`in_words`] gives, without an allocation. It must not come here again.
pub(crate) fn with_words<T>(operation: Operation<'_>, use_it: impl FnOnce(&str) -> T) -> T {
    let Operation::Http { method, path } = operation else {
        return use_it(&in_words(operation));
    };
    WORDS.with_borrow_mut(|words| {
        words.clear();
        words.push_str(method);
        words.push(' ');
        words.push_str(path.as_str());
        use_it(words.as_str())
    })
}

/// As records name it.
pub(crate) fn in_words(operation: Operation<'_>) -> String {
    match operation {
        Operation::Http { method, path } => format!("{method} {}", path.as_str()),
        Operation::Grpc(call) => call.to_string(),
        Operation::Connect => "connect".to_owned(),
        Operation::Send => "send".to_owned(),
    }
}

impl Kept {
    /// How much memory it takes, without a body, which has its place.
    fn bytes(&self) -> usize {
        let field = |(name, value): &(String, Box<[u8]>)| name.len() + value.len();
        let query = self.query.as_ref().map_or(0, |query| query.len());
        size_of::<Self>()
            + self.authority.len()
            + query
            + self.fields.len() * size_of::<(String, Box<[u8]>)>()
            + self.fields.iter().map(field).sum::<usize>()
    }

    fn of(asked: &Asked<'_>) -> Self {
        let field = |field: &ringfence_wire::http1::Field<'_>| {
            (field.name.to_owned(), Box::from(field.value))
        };
        Self {
            authority: asked.authority.to_owned(),
            query: asked.query.map(Box::from),
            fields: asked.fields.iter().map(field).collect(),
            body: match asked.body {
                Said::Unread => KeptBody::Unread,
                Said::None => KeptBody::None,
                Said::TooLong => KeptBody::TooLong,
                Said::Whole(bytes) => KeptBody::Whole(Box::from(bytes)),
            },
        }
    }
}
