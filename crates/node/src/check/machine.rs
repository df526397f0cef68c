//! What the host offers beside its kernel: who we are, container, clock, descriptors, memory.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringfence_compartment::probe::{self, Finding};
use ringfence_compartment::sockets;
use rustix::process::{Resource, getrlimit};

use crate::sweep;

/// No binary of this version ran before: 2026-11-01. A clock that says less is wrong.
const CLOCK_LEAST: Duration = Duration::from_secs(1_793_491_200);
/// How far this binary may have been written in the future: time zones, unpacked archives.
const CLOCK_SLACK: Duration = Duration::from_secs(86_400);
/// Bytes of memory below which a node and a workload or two are likely to be killed.
const MEMORY_LOW: u64 = 256 * 1024 * 1024;
/// Connections at once below which a busy agent will be refused some.
const CONNECTIONS_LOW: usize = 1000;

pub(super) fn look() -> Vec<Finding> {
    let mut found = vec![
        user(),
        container(),
        clock(),
        clock_kept(),
        files(),
        memory(),
    ];
    found.extend(super::launcher::look());
    found.extend(leftovers());
    found
}

fn user() -> Finding {
    let uid = rustix::process::geteuid().as_raw();
    let text = if uid == 0 {
        "checked as root: enforcer and workloads get users of their own, and workloads of any user can be run".to_owned()
    } else {
        format!(
            "checked as uid {uid}, an ordinary user: node, enforcer and workloads share that user, and nobody else can run \
             workloads"
        )
    };
    Finding::info("user", text)
}

fn container() -> Finding {
    const ID: &str = "container";
    let covers = probe::covers_of_proc();
    let hidden = match covers.as_slice() {
        [] => String::new(),
        covers => format!("; it covers {}", covers.join(", ")),
    };
    let filtered = if probe::is_filtered() {
        ", with a seccomp filter around it"
    } else {
        ""
    };
    match probe::engine() {
        Some(engine) => Finding::info(
            ID,
            format!(
                "runs inside a container ({engine}){filtered}{hidden}: the lines above say what it lets through"
            ),
        ),
        None if covers.is_empty() && filtered.is_empty() => {
            Finding::ok(ID, "runs outside of containers")
        }
        None => Finding::info(ID, format!("runs on a host{filtered}{hidden}")),
    }
}

fn clock() -> Finding {
    let now = SystemTime::now();
    let written = std::env::current_exe()
        .and_then(fs::metadata)
        .and_then(|meta| meta.modified());
    judge_clock(now, written.ok())
}

/// `written`: when this binary was.
fn judge_clock(now: SystemTime, written: Option<SystemTime>) -> Finding {
    const ID: &str = "clock";
    let hint = "set it (`timedatectl set-ntp true`, or `date -s`): records, certificates and every `until:` of policy \
                rest on it";
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let shown = jiff::Timestamp::try_from(now)
        .map(|now| format!("{now:.0}"))
        .unwrap_or_else(|_| "a time out of range".to_owned());
    if since < CLOCK_LEAST {
        return Finding::fail(
            ID,
            format!("the clock says {shown}, before this version was made"),
            hint,
        );
    }
    if written.is_some_and(|written| now + CLOCK_SLACK < written) {
        return Finding::warn(
            ID,
            format!("the clock says {shown}, before this binary was written"),
            hint,
        );
    }
    Finding::ok(ID, format!("the clock says {shown}"))
}

fn clock_kept() -> Finding {
    const ID: &str = "clock-kept";
    match probe::clock_is_kept() {
        Ok(true) => Finding::ok(ID, "the clock is kept right from outside (NTP or PTP)"),
        Ok(false) => Finding::warn(
            ID,
            "nobody keeps the clock right: times in records may drift",
            "start a time service (chronyd, systemd-timesyncd); in a virtual machine the host may do it unseen",
        ),
        Err(cause) => Finding::warn(
            ID,
            format!("whether somebody keeps the clock right cannot be asked: {cause}"),
            "ask on the host (`timedatectl`)",
        ),
    }
}

fn files() -> Finding {
    const ID: &str = "open-files";
    let most = getrlimit(Resource::Nofile).maximum;
    let connections = ringfence_enforcer::connections_within(most);
    let Some(most) = most else {
        return Finding::ok(ID, "open files are not limited");
    };
    let text = format!(
        "a process may open {most} files: room for {connections} connections at once through one enforcer"
    );
    if connections < CONNECTIONS_LOW {
        let hint = "raise the hard limit where the node is started (`ulimit -Hn 65536`; LimitNOFILE= in a unit file)";
        Finding::warn(ID, text, hint)
    } else {
        Finding::ok(ID, text)
    }
}

fn memory() -> Finding {
    const ID: &str = "memory-free";
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok())
        .map(|kilobytes| kilobytes * 1024);
    match available {
        Some(bytes) if bytes < MEMORY_LOW => Finding::warn(
            ID,
            format!("only {} of memory are free", super::state::size(bytes)),
            "end something else, or add memory: a killed enforcer means that nothing passes until it is back",
        ),
        Some(bytes) => Finding::ok(
            ID,
            format!("{} of memory are free", super::state::size(bytes)),
        ),
        None => Finding::warn(ID, "how much memory is free cannot be read", "mount /proc"),
    }
}

/// What killed nodes of root left outside their state. Workloads leave nothing: the kernel ends them.
fn leftovers() -> Option<Finding> {
    const ID: &str = "leftovers";
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let place = Path::new(sockets::ROOT_DIR);
    Some(match sweep::dead(place) {
        Ok(0) => Finding::ok(ID, "no killed node left anything"),
        Ok(some) => Finding::info(
            ID,
            format!(
                "killed nodes left {some} of their socket directories in {}; the next node that starts removes them",
                place.display()
            ),
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::ok(ID, "no killed node left anything")
        }
        Err(error) => Finding::warn(
            ID,
            format!("{} cannot be looked at: {error}", place.display()),
            "look at who it belongs to (`ls -ld`); nodes of root keep their sockets there",
        ),
    })
}

#[cfg(test)]
mod tests {
    use ringfence_compartment::probe::Outcome;

    use super::*;

    #[test]
    fn a_clock_in_the_past_fails_and_one_before_the_binary_warns() {
        let made = UNIX_EPOCH + CLOCK_LEAST;
        let day = Duration::from_secs(86_400);
        assert_eq!(judge_clock(UNIX_EPOCH, None).outcome, Outcome::Fail);
        assert_eq!(judge_clock(made - day, Some(made)).outcome, Outcome::Fail);
        assert_eq!(
            judge_clock(made, Some(made + day * 3)).outcome,
            Outcome::Warn
        );
        assert_eq!(judge_clock(made, Some(made + day)).outcome, Outcome::Ok);
        assert_eq!(
            judge_clock(made + day * 900, Some(made)).outcome,
            Outcome::Ok
        );
    }
}
