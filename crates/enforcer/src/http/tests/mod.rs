//! The relay between real sockets: clients and services are bytes written by hand.

mod abuse;
mod bodies;
mod early;
mod edges;
mod endings;
mod harness;
mod pump;
mod requests;
mod websocket;
