//! One record as bytes: a varint length, then a `Flow` in tag order.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use ringfence_model::flow::Flow;

use crate::LogError;

/// Largest encoded `Flow`, in bytes, without its length prefix. A larger one is refused.
pub const RECORD_MAX: usize = 65_535;

/// Bytes that the length prefix of the largest record takes.
pub(crate) const PREFIX_MAX: usize = 3;

/// Version of the schema that is written.
const SCHEMA: u32 = 1;

/// What the first bytes of a record say about its extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// A body of `body` bytes follows after `prefix` bytes.
    Length { prefix: usize, body: usize },
    /// The bytes end before the prefix does.
    Unfinished,
    /// No record starts like this.
    Impossible(&'static str),
}

/// The bytes that go to the file, with schema, time and count filled in where they are absent.
pub(crate) fn encode(flow: &Flow) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    encode_into(flow, &mut bytes)?;
    Ok(bytes)
}

/// The same, in the place of what is in `bytes`.
pub(crate) fn encode_into(flow: &Flow, bytes: &mut Vec<u8>) -> Result<(), LogError> {
    bytes.clear();
    let completed;
    let flow = if flow.schema == SCHEMA && flow.time_ns != 0 && flow.count != 0 {
        flow
    } else {
        completed = Flow {
            schema: SCHEMA,
            time_ns: if flow.time_ns == 0 {
                wall_clock_ns()
            } else {
                flow.time_ns
            },
            count: flow.count.max(1),
            ..flow.clone()
        };
        &completed
    };
    let length = flow.encoded_len();
    if length > RECORD_MAX {
        return Err(LogError::TooLarge(length));
    }
    bytes.reserve(length + PREFIX_MAX);
    flow.encode_length_delimited(bytes)
        .map_err(|error| LogError::Io(std::io::Error::other(error)))
}

/// Reads the length prefix at the start of `bytes`.
pub(crate) fn prefix(bytes: &[u8]) -> Prefix {
    let mut body = 0_usize;
    for (index, byte) in bytes.iter().take(PREFIX_MAX).enumerate() {
        body |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return match body {
                0 => Prefix::Impossible("a length of zero"),
                _ if body > RECORD_MAX => Prefix::Impossible("a length over 65535"),
                _ if index > 0 && *byte == 0 => Prefix::Impossible("a length with a needless byte"),
                _ => Prefix::Length {
                    prefix: index + 1,
                    body,
                },
            };
        }
    }
    if bytes.len() < PREFIX_MAX {
        Prefix::Unfinished
    } else {
        Prefix::Impossible("a length over 65535")
    }
}

/// Nanoseconds since the Unix epoch; 1 on a clock that stands before it, so that 0 stays "not set".
pub(crate) fn wall_clock_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| u64::try_from(elapsed.as_nanos()).ok())
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_schema_time_and_count() {
        let bytes = encode(&Flow::default()).unwrap();
        let flow = Flow::decode_length_delimited(bytes.as_slice()).unwrap();
        assert_eq!((flow.schema, flow.count), (1, 1));
        assert!(flow.time_ns > 1_600_000_000_000_000_000);
    }

    #[test]
    fn keeps_what_is_set() {
        let flow = Flow {
            schema: 1,
            time_ns: 7,
            count: 847,
            ..Flow::default()
        };
        let bytes = encode(&flow).unwrap();
        assert_eq!(
            Flow::decode_length_delimited(bytes.as_slice()).unwrap(),
            flow
        );
    }

    #[test]
    fn refuses_a_record_over_the_limit_and_takes_one_at_it() {
        let mut flow = Flow {
            schema: 1,
            time_ns: 7,
            count: 1,
            ..Flow::default()
        };
        let bare = flow.encoded_len();
        // A text of this length takes one byte of tag and three of length.
        flow.reason = "x".repeat(RECORD_MAX - bare - 5);
        assert_eq!(flow.encoded_len(), RECORD_MAX);
        assert_eq!(encode(&flow).unwrap().len(), RECORD_MAX + PREFIX_MAX);
        flow.reason.push('x');
        assert!(matches!(encode(&flow), Err(LogError::TooLarge(n)) if n == RECORD_MAX + 1));
    }

    #[test]
    fn reads_the_prefixes_that_prost_writes() {
        for body in [1, 2, 127, 128, 129, 16_383, 16_384, RECORD_MAX] {
            let mut bytes = Vec::new();
            prost::encode_length_delimiter(body, &mut bytes).unwrap();
            assert_eq!(
                prefix(&bytes),
                Prefix::Length {
                    prefix: bytes.len(),
                    body
                }
            );
            for cut in 0..bytes.len() {
                assert_eq!(
                    prefix(&bytes[..cut]),
                    Prefix::Unfinished,
                    "{body} cut to {cut}"
                );
            }
        }
    }

    #[test]
    fn refuses_prefixes_that_no_writer_of_ours_leaves() {
        let bad: [&[u8]; 5] = [
            &[0],
            &[0x80, 0x00],
            &[0x81, 0x00],
            &[0x80, 0x80, 0x04],
            &[0xff, 0xff, 0xff],
        ];
        for bytes in bad {
            assert!(matches!(prefix(bytes), Prefix::Impossible(_)), "{bytes:?}");
        }
    }
}
