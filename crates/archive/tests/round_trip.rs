//! Every leaf comes back byte for byte, whatever is in it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use prost::Message;
use ringfence_archive::{
    ArchiveError, COLUMNS, GROUP_BYTES, GROUP_ROWS, LEAF_MAX, SealedReader, Sealer, Summary, Value,
    files, seal, value,
};
use ringfence_model::flow::Flow;

fn sealed(directory: &Path, first: u64, leaves: &[Vec<u8>]) -> (PathBuf, Summary) {
    let path = directory.join(ringfence_archive::file_name(first));
    let summary = seal(first, leaves, [7; 32], &path).unwrap();
    (path, summary)
}

fn assert_comes_back(first: u64, leaves: &[Vec<u8>]) -> Summary {
    let directory = tempfile::tempdir().unwrap();
    let (path, summary) = sealed(directory.path(), first, leaves);
    let reader = SealedReader::open(&path).unwrap();
    assert_eq!(reader.root(), [7; 32]);
    assert_eq!(
        (reader.first_seq(), reader.records()),
        (first, leaves.len() as u64)
    );
    assert_eq!(
        (summary.first, summary.last),
        (first, first + leaves.len() as u64 - 1)
    );
    assert_eq!(summary.file_bytes, fs::metadata(&path).unwrap().len());
    let back: Vec<(u64, Vec<u8>)> = reader.map(Result::unwrap).collect();
    assert_eq!(back.len(), leaves.len());
    for ((seq, leaf), (expected, original)) in back.iter().zip((first..).zip(leaves)) {
        assert_eq!((*seq, leaf), (expected, original));
    }
    summary
}

fn any_flow() -> impl Strategy<Value = Flow> {
    let text = || prop_oneof![3 => "[ -~äß\\PC\n\"]{0,12}", 1 => Just("again".to_owned())];
    let number = || {
        prop_oneof![
            any::<u64>(),
            0..300_u64,
            Just(0),
            Just(u64::MAX),
            Just(i64::MAX.cast_unsigned())
        ]
    };
    let word = || prop_oneof![4 => 0..6_i32, 1 => any::<i32>()];
    (
        (
            prop_oneof![4 => Just(1), 1 => any::<u32>()],
            number(),
            text(),
            word(),
            word(),
            text(),
            number(),
            text(),
            text(),
        ),
        (
            text(),
            text(),
            text(),
            text(),
            text(),
            word(),
            text(),
            text(),
            number(),
        ),
        (text(), text(), text(), number(), number(), number()),
        (number(), text(), number()),
    )
        // Every field by name: one that is new has to have a column.
        .prop_map(|(a, b, c, d)| Flow {
            schema: a.0,
            time_ns: a.1,
            node: a.2,
            side: a.3,
            kind: a.4,
            connection: a.5,
            count: a.6,
            source: a.7,
            source_instance: a.8,
            destination: b.0,
            destination_instance: b.1,
            original_destination: b.2,
            protocol: b.3,
            operation: b.4,
            outcome: b.5,
            reason: b.6,
            rule: b.7,
            generation: b.8,
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

/// What a writer of another version, or a broken one, may have left in a log.
fn odd(leaf: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let unknown = (28..2000_u32, any::<u64>()).prop_map(|(tag, value)| {
        let mut field = Vec::new();
        prost::encoding::uint64::encode(tag, &value, &mut field);
        field
    });
    let known_again = Just(
        Flow {
            source: "again".into(),
            ..Flow::default()
        }
        .encode_to_vec(),
    );
    let zero = Just(vec![0x38, 0]);
    let long_zero = Just(vec![0x38, 0x81, 0x80, 0]);
    let bytes = proptest::collection::vec(any::<u8>(), 0..20);
    (
        prop_oneof![unknown, known_again, zero, long_zero, bytes],
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(move |(more, at, anywhere)| {
            let mut leaf = leaf.clone();
            let at = if anywhere {
                at.index(leaf.len() + 1)
            } else {
                leaf.len()
            };
            leaf.splice(at..at, more);
            leaf
        })
}

fn any_leaf() -> impl Strategy<Value = Vec<u8>> {
    let flow = any_flow().prop_map(|flow| flow.encode_to_vec()).boxed();
    prop_oneof![
        3 => flow.clone(),
        2 => flow.prop_flat_map(odd),
        1 => proptest::collection::vec(any::<u8>(), 0..60),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_leaf_comes_back_byte_for_byte(
        leaves in proptest::collection::vec(any_leaf(), 1..60),
        first in prop_oneof![Just(0), 0..=(i64::MAX.cast_unsigned() - 100)],
    ) {
        assert_comes_back(first, &leaves);
    }
}

fn flow(number: u64) -> Flow {
    Flow {
        schema: 1,
        time_ns: 1_700_000_000_000_000_000 + number * 1_000_003,
        node: "node-1".into(),
        side: 3,
        kind: 1 + (number % 3) as i32,
        connection: format!("00f1e2d3c4b5a697-{}", number / 3),
        count: 1,
        source: format!("agent-{}", number % 50),
        destination: "library".into(),
        protocol: "http".into(),
        operation: format!("GET /books/{}", number % 1000),
        outcome: 1,
        ..Flow::default()
    }
}

#[test]
fn a_row_keeps_its_leaf_only_when_its_columns_do_not_make_it() {
    let plain = flow(1);
    assert_eq!(assert_comes_back(0, &[plain.encode_to_vec()]).kept_whole, 0);
    let unknown_word = Flow {
        kind: 77,
        side: -1,
        ..plain.clone()
    };
    assert_eq!(
        assert_comes_back(0, &[unknown_word.encode_to_vec()]).kept_whole,
        0
    );
    let newer = Flow {
        schema: 2,
        ..plain.clone()
    };
    assert_eq!(assert_comes_back(0, &[newer.encode_to_vec()]).kept_whole, 1);
    let beyond = Flow {
        bytes_sent: u64::MAX,
        ..plain.clone()
    };
    assert_eq!(
        assert_comes_back(0, &[beyond.encode_to_vec()]).kept_whole,
        1
    );
    let mut unknown_field = plain.encode_to_vec();
    prost::encoding::uint64::encode(99, &5, &mut unknown_field);
    assert_eq!(
        assert_comes_back(0, &[unknown_field, plain.encode_to_vec()]).kept_whole,
        1
    );
}

#[test]
fn many_row_groups_and_full_dictionaries_come_back() {
    let leaves: Vec<Vec<u8>> = (0..2 * GROUP_ROWS as u64 + 7)
        .map(|number| Flow {
            reason: format!("reason {}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            ..flow(number)
        })
        .map(|flow| flow.encode_to_vec())
        .collect();
    assert_eq!(assert_comes_back(41, &leaves).kept_whole, 0);
}

#[test]
fn the_longest_leaves_make_a_row_group_of_their_own_size() {
    let longest = |number: u64| {
        let mut flow = Flow {
            schema: 1,
            time_ns: number + 1,
            ..Flow::default()
        };
        let noise =
            (0..).map(|at: u64| ((at + number).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57) as u8);
        flow.operation = noise
            .take(LEAF_MAX - 12)
            .map(|byte| char::from(byte.min(0x7e)))
            .collect();
        flow.encode_to_vec()
    };
    let count = GROUP_BYTES / LEAF_MAX + 5;
    let mut leaves: Vec<Vec<u8>> = (0..count as u64).map(longest).collect();
    assert!(
        leaves
            .iter()
            .all(|leaf| leaf.len() <= LEAF_MAX && leaf.len() > LEAF_MAX - 20)
    );
    // Those that are kept whole need their room twice.
    leaves
        .iter_mut()
        .step_by(2)
        .for_each(|leaf| leaf.extend([0x38, 0]));
    assert_eq!(
        assert_comes_back(0, &leaves).kept_whole,
        count.div_ceil(2) as u64
    );
}

#[test]
fn goes_to_any_record() {
    let directory = tempfile::tempdir().unwrap();
    let leaves: Vec<Vec<u8>> = (0..GROUP_ROWS as u64 + 10)
        .map(|number| flow(number).encode_to_vec())
        .collect();
    let (path, _) = sealed(directory.path(), 1000, &leaves);
    let mut reader = SealedReader::open(&path).unwrap();
    for at in [GROUP_ROWS + 9, 5, GROUP_ROWS, GROUP_ROWS - 1, 0] {
        let seq = 1000 + at as u64;
        assert!(reader.skip_to(seq));
        assert_eq!(reader.read().unwrap(), Some((seq, leaves[at].as_slice())));
    }
    for nowhere in [999, 0, 1000 + leaves.len() as u64, u64::MAX] {
        assert!(!reader.skip_to(nowhere));
        assert_eq!(reader.read().unwrap(), None);
    }
}

#[test]
fn refuses_what_no_log_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    let none: [&[u8]; 0] = [];
    let empty = seal(0, none, [0; 32], &path);
    assert!(
        matches!(empty, Err(ArchiveError::Empty { .. })),
        "{empty:?}"
    );
    let long = seal(3, [vec![0; LEAF_MAX + 1]], [0; 32], &path);
    assert!(
        matches!(long, Err(ArchiveError::TooLong { seq: 3, .. })),
        "{long:?}"
    );
    let far = seal(u64::MAX, [b""], [0; 32], &path);
    assert!(
        matches!(far, Err(ArchiveError::SeqTooLarge { .. })),
        "{far:?}"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_file_has_its_name_only_when_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(ringfence_archive::file_name(5));
    let temporary = directory
        .path()
        .join("00000000000000000005.parquet.sealing");
    // What a crash has left.
    fs::write(&temporary, "half").unwrap();
    let mut sealer = Sealer::create(5, &path).unwrap();
    sealer.push(&flow(0).encode_to_vec()).unwrap();
    assert!(temporary.exists() && files(directory.path()).unwrap().is_empty());
    drop(sealer);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);

    seal(5, [flow(0).encode_to_vec()], [0; 32], &path).unwrap();
    seal(
        2,
        [flow(0).encode_to_vec()],
        [0; 32],
        &directory.path().join(ringfence_archive::file_name(2)),
    )
    .unwrap();
    let found: Vec<u64> = files(directory.path())
        .unwrap()
        .iter()
        .map(|file| file.first)
        .collect();
    assert_eq!(found, [2, 5]);
    assert!(!temporary.exists());
    // The same stretch again: the file is replaced whole.
    seal(5, [flow(1).encode_to_vec()], [0; 32], &path).unwrap();
    let back = SealedReader::open(&path).unwrap().next().unwrap().unwrap();
    assert_eq!(back, (5, flow(1).encode_to_vec()));
    assert!(files(&directory.path().join("absent")).unwrap().is_empty());
}

#[test]
fn columns_are_read_by_themselves_and_say_what_they_say_of_a_record_that_is_not_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let rows = GROUP_ROWS + 500;
    let flows: Vec<Flow> = common::flows(rows);
    let leaves: Vec<Vec<u8>> = flows.iter().map(Message::encode_to_vec).collect();
    let (path, _) = sealed(directory.path(), 30, &leaves);
    let all: Vec<usize> = (0..COLUMNS.len()).collect();
    let mut reader = SealedReader::open(&path).unwrap();
    assert!(reader.skip_to(30 + 90_000));
    let mut seq = 30 + 90_000;
    while let Some(block) = reader.read_columns(&all).unwrap() {
        assert_eq!(block.first_seq(), seq);
        for row in block.rows() {
            let flow = &flows[(seq - 30) as usize];
            for (at, column) in COLUMNS.iter().enumerate() {
                let found = match (block.numbers(at), block.texts(at)) {
                    (Some(numbers), None) if numbers[row] == 0 && !column.always => Value::Null,
                    (Some(numbers), None) => Value::Number(numbers[row]),
                    (None, Some(texts)) => texts.get(row).map_or(Value::Null, |text| {
                        Value::Text(str::from_utf8(text).unwrap().into())
                    }),
                    _ => panic!("{} is there twice or not at all", column.name),
                };
                assert_eq!(found, value(column, seq, flow), "{} of {seq}", column.name);
            }
            seq += 1;
        }
    }
    assert_eq!(seq, 30 + rows as u64);
    assert!(reader.skip_to(30));
    let block = reader.read_columns(&[7]).unwrap().unwrap();
    assert_eq!(
        block.texts(0).unwrap().get(3).unwrap(),
        flows[3].source.as_bytes()
    );
    assert!(block.numbers(0).is_none() && block.texts(1).is_none());
}
