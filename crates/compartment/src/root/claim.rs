//! One work directory, one compartment: claims that overlap refuse each other, whoever made them.
//!
//! A claim is a set of abstract Unix sockets in the host's network namespace: `work/DEVICE:INODE` for the directory,
//! `below/DEVICE:INODE/DEVICE:INODE` for each directory above it. They need no file and no right, every user's launchers see
//! them, and the kernel takes them away with the process. Somebody can take names to get in the way of others' starts,
//! but nobody can hide a claim.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::plan::Examined;
use crate::error::Refusal;

const PREFIX: &str = "ringfence/1/";

/// Held for as long as the compartment lives.
#[derive(Debug)]
pub(crate) struct Claim {
    _sockets: Vec<OwnedFd>,
}

impl Claim {
    /// Claims `directory` (canonical, and `examined`), or says who is in the way.
    pub(super) fn take(directory: &Path, examined: &Examined) -> Result<Self, Refusal> {
        let refuse = |what: String| {
            Refusal::new(
                format!("the work directory {} {what}", directory.display()),
                "give each workload a directory of its own, or stop the other one first",
            )
        };
        let unknown = |cause: io::Error| refuse(format!("cannot be claimed: {cause}"));
        let identity = |path: &Path| {
            std::fs::metadata(path).map(|found| format!("{}:{}", found.dev(), found.ino()))
        };
        let own = examined.identity();
        let mut sockets = Vec::new();
        match bind(&format!("work/{own}")) {
            Ok(socket) => sockets.push(socket),
            Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => {
                return Err(refuse("is in use by another compartment".to_owned()));
            }
            Err(cause) => return Err(unknown(cause)),
        }
        // Told first, looked up afterwards: of two that start at the same moment at least one sees the other.
        let mut above = Vec::new();
        for ancestor in directory.ancestors().skip(1) {
            let ancestor = identity(ancestor).map_err(unknown)?;
            sockets.push(bind(&format!("below/{ancestor}/{own}")).map_err(unknown)?);
            above.push(format!("@{PREFIX}work/{ancestor}"));
        }
        let below = format!("@{PREFIX}below/{own}/");
        let taken = std::fs::read("/proc/net/unix").map_err(unknown)?;
        let taken = String::from_utf8_lossy(&taken);
        for name in taken.lines().filter_map(|line| line.split(' ').next_back()) {
            if name.starts_with(&below) {
                return Err(refuse(
                    "holds the work directory of another compartment".to_owned(),
                ));
            }
            if above.iter().any(|above| above == name) {
                return Err(refuse(
                    "lies in the work directory of another compartment".to_owned(),
                ));
            }
        }
        Ok(Self { _sockets: sockets })
    }
}

fn bind(name: &str) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let address = SocketAddrUnix::new_abstract_name(format!("{PREFIX}{name}").as_bytes())?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}
