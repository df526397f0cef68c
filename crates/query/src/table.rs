//! The table `flows`: what has been sealed, then what has not been.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::union::UnionExec;
use ringfence_archive::{COLUMNS, Column, Shape};
use ringfence_history::{History, HistoryError};

use crate::hot::{Hot, Lost};
use crate::sealed::Files;

/// The column by which all rows are in order, on disk already.
pub(crate) const SEQ: &str = "seq";

/// The columns of the log, over all its records.
#[derive(Debug)]
pub(crate) struct Flows {
    schema: SchemaRef,
    sealed: Files,
    hot: Option<Hot>,
    lost: Lost,
}

impl Flows {
    pub(crate) fn new(history: History) -> Result<Self, HistoryError> {
        let lost = Lost::default();
        for records in history.missing() {
            lost.note(records);
        }
        Ok(Self {
            lost: lost.clone(),
            schema: Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>())),
            sealed: Files::open(&history)?,
            hot: (!history.hot().is_empty()).then(|| Hot::new(history, lost)),
        })
    }

    /// What the answer is without: known once it is whole.
    pub(crate) fn lost(&self) -> Lost {
        self.lost.clone()
    }

    fn of_sealed(
        &self,
        parts: usize,
        parquet: &TableParquetOptions,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = ParquetSource::new(Arc::clone(&self.schema))
            .with_table_parquet_options(parquet.clone())
            .with_parquet_file_reader_factory(Arc::new(self.sealed.readers()));
        let mut known = Statistics::new_unknown(&self.schema);
        known.num_rows =
            usize::try_from(self.sealed.records()).map_or(Precision::Absent, Precision::Exact);
        let config =
            FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
                .with_file_groups(self.sealed.groups(parts, &self.schema))
                .with_statistics(known)
                .with_output_ordering(in_order(&self.schema).into_iter().collect())
                .with_projection_indices(projection.cloned())?
                .with_limit(limit)
                .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// What says that rows are in the order of the log; nothing where the column is not there.
fn in_order(schema: &Schema) -> Option<LexOrdering> {
    let seq = col(SEQ, schema).ok()?;
    LexOrdering::new([PhysicalSortExpr::new_default(seq)])
}

fn field(column: &Column) -> Field {
    let of = match column.shape {
        Shape::Seq | Shape::Number => DataType::Int64,
        Shape::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        Shape::Text | Shape::Word(_) => DataType::Utf8View,
        Shape::Leaf => DataType::BinaryView,
    };
    Field::new(column.name, of, !column.always)
}

#[async_trait]
impl TableProvider for Flows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !self.sealed.is_empty() {
            let parquet = state.default_table_options().parquet;
            let count = state.config().target_partitions();
            parts.push(self.of_sealed(count, &parquet, projection, limit)?);
        }
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(wanted)?);
        if let Some(hot) = &self.hot {
            let part: Arc<dyn PartitionStream> = Arc::new(hot.part(&schema, wanted));
            let order = in_order(&schema);
            let scan =
                StreamingTableExec::try_new(schema.clone(), vec![part], None, order, false, limit)?;
            parts.push(Arc::new(scan));
        }
        match parts.len() {
            0 => Ok(Arc::new(EmptyExec::new(schema))),
            1 => Ok(parts.remove(0)),
            _ => UnionExec::try_new(parts),
        }
    }

    /// The engine hands conditions on to the sealed files, which leave out what cannot match by their statistics; each row is looked at again.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}
