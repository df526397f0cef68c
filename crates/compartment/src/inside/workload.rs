//! The last steps of the process that becomes the workload: session, terminal, Landlock, seccomp, exec.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::init::Setup;
use super::talk::FromWorkload;
use super::{limits, program};
use crate::error::{OrRefuse, Refusal};
use crate::landlock::{Grant, restrict};
use crate::root::{self, Access};
use crate::{channel, seccomp, sys};

/// Trees of its own that a workload may write. Not `/proc`: what can be set there is for those who look after it, such as
/// whom the kernel ends first when memory is short.
const WRITABLE: &[&str] = &["/tmp", "/run", "/dev", "/work"];
/// What to do where refused calls cannot be answered.
pub(crate) const SECCOMP_FIX: &str =
    "the kernel needs CONFIG_SECCOMP_FILTER and user notification (Linux 5.9 or later)";
const FIX: &str = "report this with the kernel's version (`uname -r`)";

/// Becomes the workload, or tells the launcher why not and ends.
///
/// `own_files` are given in place of streams.
pub(super) fn become_workload(
    setup: &Setup,
    own_files: &[Option<OwnedFd>; 3],
    terminal: Option<&CStr>,
) -> ! {
    let report = &setup.report;
    let message = match steps(setup, own_files, terminal) {
        Err(Ended::Refused(refusal)) => FromWorkload::Failed(refusal),
        Err(Ended::Missing(missing)) => FromWorkload::Missing(missing),
    };
    // If the launcher is gone, so is this process in a moment.
    let _ = channel::send(report, &message, &[]);
    sys::exit_now(crate::error::EXIT_REFUSED)
}

enum Ended {
    Refused(Refusal),
    Missing(program::Missing),
}

impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn steps(
    setup: &Setup,
    own_files: &[Option<OwnedFd>; 3],
    terminal: Option<&CStr>,
) -> Result<Infallible, Ended> {
    rustix::process::setsid().or_refuse("a session of its own", FIX)?;
    streams(setup, own_files, terminal).or_refuse("the standard streams", FIX)?;
    let program = program::locate(&setup.command[0], &setup.path).map_err(Ended::Missing)?;
    let program = match setup.pinned {
        Some(pinned) => pinned.insist(&program)?,
        None => program,
    };
    let arguments = c_strings(
        setup
            .command
            .iter()
            .map(|argument| argument.as_encoded_bytes()),
    )?;
    let environment = c_strings(setup.environment.iter().map(Vec::as_slice))?;
    sys::close_on_exec_from(3).or_refuse("the closing of descriptors", FIX)?;
    sys::fresh_signals(&setup.ignored_signals);

    landlock(setup)?;
    let filter = seccomp::workload_program();
    let listener = sys::install_listener(&filter).or_refuse("seccomp", SECCOMP_FIX)?;
    channel::send(&setup.report, &FromWorkload::Listener, &[listener.as_fd()])
        .or_refuse("seccomp", FIX)?;
    drop(listener);
    limits::bound_open_files().or_refuse("the resource limits", FIX)?;

    let cause = sys::exec(&program, &arguments, &environment);
    Err(Ended::Missing(program::Missing {
        command: setup.command[0].clone(),
        path: Path::new(
            <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(program.as_bytes()),
        )
        .to_owned(),
        needed_by: None,
        present: cause.kind() != io::ErrorKind::NotFound,
        cause: cause.to_string(),
    }))
}

/// Puts the streams the launcher chose at 0, 1 and 2, and the terminal where it chose that.
fn streams(
    setup: &Setup,
    own_files: &[Option<OwnedFd>; 3],
    terminal: Option<&CStr>,
) -> io::Result<()> {
    let slave: Option<OwnedFd> = terminal
        .map(|path| {
            rustix::fs::open(
                path,
                OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
                Mode::empty(),
            )
        })
        .transpose()?;
    if let Some(slave) = &slave {
        rustix::process::ioctl_tiocsctty(slave)?;
    }
    // Out of the way first: none of the sources may be 0, 1 or 2, or one would overwrite the other.
    let mut sources = Vec::new();
    for (stream, own_file) in setup.streams.iter().zip(own_files) {
        let source = match (own_file.as_ref().or(stream.as_ref()), &slave) {
            (Some(chosen), _) => match own_device(chosen)? {
                Some(own) => sys::duplicate_above(own.as_raw_fd(), 3)?,
                None => sys::duplicate_above(chosen.as_raw_fd(), 3)?,
            },
            (None, Some(slave)) => sys::duplicate_above(slave.as_raw_fd(), 3)?,
            (None, None) => return Err(io::Error::other("a stream without a source")),
        };
        sources.push(source);
    }
    for (number, source) in sources.iter().enumerate() {
        sys::place_descriptor(source.as_raw_fd(), number as RawFd)?;
    }
    Ok(())
}

/// The compartment's own copy of a device of the host: Landlock knows that one, so it can be opened again by name
/// (`/dev/stdin`). `None` when the stream is no device.
fn own_device(stream: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let found = rustix::fs::fstat(stream)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::CharacterDevice {
        return Ok(None);
    }
    let path = root::harmless_device(found.st_rdev)
        .ok_or_else(|| io::Error::other("a stream is a device that may not be handed over"))?;
    let mode = rustix::fs::fcntl_getfl(stream)? & OFlags::ACCMODE;
    let own = rustix::fs::open(path, mode | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Some(own))
}

fn landlock(setup: &Setup) -> Result<(), Refusal> {
    let grant = |path, writable, optional| Grant {
        path,
        writable,
        optional,
    };
    let mut grants = vec![grant(Path::new("/"), false, false)];
    grants.extend(
        WRITABLE
            .iter()
            .map(|path| grant(Path::new(*path), true, false)),
    );
    grants.extend(
        setup
            .plan
            .trees
            .iter()
            .filter(|tree| tree.access == Access::Write)
            .map(|tree| grant(tree.target.as_path(), true, false)),
    );
    restrict(&grants, true).or_refuse("Landlock", crate::landlock::FIX)?;
    Ok(())
}

fn c_strings<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Result<Vec<CString>, Refusal> {
    texts
        .map(|text| {
            CString::new(text).map_err(|_| {
                Refusal::new(
                    "an argument or a variable of the environment holds a zero byte",
                    "give arguments without zero bytes",
                )
            })
        })
        .collect()
}
