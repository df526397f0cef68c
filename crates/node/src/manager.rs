//! What the service manager is told: ready, reloading, how it goes, alive, stopping.
//!
//! The protocol of `sd_notify(3)`: one datagram per word, to the socket named in `NOTIFY_SOCKET`. Written here because
//! it is one system call, and must be one that never waits: a manager that does not read must not hold up the node.
//! Nothing is said when nobody asked. The enforcer inherits none of the variables (`compartment::spawn`).

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use tokio::time::Instant;

use crate::limits::{ASK_EVERY, MANAGER_STATUS_MAX};

/// The way to the service manager, if there is one, and what it has been told.
#[derive(Default)]
pub(crate) struct Manager {
    to: Option<(OwnedFd, SocketAddrUnix)>,
    /// How often it wants to hear that we are alive.
    watchdog: Option<Duration>,
    alive_at: Option<Instant>,
    ready: bool,
    /// It was told of a reload, and waits for its end.
    reloading: bool,
    status: String,
}

impl Manager {
    /// As the environment of this process names it. What cannot be used is said, and done without.
    pub(crate) fn of_this_process() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
            return Self::default();
        };
        let to = match open(&name) {
            Ok(to) => to,
            Err(error) => {
                crate::say::warn(&format!(
                    "the service manager cannot be told anything: NOTIFY_SOCKET is {}: {error}",
                    name.to_string_lossy()
                ));
                return Self::default();
            }
        };
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC")
            .filter(|usec| for_us && *usec > 0)
            .map(Duration::from_micros);
        if let Some(every) = watchdog
            && every < 3 * ASK_EVERY
        {
            crate::say::warn(&format!(
                "a watchdog of {every:?} is shorter than the enforcer is asked; set WatchdogSec=30s"
            ));
        }
        Self {
            to: Some(to),
            watchdog,
            ..Self::default()
        }
    }

    /// A reload was asked for and begins.
    pub(crate) fn reloading(&mut self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let usec = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        // It matches this against when it asked, and wants the two together.
        if self.ready && self.say(&format!("RELOADING=1\nMONOTONIC_USEC={usec}")) {
            self.reloading = true;
        }
    }

    /// The node serves, and no reload that was asked for is under way. Said once, and again behind each reload.
    pub(crate) fn ready(&mut self) {
        if (!self.ready || self.reloading) && self.say("READY=1") {
            self.ready = true;
            self.reloading = false;
        }
    }

    /// Whether it knows that the node serves.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// How it goes, in one line, where that has changed.
    pub(crate) fn status(&mut self, line: &str) {
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MANAGER_STATUS_MAX)
            .collect();
        if line != self.status && self.say(&format!("STATUS={line}")) {
            self.status = line;
        }
    }

    /// The enforcer has answered, and this process is there to hear it: the one moment at which both are known to live.
    pub(crate) fn alive(&mut self) {
        let Some(every) = self.watchdog else { return };
        let now = Instant::now();
        // Four times as often as it must be, and no more than is of use.
        let due = self
            .alive_at
            .is_none_or(|at| now.duration_since(at) >= every / 4);
        if due && self.say("WATCHDOG=1") {
            self.alive_at = Some(now);
        }
    }

    /// The end has begun.
    pub(crate) fn stopping(&mut self) {
        self.say("STOPPING=1");
    }

    /// Whether it was taken. What was not is said again when the same state is looked at next.
    fn say(&self, words: &str) -> bool {
        let Some((socket, address)) = &self.to else {
            return false;
        };
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::sendto(socket, words.as_bytes(), flags, address).is_ok()
    }
}

fn open(name: &OsStr) -> rustix::io::Result<(OwnedFd, SocketAddrUnix)> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddrUnix::new_abstract_name(rest)?,
        [b'/', ..] => SocketAddrUnix::new(name)?,
        // `vsock:` is for the inside of a virtual machine, where `systemd` itself speaks it.
        _ => return Err(rustix::io::Errno::AFNOSUPPORT),
    };
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_line_has_so_many_characters_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut manager = Manager {
            to: Some(open(path.as_os_str()).unwrap()),
            ..Manager::default()
        };
        let mut hear = |line: &str| {
            manager.status(line);
            let mut buffer = vec![0; 8 * MANAGER_STATUS_MAX];
            let length = socket.recv(&mut buffer).unwrap();
            let said = String::from_utf8(buffer[..length].to_vec()).unwrap();
            said.strip_prefix("STATUS=").unwrap().to_owned()
        };
        let longest = "é".repeat(MANAGER_STATUS_MAX);
        assert_eq!(hear(&longest), longest);
        assert_eq!(hear("well"), "well");
        assert_eq!(hear(&format!("{longest}\n more")), longest);
    }
}
