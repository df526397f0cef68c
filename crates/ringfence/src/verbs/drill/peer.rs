//! `ringfence drill-peer`, hidden: the two programs that a drill runs in compartments of its own.
//!
//! Both take a line of orders on standard input at a time, answer with a line of JSON, and end with it: nothing of a
//! drill outlives the one who drills, however he ends.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::output::{Failure, finish};

/// Between two looks at all connections.
const NAP: Duration = Duration::from_micros(500);

/// Takes part in a drill; started by `ringfence drill`.
#[derive(Debug, clap::Args)]
pub(crate) struct PeerArgs {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Connects and sends, all the time
    Source {
        /// The other one
        #[arg(long)]
        to: String,
        /// Where
        #[arg(long)]
        port: u16,
    },
    /// Notes what comes, and when it ends
    Sink {
        /// Where
        #[arg(long)]
        port: u16,
    },
}

/// What the sink saw of connections that have ended, in nanoseconds of the host's monotonic clock.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    /// When the last byte of each came.
    pub(super) last: Vec<u64>,
    /// When each was seen to have ended.
    pub(super) ended: Vec<u64>,
    /// Those that live.
    pub(super) live: usize,
}

/// What the source has opened.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Opened {
    /// Connections.
    pub(super) open: usize,
    /// Why not more.
    pub(super) trouble: Option<String>,
}

/// The clock of [`Report`]: the same for all processes of a host.
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}

pub(crate) fn run(args: PeerArgs) -> ExitCode {
    let ran = match args.role {
        Role::Source { to, port } => source(&to, port),
        Role::Sink { port } => sink(port),
    };
    finish(ran.map(|()| ExitCode::SUCCESS).map_err(Failure::plain))
}

/// Lines of standard input. Closed when that has ended.
fn orders() -> Receiver<String> {
    let (lines, orders) = channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    orders
}

fn say(what: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    out.write_all(b"\n")?;
    out.flush()
}

struct Heard {
    stream: TcpStream,
    last: u64,
}

fn sink(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    listener.set_nonblocking(true)?;
    say(&Report::default())?;
    let orders = orders();
    let (mut live, mut report) = (Vec::<Heard>::new(), Report::default());
    let mut buffer = [0; 4096];
    loop {
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            live.push(Heard { stream, last: 0 });
        }
        live.retain_mut(|heard| {
            loop {
                match heard.stream.read(&mut buffer) {
                    Ok(1..) => heard.last = now(),
                    Err(cause) if cause.kind() == ErrorKind::WouldBlock => return true,
                    Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                    Ok(_) | Err(_) => break,
                }
            }
            report.last.push(heard.last);
            report.ended.push(now());
            false
        });
        match orders.try_recv() {
            Ok(_) => {
                report.live = live.len();
                say(&report)?;
                report = Report::default();
            }
            Err(TryRecvError::Empty) => std::thread::sleep(NAP),
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

fn source(to: &str, port: u16) -> io::Result<()> {
    let orders = orders();
    let mut live = Vec::<TcpStream>::new();
    loop {
        live.retain_mut(|stream| match stream.write(b"x") {
            Ok(_) => true,
            Err(cause) => cause.kind() == ErrorKind::WouldBlock,
        });
        match orders.try_recv() {
            Ok(order) => {
                let wanted = order.trim().parse().unwrap_or(0);
                let mut trouble = None;
                for _ in 0..wanted {
                    match TcpStream::connect((to, port)).and_then(|stream| {
                        stream.set_nonblocking(true)?;
                        Ok(stream)
                    }) {
                        Ok(stream) => live.push(stream),
                        Err(cause) => {
                            trouble = Some(cause.to_string());
                            break;
                        }
                    }
                }
                say(&Opened {
                    open: live.len(),
                    trouble,
                })?;
            }
            Err(TryRecvError::Empty) => std::thread::sleep(NAP),
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}
