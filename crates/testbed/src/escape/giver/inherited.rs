//! Descriptors of the host that a careless caller left open, beside the standard streams.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};

use super::sockets::{send_rights, take};
use super::{Gift, LOOK, forget};
use crate::escape::{Ground, sys};

/// What the file outside says, as long as nobody has written to it.
const UNTOUCHED: &str = "as it was";
/// A number that closing the first few hundred would miss.
const FAR_UP: i32 = 900;

/// What is left open, and this process's ends of it.
pub(super) struct Inherited {
    left_open: Vec<OwnedFd>,
    /// Written to by whoever got hold of it.
    notes: PathBuf,
    /// Of the Unix socket.
    near: OwnedFd,
    /// Waits at the listener, with the secret.
    _client: TcpStream,
}

impl Inherited {
    pub(super) fn new(ground: &Ground) -> io::Result<Self> {
        let outside = ground.file.parent().unwrap_or(&ground.file);
        let notes = outside.join("notes");
        forget(&notes)?;
        std::fs::write(&notes, UNTOUCHED)?;
        let secret = std::fs::read(&ground.file)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        client.write_all(&secret)?;
        let (near, far) = UnixStream::pair()?;
        let near = OwnedFd::from(near);
        let mut memory = File::from(rustix::fs::memfd_create(
            "memory",
            rustix::fs::MemfdFlags::CLOEXEC,
        )?);
        memory.write_all(&secret)?;
        memory.rewind()?;
        let canary = sys::call(libc::SYS_pidfd_open, &[ground.pid as usize, 0])?;
        let file = File::open(&ground.file)?;
        send_rights(&near, &[file.as_fd()])?;
        let here = |flags| rustix::fs::open(outside, flags | OFlags::CLOEXEC, Mode::empty());
        let high = rustix::io::fcntl_dupfd_cloexec(&file, FAR_UP)?;
        let left_open = vec![
            file.into(),
            here(OFlags::RDONLY | OFlags::DIRECTORY)?,
            here(OFlags::PATH | OFlags::DIRECTORY)?,
            File::options().read(true).write(true).open(&notes)?.into(),
            File::options().append(true).open(&notes)?.into(),
            listener.into(),
            far.into(),
            memory.into(),
            sys::own(canary),
            File::open("/proc/self/ns/net")?.into(),
            File::open("/proc/self/ns/mnt")?.into(),
            high,
        ];
        Ok(Self {
            left_open,
            notes,
            near,
            _client: client,
        })
    }
}

impl Gift for Inherited {
    fn give(&mut self, command: &mut Command) -> io::Result<()> {
        command.stdin(Stdio::null());
        for descriptor in &self.left_open {
            rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
        }
        Ok(())
    }

    fn hear(&mut self) -> io::Result<Vec<u8>> {
        // What it prints goes where this process prints.
        std::thread::sleep(LOOK);
        Ok(Vec::new())
    }

    fn felt(&mut self) -> io::Result<Vec<String>> {
        let mut felt = Vec::new();
        let notes = std::fs::read(&self.notes)?;
        if notes != UNTOUCHED.as_bytes() {
            let notes = String::from_utf8_lossy(&notes);
            felt.push(format!("by what is in a file outside: {notes:?}"));
        }
        match take(&self.near) {
            Ok((bytes, rights)) if !bytes.is_empty() => felt.push(format!(
                "by {} bytes and {rights} descriptors that came by a socket",
                bytes.len()
            )),
            // The end of it, or nothing: this process still holds the other side.
            _ => {}
        }
        Ok(felt)
    }
}
