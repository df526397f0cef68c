//! How far a query may go: what it may say, and what it may take.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use ringfence_history::History;

use crate::output::Printer;
use crate::table::Flows;
use crate::{Format, QueryError};

/// Memory of a query, in bytes, where nothing else is said.
pub const MEMORY_STANDARD: usize = 512 * 1024 * 1024;
/// Of those who hold the memory, so many are named to whoever reads the engine's own words.
const NAMED: NonZeroUsize = NonZeroUsize::MIN;

/// Asks the log in `directory`, and writes the answer, row by row as it is found.
pub async fn ask(
    directory: &Path,
    sql: &str,
    memory: usize,
    format: Format,
    to: &mut dyn Write,
) -> Result<(), QueryError> {
    let history = History::open(directory)?;
    let context = context(memory)?;
    let parquet = context.state().default_table_options().parquet;
    let planning = |error| QueryError::planning(&error, memory);
    let flows = Flows::new(history, &parquet).map_err(planning)?;
    context
        .register_table("flows", Arc::new(flows))
        .map_err(planning)?;
    // Only questions: nothing is made, changed, set or written, and no other file has a name here.
    let questions = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let answer = context
        .sql_with_options(sql, questions)
        .await
        .map_err(planning)?;
    let mut printer = Printer::new(format, answer.schema().as_arrow(), to)?;
    let running = |error| QueryError::running(&error, memory);
    let mut batches = answer.execute_stream().await.map_err(running)?;
    while let Some(batch) = batches.next().await {
        printer.print(&batch.map_err(running)?)?;
    }
    printer.finish()
}

fn context(memory: usize) -> Result<SessionContext, QueryError> {
    let failed = |error: datafusion::error::DataFusionError| QueryError::Failed(error.to_string());
    let pool = TrackConsumersPool::new(GreedyMemoryPool::new(memory), NAMED);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        // What is in memory stays there: records of a log must not be left in temporary files.
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        .build_arc()
        .map_err(failed)?;
    let mut config = SessionConfig::new().with_information_schema(true);
    // Columns are named like the keys of JSON, whose case counts.
    config.options_mut().sql_parser.enable_ident_normalization = false;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}
