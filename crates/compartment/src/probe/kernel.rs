//! Single features of the kernel that the walls and the channels rest on.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::thread::CapabilitySet;

use super::aside::{Teller, aside};
use super::{Finding, PATIENCE, RootIds};
use crate::error::{OrRefuse, Refusal};
use crate::landlock::{self, Grant};
use crate::link::DESCRIPTORS_MAX;
use crate::{channel, confine, inspect, memfd, privileges, seccomp, sockets, sys};

/// What the listener of a refused call answers in the trial: no call of that kind fails so by itself.
const ANSWER: i32 = libc::EXDEV;
const FIX: &str = "report this with the kernel's version (`uname -r`)";

pub(super) fn look(ids: RootIds) -> Vec<Finding> {
    let mut found = aside("landlock", "Landlock", PATIENCE, landlock);
    found.extend(aside("seccomp", "seccomp", PATIENCE, seccomp));
    found.extend(aside(
        "enforcer-walls",
        "the walls of the enforcer",
        PATIENCE,
        |teller| {
            let text = match ids.enforcer {
                Some(uid) => {
                    format!("an enforcer can be confined, as uid {uid}, which owns nothing")
                }
                None => "an enforcer can be confined".to_owned(),
            };
            let _done = teller.step("enforcer-walls", enforcer(ids.enforcer), &text);
        },
    ));
    found.extend(aside(
        "descriptors",
        "the hand-over of sockets",
        PATIENCE,
        channels,
    ));
    found
}

/// A process restricted to one directory must not see another.
fn landlock(teller: &Teller) {
    const ID: &str = "landlock";
    let fail = |what: String| teller.tell(Finding::fail(ID, what, landlock::FIX));
    let Some(version) = landlock::version() else {
        return fail("this kernel does not enforce Landlock".to_owned());
    };
    let own = Grant {
        path: Path::new("/proc/self"),
        writable: false,
        optional: false,
    };
    if let Err(cause) = landlock::restrict(&[own], true) {
        return fail(format!("Landlock cannot be set up: {cause}"));
    }
    if std::fs::read_dir("/").is_ok() {
        return fail("Landlock is there, and lets everything through".to_owned());
    }
    if landlock::scopes() {
        let text = format!("Landlock (version {version}) keeps a process to the paths it is given");
        teller.tell(Finding::ok(ID, text));
    } else {
        let text = format!(
            "Landlock (version {version}) keeps files, but not signals and abstract sockets, inside: namespaces alone \
             do that here"
        );
        let hint = "boot Linux 6.12 or later for the second wall; nothing has to be done";
        teller.tell(Finding::warn(ID, text, hint));
    }
}

/// A refused call must wait for an answer, and get ours.
fn seccomp(teller: &Teller) {
    let text = "refused system calls wait for the launcher's answer (seccomp user notification)";
    let _done = teller.step("seccomp", answered(), text);
}

fn answered() -> Result<(), Refusal> {
    let wall = "seccomp user notification";
    let fix = crate::inside::SECCOMP_FIX;
    let (near, far) = channel::pair().or_refuse(wall, FIX)?;
    let pid = match sys::clone_process(0).or_refuse(wall, FIX)? {
        sys::Cloned::Child => {
            drop(near);
            let said = match caller(&far) {
                Ok(()) => "answered".to_owned(),
                Err(cause) => cause.to_string(),
            };
            // The other side sees the end, and says so.
            let _ = channel::send(&far, &said, &[]);
            sys::exit_now(0)
        }
        sys::Cloned::Parent { pid, .. } => pid,
    };
    drop(far);
    let gone = || io::Error::other("the caller ended");
    let answer = || {
        let first = channel::recv::<String>(&near)?.ok_or_else(gone)?;
        let Some(listener) = first.descriptors.into_iter().next() else {
            return Err(io::Error::other(first.message));
        };
        let call = sys::next_call(listener.as_fd())?.ok_or_else(gone)?;
        sys::refuse_call(listener.as_fd(), call.id, ANSWER)?;
        let second = channel::recv::<String>(&near)?.ok_or_else(gone)?;
        match second.message.as_str() {
            "answered" => Ok(()),
            other => Err(io::Error::other(other.to_owned())),
        }
    };
    let result = answer().or_refuse(wall, fix);
    sys::reap(pid).or_refuse(wall, FIX)?;
    result
}

/// Puts itself under the filter of a workload, hands the listener over, and makes a call that workloads may not make.
fn caller(channel: &OwnedFd) -> io::Result<()> {
    privileges::die_with_parent()?;
    privileges::drop_all_but(CapabilitySet::empty())?;
    let listener = sys::install_listener(&seccomp::workload_program())?;
    channel::send(channel, &"listener", &[listener.as_fd()])?;
    drop(listener);
    match rustix::mount::unmount("/", rustix::mount::UnmountFlags::empty()) {
        Err(cause) if cause.raw_os_error() == ANSWER => Ok(()),
        Err(cause) => Err(io::Error::other(format!(
            "a refused call ended with {cause}, not with the answer given"
        ))),
        Ok(()) => Err(io::Error::other("a refused call was carried out")),
    }
}

fn enforcer(run_as: Option<u32>) -> Result<(), Refusal> {
    let directory = std::env::temp_dir();
    let opened = File::open(&directory).map_err(|cause| {
        Refusal::new(
            format!("{} cannot be opened: {cause}", directory.display()),
            "set TMPDIR to a directory that is there",
        )
    })?;
    confine::confine_enforcer(run_as, &[opened.as_fd()]).map_err(|cause| {
        let fix = if landlock::version().is_none() {
            landlock::FIX
        } else {
            "run ringfence outside of what forbids it (a container's seccomp filter, a user namespace with few ids), \
             or as an ordinary user"
        };
        Refusal::new(cause.to_string(), fix)
    })?;
    match std::fs::read_dir("/") {
        Err(_) => Ok(()),
        Ok(_) => Err(Refusal::new(
            "a confined enforcer can still list /",
            landlock::FIX,
        )),
    }
}

/// What the three parties tell each other with.
fn channels(teller: &Teller) {
    let text = format!("{DESCRIPTORS_MAX} sockets at once can be handed over (SCM_RIGHTS)");
    let _done = teller.step("descriptors", descriptors(), &text);
    let text = "memory files can be sealed";
    let _done = teller.step("memfd", sealed(), text);
    let text = "a socket tells in which network it was made (SO_NETNS_COOKIE)";
    let born = inspect::own_namespace().or_refuse(
        "the check of where a socket was made",
        "boot Linux 5.14 or later",
    );
    let _done = teller.step("socket-origin", born, text);
    teller.tell(peer());
}

fn descriptors() -> Result<(), Refusal> {
    let wall = "the hand-over of sockets";
    let fix = "raise the limit of open files (`ulimit -n`) to 1024 or more";
    let (near, far) = channel::pair().or_refuse(wall, fix)?;
    let beside = vec![near.as_fd(); DESCRIPTORS_MAX];
    channel::send(&near, &(), &beside).or_refuse(wall, fix)?;
    let packet = channel::recv::<()>(&far).or_refuse(wall, fix)?;
    match packet {
        Some(packet) if packet.descriptors.len() == DESCRIPTORS_MAX => Ok(()),
        _ => Err(Refusal::wall(wall, &"some got lost", fix)),
    }
}

fn sealed() -> Result<(), Refusal> {
    let wall = "a sealed memory file";
    let fix = "run ringfence outside of what forbids it (a container's seccomp filter; the sysctl vm.memfd_noexec)";
    let file = memfd::sealed("ringfence-check", b"sealed").or_refuse(wall, fix)?;
    let copy = file.try_clone().or_refuse(wall, fix)?;
    if io::Write::write_all(&mut File::from(copy), b"x").is_ok() {
        return Err(Refusal::wall(wall, &"it can still be changed", fix));
    }
    memfd::read(file).or_refuse(wall, fix).map(drop)
}

fn peer() -> Finding {
    const ID: &str = "peer-process";
    let found = channel::pair().map(|(near, far)| {
        let told = sys::peer_pidfd(near.as_fd()).map(drop);
        // What stands in for it where the kernel has no such option.
        let opened = sockets::peer_process(&far).map(drop);
        (told, opened)
    });
    match found {
        Ok((Ok(()), Ok(()))) => Finding::ok(
            ID,
            "who is at the other end of a socket is told by a descriptor of the process (SO_PEERPIDFD)",
        ),
        Ok((Err(_), Ok(()))) => Finding::warn(
            ID,
            "who is at the other end of a socket is told by process id: one that ended could be mistaken for another, so \
             `attest.unit`, and `exe` and `sha256` of other users, cannot be met",
            "boot Linux 6.5 or later, which has SO_PEERPIDFD",
        ),
        Ok((_, Err(cause))) | Err(cause) => Finding::fail(
            ID,
            format!("who is at the other end of a socket cannot be told: {cause}"),
            "mount /proc, and run ringfence outside of what forbids pidfd_open (a container's seccomp filter)",
        ),
    }
}
