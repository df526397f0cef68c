//! What readers pass over rows by holds: no bound of a row group or a page leaves out a text that is there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs::File;
use std::ops::Range;

use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use prost::Message;
use ringfence_archive::{COLUMNS, GROUP_ROWS, SealedReader, Shape, Texts, seal};
use ringfence_model::flow::Flow;

/// Texts that are longer than bounds are, and such as nothing is greater than.
fn flows() -> Vec<Flow> {
    let mut flows = common::flows(GROUP_ROWS + 30_000);
    for (number, flow) in flows.iter_mut().enumerate() {
        match number % 5 {
            0 => flow.reason = format!("{}{number}", "ü".repeat(70)),
            1 => flow.purpose = format!("{}{number}", "a long purpose, ".repeat(9)),
            2 if number > GROUP_ROWS => flow.rule = char::MAX.to_string().repeat(60),
            3 if number < 50_000 => flow.task = format!("task {}", number / 1000),
            _ => {}
        }
    }
    flows
}

/// The least and the greatest text of some rows, and how many have none.
fn bounds(texts: &Texts, rows: Range<usize>) -> (Option<&[u8]>, Option<&[u8]>, usize) {
    let there = || rows.clone().filter_map(|row| texts.get(row));
    (there().min(), there().max(), rows.len() - there().count())
}

fn holds(
    said: (Option<&[u8]>, Option<&[u8]>),
    found: (Option<&[u8]>, Option<&[u8]>),
    exact: (bool, bool),
) {
    let short = |text: Option<&[u8]>| text.is_none_or(|text| text.len() <= 68);
    assert!(short(said.0) && short(said.1));
    // Without a bound nothing is passed over.
    if let (Some(said), Some(found)) = (said.0, found.0) {
        assert!(said <= found && (said == found) >= exact.0);
    }
    if let (Some(said), Some(found)) = (said.1, found.1) {
        assert!(said >= found && (said == found) >= exact.1);
    }
}

#[test]
fn bounds_of_row_groups_and_pages_leave_out_no_text() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bounds.parquet");
    seal(
        0,
        flows().iter().map(Message::encode_to_vec),
        [0; 32],
        &path,
    )
    .unwrap();
    let metadata = ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(&File::open(&path).unwrap())
        .unwrap();
    let mut reader = SealedReader::open(&path).unwrap();
    let is_text = |shape| matches!(shape, Shape::Text | Shape::Word(_));
    let places: Vec<usize> = (0..COLUMNS.len())
        .filter(|place| is_text(COLUMNS[*place].shape))
        .collect();
    let (mut whole, mut pages, mut empty, mut boundless) = (0, 0, 0, 0);
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let block = reader.read_columns(&places).unwrap().unwrap();
        for (at, place) in places.iter().enumerate() {
            let texts = block.texts(at).unwrap();
            let Some(Statistics::ByteArray(said)) = group.column(*place).statistics() else {
                panic!("no statistics of texts");
            };
            let (least, greatest, nulls) = bounds(texts, block.rows());
            assert_eq!(said.null_count_opt(), Some(nulls as u64));
            let exact = (said.min_is_exact(), said.max_is_exact());
            let bytes = (said.min_bytes_opt(), said.max_bytes_opt());
            assert!(least.is_some() || bytes == (None, None));
            holds(bytes, (least, greatest), exact);
            whole += usize::from(bytes.0 == least && bytes.1 == greatest);

            let starts = &metadata.offset_index().unwrap()[number][*place].page_locations;
            let starts = starts.iter().map(|page| page.first_row_index as usize);
            let starts: Vec<usize> = starts.chain([block.rows().end]).collect();
            let index = match &metadata.column_index().unwrap()[number][*place] {
                ColumnIndexMetaData::BYTE_ARRAY(index) => index,
                ColumnIndexMetaData::NONE => {
                    boundless += 1;
                    continue;
                }
                other => panic!("{other:?}"),
            };
            for (page, rows) in starts.windows(2).enumerate() {
                let (least, greatest, nulls) = bounds(texts, rows[0]..rows[1]);
                assert_eq!(index.null_count(page), Some(nulls as i64));
                assert_eq!(index.is_null_page(page), least.is_none());
                if least.is_none() {
                    empty += 1;
                    continue;
                }
                let said = (index.min_value(page), index.max_value(page));
                assert!(said.0.is_some() && said.1.is_some());
                holds(said, (least, greatest), (false, false));
                pages += 1;
            }
        }
    }
    assert!(
        whole > 20 && pages > 80 && empty > 2,
        "{whole} {pages} {empty}"
    );
    assert_eq!(boundless, 1, "nothing is greater than some texts");
}
