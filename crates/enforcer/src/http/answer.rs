//! What the relay says itself. Short, the same for every cause, and silent about policy and about the service.

/// What a status says to a client.
pub(crate) struct Words {
    /// Of the status line.
    reason: &'static str,
    /// To the program.
    pub(crate) error: &'static str,
    /// Whether the same may be of use later.
    retry: bool,
}

impl Words {
    /// The body of the answer: JSON.
    pub(crate) fn body(&self) -> String {
        let Self { error, retry, .. } = self;
        format!(r#"{{"error":"{error}","retry":{retry}}}"#)
    }
}

/// The words of `status`.
pub(crate) fn words(status: u16) -> Words {
    let (reason, error, retry) = match status {
        403 => ("Forbidden", "refused by policy", false),
        408 => ("Request Timeout", "request not complete in time", true),
        414 => ("URI Too Long", "request target too long", false),
        415 => ("Unsupported Media Type", "not a call of gRPC", false),
        417 => ("Expectation Failed", "expectation not supported", false),
        431 => (
            "Request Header Fields Too Large",
            "header fields too large",
            false,
        ),
        502 => ("Bad Gateway", "service not available", true),
        503 => ("Service Unavailable", "temporarily unavailable", true),
        504 => ("Gateway Timeout", "service did not answer in time", true),
        505 => (
            "HTTP Version Not Supported",
            "http version not supported",
            false,
        ),
        _ => ("Bad Request", "malformed request", false),
    };
    Words {
        reason,
        error,
        retry,
    }
}

/// Writes a whole answer with status `status`. `to_head`: without its body. `close`: the connection ends behind it.
pub(super) fn answer(status: u16, to_head: bool, close: bool) -> Vec<u8> {
    let words = words(status);
    let reason = words.reason;
    let body = words.body();
    let mut text = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    if close {
        text.push_str("connection: close\r\n");
    }
    text.push_str("\r\n");
    if !to_head {
        text.push_str(&body);
    }
    text.into_bytes()
}
