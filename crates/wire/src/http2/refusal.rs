//! Everything that is refused of one message, in one list. Its neighbours on the connection live on.

use crate::http1;

/// Why a message is refused. For operators; the peer only learns the status, or that its stream was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// A pseudo-header field that is not one of those of a request or an answer.
    #[error("unknown pseudo-header field")]
    PseudoUnknown,
    /// The same pseudo-header field twice.
    #[error("pseudo-header field sent twice")]
    PseudoRepeated,
    /// A pseudo-header field behind another field, or in trailers.
    #[error("pseudo-header field behind the others")]
    PseudoLate,
    /// `:method`, `:scheme`, `:path` or `:status` is not there.
    #[error("a pseudo-header field is missing")]
    PseudoMissing,
    /// `:path` is empty.
    #[error("empty path")]
    PathEmpty,
    /// `:scheme` is not `http`.
    #[error("scheme other than http")]
    Scheme,
    /// Capitals in a field name, or no token.
    #[error("invalid header field name")]
    FieldName,
    /// A control byte in a value, or whitespace at its end.
    #[error("invalid header field value")]
    FieldValue,
    /// `connection`, `transfer-encoding` and their kin.
    #[error("header field of an HTTP/1.1 connection")]
    ConnectionField,
    /// `te` that says something other than `trailers`.
    #[error("te other than trailers")]
    Te,
    /// `:status` is not three digits, from 100.
    #[error("invalid status")]
    Status,
    /// 101.
    #[error("switching protocols within a stream")]
    Switched,
    /// An interim answer that ends the stream.
    #[error("interim answer that ends the stream")]
    InterimEnd,
    /// More or less data than `content-length` says.
    #[error("body longer or shorter than its content-length")]
    Length,
    /// A body where there is none.
    #[error("body where there is none")]
    Body,
    /// Trailers that do not end their stream.
    #[error("trailers that do not end their stream")]
    Trailers,
    /// More interim answers than anybody has a use for.
    #[error("too many interim answers")]
    TooManyInterims,
    /// The list is too large.
    #[error("header list larger than 64 KiB")]
    ListTooLong,
    /// What HTTP/1.1 is refused for as well.
    #[error("{0}")]
    Http(#[from] http1::Refusal),
}

impl Refusal {
    /// The status that a client is answered with; `None`: the message is malformed as RFC 9113 (8.1.1) has it, and its
    /// stream is reset.
    pub fn status(self) -> Option<u16> {
        use http1::Refusal as Http;
        match self {
            Self::ListTooLong => Some(431),
            Self::Scheme => Some(400),
            Self::Http(
                Http::ContentLength
                | Http::ContentLengthRepeated
                | Http::HostMissing
                | Http::HostRepeated
                | Http::AuthorityMismatch,
            ) => None,
            Self::Http(refusal) => Some(refusal.status()),
            _ => None,
        }
    }
}
