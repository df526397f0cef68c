//! The doors of a compartment: what arrives at them, by kind.
//!
//! `tcp.rs` accepts connections (at doors that another user's launcher shares by way of `apart.rs`), `udp.rs` takes
//! datagrams (on they go in `datagrams/`), `dns.rs` answers the one kind of query that ends here,
//! `dns_tcp.rs` does so over connections.

pub(crate) mod apart;
pub(crate) mod dns;
pub(crate) mod dns_tcp;
pub(crate) mod tcp;
mod tls;
pub(crate) mod udp;

#[cfg(test)]
mod tests;
