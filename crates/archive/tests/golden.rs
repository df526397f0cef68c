//! Files that earlier versions sealed are read for ever.
//!
//! `golden/form-N.parquet` was sealed by the first version that had this form; `golden/form-N.binpb` has its leaves, each with
//! its length before it. They are never made again: a new form gets new files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::PathBuf;

use ringfence_archive::{COLUMNS, SEALED_FORM, SealedReader, seal};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn leaves(form: u32) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(golden(&format!("form-{form}.binpb"))).unwrap();
    let mut rest = bytes.as_slice();
    let mut leaves = Vec::new();
    while !rest.is_empty() {
        let length = prost::decode_length_delimiter(&mut rest).unwrap();
        let (leaf, behind) = rest.split_at(length);
        leaves.push(leaf.to_vec());
        rest = behind;
    }
    leaves
}

#[test]
fn a_file_of_each_form_gives_its_leaves() {
    for form in 1..=SEALED_FORM {
        let reader = SealedReader::open(&golden(&format!("form-{form}.parquet"))).unwrap();
        assert_eq!(
            (reader.first_seq(), reader.last_seq(), reader.records()),
            (4000, 4599, 600)
        );
        assert_eq!(reader.root(), [0xA5; 32]);
        let read: Vec<(u64, Vec<u8>)> = reader.map(Result::unwrap).collect();
        let expected: Vec<(u64, Vec<u8>)> = (4000..).zip(leaves(form)).collect();
        assert_eq!(read, expected, "form {form}");
    }
}

/// What a form does not have is nothing in every row.
#[test]
fn a_file_of_form_1_has_nothing_in_later_columns() {
    let mut reader = SealedReader::open(&golden("form-1.parquet")).unwrap();
    let place = |name| COLUMNS.iter().position(|column| column.name == name);
    let later = ["lastTime", "fields", "source"].map(|name| place(name).unwrap());
    let mut rows = 0;
    while let Some(block) = reader.read_columns(&later).unwrap() {
        let times = block.numbers(0).unwrap();
        let (fields, source) = (block.texts(1).unwrap(), block.texts(2).unwrap());
        for row in block.rows() {
            assert_eq!((times[row], fields.get(row)), (0, None));
            assert!(source.get(row).is_some());
            rows += 1;
        }
    }
    assert_eq!(rows, 600);
}

/// Run by hand, once for each form: `cargo test -p ringfence-archive --test golden -- --ignored`.
#[test]
#[ignore = "makes the golden files of a new form"]
fn make_golden_files() {
    let name = format!("form-{SEALED_FORM}");
    let path = golden(&format!("{name}.parquet"));
    assert!(
        !path.exists(),
        "{} is there; golden files are never made again",
        path.display()
    );
    let leaves = common::mixed(600);
    seal(4000, &leaves, [0xA5; 32], &path).unwrap();
    let mut stream = Vec::new();
    for leaf in &leaves {
        prost::encode_length_delimiter(leaf.len(), &mut stream).unwrap();
        stream.extend_from_slice(leaf);
    }
    std::fs::write(golden(&format!("{name}.binpb")), stream).unwrap();
}

#[test]
fn the_columns_are_those_that_are_written_down() {
    let page = std::fs::read_to_string(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/sealed.md"),
    )
    .unwrap();
    let (_, columns) = page.split_once("## Columns").unwrap();
    let rows: Vec<&str> = columns
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let named: Vec<&str> = rows
        .iter()
        .filter_map(|row| row.split('`').nth(1))
        .take(COLUMNS.len())
        .collect();
    let columns: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(named, columns);
    for (row, column) in rows.iter().zip(COLUMNS) {
        assert_eq!(row.contains("| • |"), column.always, "{row}");
    }
}
