//! A column of a row group on its way into the file: encoded by itself, so that it can be hashed before it takes its place.

use parquet::column::writer::{ColumnCloseResult, ColumnWriterImpl};
use parquet::data_type::{ByteArrayType, DataType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use crate::dictionary::Dictionary;
use crate::pages;
use crate::seal::DICTIONARY_BYTES;

/// Where the pages of a column go.
pub(crate) struct Chunk<'a> {
    described: ColumnDescPtr,
    properties: WriterPropertiesPtr,
    to: &'a mut TrackedWrite<Vec<u8>>,
}

impl<'a> Chunk<'a> {
    pub(crate) fn new(
        described: ColumnDescPtr,
        properties: WriterPropertiesPtr,
        to: &'a mut TrackedWrite<Vec<u8>>,
    ) -> Self {
        Self {
            described,
            properties,
            to,
        }
    }

    /// Writes all its values; `levels`: 1 for each row that has one and 0 for the others, where not all have.
    pub(crate) fn write<T: DataType>(
        self,
        values: &[T::T],
        levels: Option<&[i16]>,
    ) -> Result<ColumnCloseResult, ParquetError> {
        let pages = Box::new(SerializedPageWriter::new(self.to));
        let mut writer = ColumnWriterImpl::<T>::new(self.described, self.properties, pages);
        writer.write_batch(values, levels, None)?;
        writer.close()
    }

    /// Writes a column of texts; `always`: all rows have one.
    pub(crate) fn write_texts(
        self,
        texts: &Dictionary,
        always: bool,
        zstd: &mut Compressor<'_>,
    ) -> Result<ColumnCloseResult, ParquetError> {
        if texts.size() > DICTIONARY_BYTES {
            let levels = (!always).then(|| texts.levels());
            return self.write::<ByteArrayType>(&texts.values(), levels.as_deref());
        }
        let mut pages = SerializedPageWriter::new(self.to);
        pages::write(texts, always, &self.described, zstd, &mut pages)
    }
}
