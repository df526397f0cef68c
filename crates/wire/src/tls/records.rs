//! Joining the records that a ClientHello is cut into (RFC 8446, 5.1).

use super::Refusal;
use super::limits::{HELLO_MAX, RECORDS_MAX};

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
const LONGEST_FRAGMENT: usize = 1 << 14;

/// A message that is all there.
pub(super) struct Message {
    /// Without its header.
    pub(super) body: Vec<u8>,
    /// Bytes of the stream that it took, with all headers.
    pub(super) consumed: usize,
}

/// The ClientHello at the start of `bytes`; `None` where it is not all there and nothing is wrong so far. Looks at the
/// headers only until it is.
pub(super) fn message(bytes: &[u8]) -> Result<Option<Message>, Refusal> {
    let mut fragments: Vec<&[u8]> = Vec::new();
    let mut rest = bytes;
    let mut have = 0;
    loop {
        let Some((fragment, after)) = record(rest)? else {
            // A length that is too great is known before all of it is here.
            let begun = rest.get(RECORD_HEADER..).unwrap_or_default();
            let _enough = length(fragments.iter().chain(std::iter::once(&begun)))?;
            return Ok(None);
        };
        if fragments.len() == RECORDS_MAX {
            return Err(Refusal::TooManyRecords);
        }
        fragments.push(fragment);
        have += fragment.len();
        rest = after;
        let Some(length) = length(fragments.iter())? else {
            continue;
        };
        if have > length {
            return Err(Refusal::Trailing);
        }
        if have == length {
            let body = fragments.concat().split_off(MESSAGE_HEADER);
            let consumed = bytes.len() - rest.len();
            return Ok(Some(Message { body, consumed }));
        }
    }
}

/// A fragment, and what follows it.
type Cut<'a> = (&'a [u8], &'a [u8]);

/// The first record's fragment.
fn record(bytes: &[u8]) -> Result<Option<Cut<'_>>, Refusal> {
    // Each byte is judged as soon as it is there: a client that speaks something else may wait for an answer to it.
    if bytes.first().is_some_and(|&kind| kind != HANDSHAKE)
        || bytes.get(1).is_some_and(|&major| major != 3)
        || bytes.get(2).is_some_and(|&minor| minor > 4)
    {
        return Err(Refusal::NotTls);
    }
    let Some((header, rest)) = bytes.split_at_checked(RECORD_HEADER) else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if length == 0 || length > LONGEST_FRAGMENT {
        return Err(Refusal::RecordLength);
    }
    Ok(rest.split_at_checked(length))
}

/// Length of the message with its header, from as many fragments as there are; `None`: not known yet.
fn length<'a>(fragments: impl Iterator<Item = &'a &'a [u8]>) -> Result<Option<usize>, Refusal> {
    let mut header = fragments.flat_map(|fragment| fragment.iter()).copied();
    let Some(kind) = header.next() else {
        return Ok(None);
    };
    if kind != CLIENT_HELLO {
        return Err(Refusal::NotHello);
    }
    let (Some(a), Some(b), Some(c)) = (header.next(), header.next(), header.next()) else {
        return Ok(None);
    };
    let length = MESSAGE_HEADER + u32::from_be_bytes([0, a, b, c]) as usize;
    if length > HELLO_MAX {
        return Err(Refusal::TooLong);
    }
    Ok(Some(length))
}
