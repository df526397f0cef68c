//! Sealed files, as the engine reads them: by descriptors that are held from the start, so that what is pruned meanwhile is still there.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, ParquetFileMetrics, ParquetFileReaderFactory,
};
use datafusion::error::DataFusionError;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::scalar::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;
use ringfence_history::{History, HistoryError, Sealed};

use crate::table::SEQ;

/// The sealed files of a log.
#[derive(Debug, Default)]
pub(crate) struct Files(Vec<Arc<Held>>);

#[derive(Debug)]
struct Held {
    path: PathBuf,
    file: File,
    size: u64,
    records: Range<u64>,
}

impl Files {
    /// Opens them all: from here on, nobody can take them away.
    pub(crate) fn open(history: &History) -> Result<Self, HistoryError> {
        let files: Result<Vec<_>, _> = history.sealed().iter().map(Held::open).collect();
        Ok(Self(files?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many records they have.
    pub(crate) fn records(&self) -> u64 {
        self.0
            .iter()
            .map(|held| held.records.end - held.records.start)
            .sum()
    }

    /// All of them in `count` parts of the same size, each in the order of the log.
    pub(crate) fn groups(&self, count: usize, schema: &Schema) -> Vec<FileGroup> {
        let all: u64 = self.0.iter().map(|held| held.size).sum();
        let each = all.div_ceil(count.max(1) as u64).max(1);
        let mut groups: Vec<Vec<PartitionedFile>> = Vec::new();
        let mut before = 0;
        for held in &self.0 {
            let mut at = 0;
            while at < held.size {
                let number = (before + at) / each;
                // A row group belongs to the part in which it begins, so it is no matter where exactly one is cut.
                let end = held.size.min((number + 1) * each - before);
                if groups.len() as u64 <= number {
                    groups.push(Vec::new());
                }
                if let Some(group) = groups.last_mut() {
                    group.push(held.part(at..end, schema));
                }
                at = end;
            }
            before += held.size;
        }
        groups.into_iter().map(FileGroup::new).collect()
    }

    /// What reads them.
    pub(crate) fn readers(&self) -> Readers {
        let by_name = |held: &Arc<Held>| (held.name(), Arc::clone(held));
        Readers(self.0.iter().map(by_name).collect())
    }
}

impl Held {
    fn open(sealed: &Sealed) -> Result<Arc<Self>, HistoryError> {
        let gone = |cause: io::Error| match cause.kind() {
            io::ErrorKind::NotFound => HistoryError::Gone(sealed.records.start),
            _ => HistoryError::Sealed(ringfence_archive::ArchiveError::Io {
                path: sealed.path.clone(),
                cause,
            }),
        };
        let file = File::open(&sealed.path).map_err(gone)?;
        let size = file.metadata().map_err(gone)?.len();
        Ok(Arc::new(Self {
            path: sealed.path.clone(),
            file,
            size,
            records: sealed.records.clone(),
        }))
    }

    /// As the engine calls it: there is one directory, and its names are digits.
    fn name(&self) -> String {
        ringfence_archive::file_name(self.records.start)
    }

    /// A part, with what is known of its records: enough to see that they are in order.
    fn part(&self, bytes: Range<u64>, schema: &Schema) -> PartitionedFile {
        let (start, end) = (bytes.start as i64, bytes.end as i64);
        let mut known = Statistics::new_unknown(schema);
        let seq = |number: u64| match i64::try_from(number) {
            Ok(number) => Precision::Exact(ScalarValue::Int64(Some(number))),
            Err(_) => Precision::Absent,
        };
        if let Some((at, _)) = schema.column_with_name(SEQ) {
            let column = &mut known.column_statistics[at];
            column.null_count = Precision::Exact(0);
            column.min_value = seq(self.records.start);
            column.max_value = seq(self.records.end.saturating_sub(1));
        }
        PartitionedFile::new_with_range(self.name(), self.size, start, end)
            .with_statistics(Arc::new(known))
    }
}

/// Hands out a reader for each file.
#[derive(Debug)]
pub(crate) struct Readers(HashMap<String, Arc<Held>>);

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let name = file.object_meta.location.as_ref();
        let Some(held) = self.0.get(name) else {
            return Err(DataFusionError::Internal(format!("{name} is not held")));
        };
        Ok(Box::new(Reader {
            held: Arc::clone(held),
            metrics: ParquetFileMetrics::new(partition, name, metrics),
        }))
    }
}

struct Reader {
    held: Arc<Held>,
    metrics: ParquetFileMetrics,
}

impl Reader {
    fn bytes(&self, range: &Range<u64>) -> ParquetResult<Bytes> {
        let asked = range.end.saturating_sub(range.start);
        if range.end > self.held.size {
            return Err(self.failed(format!("it has no bytes {} to {}", range.start, range.end)));
        }
        let mut bytes = vec![0; asked as usize];
        self.held
            .file
            .read_exact_at(&mut bytes, range.start)
            .map_err(|cause| self.failed(cause))?;
        self.metrics.bytes_scanned.add(bytes.len());
        Ok(bytes.into())
    }

    fn failed(&self, what: impl fmt::Display) -> ParquetError {
        ParquetError::General(format!("{}: {what}", self.held.path.display()))
    }
}

/// From the page cache, mostly: a call that may wait for the disk costs less than a thread that waits for it.
impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        std::future::ready(self.bytes(&range)).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let size = self.held.size;
            let read = ParquetMetaDataReader::new()
                .with_arrow_reader_options(options)
                .load_and_finish(&mut *self, size)
                .await;
            match read {
                Ok(metadata) => Ok(Arc::new(metadata)),
                Err(cause) => Err(self.failed(cause)),
            }
        }
        .boxed()
    }
}
