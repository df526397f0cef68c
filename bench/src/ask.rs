//! So many requests and no more, over HTTP/1.1, as fast or as slow as the answers come.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

/// Opens its connections, asks once on each, says so; then asks as often as each line of standard input says, on all of them
/// at once and again when all are answered.
#[derive(clap::Args)]
pub(crate) struct AskArgs {
    /// Server, HOST:PORT
    #[arg(long)]
    to: String,
    /// Path to ask for
    #[arg(long, default_value = "/")]
    path: String,
    /// Connections
    #[arg(long, default_value_t = 1)]
    connections: usize,
}

pub(crate) fn run(args: &AskArgs) -> io::Result<Value> {
    let host = args.to.trim_end_matches(":80");
    let request = format!("GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", args.path);
    let mut streams = (0..args.connections)
        .map(|_| TcpStream::connect(&args.to))
        .collect::<io::Result<Vec<_>>>()?;
    for stream in &streams {
        stream.set_nodelay(true)?;
    }
    everywhere(&mut streams, &request)?;
    writeln!(io::stdout(), "ready")?;
    let mut asked = 0;
    for order in io::stdin().lock().lines() {
        let times: usize = order?.trim().parse().map_err(io::Error::other)?;
        for _ in 0..times {
            everywhere(&mut streams, &request)?;
        }
        asked += times * streams.len();
        writeln!(io::stdout(), "asked {asked}")?;
    }
    Ok(json!({ "asked": asked }))
}

/// Asks on each, then waits for all answers, each of which is to be 200.
fn everywhere(streams: &mut [TcpStream], request: &str) -> io::Result<()> {
    for stream in &mut *streams {
        stream.write_all(request.as_bytes())?;
    }
    for stream in streams {
        let (mut answer, mut bytes) = (Vec::new(), [0; 4096]);
        let status = loop {
            let count = stream.read(&mut bytes)?;
            if count == 0 {
                return Err(io::Error::other("the server closed the connection"));
            }
            answer.extend_from_slice(&bytes[..count]);
            if let Some(status) = crate::rate::whole(&answer)? {
                break status;
            }
        };
        if status != 200 {
            return Err(io::Error::other(format!("answered {status}")));
        }
    }
    Ok(())
}
