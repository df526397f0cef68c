//! The table `flows`: what has been sealed, then what has not been.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::config::TableParquetOptions;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::union::UnionExec;
use ringfence_archive::{COLUMNS, Column, EXTENSION, Shape};
use ringfence_history::History;
use url::Url;

use crate::hot::Hot;

/// The columns of the log, over all its records.
#[derive(Debug)]
pub(crate) struct Flows {
    schema: SchemaRef,
    sealed: Option<ListingTable>,
    hot: Option<Hot>,
}

impl Flows {
    pub(crate) fn new(history: History, parquet: &TableParquetOptions) -> Result<Self> {
        let schema = Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()));
        let paths: Vec<&Path> = history
            .sealed()
            .iter()
            .map(|file| file.path.as_path())
            .collect();
        let sealed = if paths.is_empty() {
            None
        } else {
            Some(listing(&paths, &schema, parquet)?)
        };
        Ok(Self {
            schema,
            sealed,
            hot: (!history.hot().is_empty()).then(|| Hot::new(history)),
        })
    }
}

fn listing(
    paths: &[&Path],
    schema: &SchemaRef,
    parquet: &TableParquetOptions,
) -> Result<ListingTable> {
    let urls: Result<Vec<ListingTableUrl>> = paths.iter().map(|path| url_of(path)).collect();
    let format = ParquetFormat::default().with_options(parquet.clone());
    let options =
        ListingOptions::new(Arc::new(format)).with_file_extension(format!(".{EXTENSION}"));
    let config = ListingTableConfig::new_with_multi_paths(urls?)
        .with_listing_options(options)
        .with_schema(Arc::clone(schema));
    ListingTable::try_new(config)
}

/// By its address, since in a bare path `*` and `?` would stand for others.
fn url_of(path: &Path) -> Result<ListingTableUrl> {
    let whole = std::path::absolute(path)?;
    let url = Url::from_file_path(&whole)
        .map_err(|()| DataFusionError::Plan(format!("{} has no address", whole.display())))?;
    ListingTableUrl::try_new(url, None)
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
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if let Some(sealed) = &self.sealed {
            parts.push(sealed.scan(state, projection, filters, limit).await?);
        }
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(wanted)?);
        if let Some(hot) = &self.hot {
            let part: Arc<dyn PartitionStream> = Arc::new(hot.part(&schema, wanted));
            let scan =
                StreamingTableExec::try_new(schema.clone(), vec![part], None, None, false, limit)?;
            parts.push(Arc::new(scan));
        }
        match parts.len() {
            0 => Ok(Arc::new(EmptyExec::new(schema))),
            1 => Ok(parts.remove(0)),
            _ => UnionExec::try_new(parts),
        }
    }

    /// Sealed files leave out what they can by their statistics; each row is looked at again.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}
