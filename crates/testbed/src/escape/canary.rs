//! What must not be touched: it gives its secret to whoever reaches it, and says so on its stdout, one line a touch.
//!
//! [`host`] is the canary of the host; [`neighbour`] is one in a compartment next door; [`echo`] is what the attacker may
//! use, and [`honest`] uses it, to see that the house still stands.

use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::ground::{CANARY_PORT, ECHO_PORT, VAULT_PORT};
use super::sys;

/// Word in front of everything the canary felt.
pub(super) const TOUCH: &str = "touched";
/// What it says once all stands, with the rest of the line as JSON.
pub(super) const STANDS: &str = "stands";
/// How long the honest one waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of its shared memory.
const SHARED: usize = 4096;

/// What only the canary knows of itself.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Told {
    pub(super) pid: i32,
    pub(super) memory: (usize, usize),
    pub(super) sysv_key: i32,
}

fn touched(how: impl std::fmt::Display) {
    say(format!("{TOUCH} {how}\n"));
}

fn say(line: String) {
    // Its reader is gone only when the test is.
    let _ = io::stdout().lock().write_all(line.as_bytes());
}

/// The canary of the host. Ends when its stdin does.
pub(super) fn host(directory: &Path, secret: &str) -> ExitCode {
    match stand(directory, secret) {
        Ok(told) => say(format!(
            "{STANDS} {}\n",
            serde_json::to_string(&told).unwrap_or_default()
        )),
        Err(cause) => {
            eprintln!("the canary: {cause}");
            return ExitCode::FAILURE;
        }
    }
    // Whatever comes: its end is what is waited for.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    clear(directory);
    ExitCode::SUCCESS
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

fn stand(directory: &Path, secret: &str) -> io::Result<Told> {
    feel_signals()?;
    std::fs::write(directory.join("secret"), secret)?;
    listen_tcp(CANARY_PORT, secret)?;
    let datagrams = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, CANARY_PORT))?;
    // A socket of both families hears multicast of IPv4 only when it asks for it.
    let every = 1_i32;
    let option = [
        datagrams.as_raw_fd() as usize,
        libc::SOL_IP as usize,
        libc::IP_MULTICAST_ALL as usize,
        sys::at(&every),
        size_of_val(&every),
    ];
    sys::call(libc::SYS_setsockopt, &option)?;
    let answer = secret.to_owned();
    std::thread::spawn(move || answer_datagrams(&datagrams, &answer));
    listen_unix(
        UnixListener::bind(directory.join("socket"))?,
        "its socket",
        secret,
    );
    let name = UnixAddr::from_abstract_name(abstract_name(directory))?;
    listen_unix(
        UnixListener::bind_addr(&name)?,
        "its abstract socket",
        secret,
    );
    let fifo = directory.join("fifo");
    let path = format!("{}\0", fifo.display());
    sys::call(
        libc::SYS_mknod,
        &[sys::at(path.as_str()), libc::S_IFIFO as usize | 0o666],
    )?;
    // Open for writing as well: it does not end.
    let mut pipe = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&fifo)?;
    std::thread::spawn(move || {
        while let Ok(length @ 1..) = pipe.read(&mut [0; 4096]) {
            touched(format_args!("by its FIFO, {length} bytes"));
        }
    });
    let sysv_key = sysv(secret)?;
    std::fs::write(shared_memory(directory), secret)?;
    queue(directory)?;
    let kept: &'static str = Box::leak(secret.to_owned().into_boxed_str());
    Ok(Told {
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        memory: (sys::at(kept), kept.len()),
        sysv_key,
    })
}

/// Blocks all signals, and says which ones came.
fn feel_signals() -> io::Result<()> {
    const EVERY: u64 = u64::MAX;
    let set = EVERY;
    sys::call(
        libc::SYS_rt_sigprocmask,
        &[libc::SIG_SETMASK as usize, sys::at(&set), 0, 8],
    )?;
    std::thread::spawn(move || {
        loop {
            if let Ok(signal) = sys::call(libc::SYS_rt_sigtimedwait, &[sys::at(&set), 0, 0, 8]) {
                touched(format_args!("by signal {signal}"));
            }
        }
    });
    Ok(())
}

fn listen_tcp(port: u16, secret: &str) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    let secret = secret.to_owned();
    std::thread::spawn(move || {
        while let Ok((mut stream, from)) = listener.accept() {
            touched(format_args!("over TCP from {from}"));
            // Whoever has gone again has touched it all the same.
            let _ = stream.write_all(secret.as_bytes());
        }
    });
    Ok(())
}

fn answer_datagrams(socket: &UdpSocket, secret: &str) {
    let mut buffer = [0; 65536];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            touched(format_args!("over UDP from {from}, {length} bytes"));
            // As above.
            let _ = socket.send_to(secret.as_bytes(), from);
        }
    }
}

fn listen_unix(listener: UnixListener, what: &'static str, secret: &str) {
    let secret = secret.to_owned();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            touched(format_args!("by {what}"));
            // As above.
            let _ = stream.write_all(secret.as_bytes());
        }
    });
}

/// Shared memory, a queue and a semaphore of SysV under one key.
fn sysv(secret: &str) -> io::Result<i32> {
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
    std::thread::spawn(move || {
        let mut message = [0_u8; 264];
        let queue = usize::try_from(queue).unwrap_or_default();
        while sys::call(libc::SYS_msgrcv, &[queue, sys::at_mut(&mut message), 256]).is_ok() {
            touched("by its SysV queue");
        }
    });
    Ok(key)
}

/// A POSIX message queue.
fn queue(directory: &Path) -> io::Result<()> {
    let name = format!("{}\0", &posix_name(directory)[1..]);
    let flags = (libc::O_CREAT | libc::O_EXCL | libc::O_RDWR) as usize;
    let queue = sys::call(
        libc::SYS_mq_open,
        &[sys::at(name.as_str()), flags, 0o666, 0],
    )?;
    let queue = usize::try_from(queue).unwrap_or_default();
    std::thread::spawn(move || {
        let mut message = [0_u8; 8192];
        let mut hear = || {
            let length = message.len();
            sys::call(
                libc::SYS_mq_timedreceive,
                &[queue, sys::at_mut(&mut message), length],
            )
        };
        while hear().is_ok() {
            touched("by its POSIX queue");
        }
    });
    Ok(())
}

/// A canary in a compartment: the service `vault`, which the attacker may not use, with what a neighbour might leave open.
pub(super) fn neighbour(name: &str, secret: &str) -> ExitCode {
    let stood = (|| {
        listen_tcp(VAULT_PORT, secret)?;
        let address = UnixAddr::from_abstract_name(name)?;
        listen_unix(
            UnixListener::bind_addr(&address)?,
            "the neighbour's abstract socket",
            secret,
        );
        let path = Path::new("/tmp").join(name);
        listen_unix(UnixListener::bind(path)?, "the neighbour's socket", secret);
        for place in ["/work", "/tmp", "/dev/shm", "/run"] {
            std::fs::write(format!("{place}/{name}.secret"), secret)?;
        }
        io::Result::Ok(())
    })();
    if let Err(cause) = stood {
        eprintln!("the neighbour: {cause}");
        return ExitCode::FAILURE;
    }
    say(format!("{STANDS}\n"));
    loop {
        std::thread::park();
    }
}

/// The service that the attacker may use, over TCP and UDP.
pub(super) fn echo() -> ExitCode {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, ECHO_PORT));
    let (listener, datagrams) = match (TcpListener::bind(any), UdpSocket::bind(any)) {
        (Ok(listener), Ok(datagrams)) => (listener, datagrams),
        (Err(cause), _) | (_, Err(cause)) => {
            eprintln!("echo: {cause}");
            return ExitCode::FAILURE;
        }
    };
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok((length, from)) = datagrams.recv_from(&mut buffer) {
            // A datagram may be lost.
            let _ = datagrams.send_to(&buffer[..length], from);
        }
    });
    say(format!("{STANDS}\n"));
    while let Ok((mut stream, _)) = listener.accept() {
        std::thread::spawn(move || {
            let reader = stream.try_clone();
            // Its end, whichever it is, is the caller's doing.
            reader.and_then(|mut reader| io::copy(&mut reader, &mut stream))
        });
    }
    ExitCode::SUCCESS
}

/// Uses `echo` as its policy allows, once.
pub(super) fn honest(host: &str) -> ExitCode {
    let tried = (|| {
        let mut stream = TcpStream::connect((host, ECHO_PORT))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"honest")?;
        let mut heard = [0; 6];
        stream.read_exact(&mut heard)?;
        io::Result::Ok(heard == *b"honest")
    })();
    match tried {
        Ok(true) => ExitCode::SUCCESS,
        other => {
            eprintln!("honest: {other:?}");
            ExitCode::FAILURE
        }
    }
}
