//! Records that are not sealed yet, a batch at a time.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{
    ArrayRef, BinaryViewBuilder, Int64Builder, RecordBatch, RecordBatchOptions, StringViewBuilder,
    TimestampNanosecondBuilder,
};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;
use ringfence_archive::{COLUMNS, Column, Shape, Value, value};
use ringfence_history::{History, HistoryError};
use ringfence_model::flow::Flow;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// The records that are not sealed.
#[derive(Clone, Debug)]
pub(crate) struct Hot {
    history: Arc<History>,
    lost: Lost,
}

/// Records that an answer is without, since they are not in the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost(Arc<Mutex<Vec<Range<u64>>>>);

impl Lost {
    /// Takes note of some, once.
    pub(crate) fn note(&self, records: Range<u64>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&records) {
            all.push(records);
        }
    }

    /// All of them, in order.
    pub(crate) fn all(&self) -> Vec<Range<u64>> {
        let mut all = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        all.sort_unstable_by_key(|records| records.start);
        all
    }
}

/// Some of their columns.
#[derive(Debug)]
pub(crate) struct Part {
    hot: Hot,
    schema: SchemaRef,
    columns: Vec<usize>,
}

impl Hot {
    pub(crate) fn new(history: History, lost: Lost) -> Self {
        Self {
            history: Arc::new(history),
            lost,
        }
    }

    pub(crate) fn part(&self, schema: &SchemaRef, columns: &[usize]) -> Part {
        Part {
            hot: self.clone(),
            schema: Arc::clone(schema),
            columns: columns.to_vec(),
        }
    }
}

impl From<HistoryError> for Stopped {
    fn from(error: HistoryError) -> Self {
        Self(DataFusionError::External(Box::new(error)))
    }
}

/// Why the records end before their end.
struct Stopped(DataFusionError);

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), 2);
        let (to, hot) = (stream.tx(), self.hot.clone());
        let (schema, columns) = (Arc::clone(&self.schema), self.columns.clone());
        stream.spawn_blocking(move || {
            let mut rows = Rows::new(&columns);
            // Nobody takes what is sent: the query has what it needs.
            let sent = |batch| match to.blocking_send(batch) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            let mut next = hot.history.hot().start;
            let read = hot.history.each_hot(|seq, flow| {
                if seq != next {
                    hot.lost.note(next..seq);
                }
                next = seq + 1;
                rows.push(seq, flow);
                if rows.count < BATCH_ROWS {
                    return Ok(ControlFlow::Continue(()));
                }
                Ok::<_, Stopped>(sent(rows.finish(&schema)))
            });
            read.map_err(|stopped| stopped.0)?;
            if rows.count > 0 {
                let _needed_or_not = sent(rows.finish(&schema));
            }
            Ok(())
        });
        stream.build()
    }
}

/// Rows of the wanted columns.
struct Rows {
    columns: Vec<(&'static Column, Builder)>,
    count: usize,
}

enum Builder {
    Number(Int64Builder),
    Time(TimestampNanosecondBuilder),
    Text(StringViewBuilder),
    Leaf(BinaryViewBuilder),
}

impl Rows {
    fn new(columns: &[usize]) -> Self {
        let columns = columns.iter().map(|at| &COLUMNS[*at]);
        Self {
            columns: columns
                .map(|column| (column, Builder::new(column)))
                .collect(),
            count: 0,
        }
    }

    fn push(&mut self, seq: u64, flow: &Flow) {
        for (column, builder) in &mut self.columns {
            match (builder, value(column, seq, flow)) {
                (Builder::Number(to), Value::Number(number)) => to.append_value(number),
                (Builder::Time(to), Value::Number(number)) => to.append_value(number),
                (Builder::Text(to), Value::Text(text)) => to.append_value(text),
                (Builder::Number(to), _) => to.append_null(),
                (Builder::Time(to), _) => to.append_null(),
                (Builder::Text(to), _) => to.append_null(),
                (Builder::Leaf(to), _) => to.append_null(),
            }
        }
        self.count += 1;
    }

    fn finish(&mut self, schema: &SchemaRef) -> Result<RecordBatch> {
        let arrays = self
            .columns
            .iter_mut()
            .map(|(_, builder)| builder.finish())
            .collect();
        // A query that counts wants no column at all.
        let rows = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.count)));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(schema),
            arrays,
            &rows,
        )?)
    }
}

impl Builder {
    fn new(column: &Column) -> Self {
        match column.shape {
            Shape::Seq | Shape::Number => Self::Number(Int64Builder::new()),
            Shape::Time => Self::Time(TimestampNanosecondBuilder::new().with_timezone("UTC")),
            Shape::Text | Shape::Word(_) => Self::Text(StringViewBuilder::new()),
            Shape::Leaf => Self::Leaf(BinaryViewBuilder::new()),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Number(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Leaf(builder) => Arc::new(builder.finish()),
        }
    }
}
