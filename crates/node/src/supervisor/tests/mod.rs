//! The bounds of the supervisor, driven to their edges: real processes in the enforcer's place and real sockets, with the
//! clock that deadlines are held against set by the test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod enforcer;
mod ground;
mod launchers;
mod policy;
mod texts;
