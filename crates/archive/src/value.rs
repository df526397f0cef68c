//! What the columns say of a record that is not sealed.

use std::borrow::Cow;

use ringfence_model::flow::Flow;

use crate::columns::{Column, Shape, WordOf};

/// What a column has for a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// A number, or a time.
    Number(i64),
    /// A text, or a word.
    Text(Cow<'a, str>),
}

/// What `column` has for the record `flow` at `seq`: what it would have in a sealed file. A decoded record keeps nothing that its schema
/// does not know, so there is never a leaf.
pub fn value<'a>(column: &Column, seq: u64, flow: &'a Flow) -> Value<'a> {
    let number = match column.tag {
        0 => seq,
        2 => flow.time_ns,
        // An enumeration is written as a 64-bit number, also below zero.
        4 => i64::from(flow.side).cast_unsigned(),
        5 => i64::from(flow.kind).cast_unsigned(),
        7 => flow.count,
        15 => i64::from(flow.outcome).cast_unsigned(),
        18 => flow.generation,
        22 => flow.bytes_sent,
        23 => flow.bytes_received,
        24 => flow.duration_ns,
        25 => flow.last_time_ns,
        27 => flow.fields_key,
        _ => 0,
    };
    match column.shape {
        Shape::Leaf => Value::Null,
        Shape::Seq | Shape::Time | Shape::Number => {
            let stored = i64::try_from(number).unwrap_or(i64::MAX);
            if stored == 0 && !column.always {
                Value::Null
            } else {
                Value::Number(stored)
            }
        }
        Shape::Word(words) => Value::Text(match words.word(number) {
            WordOf::Known(word) => word.into(),
            WordOf::Digits(digits) => digits.into(),
        }),
        Shape::Text => match text(column.tag, flow) {
            "" if !column.always => Value::Null,
            text => Value::Text(text.into()),
        },
    }
}

fn text(tag: usize, flow: &Flow) -> &str {
    match tag {
        3 => &flow.node,
        6 => &flow.connection,
        8 => &flow.source,
        9 => &flow.source_instance,
        10 => &flow.destination,
        11 => &flow.destination_instance,
        12 => &flow.original_destination,
        13 => &flow.protocol,
        14 => &flow.operation,
        16 => &flow.reason,
        17 => &flow.rule,
        19 => &flow.mode,
        20 => &flow.task,
        21 => &flow.purpose,
        26 => &flow.fields,
        _ => "",
    }
}
