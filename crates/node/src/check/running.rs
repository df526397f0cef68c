//! The node that serves a state directory: is it there, is every part of it well?

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use ringfence_compartment::probe::Finding;
use ringfence_compartment::sockets::{ADMIN_SOCKET, socket_dir};

use crate::generation::Origin;
use crate::status::{Degraded, EnforcerState, Status};
use crate::supervisor::count;
use crate::{ask_status, limits};

/// An enforcer that was started again before is looked at twice, this far apart: does it keep dying?
const SECOND_LOOK: Duration = Duration::from_millis(1500);
/// Beginnings of the reasons for being degraded that the checks here tell by themselves.
const TOLD: [&str; 4] = [
    "the flow log",
    "the enforcer",
    "the configuration is rejected",
    "no policy is in force",
];

/// The user of the node, while one runs, and what was found.
pub(super) fn look(state: &Path) -> (Option<u32>, Vec<Finding>) {
    const ID: &str = "node";
    let shown = state.display();
    match ask_status(state) {
        Ok(Some(status)) => {
            let again = (status.enforcer.restarts > 0)
                .then(|| {
                    std::thread::sleep(SECOND_LOOK);
                    ask_status(state).ok().flatten()
                })
                .flatten();
            let stopped = status.enforcer.pid.is_some_and(is_stopped);
            (owner(state), judge(&status, again.as_ref(), stopped))
        }
        Ok(None) => {
            let text = format!("no node is running on the state directory {shown}");
            let hint = format!("start one: `ringfence up --config DIR --state {shown}`");
            (None, vec![Finding::fail(ID, text, hint)])
        }
        Err(error) => {
            let text = format!("the node of {shown} cannot be asked: {error}");
            let hint = match error.kind() {
                ErrorKind::PermissionDenied => "check as root or as the owner of the node",
                ErrorKind::TimedOut => {
                    "look at what the node says on standard error; end it with `kill -9` if it hangs, and start it again"
                }
                _ => "check that `ringfence up` runs there, from the same binary as this one",
            };
            (owner(state), vec![Finding::fail(ID, text, hint)])
        }
    }
}

fn owner(state: &Path) -> Option<u32> {
    let socket = socket_dir(state).ok()?.join(ADMIN_SOCKET);
    Some(fs::metadata(socket).ok()?.uid())
}

/// Whether a process was stopped by a signal, or by a debugger.
fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it may hold anything, brackets too.
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('T' | 't'))
}

fn judge(status: &Status, again: Option<&Status>, stopped: bool) -> Vec<Finding> {
    let mut found = vec![
        node(status),
        enforcer(status, again, stopped),
        generation(status),
        files(status),
        doors(status),
        log(status),
    ];
    let rest = status
        .degraded
        .iter()
        .filter(|degraded| !TOLD.iter().any(|told| degraded.reason.starts_with(told)));
    found.extend(rest.map(|degraded| {
        Finding::fail("degraded", degraded.reason.as_str(), degraded.fix.as_str())
    }));
    found
}

fn node(status: &Status) -> Finding {
    const ID: &str = "node";
    let own = env!("CARGO_PKG_VERSION");
    let text = format!(
        "node {} of zone {} runs as process {}, since {:.0}",
        status.node, status.zone, status.pid, status.since
    );
    if status.version == own {
        Finding::ok(ID, text)
    } else {
        Finding::warn(
            ID,
            format!(
                "{text}, in version {}, and this is version {own}",
                status.version
            ),
            "start the node again from the newer binary",
        )
    }
}

fn reason<'a>(status: &'a Status, start: &str) -> Option<&'a Degraded> {
    let mut all = status.degraded.iter();
    all.find(|degraded| degraded.reason.starts_with(start))
}

fn enforcer(status: &Status, again: Option<&Status>, stopped: bool) -> Finding {
    const ID: &str = "enforcer";
    let it = &status.enforcer;
    let look = "look at what `ringfence up` says on standard error";
    let last = it
        .last_end
        .as_ref()
        .map(|end| format!("; how the last one ended: {end}"))
        .unwrap_or_default();
    if let (true, Some(pid)) = (stopped, it.pid) {
        return Finding::fail(
            ID,
            format!("the enforcer, process {pid}, is stopped: nothing new passes"),
            format!(
                "let it go on with `kill -CONT {pid}`; without that it is replaced after {} s",
                limits::KILLED_AFTER
            ),
        );
    }
    if let Some(again) = again
        && again.enforcer.restarts > it.restarts
    {
        return Finding::fail(
            ID,
            format!(
                "the enforcer keeps ending: {} starts so far{last}",
                again.enforcer.restarts + 1
            ),
            format!(
                "{look}; the configuration saved last, or memory that is used up, are the usual reasons"
            ),
        );
    }
    if let Some(degraded) = reason(status, "the enforcer") {
        return Finding::fail(ID, degraded.reason.as_str(), degraded.fix.as_str());
    }
    if it.state == EnforcerState::Hung {
        return Finding::fail(
            ID,
            "the enforcer does not answer: nothing new passes",
            format!(
                "wait: after {} s it is killed and started again",
                limits::KILLED_AFTER
            ),
        );
    }
    let Some(pid) = it.pid.filter(|_| it.serving) else {
        return Finding::fail(
            ID,
            format!("the enforcer is not up{last}: nothing passes"),
            format!("it is started again by itself; {look}"),
        );
    };
    let connections = counted(it.connections, "connection");
    let text = format!("the enforcer, process {pid}, serves {connections}");
    if it.restarts > 0 {
        Finding::warn(
            ID,
            format!("{text}, after {}{last}", counted(it.restarts, "restart")),
            format!("{look} for why it ended"),
        )
    } else {
        Finding::ok(ID, text)
    }
}

fn generation(status: &Status) -> Finding {
    const ID: &str = "generation";
    let policy = &status.policy;
    let config = status.config.display();
    match policy.origin {
        Origin::Nothing => Finding::fail(
            ID,
            "no policy is in force: everything is denied",
            format!(
                "put a valid configuration into {config} (`ringfence policy lint --config {config}`)"
            ),
        ),
        Origin::LastGood => Finding::warn(
            ID,
            format!(
                "generation {} is in force, the last good one of an earlier run",
                policy.generation
            ),
            format!("mend the files (`ringfence policy lint --config {config}`)"),
        ),
        Origin::Config => Finding::ok(
            ID,
            format!(
                "generation {} is in force: {}, {}",
                policy.generation,
                count(policy.services, "service"),
                count(policy.agents, "agent")
            ),
        ),
    }
}

fn files(status: &Status) -> Finding {
    const ID: &str = "configuration";
    let config = status.config.display();
    if let Some(rejected) = &status.policy.rejected {
        let first = rejected
            .errors
            .first()
            .and_then(|error| error.lines().next())
            .unwrap_or("no reason was given");
        return Finding::warn(
            ID,
            format!(
                "the files in {config} are rejected since {:.0}, for {}: {first}",
                rejected.since,
                count(rejected.errors.len(), "reason")
            ),
            format!(
                "see all of it with `ringfence policy lint --config {config}`, and mend it: it is picked up when saved"
            ),
        );
    }
    match fs::read_dir(&status.config) {
        Ok(_) => Finding::ok(ID, format!("the files in {config} are what is in force")),
        Err(error) if error.kind() == ErrorKind::NotFound => Finding::warn(
            ID,
            format!("the configuration directory {config} is gone; what was in force stays"),
            format!("put it back, or start the node with another `--config DIR` than {config}"),
        ),
        Err(error) => Finding::warn(
            ID,
            format!("the configuration directory {config} cannot be read here: {error}"),
            "check as the user of the node; if it cannot read the directory either, give it the permission",
        ),
    }
}

fn doors(status: &Status) -> Finding {
    const ID: &str = "doors";
    let of = |wrong: fn(&crate::status::Workload) -> bool| {
        let names: Vec<_> = status
            .workloads
            .iter()
            .filter(|workload| wrong(workload))
            .map(|workload| workload.instance.to_string())
            .collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    if let Some(names) = of(|workload| !workload.connected) {
        return Finding::fail(
            ID,
            format!("launchers are not connected to the node: {names}"),
            "they look for it every 200 ms: check again in a second, and end those that stay (`ringfence status` names \
             their processes)",
        );
    }
    if let Some(names) = of(|workload| !workload.armed) {
        return Finding::fail(
            ID,
            format!(
                "doors are not watched by the enforcer: {names}; what those try is reset and recorded"
            ),
            "look at the enforcer above; doors are handed over again as soon as it is up",
        );
    }
    if let Some(names) = of(|workload| !workload.known) {
        return Finding::warn(
            ID,
            format!("the policy in force does not know {names}: everything they try is denied"),
            "end them, or put their agent or service back",
        );
    }
    match status.workloads.len() {
        0 => Finding::ok(ID, "no workload runs"),
        some => Finding::ok(ID, format!("{} armed", count(some, "running workload"))),
    }
}

fn counted(number: u64, what: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), what)
}

fn log(status: &Status) -> Finding {
    const ID: &str = "log";
    match (&status.log.trouble, status.log.head) {
        (Some(trouble), _) => Finding::fail(
            ID,
            format!("the flow log takes nothing: {trouble}; every new attempt is denied"),
            format!("make room in {}", status.state.display()),
        ),
        (None, Some(head)) => Finding::ok(
            ID,
            format!("the flow log takes records; the next is {head}"),
        ),
        (None, None) => Finding::warn(
            ID,
            "nothing is known of the flow log while the enforcer is not up",
            "look at the enforcer above",
        ),
    }
}

#[cfg(test)]
mod tests;
