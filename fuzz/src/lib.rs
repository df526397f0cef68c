//! What the fuzz targets hold.
//!
//! What comes in: any bytes, as a hostile workload, service, launcher or file would send them. What goes out: nothing, or
//! a panic that says which promise the bytes break. Each target is a plain function, so that the coverage-guided engine
//! (`main.rs`, `make fuzz`) and an ordinary test (`tests/corpus.rs`) run the very same code.
//!
//! Start reading at [`TARGETS`]; `README.md` says how to add one, and how to replay a find.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a promise that is broken should panic"
)]

mod cuts;
mod dns;
mod flow;
mod http1;
mod http2;
mod link;
mod log;
mod netlink;
mod operation;
mod path;
pub mod peers;
mod planted;
mod policy;
mod proof;
mod scrape;
mod sealed;
mod target;
mod tls;

pub use planted::PLANTED;
pub use target::{Target, is_contained, target};

/// Every target, in the order in which `make fuzz` runs them.
pub const TARGETS: &[Target] = &[
    http1::request::TARGET,
    http1::response::TARGET,
    http1::body::TARGET,
    http1::differential::TARGET,
    http1::relay::TARGET,
    http2::frames::TARGET,
    http2::hpack::TARGET,
    http2::relay::TARGET,
    tls::TARGET,
    dns::query::TARGET,
    dns::stream::TARGET,
    path::TARGET,
    operation::TARGET,
    policy::resources::TARGET,
    policy::condition::TARGET,
    policy::request::TARGET,
    log::TARGET,
    sealed::TARGET,
    proof::TARGET,
    flow::TARGET,
    link::TARGET,
    netlink::TARGET,
    scrape::TARGET,
];
