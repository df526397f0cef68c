//! The ClientHello, beside rustls's own reader of it.

use std::io::Cursor;

use ringfence_wire::tls::{ClientHello, Refusal, read_hello};
use rustls::server::Acceptor;

use crate::cuts::cuts;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "tls_hello",
    holds: "a ClientHello says the same in whatever pieces it arrives, and where rustls finds a server name in it, it is ours",
    length_max: 4096,
    run,
};

fn read(
    bytes: &[u8],
    cuts: impl IntoIterator<Item = usize>,
) -> Result<Option<ClientHello>, Refusal> {
    for end in cuts {
        let read = read_hello(&bytes[..end])?;
        if read.is_some() {
            return Ok(read);
        }
    }
    Ok(None)
}

fn run(bytes: &[u8]) {
    let whole = read_hello(bytes);
    for cuts in cuts(bytes) {
        assert_eq!(read(bytes, cuts), whole, "cut differently");
    }
    let Ok(Some(hello)) = whole else {
        return;
    };
    let name = &hello.server_name;
    assert!(hello.consumed <= bytes.len());
    assert!(
        !name.is_empty() && !name.ends_with('.') && !name.bytes().any(|b| b.is_ascii_uppercase())
    );
    // Exactly what is ours is what a server needs: given that, it must not wait for more, and not find another name.
    let mut acceptor = Acceptor::default();
    let mut input = Cursor::new(&bytes[..hello.consumed]);
    while input.position() < hello.consumed as u64 {
        if acceptor.read_tls(&mut input).is_err() {
            return;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let theirs = accepted
                    .client_hello()
                    .server_name()
                    .map(str::to_ascii_lowercase);
                assert_eq!(
                    theirs.as_deref(),
                    Some(name.as_str()),
                    "rustls found another name"
                );
                return;
            }
            Ok(None) => {}
            // It asks for more than a name: a group, a scheme, a suite that it knows.
            Err(_) => return,
        }
    }
    panic!("rustls waits for more");
}
