//! `ringfence policy`: what the resources say, asked before anything runs on them.

mod diff;
mod explain;
mod junit;
mod lint;
mod list;
mod progress;
mod reach;
mod sarif;
mod test;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use ringfence_model::{Diagnostics, Estate, Generation, HostName};
use ringfence_node::Configuration;
use ringfence_policy::{Snapshot, provisional_addresses};

use crate::output::{EXIT_ERROR, Failure, finish, say};
use crate::verbs::configuration;

/// Which resource files are asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Asked {
    /// Directory with the resource files [default: the node's]
    #[arg(long, value_name = "DIR", env = "RINGFENCE_CONFIG")]
    config: Option<PathBuf>,
    /// State directory of the node to ask for it [default: as `ringfence up` chooses it]
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    state: Option<PathBuf>,
    /// Zone whose names the workloads answer to [default: the node's, or ringfence.internal]
    #[arg(long, value_name = "NAME", value_parser = zone)]
    zone: Option<HostName>,
}

impl Asked {
    fn chosen(&self) -> Result<Configuration, Failure> {
        configuration::chosen(
            self.config.as_ref(),
            self.zone.as_ref(),
            self.state.as_ref(),
        )
    }
}

const EXAMPLES: &str = "\
Examples:
  ringfence policy lint --config estate                     errors, and what is probably not meant
  ringfence policy test --config estate                     what the policies' own tests say
  ringfence policy explain --config estate --from assistant --to library --op 'GET /books/1'
  ringfence policy reach --config estate --from assistant   what a steered assistant gets at, also through others
  ringfence policy diff --git HEAD estate                   what a change of the files makes possible

Each asks the files as a node would read them, and changes nothing. docs/policy.md says how they are written.

Exit codes: 0 ok or allow, 1 the configuration does not load, 2 usage, 3 policy says no or a test failed, 4 findings.";

/// Asks the resource files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    verb: PolicyVerb,
}

#[derive(Debug, clap::Subcommand)]
enum PolicyVerb {
    Lint(lint::LintArgs),
    Test(test::TestArgs),
    List(list::ListArgs),
    Reach(reach::ReachArgs),
    Diff(diff::DiffArgs),
    /// Print the JSON Schema of resource files, for editors
    ///
    /// A first line `# yaml-language-server: $schema=FILE` in a resource file makes editors check it while it is written.
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema,
    Explain(explain::ExplainArgs),
}

const SCHEMA_EXAMPLES: &str = "\
Examples:
  ringfence policy schema > estate/ringfence.schema.json      `ringfence init` writes this file and the lines that name it
  ringfence policy schema | jq '.\"$defs\" | keys'              which mappings there are

It is made of the loader's own tables (JSON Schema 2020-12). What a schema cannot say, `ringfence policy lint` does.

Exit code: 0.
docs/policy.md lists every field.";

/// Runs the verb.
pub(crate) fn run(args: PolicyArgs) -> ExitCode {
    finish(match args.verb {
        PolicyVerb::Lint(args) => lint::lint(&args),
        PolicyVerb::Test(args) => test::test(&args),
        PolicyVerb::List(args) => list::list(&args),
        PolicyVerb::Reach(args) => reach::reach(&args),
        PolicyVerb::Diff(args) => diff::diff(&args),
        PolicyVerb::Schema => schema(),
        PolicyVerb::Explain(args) => explain::explain(&args),
    })
}

/// The day that is asked about, today (UTC) unless another is given, and its first moment.
fn as_of(on: Option<Date>) -> Result<(Date, Timestamp), Failure> {
    let day = on.unwrap_or_else(|| Timestamp::now().to_zoned(TimeZone::UTC).date());
    match day.to_zoned(TimeZone::UTC) {
        Ok(start) => Ok((day, start.timestamp())),
        Err(error) => Err(Failure::new(error, "name another day")),
    }
}

pub(crate) fn zone(text: &str) -> Result<HostName, String> {
    HostName::new(text).map_err(|e| e.to_string())
}

/// Loads and compiles, as a node would.
pub(crate) fn compile(config: &Path, zone: &HostName) -> Result<(Estate, Snapshot), Diagnostics> {
    let sources = ringfence_model::load::read(config);
    let estate = sources.load()?;
    let addresses = provisional_addresses(&estate);
    let snapshot = Snapshot::compile(Generation(0), zone, &estate, &addresses)
        .map_err(|errors| sources.quote(errors))?;
    Ok((estate, snapshot))
}

fn schema() -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    out.write_all(ringfence_model::load::schema().as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Says that nothing is answered, because nothing loads.
pub(crate) fn unloadable(errors: &Diagnostics, config: &Path) -> ExitCode {
    say(errors);
    say(format!(
        "{} does not load, so nothing is answered; mend it and check with `ringfence policy lint`",
        config.display()
    ));
    ExitCode::from(EXIT_ERROR)
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
