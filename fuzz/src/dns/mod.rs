//! Readers of DNS.

pub(crate) mod query;
pub(crate) mod stream;
