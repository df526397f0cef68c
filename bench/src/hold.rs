//! Many connections that do nothing.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use serde_json::{Value, json};

/// Opens connections, says so, and keeps them until standard input ends.
#[derive(clap::Args)]
pub(crate) struct HoldArgs {
    /// Server, HOST:PORT
    #[arg(long)]
    to: String,
    /// How many
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Ask for this path first on each of them, over HTTP/1.1, and read the answer
    #[arg(long)]
    ask: Option<String>,
}

pub(crate) fn run(args: &HoldArgs) -> io::Result<Value> {
    crate::open_many()?;
    let address = args
        .to
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::other("the name has no address"))?;
    let mut held = Vec::with_capacity(args.connections);
    for _ in 0..args.connections {
        let mut stream = TcpStream::connect(address)?;
        if let Some(path) = &args.ask {
            ask(&mut stream, &args.to, path)?;
        }
        held.push(stream);
    }
    println!("holding");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    // Whoever closed one in the meantime did not hold it.
    let mut open = 0;
    for stream in &held {
        stream.set_nonblocking(true)?;
        let mut byte = [0];
        if matches!((&*stream).read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
        {
            open += 1;
        }
    }
    Ok(json!({ "open": open }))
}

fn ask(stream: &mut TcpStream, host: &str, path: &str) -> io::Result<()> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut bytes = [0; 4096];
    // The answers of the benchmark's server are small and end with an empty line and two bytes.
    while !answer.ends_with(b"ok") {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err(io::Error::other("the server closed the connection"));
        }
        answer.extend_from_slice(&bytes[..count]);
    }
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(io::Error::other(
            String::from_utf8_lossy(&answer).into_owned(),
        ))
    }
}
