//! Readers of HTTP/2: hostile clients, and hostile services.

pub(crate) mod frames;
pub(crate) mod hpack;
pub(crate) mod relay;
