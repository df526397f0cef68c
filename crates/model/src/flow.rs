//! The record of one thing that happened, compiled from `proto/ringfence/v1/flow.proto`.

#![allow(missing_docs, clippy::all, unreachable_pub)]

include!(concat!(env!("OUT_DIR"), "/ringfence.v1.rs"));
