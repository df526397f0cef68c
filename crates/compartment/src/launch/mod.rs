//! `ringfence run`: one workload, from the request to its exit code.
//!
//! The launcher stays outside the compartment for as long as the workload lives. Reading order: this file (the life),
//! `streams` and `terminal` (what the caller gave), `node` and `shown` (claim and grant), `birth` and `start` (namespaces, doors, walls),
//! `watch` and `events` (the loop, and what each event does), `link` (the enforcer: armed or away), `away`, `spool`, `drops` and `refused` (attempts that
//! no enforcer saw). `trial` is the same way without a node, for `probe`; `rehearse` and `foresee` say what the way would lead to,
//! without going it. It runs in one thread, without a runtime: it forks.

mod away;
mod birth;
mod drops;
mod enclose;
mod environment;
mod events;
mod foresee;
mod hints;
mod link;
mod node;
mod pump;
mod refused;
mod rehearse;
mod shown;
mod signals;
mod spool;
mod start;
mod streams;
mod terminal;
mod trial;
mod watch;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use ringfence_model::text::safe_lines;

use crate::error::Refusal;
use crate::inside::limits;
use crate::{privileges, sys};

pub use enclose::OOM_SCORE;
pub(crate) use hints::{clone_refused, sysctl_in_the_way, unbounded};
pub use node::{RETRY, RETRY_REFUSED};
pub use rehearse::{Outside, Rehearsed, ShownTree, rehearse};
pub(crate) use start::{Ids, NAMESPACES};
pub(crate) use trial::{grant as trial_grant, trial};
pub use watch::LAST_WORDS;

/// What `ringfence run` was asked to do.
#[derive(Clone, Debug)]
pub struct LaunchRequest {
    /// State directory of the node; its sockets are found from it.
    pub state: PathBuf,
    /// Agent or service.
    pub name: String,
    /// Program and arguments; at least the program.
    pub command: Vec<OsString>,
    /// Directory of the host that becomes `/work`.
    pub workdir: Option<PathBuf>,
    /// User and group that the workload sees as its own; the host sees the same one whatever they are.
    pub user: Option<(u32, u32)>,
    /// Variables beside the standard ones, already resolved; they win over those.
    pub env: Vec<(OsString, OsString)>,
}

/// Runs a workload to its end. Returns the exit code of the process: the workload's, 128+N if signal N ended it, or
/// 125, 126, 127 for a refusal, which is told on standard error.
///
/// To be called from a process with one thread, before anything else is started. Descriptors above 2 are closed.
pub fn run(request: LaunchRequest) -> u8 {
    let ended = live(&request);
    // Init and keeper end by themselves, now that nobody holds their channels. They are not left for others to bury.
    sys::reap_all(LEAVE_TIME);
    match ended {
        Ok(code) => code,
        Err(refusal) => {
            say(&refusal.to_string());
            refusal.code
        }
    }
}

/// How long init and keeper may take to end after the workload. What is left then is ended by the kernel, as this
/// process is.
const LEAVE_TIME: std::time::Duration = std::time::Duration::from_secs(2);

fn live(request: &LaunchRequest) -> Result<u8, Refusal> {
    let Prepared {
        signals,
        ignored,
        score,
    } = prepare()?;
    hints::preconditions()?;
    let streams = streams::Streams::examine()?;
    let environment = environment::build(request)?;
    let claimed = node::claim(request, &environment.path, &signals)?;
    if claimed.grant.quarantined {
        say(&format!(
            "{} is in quarantine: it runs, and reaches nobody, and nobody reaches it, until an operator releases it",
            claimed.grant.workload
        ));
    }
    let given = start::Given {
        streams,
        environment,
        ignored_signals: ignored,
        score,
    };
    let started = start::start(request, claimed, given, &signals)?;
    watch::Launcher::new(request.clone(), started, signals).run()
}

/// A process that a node can be asked from.
struct Prepared {
    /// Where its signals arrive.
    signals: OwnedFd,
    /// Those that were ignored.
    ignored: Vec<i32>,
    score: enclose::Score,
}

/// Makes this process one.
fn prepare() -> Result<Prepared, Refusal> {
    let fix = "start `ringfence run` as a process of its own";
    let threads = sys::thread_count()
        .map_err(|cause| Refusal::wall("a launcher", &cause, "mount /proc on this host"))?;
    if threads != 1 {
        return Err(Refusal::new(
            format!("the launcher has {threads} threads"),
            fix,
        ));
    }
    sys::close_all_but(&[0, 1, 2]).map_err(|cause| Refusal::wall("a launcher", &cause, fix))?;
    let score = enclose::Score::open();
    privileges::close_to_others().map_err(|cause| Refusal::wall("a launcher", &cause, fix))?;
    crate::raise_open_files().map_err(|cause| Refusal::wall("a launcher", &cause, fix))?;
    limits::no_core_dumps()?;
    let ignored = signals::ignored();
    let signals = signals::catch(&ignored)?;
    Ok(Prepared {
        signals,
        ignored,
        score,
    })
}

/// A message for people, without anything that their terminal would obey: names of files may hold what a workload of
/// an earlier day put there. The terminal may be raw: lines then end with a carriage return as well.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    let end = if terminal::is_raw() { "\r\n" } else { "\n" };
    let text = safe_lines(text).replace('\n', end);
    // Standard error may be closed; there is nobody else to tell.
    let _ = write!(std::io::stderr(), "ringfence: {text}{end}");
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now_ns() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}
