//! How a compartment's process 1 comes to be, without being open to anyone for a moment.
//!
//! A user namespace is given its maps from outside, through `/proc`, and `/proc` shows a process that is closed to others
//! to root alone. Were process 1 opened for that, any process of the launcher's user could enter it in that moment, by
//! its memory or by its namespaces, and start whatever it likes in place of the program that the node was shown. So
//! the first process in the namespace is one that has nothing and does nothing; it is gone before there is a second,
//! which joins the finished namespace as a copy of the launcher, and as closed as that.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::process::{PidfdFlags, Signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::hints;
use super::node::answer;
use super::start::FIX;
use crate::error::{OrRefuse, Refusal};
use crate::inside::talk::FromInit;
use crate::{channel, sys};

/// The namespaces of a compartment that are made by who is in its user namespace.
const NAMESPACES: i32 = libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Makes a user namespace. `write_maps` writes the maps of the process with the id it is given.
pub(super) fn user_namespace(
    write_maps: impl FnOnce(i32) -> Result<(), Refusal>,
    signals: &OwnedFd,
) -> Result<OwnedFd, Refusal> {
    const WHAT: &str = "the user namespace";
    let (near, far) = channel::pair().or_refuse("a channel", FIX)?;
    let cloned = sys::clone_process(libc::CLONE_NEWUSER);
    let (pid, process) = match cloned.map_err(|cause| hints::clone_refused(&cause))? {
        sys::Cloned::Child => stand_in(&far),
        sys::Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(far);
    let made = answer::<FromInit>(&near, signals, "a process in the user namespace")
        .and_then(|_born| write_maps(pid))
        .and_then(|()| std::fs::File::open(format!("/proc/{pid}/ns/user")).or_refuse(WHAT, FIX));
    // By its descriptor, and ours until it is reaped.
    rustix::process::pidfd_send_signal(&process, Signal::KILL).or_refuse(WHAT, FIX)?;
    sys::reap(pid).or_refuse(WHAT, FIX)?;
    made.map(OwnedFd::from)
}

/// Holds a user namespace open, until killed.
fn stand_in(far: &OwnedFd) -> ! {
    // Whoever of the launcher's user looks in finds none of its descriptors.
    let ready = sys::close_all_but(&[far.as_raw_fd()])
        .and_then(|()| sys::prctl(libc::PR_SET_DUMPABLE, [1, 0, 0, 0]).map(drop))
        .and_then(|()| channel::send(far, &FromInit::Born, &[]));
    if ready.is_ok() {
        // The end of the channel, should the launcher be killed.
        let _ = channel::recv::<()>(far);
    }
    sys::exit_now(0)
}

/// Runs `init`, which does not return, as process 1 of namespaces of its own within `users`, and as a child of this
/// process. Returns its id. Before there is one, `enclose` is called with the process that it comes from: what is done
/// to that is done to all.
pub(super) fn process_1(
    users: &OwnedFd,
    enclose: impl FnOnce(i32) -> Result<(), Refusal>,
    init: impl FnOnce(),
) -> Result<i32, Refusal> {
    let (near, far) = channel::pair().or_refuse("a channel", FIX)?;
    let builder = match sys::clone_process(0).or_refuse("a process", FIX)? {
        sys::Cloned::Parent { pid, .. } => pid,
        sys::Cloned::Child => {
            drop(near);
            // The launcher's word, or its end.
            if !matches!(channel::recv::<()>(&far), Ok(Some(_))) {
                sys::exit_now(0);
            }
            let begun = enter(users).and_then(|()| {
                // Not a child of this one, which ends at once, but a sibling.
                sys::clone_process(NAMESPACES | libc::CLONE_PARENT)
            });
            let told: Result<i32, i32> = match begun {
                Ok(sys::Cloned::Child) => {
                    drop(far);
                    init();
                    sys::exit_now(0)
                }
                Ok(sys::Cloned::Parent { pid, .. }) => Ok(pid),
                Err(cause) => Err(cause.raw_os_error().unwrap_or_default()),
            };
            // If the launcher is gone, so is everything here.
            let _ = channel::send(&far, &told, &[]);
            sys::exit_now(0)
        }
    };
    drop(far);
    let enclosed =
        enclose(builder).and_then(|()| channel::send(&near, &(), &[]).or_refuse("process 1", FIX));
    if let Err(refusal) = enclosed {
        // It sees that nobody waits for it any more.
        drop(near);
        sys::reap(builder).or_refuse("process 1", FIX)?;
        return Err(refusal);
    }
    let told = channel::recv::<Result<i32, i32>>(&near).or_refuse("process 1", FIX)?;
    sys::reap(builder).or_refuse("process 1", FIX)?;
    match told.map(|packet| packet.message) {
        Some(Ok(pid)) => Ok(pid),
        Some(Err(number)) => Err(hints::clone_refused(&io::Error::from_raw_os_error(number))),
        None => Err(Refusal::wall("process 1", &"it was not begun", FIX)),
    }
}

fn enter(users: &OwnedFd) -> io::Result<()> {
    Ok(move_into_link_name_space(
        users.as_fd(),
        Some(LinkNameSpaceType::User),
    )?)
}

/// A descriptor of a child that has not been reaped: its id is its own.
pub(super) fn descriptor(pid: i32) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid)
        .ok_or_else(|| io::Error::other("a process id out of range"))?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}
