//! Decides who may do what to whom.
//!
//! What comes in: an [`Estate`](ringfence_model::Estate) of checked resources and the addresses of its workloads. What goes
//! out: an immutable [`Snapshot`], and from it a [`Verdict`] for each operation, in words where people ask
//! ([`Explanation`]). Nothing here does I/O (but [`batch`], on streams it is given), takes a lock, or keeps state: a new
//! generation is a new snapshot.
//!
//! Both ends decide. Allowed = the initiator's `initiate` allows ∧ the receiver allows ∧ no exemption it rests on has lapsed ∧
//! no guardrail forbids.
//!
//! Start reading at [`Snapshot::decide`] in `decide.rs`; `compile.rs` says where its tables come from, `trie.rs` how an
//! operation is matched, `condition` how a `when` is asked, `space.rs` what two sets of operations share, `explain.rs` how a verdict becomes words, `lint` what is
//! probably not meant, `listing.rs` who may reach what.
#![forbid(unsafe_code)]

mod batch;
mod compile;
mod condition;
mod decide;
mod diff;
mod explain;
mod extent;
mod guardrail;
mod lint;
mod listing;
mod names;
mod nearest;
mod patterns;
mod snapshot;
mod source;
mod space;
mod spread;
mod testing;
mod trie;
mod verdict;
mod with;

pub use batch::{BATCH_LINE_MAX, BatchSummary, batch};
pub use compile::provisional_addresses;
pub use condition::{
    BODY_MAX, Body, ConditionError, Moment, Request, Seen, WithError, panic_is_contained,
};
pub use diff::{Change, Depends, Diff, Direction, Effect, Fact, facts};
pub use explain::{Answer, Explanation};
pub use lint::{
    CODES, Code, EXEMPTION_NOTICE_DAYS, Finding, Level, MODE_NOTICE_DAYS, allowed, code, lint,
};
pub use listing::{Reach, Softened, reach, softened};
pub use snapshot::{AddressBook, Snapshot, Workload, WorkloadIx};
pub use spread::{Edge, Radius, Reached, Web};
pub use testing::{Claimed, TestReport};
pub use verdict::{Operation, Reason, Recheck, Ruled, Verdict};
pub use with::read_with;
