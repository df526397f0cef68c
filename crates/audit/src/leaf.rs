//! One record as bytes: a `Flow` in tag order, the leaf of the tree.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use ringfence_model::flow::Flow;

use crate::LogError;

/// Largest encoded `Flow`, in bytes. A larger one is refused.
pub const RECORD_MAX: usize = 65_535;

/// Version of the schema that is written.
const SCHEMA: u32 = 1;

/// The bytes of a record, with schema, time and count filled in where they are absent.
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
    bytes.reserve(length);
    flow.encode_raw(bytes);
    Ok(())
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
        let flow = Flow::decode(bytes.as_slice()).unwrap();
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
        assert_eq!(Flow::decode(bytes.as_slice()).unwrap(), flow);
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
        assert_eq!(encode(&flow).unwrap().len(), RECORD_MAX);
        flow.reason.push('x');
        assert!(matches!(encode(&flow), Err(LogError::TooLarge(n)) if n == RECORD_MAX + 1));
    }
}
