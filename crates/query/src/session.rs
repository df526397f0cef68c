//! How far a query may go: what it may say, and what it may take.

use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::Range;
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
use crate::unheard::unheard;
use crate::{Format, QueryError};

/// Memory of a query, in bytes, where nothing else is said.
pub const MEMORY_STANDARD: usize = 512 * 1024 * 1024;
/// Of those who hold the memory, so many are named to whoever reads the engine's own words.
const NAMED: NonZeroUsize = NonZeroUsize::MIN;

/// Longest question, in bytes: as deep as one of this length can be nested, it fits the stack.
pub const QUESTION_MAX: usize = 8 * 1024;
/// Stack of the thread that plans it. What is not used is not there.
const PLANNING_STACK: usize = 256 * 1024 * 1024;
/// Stack of each thread that runs it.
const RUNNING_STACK: usize = 64 * 1024 * 1024;

/// The log as it was when it was opened: what comes later, and what is pruned later, makes no difference.
pub struct Asked(Flows);

impl Asked {
    /// Opens the log in `directory`.
    pub fn open(directory: &Path) -> Result<Self, QueryError> {
        Ok(Self(Flows::new(History::open(directory)?)?))
    }

    /// Answers one question, in threads of its own: writes row by row as they are found. The engine takes at most `memory` bytes.
    /// What it gives are records that the log has lost, which the answer is without.
    pub fn ask(
        self,
        sql: &str,
        memory: usize,
        format: Format,
        to: &mut (dyn Write + Send),
    ) -> Result<Vec<Range<u64>>, QueryError> {
        if sql.len() > QUESTION_MAX {
            return Err(QueryError::TooLong(sql.len()));
        }
        let lost = self.0.lost();
        let answer = move || -> Result<(), QueryError> {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .thread_stack_size(RUNNING_STACK)
                .enable_time()
                .build()?;
            runtime.block_on(answer(self.0, sql, memory, format, to))
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(PLANNING_STACK);
            match thread.spawn_scoped(scope, answer)?.join() {
                Ok(answered) => answered.map(|()| lost.all()),
                Err(panic) => Err(QueryError::panicked(&*panic)),
            }
        })
    }
}

async fn answer(
    flows: Flows,
    sql: &str,
    memory: usize,
    format: Format,
    to: &mut (dyn Write + Send),
) -> Result<(), QueryError> {
    let context = context(memory)?;
    let planning = |error| QueryError::planning(&error, memory);
    context
        .register_table("flows", Arc::new(flows))
        .map_err(planning)?;
    // Only questions: nothing is made, changed, set or written, and no other file has a name here.
    let questions = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let state = context.state();
    let statement = state
        .sql_to_statement(sql, &state.config_options().sql_parser.dialect)
        .map_err(planning)?;
    if let Some(words) = unheard(&statement) {
        return Err(QueryError::Unheard(words));
    }
    let plan = state.statement_to_plan(statement).await.map_err(planning)?;
    questions.verify_plan(&plan).map_err(planning)?;
    let answer = context.execute_logical_plan(plan).await.map_err(planning)?;
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
    // So that what is wrong has a place.
    config.options_mut().sql_parser.collect_spans = true;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}
