//! The `ringfence` binary: parses the command line and hands over to a verb.
#![forbid(unsafe_code)]

mod output;
mod shell;
mod verbs;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use verbs::{check, enforcer, init, observe, policy, run, status, up};

const EXAMPLES: &str = "\
First steps:
  ringfence check --pre                                  see whether this machine can do it
  ringfence init estate                                  write a small estate to start from
  ringfence up --config estate                           run a node; it prints a line when it serves
  ringfence run library -- python3 -m http.server 8000   run the service (in another terminal)
  ringfence run assistant -- curl -sS http://library:8000/
                                                         run a program as the agent (in a third)
  ringfence observe --verdict deny                       see what was refused, and why

Exit codes: 0 ok · 1 error · 2 usage · 3 policy says no · 4 a check failed · 5 degraded.
`run` has its own: see `ringfence run --help`.";

/// East-west isolation for AI agents: an agent reaches exactly what its policy names, and everything it tries is
/// recorded.
#[derive(Debug, Parser)]
#[command(name = "ringfence", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Where colours appear; NO_COLOR in the environment turns `auto` off
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN"
    )]
    color: output::When,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::CheckArgs),
    Init(init::InitArgs),
    Up(up::UpArgs),
    Run(run::RunArgs),
    Observe(observe::ObserveArgs),
    Status(status::StatusArgs),
    Policy(policy::PolicyArgs),
    #[command(hide = true)]
    Enforcer(enforcer::EnforcerArgs),
}

fn main() -> ExitCode {
    let runs = std::env::args_os().nth(1).is_some_and(|verb| verb == "run");
    die_of_panics(if runs {
        run::EXIT_REFUSED
    } else {
        output::EXIT_ERROR
    });
    // `run` shows the group that a set-group-id binary has to the node first, and gives it up then.
    if !runs && let Err(cause) = ringfence_compartment::give_up_group() {
        output::say(format!(
            "the group of this program cannot be given up: {cause}"
        ));
        return ExitCode::from(output::EXIT_ERROR);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error, runs),
    };
    output::colours(cli.color);
    match cli.verb {
        Verb::Check(args) => check::run(args),
        Verb::Init(args) => init::run(args),
        Verb::Up(args) => up::run(args),
        Verb::Run(args) => run::run(args),
        Verb::Observe(args) => observe::run(args),
        Verb::Status(args) => status::run(args),
        Verb::Policy(args) => policy::run(args),
        Verb::Enforcer(args) => enforcer::run(args),
    }
}

/// Help and versions go to standard output and are no errors; wrong usage of `run` is one of its own refusals.
fn explain(error: &clap::Error, runs: bool) -> ExitCode {
    if let Err(cause) = error.print()
        && cause.kind() != std::io::ErrorKind::BrokenPipe
    {
        output::say(format!("the output cannot be written: {cause}"));
    }
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if runs => ExitCode::from(run::EXIT_REFUSED),
        code => ExitCode::from(u8::try_from(code).unwrap_or(output::EXIT_ERROR)),
    }
}

/// A panic on any thread ends the process: half a node, or half a data plane, would be worse than none. What depends
/// on it fails closed and, where it is supervised, starts again.
fn die_of_panics(code: u8) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        output::say("internal error; please report it with the lines below");
        report(panic);
        std::process::exit(code.into());
    }));
}
