//! What must not be touched: it gives its secret to whoever reaches it, and says so on its stdout, one line a touch.
//!
//! [`host`] is the canary of the host; [`neighbour`] is one in a compartment next door.

use std::io;
use std::net::{Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::path::Path;
use std::process::ExitCode;

use super::ground::{CANARY_PORT, VAULT_PORT};
use super::senses::{STANDS, Sense, say, watch};
use super::sys;

/// Bytes of its shared memory.
const SHARED: usize = 4096;

/// What only the canary knows of itself.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Told {
    pub(super) pid: i32,
    pub(super) memory: (usize, usize),
    pub(super) sysv_key: i32,
}

/// The canary of the host. Ends when its stdin does.
pub(super) fn host(directory: &Path, secret: &str) -> ExitCode {
    let watched = stand(directory, secret).and_then(|(told, senses)| {
        say(format!(
            "{STANDS} {}\n",
            serde_json::to_string(&told).map_err(io::Error::other)?
        ));
        watch(&senses, secret)
    });
    clear(directory);
    ended(watched)
}

fn ended(watched: io::Result<()>) -> ExitCode {
    match watched {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("the canary: {cause}");
            ExitCode::FAILURE
        }
    }
}

/// Name of POSIX objects for a canary in `directory`, with its slash.
pub(super) fn posix_name(directory: &Path) -> String {
    let tail = directory.to_string_lossy().replace(['/', '.'], "-");
    format!("/canary{tail}")
}

/// Name of the abstract socket of a canary in `directory`.
pub(super) fn abstract_name(directory: &Path) -> String {
    format!("ringfence{}", posix_name(directory))
}

fn shared_memory(directory: &Path) -> String {
    format!("/dev/shm{}", posix_name(directory))
}

fn clear(directory: &Path) {
    let name = format!("{}\0", &posix_name(directory)[1..]);
    // Both are there unless an attacker of the control removed them, which is its right.
    let _ = std::fs::remove_file(shared_memory(directory));
    let _ = sys::call(libc::SYS_mq_unlink, &[sys::at(name.as_str())]);
}

fn stand(directory: &Path, secret: &str) -> io::Result<(Told, Vec<Sense>)> {
    std::fs::write(directory.join("secret"), secret)?;
    let fifo = directory.join("fifo");
    let path = sys::c_path(&fifo);
    sys::call(
        libc::SYS_mknodat,
        &[
            libc::AT_FDCWD as usize,
            sys::at(path.to_bytes_with_nul()),
            libc::S_IFIFO as usize | 0o666,
        ],
    )?;
    std::fs::write(shared_memory(directory), secret)?;
    let (sysv_key, sysv_queue) = sysv(secret)?;
    let abstract_socket = UnixAddr::from_abstract_name(abstract_name(directory))?;
    let senses = vec![
        signals()?,
        Sense::Stream(TcpListener::bind((Ipv6Addr::UNSPECIFIED, CANARY_PORT))?),
        Sense::Datagrams(datagrams()?),
        Sense::Socket(UnixListener::bind(directory.join("socket"))?, "its socket"),
        Sense::Socket(
            UnixListener::bind_addr(&abstract_socket)?,
            "its abstract socket",
        ),
        // Open for writing as well: it does not end.
        Sense::Pipe(
            std::fs::File::options()
                .read(true)
                .write(true)
                .open(&fifo)?,
        ),
        queue(directory)?,
        sysv_queue,
    ];
    let kept: &'static str = Box::leak(secret.to_owned().into_boxed_str());
    let told = Told {
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        memory: (sys::at(kept), kept.len()),
        sysv_key,
    };
    Ok((told, senses))
}

/// Blocks all signals, to be told of each.
fn signals() -> io::Result<Sense> {
    const EVERY: u64 = u64::MAX;
    sys::call(
        libc::SYS_rt_sigprocmask,
        &[libc::SIG_SETMASK as usize, sys::at(&EVERY), 0, 8],
    )?;
    let descriptor = sys::call(libc::SYS_signalfd4, &[usize::MAX, sys::at(&EVERY), 8, 0])?;
    Ok(Sense::Signals(sys::own(descriptor)))
}

fn datagrams() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, CANARY_PORT))?;
    // A socket of both families hears multicast of IPv4 only when it asks for it.
    let every = 1_i32;
    let option = [
        socket.as_raw_fd() as usize,
        libc::SOL_IP as usize,
        libc::IP_MULTICAST_ALL as usize,
        sys::at(&every),
        size_of_val(&every),
    ];
    sys::call(libc::SYS_setsockopt, &option)?;
    Ok(socket)
}

/// Shared memory, a queue and a semaphore of SysV under one key.
fn sysv(secret: &str) -> io::Result<(i32, Sense)> {
    let key = i32::try_from(std::process::id()).unwrap_or_default() | 0x5246_0000;
    let number = usize::try_from(key).unwrap_or_default();
    let flags = libc::IPC_CREAT as usize | libc::IPC_EXCL as usize | 0o666;
    let memory = sys::call(libc::SYS_shmget, &[number, SHARED, flags])?;
    let address = sys::call(
        libc::SYS_shmat,
        &[usize::try_from(memory).unwrap_or_default()],
    )?;
    sys::poke(
        usize::try_from(address).unwrap_or_default(),
        secret.as_bytes(),
    );
    sys::call(libc::SYS_semget, &[number, 1, flags])?;
    let queue = sys::call(libc::SYS_msgget, &[number, flags])?;
    let queue = Sense::SysvQueue(usize::try_from(queue).unwrap_or_default());
    Ok((key, queue))
}

/// A POSIX message queue.
fn queue(directory: &Path) -> io::Result<Sense> {
    let name = format!("{}\0", &posix_name(directory)[1..]);
    let flags = (libc::O_CREAT | libc::O_EXCL | libc::O_RDWR) as usize;
    let queue = sys::call(
        libc::SYS_mq_open,
        &[sys::at(name.as_str()), flags, 0o666, 0],
    )?;
    Ok(Sense::Queue(sys::own(queue)))
}

/// A canary in a compartment: the service `vault`, which the attacker may not use, with what a neighbour might leave open.
pub(super) fn neighbour(name: &str, secret: &str) -> ExitCode {
    let watched = (|| {
        let abstract_socket = UnixAddr::from_abstract_name(name)?;
        let senses = [
            Sense::Stream(TcpListener::bind((Ipv6Addr::UNSPECIFIED, VAULT_PORT))?),
            Sense::Socket(
                UnixListener::bind_addr(&abstract_socket)?,
                "the neighbour's abstract socket",
            ),
            Sense::Socket(
                UnixListener::bind(Path::new("/tmp").join(name))?,
                "the neighbour's socket",
            ),
        ];
        for place in ["/work", "/tmp", "/dev/shm", "/run"] {
            std::fs::write(format!("{place}/{name}.secret"), secret)?;
        }
        say(format!("{STANDS}\n"));
        watch(&senses, secret)
    })();
    ended(watched)
}
