//! Our decoder of header blocks against one of others.

use fluke_hpack::decoder::DecoderError;
use ringfence_wire::http1::limits::FIELDS_MAX;
use ringfence_wire::http2::hpack::{Decoder, Encoder, Unsound};
use ringfence_wire::http2::{HeaderList, limits};

use crate::target::{Target, contained};

pub(crate) const TARGET: Target = Target {
    name: "http2_hpack",
    holds: "blocks on one connection that we decode are decoded alike by fluke-hpack, what it decodes and we do not is refused for a bound, and what we write it reads as meant",
    length_max: 2048,
    run,
};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn run(bytes: &[u8]) {
    let mut ours = Decoder::default();
    let mut theirs = fluke_hpack::Decoder::new();
    theirs.set_max_allowed_table_size(4096);
    let mut rest = bytes;
    // Each block stands behind its length.
    while let Some((&length, after)) = rest.split_first() {
        let (block, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let mut list = HeaderList::default();
        let read = ours.decode(block, &mut list);
        let Some(reference) = contained(|| theirs.decode(block)) else {
            return;
        };
        match (read, reference) {
            (Ok(()), Ok(fields)) => {
                let own = fields_of(&list);
                assert!(fields.starts_with(&own), "{own:?} is not {fields:?}");
                let size = |field: &(Vec<u8>, Vec<u8>)| field.0.len() + field.1.len() + 32;
                let all: usize = fields.iter().map(size).sum();
                let over_bound = all > limits::HEADER_LIST_MAX || fields.len() > FIELDS_MAX;
                assert!(over_bound || own == fields, "a field is missing");
                written(&own);
            }
            // A block of nothing but table sizes: RFC 7541 has them before the first field, and here is none. It is no
            // message, and what comes next is read by another table than theirs.
            (Ok(()), Err(DecoderError::SizeUpdateAtEnd)) if fields_of(&list).is_empty() => return,
            (Ok(()), Err(error)) => panic!("we decode what is refused: {error:?}"),
            // A number beyond any use; a table size where none may stand, or a third one.
            (Err(Unsound::Number | Unsound::TableSize), Ok(_)) => return,
            (Err(unsound), Ok(fields)) => panic!("{unsound}, and decoded as {fields:?}"),
            // Both sides are of no more use.
            (Err(_), Err(_)) => return,
        }
    }
}

fn fields_of(list: &HeaderList) -> Fields {
    list.pairs()
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect()
}

/// What we write of these fields is read as them.
fn written(fields: &Fields) {
    let mut block = Encoder::default().begin().to_vec();
    let mut meant = Fields::new();
    for (nth, (name, value)) in fields.iter().enumerate() {
        if let Ok(text) = std::str::from_utf8(name) {
            Encoder::field(text, value, nth % 3 == 0, &mut block);
            meant.push((name.clone(), value.clone()));
        }
    }
    // No message is without fields, and fluke-hpack reads no block that has none behind its table size.
    if meant.is_empty() {
        return;
    }
    let read = fluke_hpack::Decoder::new().decode(&block);
    assert_eq!(
        read.ok(),
        Some(meant),
        "what we write is read as something else"
    );
}
