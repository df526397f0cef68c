//! What ends a connection, in one list: breaches of the protocol itself, after which nothing on it can be trusted.

use super::hpack::Unsound;

/// Why a stream or a connection ends, as the wire says it (RFC 9113, 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ErrorCode {
    /// In order.
    NoError = 0,
    /// A breach that no other code names.
    Protocol = 1,
    /// Our own fault.
    Internal = 2,
    /// More than a window allows.
    FlowControl = 3,
    /// Settings were not acknowledged.
    SettingsTimeout = 4,
    /// A frame behind the end of its stream.
    StreamClosed = 5,
    /// A frame of a size that it cannot have.
    FrameSize = 6,
    /// Nothing of it was looked at.
    RefusedStream = 7,
    /// Not wanted any more.
    Cancel = 8,
    /// The tables of the two sides differ.
    Compression = 9,
    /// The connection of a tunnel broke.
    Connect = 10,
    /// Too much of something.
    EnhanceYourCalm = 11,
    /// Not safe enough.
    InadequateSecurity = 12,
    /// Only by HTTP/1.1.
    Http11Required = 13,
}

impl ErrorCode {
    /// What `code` means; one that is not known is like an internal error (RFC 9113, 7).
    pub fn of(code: u32) -> Self {
        [
            Self::NoError,
            Self::Protocol,
            Self::Internal,
            Self::FlowControl,
            Self::SettingsTimeout,
            Self::StreamClosed,
            Self::FrameSize,
            Self::RefusedStream,
            Self::Cancel,
            Self::Compression,
            Self::Connect,
            Self::EnhanceYourCalm,
            Self::InadequateSecurity,
            Self::Http11Required,
        ]
        .into_iter()
        .find(|known| *known as u32 == code)
        .unwrap_or(Self::Internal)
    }
}

/// Why a connection cannot go on. For operators; the peer learns the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// What came first is not the client's preface, or no SETTINGS frame follows.
    #[error("not HTTP/2: the connection preface was expected")]
    Preface,
    /// A frame longer than [`super::limits::FRAME_MAX`], or of a length that its kind cannot have.
    #[error("frame of a size that it cannot have")]
    FrameSize,
    /// A frame of a stream on the connection, or the other way about; or a stream that the peer cannot begin.
    #[error("frame on a stream that it cannot be on")]
    StreamId,
    /// A stream that was not begun, or begun out of order.
    #[error("frame on a stream that was not begun in order")]
    Idle,
    /// HEADERS or DATA behind the end of their stream.
    #[error("frame behind the end of its stream")]
    Closed,
    /// A pushed stream.
    #[error("pushed stream, which nobody asked for")]
    Push,
    /// A setting out of its range.
    #[error("setting out of its range")]
    Setting,
    /// More than [`super::limits::SETTINGS_MAX`] entries in one frame.
    #[error("too many settings at once")]
    TooManySettings,
    /// A stream that depends on itself.
    #[error("stream that depends on itself")]
    OwnParent,
    /// Padding longer than the frame.
    #[error("padding longer than its frame")]
    Padding,
    /// A window that grows by nothing.
    #[error("window update of nothing")]
    EmptyWindowUpdate,
    /// A window beyond [`super::limits::WINDOW_MAX`].
    #[error("window larger than there may be")]
    WindowTooLarge,
    /// More data than a window allows.
    #[error("more data than the window allows")]
    WindowExceeded,
    /// Another frame within a header block, or a CONTINUATION outside of one.
    #[error("header block interrupted, or continued without a start")]
    Interrupted,
    /// A block of more than [`super::limits::BLOCK_MAX`] bytes or [`super::limits::CONTINUATIONS_MAX`] continuations.
    #[error("header block without end")]
    EndlessBlock,
    /// A block that cannot be decoded.
    #[error("{0}")]
    Compression(#[from] Unsound),
    /// A second header block that does not end its stream.
    #[error("trailers that do not end their stream")]
    Trailers,
    /// More frames that do nothing than are borne in a time.
    #[error("flood of frames that do nothing")]
    Flood,
    /// More streams reset than are borne in a time.
    #[error("streams begun and reset in rapid succession")]
    RapidReset,
    /// Half a frame, preface or header block, and no more of it in time.
    #[error("frame or header block not complete in time")]
    Slow,
}

impl Violation {
    /// The code of the GOAWAY frame.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::FrameSize => ErrorCode::FrameSize,
            Self::WindowTooLarge | Self::WindowExceeded => ErrorCode::FlowControl,
            Self::Closed => ErrorCode::StreamClosed,
            Self::Compression(_) => ErrorCode::Compression,
            Self::TooManySettings | Self::EndlessBlock | Self::Flood | Self::RapidReset => {
                ErrorCode::EnhanceYourCalm
            }
            _ => ErrorCode::Protocol,
        }
    }

    /// Whether a bound was reached, rather than a rule broken.
    pub fn is_excess(self) -> bool {
        self.code() == ErrorCode::EnhanceYourCalm || self == Self::Slow
    }
}
