//! The service that the attacker may use, and somebody who uses it as policy allows, to see that the house still stands.

use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use super::ground::ECHO_PORT;
use super::senses::{STANDS, say};

/// How long the honest one waits.
const PATIENCE: Duration = Duration::from_secs(10);

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
