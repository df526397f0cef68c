//! What the relay says itself, in the words of its relative for HTTP/1.1. A caller of gRPC is told by a status of gRPC.

use ringfence_wire::http2::write_own;

use crate::http;

/// An answer of ours.
pub(super) struct Answer {
    /// The fields of its head.
    pub(super) fields: Vec<u8>,
    /// Empty: the head is all.
    pub(super) body: String,
}

/// With `status`, in plain HTTP. `with_body`: the client may be sent one.
pub(super) fn plain(status: u16, with_body: bool) -> Answer {
    let body = http::words(status).body();
    let length = body.len().to_string();
    let mut fields = Vec::with_capacity(64);
    write_own(
        status,
        &[
            ("content-type", "application/json"),
            ("content-length", &length),
        ],
        &mut fields,
    );
    Answer {
        fields,
        body: if with_body { body } else { String::new() },
    }
}

/// The same for a call: an answer that is all trailers.
pub(super) fn of_call(status: u16) -> Answer {
    let mut fields = Vec::with_capacity(96);
    write_own(
        200,
        &[
            ("content-type", "application/grpc"),
            ("grpc-status", grpc_status(status)),
            ("grpc-message", http::words(status).error),
        ],
        &mut fields,
    );
    Answer {
        fields,
        body: String::new(),
    }
}

/// The status of gRPC that says what an HTTP status says.
fn grpc_status(status: u16) -> &'static str {
    match status {
        403 => "7",
        408 => "4",
        431 => "8",
        502..=504 => "14",
        _ => "13",
    }
}
