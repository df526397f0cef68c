//! One connection, as fast as it goes, one way.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Bytes written, or read, at once.
const CHUNK: usize = 128 * 1024;

/// Sends as fast as it goes, for some time, then closes.
#[derive(clap::Args)]
pub(crate) struct SourceArgs {
    /// Server, HOST:PORT
    #[arg(long)]
    to: String,
    /// How long
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

/// Takes connections one after another and throws away what they bring. Answers each, at its end, with the bytes that came.
#[derive(clap::Args)]
pub(crate) struct SinkArgs {
    /// Address to listen at
    #[arg(long)]
    at: String,
    /// Keep connections open without reading
    #[arg(long)]
    hold: bool,
}

pub(crate) fn source(args: &SourceArgs) -> io::Result<Value> {
    let mut stream = TcpStream::connect(&args.to)?;
    let chunk = vec![0; CHUNK];
    let began = Instant::now();
    let until = began + Duration::from_secs(args.seconds);
    let mut sent = 0_u64;
    while Instant::now() < until {
        stream.write_all(&chunk)?;
        sent += chunk.len() as u64;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    // What the other end got, once it has got all of it: bytes that sit in a buffer on the way have not arrived.
    let mut told = String::new();
    stream.read_to_string(&mut told)?;
    let took = began.elapsed().as_secs_f64();
    let arrived: u64 = told.trim().parse().map_err(io::Error::other)?;
    if arrived != sent {
        return Err(io::Error::other(format!(
            "{sent} bytes sent, {arrived} arrived"
        )));
    }
    Ok(json!({ "bytes": sent, "seconds": took }))
}

pub(crate) fn sink(args: &SinkArgs) -> io::Result<Value> {
    crate::open_many()?;
    let listener = TcpListener::bind(&args.at)?;
    println!("listening");
    if args.hold {
        let held: Vec<_> = listener.incoming().map_while(Result::ok).collect();
        return Ok(json!({ "held": held.len() }));
    }
    let mut chunk = vec![0; CHUNK];
    loop {
        let (mut stream, _) = listener.accept()?;
        let mut count = 0_u64;
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => {
                    // Who went without waiting for it has no use for it.
                    let _unless_it_went = write!(stream, "{count}");
                    break;
                }
                Ok(more) => count += more as u64,
                Err(error) => {
                    eprintln!("ringfence-bench: sink: {error}");
                    break;
                }
            }
        }
    }
}
