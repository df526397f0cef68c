//! Differences between parsers that harm nobody, one by one.

use crate::peers::Request;

/// A difference that is known, and why it may stay.
pub(super) struct Known {
    /// Whose.
    peer: &'static str,
    /// In which form of a message.
    form: Form,
    /// Whether a message may show it.
    shows: fn(&Message<'_>) -> bool,
    /// Why it harms nobody. For who reads this list.
    #[allow(
        dead_code,
        reason = "a difference without a reason cannot be written down"
    )]
    harmless: &'static str,
}

/// Which message the parser is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As the client sent it. No service ever sees that; a known difference means: not compared.
    AsSent,
    /// As it is sent on. A known difference means: may be refused, but never read otherwise.
    SentOn,
}

/// A message that is compared.
pub(super) struct Message<'a> {
    pub(super) form: Form,
    pub(super) bytes: &'a [u8],
    /// How many of them are the head.
    pub(super) head: usize,
    /// What we take it for.
    pub(super) request: &'a Request,
}

impl Message<'_> {
    fn body_as_sent(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    fn is_chunked(&self) -> bool {
        let mut names = self.request.fields.iter().map(|(name, _)| &name[..]);
        names.any(|name| name == b"transfer-encoding")
    }
}

/// Whether `peer` may see `message` differently.
pub(super) fn is_known(peer: &str, message: &Message<'_>) -> bool {
    KNOWN
        .iter()
        .any(|known| known.peer == peer && known.form == message.form && (known.shows)(message))
}

const KNOWN: &[Known] = &[
    Known {
        peer: "http_parser",
        form: Form::SentOn,
        shows: |message| !METHODS.contains(&&*message.request.method),
        harmless: "it refuses methods that are not on its list",
    },
    Known {
        peer: "hyper",
        form: Form::SentOn,
        shows: |message| message.request.target.iter().any(|b| b"\"<>".contains(b)),
        harmless: "it refuses quotes and angle brackets in a query",
    },
    Known {
        peer: "h11",
        form: Form::SentOn,
        shows: |message| {
            let mut fields = message.request.fields.iter();
            let trailers = message.is_chunked() && !message.body_as_sent().is_ascii();
            trailers || fields.any(|(_, value)| !value.is_ascii())
        },
        harmless: "it takes values for UTF-8, and breaks down where they are not",
    },
    Known {
        peer: "h11",
        form: Form::AsSent,
        shows: |message| message.is_chunked() && !message.body_as_sent().is_ascii(),
        harmless: "its pattern for a size line is not anchored: with an extension that is not UTF-8 it finds a size in the \
                   middle. Extensions are not sent on",
    },
];

/// All that version 2.7 of http_parser has.
const METHODS: [&[u8]; 33] = [
    b"DELETE",
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"CONNECT",
    b"OPTIONS",
    b"TRACE",
    b"COPY",
    b"LOCK",
    b"MKCOL",
    b"MOVE",
    b"PROPFIND",
    b"PROPPATCH",
    b"SEARCH",
    b"UNLOCK",
    b"BIND",
    b"REBIND",
    b"UNBIND",
    b"ACL",
    b"REPORT",
    b"MKACTIVITY",
    b"CHECKOUT",
    b"MERGE",
    b"M-SEARCH",
    b"NOTIFY",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"PATCH",
    b"PURGE",
    b"MKCALENDAR",
    b"LINK",
    b"UNLINK",
];
