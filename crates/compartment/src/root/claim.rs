//! One work directory, one compartment: claims that overlap refuse each other, whoever made them.
//!
//! A claim is a set of abstract Unix sockets in the host's network namespace: `work/DEVICE:INODE` for the directory,
//! `below/DEVICE:INODE/DEVICE:INODE` for each directory above it; `place/NAME` and `under/NAME/NAME` alike for where it
//! lies in its file system, which a bind mount does not change, and for what is mounted beneath it. They need no file and
//! no right, every user's launchers see them, and the kernel takes them away with the process. Somebody can take names to
//! get in the way of others' starts, but nobody can hide a claim.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::place;
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
        let names = Names::of(directory, examined).map_err(unknown)?;
        let mut sockets = Vec::new();
        for name in &names.own {
            match bind(name) {
                Ok(socket) => sockets.push(socket),
                Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => {
                    return Err(refuse(IN_USE.to_owned()));
                }
                Err(cause) => return Err(unknown(cause)),
            }
        }
        // Told first, looked up afterwards: of two that start at the same moment at least one sees the other.
        for name in &names.within {
            sockets.push(bind(name).map_err(unknown)?);
        }
        names
            .taken(&taken().map_err(unknown)?)
            .map_or(Ok(()), |what| Err(refuse(what.to_owned())))?;
        Ok(Self { _sockets: sockets })
    }
}

/// Says who is in the way of a claim on `directory`, without making one: nobody else's start fails meanwhile.
pub(super) fn look(directory: &Path, examined: &Examined) -> Result<(), Refusal> {
    let unknown = |cause: io::Error| refusal(directory, &format!("cannot be claimed: {cause}"));
    let names = Names::of(directory, examined).map_err(unknown)?;
    let taken = taken().map_err(unknown)?;
    let in_use = |name: &String| taken.contains(&format!("{PREFIX}{name}"));
    if names.own.iter().any(in_use) {
        return Err(refusal(directory, IN_USE));
    }
    names
        .taken(&taken)
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

/// What a claim binds, and what it must not find.
struct Names {
    /// No other claim has one of these.
    own: Vec<String>,
    /// That it lies in something: one for each thing.
    within: Vec<String>,
    /// What it lies in, were that claimed.
    above: Vec<String>,
    /// How the names begin of claims on what lies in it.
    below: Vec<String>,
}

impl Names {
    fn of(directory: &Path, examined: &Examined) -> io::Result<Self> {
        let own = examined.identity();
        let mut names = Self {
            own: vec![format!("work/{own}")],
            within: Vec::new(),
            above: Vec::new(),
            below: vec![format!("below/{own}/")],
        };
        for ancestor in directory.ancestors().skip(1) {
            let ancestor = identity(ancestor)?;
            names.within.push(format!("below/{ancestor}/{own}"));
            names.above.push(format!("work/{ancestor}"));
        }
        for place in place::shown(directory, examined)? {
            let own = place.name();
            names.own.push(format!("place/{own}"));
            names.below.push(format!("under/{own}/"));
            for ancestor in place.above().map(|ancestor| ancestor.name()) {
                names.within.push(format!("under/{ancestor}/{own}"));
                names.above.push(format!("place/{ancestor}"));
            }
        }
        // Two directories above it may be one, by a bind mount: that is no claim of another.
        names.within.sort();
        names.within.dedup();
        Ok(names)
    }

    /// The claim of another, in words, that overlaps with this one.
    fn taken(&self, taken: &[String]) -> Option<&'static str> {
        for name in taken.iter().filter_map(|name| name.strip_prefix(PREFIX)) {
            if self.below.iter().any(|below| name.starts_with(below)) {
                return Some("holds the work directory of another compartment");
            }
            if self.above.iter().any(|above| name == above) {
                return Some("lies in the work directory of another compartment");
            }
        }
        None
    }
}

/// All abstract names of sockets in this network namespace.
fn taken() -> io::Result<Vec<String>> {
    let taken = std::fs::read("/proc/net/unix")?;
    let taken = String::from_utf8_lossy(&taken);
    let names = taken.lines().filter_map(|line| line.split(' ').next_back());
    Ok(names
        .filter_map(|name| name.strip_prefix('@'))
        .map(str::to_owned)
        .collect())
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
