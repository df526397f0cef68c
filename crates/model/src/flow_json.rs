//! A flow as JSON: what `observe` prints, and what every verb that reads flows takes back.
//!
//! Lossless both ways: `FlowRecord::new(seq, &flow)` and [`FlowRecord::to_flow`] undo each other. Keys that every record has
//! are always there; the others are left out when empty.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, de};

use crate::flow::{self, Flow};

/// The schema version that this code writes and reads.
pub const FLOW_SCHEMA: u32 = 1;

/// Operation of a record that stands for different attempts, of which there were more than get a record each.
pub const UNITEMISED: &str = "unitemised attempts";

/// Longest line that is read as a record, in bytes without its line feed. The longest record that a log takes (65,535
/// bytes) is shorter as JSON, also when every byte of it has to be written as `\u0001`.
pub const FLOW_LINE_MAX: usize = 512 * 1024;

/// One record of the flow log with its place in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlowRecord {
    /// Position in the log, from 0.
    pub seq: u64,
    /// Nanoseconds since the Unix epoch; in JSON an RFC 3339 text in UTC with nine decimals, so that texts sort as times do.
    #[serde(rename = "time", with = "time")]
    pub time_ns: u64,
    /// Name of the node that recorded it.
    pub node: String,
    /// Which end of the connection the record was made at.
    pub side: Side,
    /// What happened.
    pub kind: RecordKind,
    /// Joins the records of one connection.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub connection: String,
    /// How many identical attempts this stands for.
    pub count: u64,
    /// Workload name; empty when unknown.
    pub source: String,
    /// Running copy of the source.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_instance: String,
    /// Workload name; empty when unknown.
    pub destination: String,
    /// Running copy of the destination.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub destination_instance: String,
    /// Address and port that the source named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub original_destination: String,
    /// `http`, `tcp`, `dns`, or what a wall saw.
    pub protocol: String,
    /// `GET /customers/42`, `connect`, `socket AF_PACKET`.
    pub operation: String,
    /// What was decided.
    pub outcome: Outcome,
    /// Why, in words for an operator.
    pub reason: String,
    /// The rule that decided, as `FILE:LINE`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// Generation of policy it was decided under; 0 when none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u64,
    /// `enforce`, `shadow`, `learn`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// The task the source was on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// What the source is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// Payload bytes from source to destination.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_sent: u64,
    /// Payload bytes from destination to source.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_received: u64,
    /// How long it lived.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duration_ns: u64,
    /// Of a folded record: when the last of its attempts happened. 0, and absent in JSON, for others.
    #[serde(
        rename = "lastTime",
        default,
        with = "time",
        skip_serializing_if = "is_zero"
    )]
    pub last_time_ns: u64,
    /// Values that came with the operation, as far as they are recorded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fields: String,
    /// The key of the HMACs in `fields`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fields_key: u64,
}

/// Why a stored flow cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// Written by another version.
    #[error(
        "record {seq} has schema {schema}, this program reads {FLOW_SCHEMA}; use the version that wrote it"
    )]
    Schema {
        /// Its position.
        seq: u64,
        /// What it says.
        schema: u32,
    },
    /// A number without a meaning.
    #[error("record {seq} has {field} {value}, which means nothing; the log is damaged or newer")]
    Enumeration {
        /// Its position.
        seq: u64,
        /// `side`, `kind` or `outcome`.
        field: &'static str,
        /// The number found.
        value: i32,
    },
}

/// An enumeration of the schema in words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $field:literal, $wire:path { $($(#[$vmeta:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $word)] $variant),*
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word, as in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The value with this word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }

            fn from_number(seq: u64, value: i32) -> Result<Self, FlowError> {
                use $wire as Wire;
                match Wire::try_from(value) {
                    $(Ok(Wire::$variant) => Ok(Self::$variant),)*
                    Err(_) => Err(FlowError::Enumeration { seq, field: $field, value }),
                }
            }

            /// The number in the log.
            pub fn number(self) -> i32 {
                use $wire as Wire;
                match self { $(Self::$variant => Wire::$variant as i32),* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// The end of a connection that made the record.
    Side, "side", flow::Side {
        /// Belongs to no end.
        Unspecified = "unspecified",
        /// Who started it.
        Initiator = "initiator",
        /// Who was called.
        Receiver = "receiver",
        /// One node holds both ends.
        Both = "both",
    }
}

words! {
    /// What a record is about.
    RecordKind, "kind", flow::Kind {
        /// Never written by us.
        Unspecified = "unspecified",
        /// A connection was attempted.
        Connection = "connection",
        /// A request or query on a connection.
        Operation = "operation",
        /// A connection ended.
        Close = "close",
        /// The kernel refused something.
        Wall = "wall",
        /// Something operators or nodes did.
        Event = "event",
        /// A place whose record was never completed.
        Void = "void",
    }
}

words! {
    /// What was decided.
    Outcome, "outcome", flow::Outcome {
        /// Never written by us.
        Unspecified = "unspecified",
        /// Passed.
        Allow = "allow",
        /// Refused.
        Deny = "deny",
        /// Passed, though an enforcing policy would have refused.
        WouldDeny = "would-deny",
        /// Something broke.
        Error = "error",
    }
}

impl FlowRecord {
    /// Takes a stored flow and its position.
    pub fn new(seq: u64, flow: &Flow) -> Result<Self, FlowError> {
        if flow.schema != FLOW_SCHEMA {
            return Err(FlowError::Schema {
                seq,
                schema: flow.schema,
            });
        }
        Ok(Self {
            seq,
            time_ns: flow.time_ns,
            node: flow.node.clone(),
            side: Side::from_number(seq, flow.side)?,
            kind: RecordKind::from_number(seq, flow.kind)?,
            connection: flow.connection.clone(),
            count: flow.count,
            source: flow.source.clone(),
            source_instance: flow.source_instance.clone(),
            destination: flow.destination.clone(),
            destination_instance: flow.destination_instance.clone(),
            original_destination: flow.original_destination.clone(),
            protocol: flow.protocol.clone(),
            operation: flow.operation.clone(),
            outcome: Outcome::from_number(seq, flow.outcome)?,
            reason: flow.reason.clone(),
            rule: flow.rule.clone(),
            generation: flow.generation,
            mode: flow.mode.clone(),
            task: flow.task.clone(),
            purpose: flow.purpose.clone(),
            bytes_sent: flow.bytes_sent,
            bytes_received: flow.bytes_received,
            duration_ns: flow.duration_ns,
            last_time_ns: flow.last_time_ns,
            fields: flow.fields.clone(),
            fields_key: flow.fields_key,
        })
    }

    /// The flow as it is stored, without its position.
    pub fn to_flow(&self) -> Flow {
        Flow {
            schema: FLOW_SCHEMA,
            time_ns: self.time_ns,
            node: self.node.clone(),
            side: self.side.number(),
            kind: self.kind.number(),
            connection: self.connection.clone(),
            count: self.count,
            source: self.source.clone(),
            source_instance: self.source_instance.clone(),
            destination: self.destination.clone(),
            destination_instance: self.destination_instance.clone(),
            original_destination: self.original_destination.clone(),
            protocol: self.protocol.clone(),
            operation: self.operation.clone(),
            outcome: self.outcome.number(),
            reason: self.reason.clone(),
            rule: self.rule.clone(),
            generation: self.generation,
            mode: self.mode.clone(),
            task: self.task.clone(),
            purpose: self.purpose.clone(),
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            duration_ns: self.duration_ns,
            last_time_ns: self.last_time_ns,
            fields: self.fields.clone(),
            fields_key: self.fields_key,
        }
    }

    /// The time as RFC 3339 text, as in JSON.
    pub fn time(&self) -> String {
        time::text(self.time_ns)
    }

    /// When the last of its attempts happened, where it stands for several, in the same form.
    pub fn last_time(&self) -> Option<String> {
        (self.last_time_ns != 0).then(|| time::text(self.last_time_ns))
    }
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// The `time` key.
mod time {
    use super::*;

    /// Every `u64` of nanoseconds (until the year 2554) is within what [`Timestamp`] holds.
    pub(super) fn text(nanoseconds: u64) -> String {
        let since = SignedDuration::new(
            (nanoseconds / 1_000_000_000).cast_signed(),
            (nanoseconds % 1_000_000_000) as i32,
        );
        let at = Timestamp::from_duration(since).unwrap_or(Timestamp::MAX);
        format!("{at:.9}")
    }

    pub(super) fn serialize<S: serde::Serializer>(
        nanoseconds: &u64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(*nanoseconds))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u64, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let at: Timestamp = text
            .parse()
            .map_err(|_| de::Error::custom(format!("{text:?} is not an RFC 3339 time")))?;
        u64::try_from(at.as_nanosecond())
            .map_err(|_| de::Error::custom(format!("{text:?} is before 1970 or after 2554")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_flow() -> impl Strategy<Value = Flow> {
        let text = "[ -~äß\\PC\n\"]{0,12}";
        (
            (
                any::<u64>(),
                text,
                0..4i32,
                0..7i32,
                text,
                any::<u64>(),
                text,
                text,
                text,
            ),
            (text, text, text, text, 0..5i32, text, text, any::<u64>()),
            (text, text, text, any::<u64>(), any::<u64>(), any::<u64>()),
            (any::<u64>(), text, any::<u64>()),
        )
            .prop_map(|(a, b, c, d)| Flow {
                schema: FLOW_SCHEMA,
                time_ns: a.0,
                node: a.1,
                side: a.2,
                kind: a.3,
                connection: a.4,
                count: a.5,
                source: a.6,
                source_instance: a.7,
                destination: a.8,
                destination_instance: b.0,
                original_destination: b.1,
                protocol: b.2,
                operation: b.3,
                outcome: b.4,
                reason: b.5,
                rule: b.6,
                generation: b.7,
                mode: c.0,
                task: c.1,
                purpose: c.2,
                bytes_sent: c.3,
                bytes_received: c.4,
                duration_ns: c.5,
                last_time_ns: d.0,
                fields: d.1,
                fields_key: d.2,
            })
    }

    proptest! {
        #[test]
        fn goes_to_json_and_back_without_loss(flow in any_flow(), seq in any::<u64>()) {
            let record = FlowRecord::new(seq, &flow).unwrap();
            let json = serde_json::to_string(&record).unwrap();
            let back: FlowRecord = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&back, &record);
            prop_assert_eq!(back.to_flow(), flow);
        }
    }

    #[test]
    fn the_longest_record_is_a_line_that_is_read() {
        // 65,535 bytes with keys and length take at most so much text.
        let flow = Flow {
            schema: FLOW_SCHEMA,
            time_ns: u64::MAX,
            operation: "\u{1}".repeat(65_500),
            ..Flow::default()
        };
        assert!(prost::Message::encoded_len(&flow) > 65_500);
        let json = serde_json::to_string(&FlowRecord::new(u64::MAX, &flow).unwrap()).unwrap();
        assert!(
            (390_000..FLOW_LINE_MAX).contains(&json.len()),
            "{}",
            json.len()
        );
    }

    #[test]
    fn has_the_names_and_words_of_the_schema() {
        let mut flow = Flow {
            schema: 1,
            time_ns: 1_700_000_000_000_000_001,
            side: 3,
            kind: 2,
            count: 1,
            outcome: 3,
            ..Flow::default()
        };
        let bare = serde_json::to_string(&FlowRecord::new(7, &flow).unwrap()).unwrap();
        assert_eq!(
            bare,
            r#"{"seq":7,"time":"2023-11-14T22:13:20.000000001Z","node":"","side":"both","kind":"operation","count":1,"source":"","destination":"","protocol":"","operation":"","outcome":"would-deny","reason":""}"#
        );
        for text in [
            &mut flow.node,
            &mut flow.connection,
            &mut flow.source,
            &mut flow.source_instance,
            &mut flow.destination,
            &mut flow.destination_instance,
            &mut flow.original_destination,
            &mut flow.protocol,
            &mut flow.operation,
            &mut flow.reason,
            &mut flow.rule,
            &mut flow.mode,
            &mut flow.task,
            &mut flow.purpose,
            &mut flow.fields,
        ] {
            *text = "x".into();
        }
        (
            flow.generation,
            flow.bytes_sent,
            flow.bytes_received,
            flow.duration_ns,
            flow.last_time_ns,
            flow.fields_key,
        ) = (1, 2, 3, 4, 5, 6);
        let full = serde_json::to_string(&FlowRecord::new(7, &flow).unwrap()).unwrap();
        let keys: Vec<&str> = full
            .split("\":")
            .filter_map(|part| part.rsplit('"').next())
            .collect();
        assert_eq!(
            keys[..27].join(" "),
            "seq time node side kind connection count source sourceInstance destination \
             destinationInstance originalDestination protocol operation outcome reason rule \
             generation mode task purpose bytesSent bytesReceived durationNs lastTime fields fieldsKey"
        );
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        let flow = Flow {
            schema: 2,
            ..Flow::default()
        };
        assert_eq!(
            FlowRecord::new(3, &flow),
            Err(FlowError::Schema { seq: 3, schema: 2 })
        );
        let flow = Flow {
            schema: 1,
            kind: 9,
            ..Flow::default()
        };
        assert_eq!(
            FlowRecord::new(3, &flow),
            Err(FlowError::Enumeration {
                seq: 3,
                field: "kind",
                value: 9
            })
        );
        let good = FlowRecord::new(
            1,
            &Flow {
                schema: 1,
                ..Flow::default()
            },
        )
        .unwrap();
        let json = serde_json::to_string(&good).unwrap();
        assert!(
            serde_json::from_str::<FlowRecord>(&json.replace("1970-01-01", "1969-01-01")).is_err()
        );
        assert!(
            serde_json::from_str::<FlowRecord>(&json.replace("\"node\"", "\"nodes\"")).is_err()
        );
    }

    #[test]
    fn says_every_word_both_ways() {
        for side in [
            Side::Unspecified,
            Side::Initiator,
            Side::Receiver,
            Side::Both,
        ] {
            assert_eq!(Side::from_word(side.as_str()), Some(side));
        }
        assert_eq!(Outcome::from_word("would-deny"), Some(Outcome::WouldDeny));
        assert_eq!(RecordKind::from_word("Wall"), None);
    }
}
