//! From a fresh process to a confined one that serves.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringfence_audit::{Durability, Log, LogError, Options, hot_directory, keys_directory};
use ringfence_compartment::confine::{ConfineError, confine_enforcer};
use ringfence_compartment::inspect::own_namespace;
use ringfence_compartment::interrupt;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::runtime::Runtime;

use crate::control;
use crate::limits::{LOOKUP_THREADS, TURNS_PER_LOOK, WORKERS};
use crate::node::{Node, room_for_connections};
use crate::record::Recorder;

/// Why there is no enforcer.
#[derive(Debug, thiserror::Error)]
pub enum EnforcerError {
    /// The log cannot be opened: nothing could be recorded, so nothing may pass.
    #[error("{0}")]
    Log(#[from] LogError),
    /// It would hold more privilege than it should.
    #[error("{0}")]
    Confine(#[from] ConfineError),
    /// The system refused something basic.
    #[error("{what}: {cause}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        cause: io::Error,
    },
}

/// Body of the hidden verb `ringfence enforcer`: opens the log in `log_dir`, whose records count as kept as `durability` says, confines itself (uid `run_as` when
/// root, capabilities, Landlock, seccomp), speaks with the node on `control`, serves until told to stop or until
/// the node is gone. Returns the process's exit code: 0 after an orderly end, 1 otherwise.
///
/// To be called while the process has one thread.
pub fn serve(
    control: OwnedFd,
    log_dir: PathBuf,
    run_as: Option<u32>,
    durability: Durability,
) -> u8 {
    match start(control, &log_dir, run_as, durability) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("ringfence: enforcer: {error}");
            1
        }
    }
}

fn start(
    control: OwnedFd,
    log_dir: &Path,
    run_as: Option<u32>,
    durability: Durability,
) -> Result<(), EnforcerError> {
    let system = |what| move |cause: io::Error| EnforcerError::System { what, cause };
    rustix::io::fcntl_setfd(&control, rustix::io::FdFlags::CLOEXEC)
        .map_err(|errno| system("the control channel")(errno.into()))?;
    let options = Options {
        durability,
        owner: run_as,
    };
    let log = Log::open_with(log_dir, options)?;
    for repair in log.repairs() {
        eprintln!("ringfence: enforcer: {repair}");
    }
    let directory = |path: PathBuf, what| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::empty()).map_err(|errno| system(what)(errno.into()))
    };
    let segments = directory(
        hot_directory(log_dir),
        "the directory of the log's segments",
    )?;
    let keys = directory(keys_directory(log_dir), "the directory of the log's keys")?;
    let host = own_namespace().map_err(system("the host's network namespace"))?;
    let boot = random().map_err(system("random bytes"))?;
    let connections = room_for_connections();
    interrupt::prepare().map_err(system("a signal"))?;
    confine_enforcer(run_as, &[segments.as_fd(), keys.as_fd()])?;
    log.attend().map_err(system("a thread for the log"))?;

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = runtime(cores).map_err(system("the runtime"))?;
    let node = Node::new(Arc::new(Recorder::new(log, boot)), host, connections);
    let served = runtime.block_on(control::run(node, control));
    // Look-ups that hang must not hold up the end.
    runtime.shutdown_background();
    served.map_err(system("the channel to the node"))
}

/// What everything is served by, on a machine with so many cores.
fn runtime(cores: usize) -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(1, WORKERS))
        .event_interval(TURNS_PER_LOOK)
        .max_blocking_threads(LOOKUP_THREADS)
        .thread_name("enforcer")
        .enable_all()
        .build()
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    let count = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if count != bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests;
