//! Header blocks of an encoder that knows only the words of RFC 7541, and does with every field what chance says.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; a test that fails should panic"
)]

use proptest::prelude::*;
use ringfence_wire::http2::HeaderList;
use ringfence_wire::http2::hpack::{Decoder, Encoder, Unsound};

type Field = (Vec<u8>, Vec<u8>);

/// The dynamic table as section 2.3.2 tells it: the newest first, dropped from the end.
#[derive(Default)]
struct Reference {
    table: Vec<Field>,
    max: usize,
}

/// What becomes of one field.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Index,
    Keep,
    Pass,
    Never,
}

impl Reference {
    fn new() -> Self {
        Self {
            table: Vec::new(),
            max: 4096,
        }
    }

    fn evict(&mut self) {
        let size =
            |table: &[Field]| -> usize { table.iter().map(|(n, v)| n.len() + v.len() + 32).sum() };
        while size(&self.table) > self.max {
            self.table.pop();
        }
    }

    fn encode(&mut self, (name, value): &Field, choice: Choice, out: &mut Vec<u8>) {
        let found = self
            .table
            .iter()
            .position(|field| field.0 == *name && field.1 == *value);
        let named = self.table.iter().position(|field| field.0 == *name);
        let index = |at: usize| 62 + at;
        match (choice, found) {
            (Choice::Index, Some(at)) => return integer(0x80, 7, index(at), out),
            (Choice::Index | Choice::Keep, _) => integer(0x40, 6, named.map_or(0, index), out),
            (Choice::Pass, _) => integer(0, 4, named.map_or(0, index), out),
            (Choice::Never, _) => integer(0x10, 4, named.map_or(0, index), out),
        }
        for text in named.is_none().then_some(name).into_iter().chain([value]) {
            integer(0, 7, text.len(), out);
            out.extend_from_slice(text);
        }
        if matches!(choice, Choice::Index | Choice::Keep) {
            self.table.insert(0, (name.clone(), value.clone()));
            self.evict();
        }
    }

    fn resize(&mut self, max: usize, out: &mut Vec<u8>) {
        integer(0x20, 5, max, out);
        self.max = max;
        self.evict();
    }
}

/// The pseudocode of section 5.1.
fn integer(first: u8, prefix: u32, mut value: usize, out: &mut Vec<u8>) {
    let limit = 2usize.pow(prefix) - 1;
    if value < limit {
        return out.push(first | value as u8);
    }
    out.push(first | limit as u8);
    value -= limit;
    while value >= 128 {
        out.push((value % 128 + 128) as u8);
        value /= 128;
    }
    out.push(value as u8);
}

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Field>, Unsound> {
    let mut list = HeaderList::default();
    decoder.decode(block, &mut list)?;
    Ok(list
        .pairs()
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect())
}

fn field() -> impl Strategy<Value = Field> {
    let name = prop::sample::select(vec!["a", "b", "x-long-name-of-a-field", "cookie"]);
    let value = prop_oneof![
        prop::sample::select(vec!["", "1", "some value"]).prop_map(str::to_owned),
        "[a-z]{0,300}",
    ];
    (name, value).prop_map(|(name, value)| (name.as_bytes().to_vec(), value.into_bytes()))
}

fn choice() -> impl Strategy<Value = Choice> {
    prop::sample::select(vec![
        Choice::Index,
        Choice::Keep,
        Choice::Pass,
        Choice::Never,
    ])
}

proptest! {
    #[test]
    fn blocks_of_a_naive_encoder_are_read_as_meant(
        blocks in prop::collection::vec(
            (prop::option::of(0usize..=4096), prop::collection::vec((field(), choice()), 0..12)),
            1..12,
        ),
    ) {
        let (mut reference, mut decoder) = (Reference::new(), Decoder::default());
        for (resize, fields) in blocks {
            let mut block = Vec::new();
            if let Some(max) = resize {
                reference.resize(max, &mut block);
            }
            for (field, choice) in &fields {
                reference.encode(field, *choice, &mut block);
            }
            let meant: Vec<_> = fields.into_iter().map(|(field, _)| field).collect();
            prop_assert_eq!(decoded(&mut decoder, &block).unwrap(), meant);
        }
    }

    #[test]
    fn what_we_write_is_read_again(fields in prop::collection::vec((field(), any::<bool>()), 0..12)) {
        let mut block = Encoder::default().begin().to_vec();
        for ((name, value), never) in &fields {
            Encoder::field(std::str::from_utf8(name).unwrap(), value, *never, &mut block);
        }
        let meant: Vec<_> = fields.into_iter().map(|(field, _)| field).collect();
        prop_assert_eq!(decoded(&mut Decoder::default(), &block).unwrap(), meant);
    }

    #[test]
    fn no_bytes_break_the_decoder(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..5)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            let _any_answer = decoded(&mut decoder, &block);
        }
    }
}

/// The examples of appendix C.4 and C.6, with Huffman code and tables kept between blocks.
#[test]
fn reads_the_examples_of_the_rfc() {
    let hex = |text: &str| -> Vec<u8> {
        let digits: Vec<_> = text.chars().filter(|c| !c.is_whitespace()).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
        digits.chunks(2).map(|pair| byte(pair).unwrap()).collect()
    };
    let text = |decoder: &mut Decoder, block: &str| {
        let fields = decoded(decoder, &hex(block)).unwrap();
        let words: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()))
            .collect();
        words.join(" ")
    };
    let mut requests = Decoder::default();
    assert_eq!(
        text(&mut requests, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"),
        ":method=GET :scheme=http :path=/ :authority=www.example.com"
    );
    assert_eq!(
        text(&mut requests, "8286 84be 5886 a8eb 1064 9cbf"),
        ":method=GET :scheme=http :path=/ :authority=www.example.com cache-control=no-cache"
    );
    assert_eq!(
        text(
            &mut requests,
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf"
        ),
        ":method=GET :scheme=https :path=/index.html :authority=www.example.com \
         custom-key=custom-value"
    );
}

#[test]
fn refuses_what_both_sides_could_read_differently() {
    let refusal = |block: &[u8]| decoded(&mut Decoder::default(), block).unwrap_err();
    // Indexes.
    assert_eq!(refusal(&[0x80]), Unsound::Index);
    assert_eq!(refusal(&[0xbe]), Unsound::Index, "the table is empty");
    assert_eq!(refusal(&[0x7f, 0]), Unsound::Index);
    // Numbers.
    assert_eq!(
        refusal(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x01]),
        Unsound::Number
    );
    assert_eq!(
        refusal(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        Unsound::Number
    );
    // Cut short.
    for block in [
        &[0xff][..],
        &[0x40],
        &[0x40, 1],
        &[0x40, 1, b'a'],
        &[0x40, 1, b'a', 2, b'b'],
    ] {
        assert_eq!(refusal(block), Unsound::Truncated, "{block:?}");
    }
    // Sizes of the table: too large, behind a field, more than two.
    assert_eq!(refusal(&[0x3f, 0xe2, 0x1f]), Unsound::TableSize);
    assert_eq!(refusal(&[0x82, 0x20]), Unsound::TableSize);
    assert_eq!(refusal(&[0x20, 0x21, 0x22]), Unsound::TableSize);
    let mut decoder = Decoder::default();
    assert!(
        decoded(&mut decoder, &[0x20, 0x3f, 0xe1, 0x1f, 0x82]).is_ok(),
        "4096 is offered"
    );
}
