//! Process 1 of a compartment: builds the walls, starts the workload, reaps, and ends with the launcher.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use ringfence_model::VirtualAddr;
use rustix::event::{PollFd, PollFlags};
use rustix::process::WaitOptions;
use rustix::thread::CapabilitySet;

use super::program::Pinned;
use super::talk::{FromInit, ToInit};
use super::{limits, network, workload};
use crate::error::{EXIT_REFUSED, OrRefuse, Refusal};
use crate::root::{self, Identity, Plan};
use crate::{channel, privileges, seccomp, sys};

/// Everything init needs, prepared by the launcher before the clone.
pub(crate) struct Setup {
    pub(crate) plan: Plan,
    pub(crate) identity: Identity,
    /// Its own addresses.
    pub(crate) address: VirtualAddr,
    /// Program and arguments; never empty.
    pub(crate) command: Vec<OsString>,
    /// The file that the program must be.
    pub(crate) pinned: Option<Pinned>,
    /// `NAME=VALUE` each.
    pub(crate) environment: Vec<Vec<u8>>,
    /// Where programs are looked for: `PATH` of that environment.
    pub(crate) path: OsString,
    /// For 0, 1 and 2; `None` is the terminal.
    pub(crate) streams: [Option<OwnedFd>; 3],
    /// Signals that were ignored when the launcher started stay ignored.
    pub(crate) ignored_signals: Vec<i32>,
    /// Processes and threads that may be inside.
    pub(crate) processes: u32,
    /// To the launcher.
    pub(crate) control: OwnedFd,
    /// From the workload's process to the launcher.
    pub(crate) report: OwnedFd,
}

/// Runs init in the process just cloned.
pub(crate) fn run(setup: &Setup) -> ! {
    match live(setup) {
        Ok(()) => sys::exit_now(0),
        Err(refusal) => {
            // If the launcher is gone, nobody is left to be told.
            let _ = channel::send(&setup.control, &FromInit::Failed(refusal), &[]);
            sys::exit_now(EXIT_REFUSED)
        }
    }
}

fn live(setup: &Setup) -> Result<(), Refusal> {
    let control = setup.control.as_fd();
    rustix::process::setsid().or_refuse("init's session", FIX)?;
    close_the_rest(setup).or_refuse("the closing of descriptors", FIX)?;
    // It is the launcher's: directories of the host, and the values of `--env`.
    sys::forget_arguments("init").or_refuse("init's command line", FIX)?;
    // The launcher is closed to others, and so is this copy of it: nobody else could open this.
    let network = std::fs::File::open("/proc/self/ns/net").or_refuse("the keeper", FIX)?;
    say(setup, &FromInit::Born, &[network.as_fd()])?;
    drop(network);
    privileges::become_user(setup.identity.uid, setup.identity.gid)
        .or_refuse("the user of the workload", FIX)?;
    privileges::close_to_others().or_refuse("init, closed to others", FIX)?;
    privileges::die_with_parent().or_refuse("the parent-death signal", FIX)?;

    sys::set_host_name(&setup.identity.name).or_refuse("the host name", FIX)?;
    let network = network::build(&setup.address)?;
    let mut descriptors: Vec<_> = network
        .sockets
        .iter()
        .map(|(_, socket)| socket.as_fd())
        .collect();
    descriptors.push(network.log.as_fd());
    say(setup, &network.message(), &descriptors)?;
    // Kept by the launcher and the enforcer only.
    drop(network);
    let mut own_files = [None, None, None];
    for (own, stream) in own_files.iter_mut().zip(&setup.streams) {
        if let Some(stream) = stream {
            *own = root::read_only(stream).or_refuse("the standard streams", FIX)?;
        }
    }
    let switches = limits::NamespaceSwitches::open()?;
    root::build(&setup.plan, &setup.identity)?;
    switches.close()?;

    let terminal = if setup.streams.iter().any(Option::is_none) {
        Some(root::open_terminal().or_refuse("the terminal", FIX)?)
    } else {
        None
    };
    let beside: Vec<_> = terminal.iter().map(|(master, _)| master.as_fd()).collect();
    say(setup, &FromInit::Built, &beside)?;
    let slave: Option<CString> = terminal.map(|(_, slave)| slave);

    privileges::drop_all_but(CapabilitySet::empty())
        .or_refuse("the dropping of capabilities", FIX)?;
    limits::apply(setup.processes)?;
    privileges::die_with_parent().or_refuse("the parent-death signal", FIX)?;
    if !matches!(hear(setup)?, Some(ToInit::Start)) {
        return Ok(());
    }
    let signals = sys::signal_descriptor(&[libc::SIGCHLD]).or_refuse("init's signals", FIX)?;
    let first = match sys::clone_process(0).or_refuse("the workload's process", FIX)? {
        sys::Cloned::Child => workload::become_workload(setup, &own_files, slave.as_deref()),
        sys::Cloned::Parent { pid, .. } => pid,
    };
    // What the launcher gave for the workload is the workload's alone: pipes end when it ends.
    sys::close_all_but(&[control.as_raw_fd(), signals.as_raw_fd()])
        .or_refuse("the closing of descriptors", FIX)?;
    std::mem::forget(own_files);
    sys::install_filter(&seccomp::enforcer_program()).or_refuse("seccomp around init", FIX)?;
    watch(setup, first, signals).or_refuse("init", FIX)
}

const FIX: &str =
    "report this with the kernel's version (`uname -r`); Linux 5.14 or later is needed";

fn say(
    setup: &Setup,
    message: &FromInit,
    beside: &[std::os::fd::BorrowedFd<'_>],
) -> Result<(), Refusal> {
    channel::send(&setup.control, message, beside).or_refuse("the talk with the launcher", FIX)
}

/// The launcher's next word; `None` when it is gone.
fn hear(setup: &Setup) -> Result<Option<ToInit>, Refusal> {
    let packet = channel::recv(&setup.control).or_refuse("the talk with the launcher", FIX)?;
    Ok(packet.map(|packet| packet.message))
}

/// A clone has a copy of every descriptor of the launcher: the node's and the enforcer's channels among them.
fn close_the_rest(setup: &Setup) -> io::Result<()> {
    let mut keep: Vec<RawFd> = vec![setup.control.as_raw_fd(), setup.report.as_raw_fd()];
    keep.extend(setup.streams.iter().flatten().map(AsRawFd::as_raw_fd));
    keep.extend(
        setup
            .plan
            .trees
            .iter()
            .filter_map(|tree| tree.prepared.as_ref())
            .map(AsRawFd::as_raw_fd),
    );
    sys::close_all_but(&keep)?;
    // 0, 1 and 2 must not be given to something else by accident.
    for number in 0..3 {
        let null = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        if null.as_raw_fd() > number {
            break;
        }
        std::mem::forget(null);
    }
    Ok(())
}

/// Reaps and passes signals on until the first process has ended, or the launcher is gone.
fn watch(setup: &Setup, first: i32, signals: OwnedFd) -> io::Result<()> {
    loop {
        let mut waiting = [
            PollFd::new(&setup.control, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        match rustix::event::poll(&mut waiting, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
        while sys::next_signal(signals.as_fd())?.is_some() {}
        while let Some((pid, status)) = ended()? {
            if pid == first {
                let message = FromInit::Exited {
                    code: status.exit_status(),
                    signal: status.terminating_signal(),
                };
                return channel::send(&setup.control, &message, &[]);
            }
        }
        loop {
            match channel::try_recv(&setup.control) {
                Ok(Some(packet)) => obey(packet.message, first),
                // The launcher is gone: process 1 ends, and with it everything inside.
                Ok(None) => return Ok(()),
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => break,
                Err(cause) => return Err(cause),
            }
        }
    }
}

fn ended() -> io::Result<Option<(i32, rustix::process::WaitStatus)>> {
    match rustix::process::wait(WaitOptions::NOHANG) {
        Ok(found) => Ok(found.map(|(pid, status)| (pid.as_raw_nonzero().get(), status))),
        Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(cause) => Err(cause.into()),
    }
}

fn obey(message: ToInit, first: i32) {
    // Whoever is to get the signal may have ended in this moment; that is no error.
    let _ = match message {
        // It leads a group of its own, by its session.
        ToInit::Signal { signal, group } => sys::kill(if group { -first } else { first }, signal),
        // Every process in the compartment but this one.
        ToInit::Freeze => sys::kill(-1, libc::SIGSTOP),
        ToInit::Thaw => sys::kill(-1, libc::SIGCONT),
        ToInit::Mapped | ToInit::Start => Ok(()),
    };
}
