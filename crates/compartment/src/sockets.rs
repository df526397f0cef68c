//! Where a node's sockets are, and who is at the other end of one.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use sha2::{Digest, Sha256};

/// Socket for launchers.
pub const RUN_SOCKET: &str = "run.sock";
/// Socket for operators.
pub const ADMIN_SOCKET: &str = "admin.sock";
/// Socket for monitors: a stream, for HTTP.
pub const METRICS_SOCKET: &str = "metrics.sock";
/// Holds a directory of sockets for each node of root.
pub const ROOT_DIR: &str = "/run/ringfence";
/// Waiting connections on any of them.
const BACKLOG: i32 = 128;

/// Directory that holds the sockets of the node that serves `state`.
///
/// A node of root keeps them under `/run/ringfence`, where other users reach them although its state is closed
/// to them; any other node keeps them in its state directory. Which of the two it is follows from the owner of
/// `state`, so launchers of every user find the same answer. `state` need not be readable, only nameable.
pub fn socket_dir(state: &Path) -> io::Result<PathBuf> {
    let state = std::path::absolute(state)?;
    let state = std::fs::canonicalize(&state).unwrap_or(state);
    let owner = match rustix::fs::stat(&state) {
        Ok(stat) => stat.st_uid,
        Err(rustix::io::Errno::NOENT) => rustix::process::geteuid().as_raw(),
        // Not even nameable for this user: then it is root's or another's, and only root's is shared.
        Err(rustix::io::Errno::ACCESS) => 0,
        Err(cause) => return Err(cause.into()),
    };
    if owner != 0 {
        return Ok(state);
    }
    let digest = Sha256::digest(state.as_os_str().as_encoded_bytes());
    let name: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(Path::new(ROOT_DIR).join(name))
}

/// Binds and listens on `name` in `directory`, replacing a socket that a dead node left. Blocking, close-on-exec.
///
/// The caller holds the lock of the state directory: nobody else serves there.
pub fn listen(directory: &Path, name: &str, mode: Mode) -> io::Result<OwnedFd> {
    listen_on(directory, name, mode, SocketType::SEQPACKET)
}

/// As [`listen`], with a stream socket.
pub fn listen_stream(directory: &Path, name: &str, mode: Mode) -> io::Result<OwnedFd> {
    listen_on(directory, name, mode, SocketType::STREAM)
}

fn listen_on(directory: &Path, name: &str, mode: Mode, kind: SocketType) -> io::Result<OwnedFd> {
    let directory = open_directory(directory)?;
    match rustix::fs::unlinkat(&directory, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(cause) => return Err(cause.into()),
    }
    let socket = socket(kind)?;
    rustix::net::bind(&socket, &through(&directory, name)?)?;
    rustix::fs::chmodat(&directory, name, mode, rustix::fs::AtFlags::empty())?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Connects to `name` in `directory`, and checks that a process of root or of this user serves it. Blocking.
pub fn connect(directory: &Path, name: &str) -> io::Result<OwnedFd> {
    let directory = open_directory(directory)?;
    let socket = socket(SocketType::SEQPACKET)?;
    rustix::net::connect(&socket, &through(&directory, name)?)?;
    let server = peer(&socket)?;
    let own = rustix::process::geteuid().as_raw();
    if server.uid != 0 && server.uid != own {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{name} is served by uid {}, neither root nor you",
                server.uid
            ),
        ));
    }
    Ok(socket)
}

/// The process at the other end of a connected Unix socket, as it was when it connected (or listened).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process id in our pid namespace; 0 when it is not visible here.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

/// Reads `SO_PEERCRED`.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let credentials = crate::sys::peer_credentials(socket.as_fd())?;
    Ok(Peer {
        pid: credentials.pid,
        uid: credentials.uid,
        gid: credentials.gid,
    })
}

/// A process at the other end of a socket.
#[derive(Debug)]
pub struct PeerProcess {
    /// Immune to reuse of its id. Readable when it has ended.
    pub descriptor: OwnedFd,
    /// Whether it is the very process that connected. If not, it is the one that had its id a moment later: it may be
    /// held to its user, which the socket knows, and to nothing else.
    pub certain: bool,
}

/// Reads `SO_PEERPIDFD`. Before Linux 6.5 the kernel has no such option: then it is the process that has the peer's id
/// now.
pub fn peer_process(socket: impl AsFd) -> io::Result<PeerProcess> {
    match crate::sys::peer_pidfd(socket.as_fd()) {
        Ok(descriptor) => Ok(PeerProcess {
            descriptor,
            certain: true,
        }),
        Err(cause) if cause.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            let pid = rustix::process::Pid::from_raw(peer(socket)?.pid)
                .ok_or_else(|| io::Error::other("the peer is not visible in this pid namespace"))?;
            let flags = rustix::process::PidfdFlags::empty();
            Ok(PeerProcess {
                descriptor: rustix::process::pidfd_open(pid, flags)?,
                certain: false,
            })
        }
        Err(cause) => Err(cause),
    }
}

fn socket(kind: SocketType) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        kind,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

fn open_directory(directory: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// A Unix address holds 108 bytes; a path through the directory's descriptor always fits.
fn through(directory: &OwnedFd, name: &str) -> io::Result<SocketAddrUnix> {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    path.push(OsStr::new(name));
    Ok(SocketAddrUnix::new(&path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_work_and_peers_are_known() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&deep).unwrap();
        let server = listen(&deep, RUN_SOCKET, Mode::RUSR | Mode::WUSR).unwrap();
        // A second one replaces what the first left behind.
        drop(server);
        let server = listen(&deep, RUN_SOCKET, Mode::RUSR | Mode::WUSR).unwrap();
        let client = connect(&deep, RUN_SOCKET).unwrap();
        let accepted = rustix::net::accept(&server).unwrap();
        let own = rustix::process::getpid().as_raw_nonzero().get();
        assert_eq!(peer(&client).unwrap().pid, own);
        assert_eq!(
            peer(&accepted).unwrap().uid,
            rustix::process::geteuid().as_raw()
        );
        assert!(peer_process(&accepted).is_ok());
    }

    #[test]
    fn a_state_of_root_is_found_under_run() {
        let dir = socket_dir(Path::new("/")).unwrap();
        assert!(dir.starts_with("/run/ringfence"));
        assert_eq!(dir.file_name().unwrap().len(), 16);
    }
}
