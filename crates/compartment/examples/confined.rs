//! `confined DIRECTORY [UID]`: confines itself as the enforcer does, tries what an enforcer must not be able to do,
//! and prints what came of it, for this crate's tests.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode};

use ringfence_compartment::confine::confine_enforcer;

fn tell<T>(what: &str, result: io::Result<T>) {
    match result {
        Ok(_) => println!("{what}: yes"),
        Err(cause) => println!("{what}: {}", cause.raw_os_error().unwrap_or(-1)),
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(directory) = arguments.next() else {
        return ExitCode::FAILURE;
    };
    let run_as = arguments.next().and_then(|uid| uid.parse().ok());
    let writable = match std::fs::File::open(&directory) {
        Ok(opened) => opened,
        Err(cause) => {
            eprintln!("{directory}: {cause}");
            return ExitCode::FAILURE;
        }
    };
    let namespace = match std::fs::File::open("/proc/self/ns/net") {
        Ok(namespace) => namespace,
        Err(cause) => {
            eprintln!("/proc/self/ns/net: {cause}");
            return ExitCode::FAILURE;
        }
    };
    if let Err(cause) = confine_enforcer(run_as, &[writable.as_fd()]) {
        eprintln!("{cause}");
        return ExitCode::FAILURE;
    }
    tell(
        "write where it may",
        std::fs::write(format!("{directory}/new"), "x"),
    );
    tell(
        "write elsewhere",
        std::fs::write("/tmp/rf-confined-probe", "x"),
    );
    tell("read /etc/passwd", std::fs::read("/etc/passwd"));
    tell("read /proc/self/status", std::fs::read("/proc/self/status"));
    tell("list /", std::fs::read_dir("/"));
    tell("execute", Command::new("/bin/true").status());
    tell(
        "enter a namespace",
        rustix::thread::move_into_link_name_space(namespace.as_fd(), None).map_err(io::Error::from),
    );
    tell("raw socket", raw_socket());
    tell("netfilter socket", netfilter_socket());
    tell(
        "thread",
        std::thread::Builder::new()
            .spawn(|| ())
            .map(|thread| thread.join()),
    );
    let listener = TcpListener::bind("127.0.0.1:0");
    let connected = listener.and_then(|listener| TcpStream::connect(listener.local_addr()?));
    tell("connect", connected);
    tell(
        "become root",
        rustix::thread::set_thread_uid(rustix::process::Uid::ROOT).map_err(io::Error::from),
    );
    let held = rustix::thread::capabilities(None)
        .map(|sets| sets.permitted.bits() | sets.effective.bits());
    println!("capabilities: {}", held.unwrap_or(u64::MAX));
    println!("uid: {}", rustix::process::getuid().as_raw());
    ExitCode::SUCCESS
}

fn raw_socket() -> io::Result<()> {
    rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::RAW,
        Some(rustix::net::ipproto::ICMP),
    )?;
    Ok(())
}

/// Anybody may make one; only the filter stands in the way.
fn netfilter_socket() -> io::Result<()> {
    rustix::net::socket(
        rustix::net::AddressFamily::NETLINK,
        rustix::net::SocketType::RAW,
        Some(rustix::net::netlink::NETFILTER),
    )?;
    Ok(())
}
