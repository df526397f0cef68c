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
        let refuse = |what: String| refusal(directory, &what);
        let unknown = |cause: io::Error| refuse(format!("cannot be claimed: {cause}"));
        let own = examined.identity();
        let mut sockets = Vec::new();
        match bind(&format!("work/{own}")) {
            Ok(socket) => sockets.push(socket),
            Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => {
                return Err(refuse(IN_USE.to_owned()));
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
        others(&own, &above)
            .map_err(unknown)?
            .map_or(Ok(()), |what| Err(refuse(what.to_owned())))?;
        Ok(Self { _sockets: sockets })
    }
}

/// Says who is in the way of a claim on `directory`, without making one: nobody else's start fails meanwhile.
pub(super) fn look(directory: &Path, examined: &Examined) -> Result<(), Refusal> {
    let unknown = |cause: io::Error| refusal(directory, &format!("cannot be claimed: {cause}"));
    let own = examined.identity();
    let mut above = Vec::new();
    for ancestor in directory.ancestors().skip(1) {
        let ancestor = identity(ancestor).map_err(unknown)?;
        above.push(format!("@{PREFIX}work/{ancestor}"));
    }
    let taken = names().map_err(unknown)?;
    if taken.contains(&format!("@{PREFIX}work/{own}")) {
        return Err(refusal(directory, IN_USE));
    }
    others(&own, &above)
        .map_err(unknown)?
        .map_or(Ok(()), |what| Err(refusal(directory, what)))
}

const IN_USE: &str = "is in use by another compartment";

fn refusal(directory: &Path, what: &str) -> Refusal {
    Refusal::new(
        format!("the work directory {} {what}", directory.display()),
        "give each workload a directory of its own, or stop the other one first",
    )
}

fn identity(path: &Path) -> io::Result<String> {
    std::fs::metadata(path).map(|found| format!("{}:{}", found.dev(), found.ino()))
}

/// The claim of another that overlaps with one on `own`, beneath the directories whose names are `above`.
fn others(own: &str, above: &[String]) -> io::Result<Option<&'static str>> {
    let below = format!("@{PREFIX}below/{own}/");
    for name in names()? {
        if name.starts_with(&below) {
            return Ok(Some("holds the work directory of another compartment"));
        }
        if above.contains(&name) {
            return Ok(Some("lies in the work directory of another compartment"));
        }
    }
    Ok(None)
}

/// All names of sockets in this network namespace.
fn names() -> io::Result<Vec<String>> {
    let taken = std::fs::read("/proc/net/unix")?;
    let taken = String::from_utf8_lossy(&taken);
    let names = taken.lines().filter_map(|line| line.split(' ').next_back());
    Ok(names.map(str::to_owned).collect())
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
