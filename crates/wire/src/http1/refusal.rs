//! Everything that is refused, in one list.

/// Why a message is refused. For operators; the peer only learns the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// An empty line where a start line was due.
    #[error("empty line before the start line")]
    LeadingEmptyLine,
    /// CR that no LF follows.
    #[error("carriage return without line feed")]
    BareCr,
    /// LF that no CR precedes.
    #[error("line feed without carriage return")]
    BareLf,
    /// A byte below 0x20 other than HTAB, or 0x7F.
    #[error("control byte in the head")]
    ControlByte,
    /// More than [`super::limits::HEAD_MAX`] bytes.
    #[error("head longer than 64 KiB")]
    HeadTooLong,
    /// More than [`super::limits::FIELDS_MAX`] fields, or [`super::limits::SENT_FIELDS_MAX`] to be sent on.
    #[error("too many header fields")]
    TooManyFields,
    /// Not `METHOD target HTTP/1.x`, with one space between.
    #[error("malformed request line")]
    RequestLine,
    /// Not a token, or longer than [`super::limits::METHOD_MAX`].
    #[error("invalid method")]
    Method,
    /// Small letters in the method: the service could take it for the one in capitals.
    #[error("method that is not in capitals")]
    MethodCase,
    /// CONNECT: a tunnel would carry bytes that nobody reads.
    #[error("method CONNECT")]
    Connect,
    /// `WEBSOCKET`, which is the name of an operation.
    #[error("WEBSOCKET as a method")]
    WebSocketMethod,
    /// `Upgrade` names WebSocket, and the request is not the handshake of RFC 6455.
    #[error("malformed WebSocket handshake")]
    WebSocketHandshake,
    /// A version other than 13.
    #[error("WebSocket version other than 13")]
    WebSocketVersion,
    /// 101 without the fields of RFC 6455, or for another key.
    #[error("101 that does not open the WebSocket asked for")]
    WebSocketAccept,
    /// Neither HTTP/1.1 nor HTTP/1.0.
    #[error("version other than HTTP/1.1 and HTTP/1.0")]
    Version,
    /// Neither origin form nor absolute form over http.
    #[error("malformed request target")]
    Target,
    /// More than [`super::limits::TARGET_MAX`] bytes.
    #[error("request target longer than 16 KiB")]
    TargetTooLong,
    /// `#` in the target.
    #[error("fragment in the request target")]
    Fragment,
    /// `*` as the target.
    #[error("asterisk as the request target")]
    Asterisk,
    /// A space, control byte or byte above 0x7F in the query.
    #[error("raw byte in the query that must be escaped")]
    Query,
    /// The target's authority and Host differ.
    #[error("host of the request target differs from the Host field")]
    AuthorityMismatch,
    /// No Host field.
    #[error("no Host field")]
    HostMissing,
    /// More than one Host field.
    #[error("more than one Host field")]
    HostRepeated,
    /// Host is not `name`, `address` or `[address]`, with or without a port.
    #[error("invalid Host field")]
    Host,
    /// A field line without colon, with an invalid name, or with whitespace before the colon.
    #[error("invalid header field name")]
    FieldName,
    /// A line that begins with whitespace (obs-fold).
    #[error("folded header line")]
    Fold,
    /// Content-Length is not a plain decimal number below 2^63.
    #[error("invalid Content-Length")]
    ContentLength,
    /// More than one Content-Length, equal or not.
    #[error("more than one Content-Length")]
    ContentLengthRepeated,
    /// Both Content-Length and Transfer-Encoding.
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// Transfer-Encoding is not exactly `chunked`, once, in HTTP/1.1.
    #[error("Transfer-Encoding other than one chunked")]
    TransferEncoding,
    /// A field that a gateway interface could take for a framing field, such as `content_length`.
    #[error("header field that some servers take for a framing field")]
    FramingLookalike,
    /// Connection is not a list of tokens.
    #[error("malformed Connection field")]
    Connection,
    /// Connection nominates a field that does not end at every hop.
    #[error("Connection nominates a field that is not of the connection")]
    Nomination,
    /// Two fields whose names are one to a gateway interface, such as `x-a` and `x_a`.
    #[error("two header fields that some servers take for one")]
    TwoSpellings,
    /// A field by which some servers take another method or path than the request line's.
    #[error("header field that some servers take for another method or path")]
    Override,
    /// An expectation other than `100-continue`.
    #[error("expectation other than 100-continue")]
    Expectation,
    /// Not `HTTP/1.x NNN reason`.
    #[error("malformed status line")]
    StatusLine,
    /// A body announced with a status that has none.
    #[error("body announced with a status that has none")]
    BodyForbidden,
    /// A chunk size that is no plain hexadecimal number below 2^63, or an unsound size line.
    #[error("malformed chunk size")]
    ChunkSize,
    /// Chunk extensions beyond their limit.
    #[error("chunk extensions too long")]
    ChunkExtension,
    /// A chunk that does not end where its size says.
    #[error("chunk longer or shorter than its size")]
    ChunkEnd,
    /// More than [`super::limits::TRAILERS_MAX`] bytes.
    #[error("trailers longer than 8 KiB")]
    TrailersTooLong,
    /// The bytes ended within the message.
    #[error("message cut short")]
    Truncated,
    /// A value of ours cannot stand in a head.
    #[error("control byte in a value to be inserted")]
    Insertion,
}

impl Refusal {
    /// The status that a client whose request is refused is answered with.
    pub fn status(self) -> u16 {
        match self {
            Self::HeadTooLong | Self::TooManyFields | Self::TrailersTooLong => 431,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::Version => 505,
            Self::Insertion => 503,
            _ => 400,
        }
    }
}
