//! Whether bytes are a `Flow`, the beginning of one, or neither, told without decoding.
//!
//! Records carry no checksum in this form of the log. What protects them is their strictness: fields in
//! ascending order, two wire types only, texts in UTF-8. A length that a bad disk changed makes one record swallow
//! the start of the next, which breaks the order; so a damaged middle is not mistaken for an unfinished end.

/// Field numbers up to here are known; those that are length-delimited are texts.
const KNOWN_FIELDS: u64 = 24;

/// Of the known fields, those that are numbers.
const NUMBERS: [u64; 10] = [1, 2, 4, 5, 7, 15, 18, 22, 23, 24];

/// What a run of bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Whole fields, one after the other, the schema version first.
    Whole,
    /// As above, ending within a field.
    Beginning,
    /// Not ours.
    Broken(&'static str),
}

enum Varint {
    Value(u64, usize),
    Unfinished,
    TooLong,
}

fn varint(bytes: &[u8]) -> Varint {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        if index == 9 && *byte > 1 {
            return Varint::TooLong;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Varint::Value(value, index + 1);
        }
    }
    if bytes.len() < 10 {
        Varint::Unfinished
    } else {
        Varint::TooLong
    }
}

/// Looks at the fields of `bytes` from the front.
pub(crate) fn shape(bytes: &[u8]) -> Shape {
    let mut rest = bytes;
    let mut last = 0_u64;
    while !rest.is_empty() {
        let (key, used) = match varint(rest) {
            Varint::Value(key, used) => (key, used),
            Varint::Unfinished => return Shape::Beginning,
            Varint::TooLong => return Shape::Broken("a field key that is too long"),
        };
        // A key has 32 bits, or readers refuse it.
        if key > u64::from(u32::MAX) {
            return Shape::Broken("a field key that is too long");
        }
        let field = key >> 3;
        if last == 0 && field != 1 {
            return Shape::Broken("no schema version at its start");
        }
        if field <= last {
            return Shape::Broken("fields out of order");
        }
        last = field;
        rest = &rest[used..];
        let (value, used) = match varint(rest) {
            Varint::Value(value, used) => (value, used),
            Varint::Unfinished => return Shape::Beginning,
            Varint::TooLong => return Shape::Broken("a number that is too long"),
        };
        rest = &rest[used..];
        // Taken here, it would be taken into the log by every writer, and stop every reader.
        if field <= KNOWN_FIELDS && (key & 7 == 0) != NUMBERS.contains(&field) {
            return Shape::Broken("a field of another type than its own");
        }
        match key & 7 {
            0 => {}
            2 => {
                let length = match usize::try_from(value) {
                    Ok(length) if length <= crate::RECORD_MAX => length,
                    _ => return Shape::Broken("a text longer than a record"),
                };
                let text = &rest[..length.min(rest.len())];
                if field <= KNOWN_FIELDS {
                    match std::str::from_utf8(text) {
                        Err(e) if e.error_len().is_some() || text.len() == length => {
                            return Shape::Broken("a text that is not UTF-8");
                        }
                        _ => {}
                    }
                }
                if text.len() < length {
                    return Shape::Beginning;
                }
                rest = &rest[length..];
            }
            _ => return Shape::Broken("a field of an unknown type"),
        }
    }
    if last == 0 {
        Shape::Beginning
    } else {
        Shape::Whole
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use ringfence_model::flow::Flow;

    use super::*;

    fn sample(reason: &str) -> Vec<u8> {
        Flow {
            schema: 1,
            time_ns: u64::MAX,
            node: "bank-1".into(),
            count: 1,
            reason: reason.into(),
            duration_ns: 9,
            ..Flow::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn every_cut_of_a_record_is_a_beginning_or_whole_never_broken() {
        let bytes = sample("grüße, 世界");
        assert_eq!(shape(&bytes), Shape::Whole);
        for cut in 0..bytes.len() {
            assert!(
                !matches!(shape(&bytes[..cut]), Shape::Broken(_)),
                "cut to {cut}"
            );
        }
    }

    #[test]
    fn two_records_in_a_row_are_broken() {
        let one = sample("a");
        let mut two = one.clone();
        two.push(u8::try_from(one.len()).unwrap());
        two.extend_from_slice(&one);
        assert!(matches!(shape(&two), Shape::Broken(_)));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_broken() {
        let mut bytes = sample("abcdefgh");
        let at = bytes.windows(8).position(|w| w == b"abcdefgh").unwrap();
        bytes[at + 3] = 0xff;
        assert_eq!(shape(&bytes), Shape::Broken("a text that is not UTF-8"));
    }

    #[test]
    fn a_newer_writers_fields_are_whole() {
        let mut bytes = sample("a");
        bytes.extend_from_slice(&[0xca, 0x01, 0x02, 0xff, 0xfe]); // field 25, two bytes
        assert_eq!(shape(&bytes), Shape::Whole);
    }

    /// Found by the fuzz target `log`: whole to the writer, and a stop to every reader.
    #[test]
    fn what_no_reader_decodes_is_broken() {
        // Field 15, the outcome, as a text; field 3, the node, as a number.
        // And a field whose number is too large for any schema.
        for bytes in [
            &b"\x08\x01\x7a\x01x"[..],
            b"\x08\x01\x18\x01",
            b"\x08\x01\x80\x80\x80\x80\x10\x01",
        ] {
            assert!(matches!(shape(bytes), Shape::Broken(_)), "{bytes:?}");
            assert!(Flow::decode(bytes).is_err(), "{bytes:?}");
        }
    }

    /// That [`NUMBERS`] says what the schema does.
    #[test]
    fn every_known_field_is_whole_in_its_own_type_only() {
        for field in 1..=KNOWN_FIELDS as u8 {
            let tag = |kind: u8| {
                let key = u32::from(field) << 3 | u32::from(kind);
                let mut bytes = if field == 1 {
                    Vec::new()
                } else {
                    vec![0x08, 0x01]
                };
                prost::encoding::encode_varint(u64::from(key), &mut bytes);
                bytes.extend(if kind == 0 { &[1][..] } else { &[1, b'x'][..] });
                bytes
            };
            for kind in [0, 2] {
                let bytes = tag(kind);
                let whole = shape(&bytes) == Shape::Whole;
                assert_eq!(
                    whole,
                    Flow::decode(&bytes[..]).is_ok(),
                    "field {field}, {kind}"
                );
            }
        }
    }
}
