//! A column whose values are few, as pages: each different text once, and for each row a number of few bits.
//!
//! The `parquet` crate is handed every value of every row, and compares and looks up each; here a text is looked up when its row
//! comes (`dictionary.rs`), and compared once for each page that has it.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, Type, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use crate::dictionary::{Dictionary, NONE};
use crate::packing;
use crate::seal::{PAGE_ROWS, ZSTD_LEVEL};

/// Bytes of a text that statistics have, at most.
const BOUND: usize = 64;

/// Writes the pages of a column of texts; `always`: all rows have one.
pub(crate) fn write(
    texts: &Dictionary,
    always: bool,
    described: &ColumnDescPtr,
    zstd: &mut Compressor<'_>,
    to: &mut dyn PageWriter,
) -> Result<ColumnCloseResult, ParquetError> {
    let mut column = Column {
        texts,
        zstd,
        to,
        packed: 0,
        unpacked: 0,
        bounds: None,
        nulls: 0,
        index: ColumnIndexBuilder::new(Type::BYTE_ARRAY),
        offsets: OffsetIndexBuilder::new(),
        seen: vec![u32::MAX; texts.different()],
    };
    let first = column.dictionary()?;
    let mut pages = 0;
    for rows in texts.rows().chunks(PAGE_ROWS) {
        column.page(rows, always, pages)?;
        pages += 1;
    }
    column.to.close()?;
    column.close(described, first, pages)
}

struct Column<'a, 'z> {
    texts: &'a Dictionary,
    zstd: &'a mut Compressor<'z>,
    to: &'a mut dyn PageWriter,
    /// Bytes so far, headers with them.
    packed: usize,
    unpacked: usize,
    /// The numbers of the least and the greatest text so far.
    bounds: Option<(u32, u32)>,
    nulls: usize,
    index: ColumnIndexBuilder,
    offsets: OffsetIndexBuilder,
    /// By number of a text: the page that has it last.
    seen: Vec<u32>,
}

impl Column<'_, '_> {
    fn put(&mut self, page: Page, unpacked: usize) -> Result<PageWriteSpec, ParquetError> {
        let written = self.to.write_page(CompressedPage::new(page, unpacked))?;
        self.packed += written.compressed_size;
        self.unpacked += written.uncompressed_size;
        Ok(written)
    }

    /// Gives where the pages of rows begin.
    fn dictionary(&mut self) -> Result<usize, ParquetError> {
        let mut plain = Vec::new();
        for text in self.texts.all() {
            // Texts are of leaves, whose length is bounded.
            plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
            plain.extend_from_slice(text);
        }
        let page = Page::DictionaryPage {
            buf: self.zstd.compress(&plain)?.into(),
            num_values: self.texts.different() as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        self.put(page, plain.len())?;
        Ok(self.packed)
    }

    fn page(&mut self, rows: &[u32], always: bool, number: u32) -> Result<(), ParquetError> {
        let there: Vec<u32> = rows.iter().copied().filter(|row| *row != NONE).collect();
        let nulls = rows.len() - there.len();
        let mut bytes = Vec::new();
        if !always {
            let levels: Vec<u32> = rows.iter().map(|row| u32::from(*row != NONE)).collect();
            packing::hybrid(&levels, 1, &mut bytes);
        }
        let levels = bytes.len();
        let width = packing::width(self.texts.different());
        let mut values = vec![width as u8];
        packing::hybrid(&there, width, &mut values);
        let packed = self.zstd.compress(&values)?;
        let is_compressed = packed.len() < values.len();
        bytes.extend_from_slice(if is_compressed { &packed } else { &values });
        let page = Page::DataPageV2 {
            buf: Bytes::from(bytes),
            num_values: rows.len() as u32,
            encoding: Encoding::RLE_DICTIONARY,
            num_nulls: nulls as u32,
            num_rows: rows.len() as u32,
            def_levels_byte_len: levels as u32,
            rep_levels_byte_len: 0,
            is_compressed,
            statistics: None,
        };
        let written = self.put(page, levels + values.len())?;
        self.offsets.append_row_count(rows.len() as i64);
        self.offsets
            .append_offset_and_size(written.offset as i64, written.compressed_size as i32);
        self.nulls += nulls;
        self.note_bounds(&there, nulls, number);
        Ok(())
    }

    /// Notes the least and the greatest text of a page, by which readers pass over it.
    fn note_bounds(&mut self, there: &[u32], nulls: usize, number: u32) {
        let mut bounds: Option<(u32, u32)> = None;
        for text in there {
            let seen = &mut self.seen[*text as usize];
            if *seen != number {
                *seen = number;
                bounds = Some(self.texts.wider(bounds, *text));
            }
        }
        let Some((least, greatest)) = bounds else {
            self.index
                .append(true, Vec::new(), Vec::new(), nulls as i64);
            return;
        };
        let bounds = self.texts.wider(self.bounds, least);
        self.bounds = Some(self.texts.wider(Some(bounds), greatest));
        match above(self.texts.text(greatest)) {
            Some((greatest, _)) => {
                let (least, _) = below(self.texts.text(least));
                self.index.append(false, least, greatest, nulls as i64);
            }
            None => self.index.to_invalid(),
        }
    }

    fn close(
        self,
        described: &ColumnDescPtr,
        first: usize,
        pages: u32,
    ) -> Result<ColumnCloseResult, ParquetError> {
        let bounds = self.bounds.and_then(|(least, greatest)| {
            let greatest = above(self.texts.text(greatest))?;
            Some((below(self.texts.text(least)), greatest))
        });
        let of = |bytes: Vec<u8>| Some(ByteArray::from(bytes));
        let nulls = Some(self.nulls as u64);
        let statistics = match bounds {
            Some(((least, least_exact), (greatest, greatest_exact))) => {
                ValueStatistics::new(of(least), of(greatest), None, nulls, false)
                    .with_min_is_exact(least_exact)
                    .with_max_is_exact(greatest_exact)
            }
            None => ValueStatistics::new(None, None, None, nulls, false),
        };
        let stats = |page_type, encoding, count| PageEncodingStats {
            page_type,
            encoding,
            count,
        };
        let rows = self.texts.rows().len();
        let metadata = ColumnChunkMetaData::builder(described.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_encodings(vec![
                Encoding::PLAIN,
                Encoding::RLE,
                Encoding::RLE_DICTIONARY,
            ])
            .set_page_encoding_stats(vec![
                stats(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1),
                stats(
                    PageType::DATA_PAGE_V2,
                    Encoding::RLE_DICTIONARY,
                    pages as i32,
                ),
            ])
            .set_total_compressed_size(self.packed as i64)
            .set_total_uncompressed_size(self.unpacked as i64)
            .set_num_values(rows as i64)
            .set_dictionary_page_offset(Some(0))
            .set_data_page_offset(first as i64)
            .set_statistics(Statistics::ByteArray(statistics))
            .build()?;
        Ok(ColumnCloseResult {
            bytes_written: self.packed as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: None,
            column_index: if self.index.valid() {
                Some(self.index.build()?)
            } else {
                None
            },
            offset_index: Some(self.offsets.build()),
        })
    }
}

/// A text that is no greater, and short; and whether it is the text itself.
fn below(text: &[u8]) -> (Vec<u8>, bool) {
    if text.len() <= BOUND {
        return (text.to_vec(), true);
    }
    (cut(text).as_bytes().to_vec(), false)
}

/// A text that is no less, and short; and whether it is the text itself. `None`: there is none.
fn above(text: &[u8]) -> Option<(Vec<u8>, bool)> {
    if text.len() <= BOUND {
        return Some((text.to_vec(), true));
    }
    let mut start = cut(text).to_owned();
    while let Some(last) = start.pop() {
        // In the order of bytes as in that of characters.
        let mut greater = u32::from(last) + 1..=u32::from(char::MAX);
        if let Some(greater) = greater.find_map(char::from_u32) {
            start.push(greater);
            return Some((start.into_bytes(), false));
        }
    }
    None
}

/// As many characters as fit. The texts of a row are such.
fn cut(text: &[u8]) -> &str {
    let text = str::from_utf8(text).unwrap_or_default();
    &text[..text.floor_char_boundary(BOUND)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_long_texts_are_short_and_hold() {
        let exact = "x".repeat(BOUND);
        assert_eq!(below(exact.as_bytes()), (exact.clone().into_bytes(), true));
        assert_eq!(
            above(exact.as_bytes()),
            Some((exact.clone().into_bytes(), true))
        );
        for long in [
            "y".repeat(BOUND + 1),
            "ü".repeat(BOUND),
            format!("{}\u{7f}\u{d7ff}{}", "z".repeat(60), "z".repeat(60)),
            format!("a{}", char::MAX.to_string().repeat(BOUND)),
        ] {
            let long = long.as_bytes();
            let (least, exact) = below(long);
            assert!(!exact && least.as_slice() <= long && least.len() <= BOUND);
            let (greatest, exact) = above(long).unwrap();
            assert!(!exact && greatest.as_slice() >= long && greatest.len() <= BOUND + 4);
            assert!(str::from_utf8(&greatest).is_ok());
        }
        // Nothing is greater than this.
        assert_eq!(above(char::MAX.to_string().repeat(BOUND).as_bytes()), None);
    }
}
