//! Everything that is refused, in one list.

/// Why the start of a connection is refused. For operators; the client sees a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The first bytes are those of something else.
    #[error("no TLS handshake")]
    NotTls,
    /// A record that is empty, or longer than 2^14 bytes.
    #[error("TLS record of an impossible length")]
    RecordLength,
    /// More than [`super::limits::RECORDS_MAX`] records.
    #[error("ClientHello in more than 64 records")]
    TooManyRecords,
    /// More than [`super::limits::HELLO_MAX`] bytes.
    #[error("ClientHello longer than 16 KiB")]
    TooLong,
    /// A handshake that begins with another message.
    #[error("handshake that does not begin with a ClientHello")]
    NotHello,
    /// Something follows the message in its last record.
    #[error("more than a ClientHello in its record")]
    Trailing,
    /// A vector that ends elsewhere than its length says.
    #[error("malformed ClientHello")]
    Malformed,
    /// Neither TLS 1.2 nor TLS 1.3 is offered.
    #[error("TLS below 1.2")]
    Version,
    /// Compression is demanded.
    #[error("ClientHello that demands compression")]
    Compression,
    /// One type of extension twice.
    #[error("two extensions of one type")]
    ExtensionTwice,
    /// The extension of resumption is not the last one, where readers stop in different places.
    #[error("an extension behind that of resumption")]
    PskNotLast,
    /// No server name.
    #[error("no server name")]
    NoName,
    /// More than one server name, or of another type than a host name.
    #[error("other than one server name")]
    Names,
    /// Not a host name: other characters, a final dot, a label that is empty or too long.
    #[error("server name that is no host name")]
    Name,
    /// Another name than the ClientHello before it had.
    #[error("second ClientHello with another server name")]
    OtherName,
    /// An IP address, which no server name may be (RFC 6066, 3).
    #[error("server name that is an address")]
    Address,
    /// The real one is encrypted, or seems to be.
    #[error("encrypted ClientHello, in which another server name may stand")]
    Encrypted,
}
