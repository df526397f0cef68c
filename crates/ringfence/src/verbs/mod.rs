//! One file per verb. Each takes its arguments, calls a library, and turns the answer into words and an exit code.
//! `configuration`, `csv` and `flows` are what several of them share.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod completion;
pub(crate) mod configuration;
pub(crate) mod csv;
pub(crate) mod drill;
pub(crate) mod enforcer;
pub(crate) mod flows;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod names;
pub(crate) mod observe;
pub(crate) mod policy;
pub(crate) mod porter;
pub(crate) mod quarantine;
pub(crate) mod reason;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod up;
