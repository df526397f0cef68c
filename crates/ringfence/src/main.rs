//! The `ringfence` binary: parses the command line and hands over to a verb.
#![forbid(unsafe_code)]

mod output;
mod shell;
mod verbs;

use std::process::ExitCode;
use std::sync::Once;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use ringfence_model::text;
use verbs::{
    audit, check, completion, drill, enforcer, init, man, names, observe, policy, porter,
    quarantine, run, status, up,
};

const EXAMPLES: &str = "\
First steps:
  ringfence check --pre                                  see whether this machine can do it
  ringfence init estate                                  write a small estate to start from
  ringfence up --config estate                           run a node; it prints a line when it serves
  ringfence run library -- python3 -m http.server 8000   run the service (in another terminal)
  ringfence run assistant -- curl -sS http://library:8000/
                                                         run a program as the agent (in a third)
  ringfence observe --verdict deny                       see what was refused, and why

Data goes to standard output, messages to standard error, each with what to do about it. `ringfence VERB --help` has \
examples; `ringfence man`, `ringfence completion` and docs/ have the rest.

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
    Audit(audit::AuditArgs),
    Status(status::StatusArgs),
    Quarantine(quarantine::QuarantineArgs),
    Release(quarantine::ReleaseArgs),
    Drill(drill::DrillArgs),
    Policy(policy::PolicyArgs),
    Completion(completion::CompletionArgs),
    Man(man::ManArgs),
    #[command(hide = true)]
    Names(names::NamesArgs),
    #[command(hide = true)]
    DrillPeer(drill::peer::PeerArgs),
    #[command(hide = true)]
    Enforcer(enforcer::EnforcerArgs),
    #[command(hide = true)]
    Porter(porter::PorterArgs),
}

fn main() -> ExitCode {
    let runs = std::env::args_os().nth(1).is_some_and(|verb| verb == "run");
    let code = if runs {
        run::EXIT_REFUSED
    } else {
        output::EXIT_ERROR
    };
    die_of_panics(code, ringfence_policy::panic_is_contained);
    // `run` shows the group that a set-group-id binary has to the node first, and gives it up then.
    if !runs && let Err(cause) = ringfence_compartment::give_up_group() {
        output::say(format!(
            "the group of this program cannot be given up: {cause}"
        ));
        return ExitCode::from(output::EXIT_ERROR);
    }
    let cli = match parse() {
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
        Verb::Audit(args) => audit::run(args),
        Verb::Status(args) => status::run(args),
        Verb::Quarantine(args) => quarantine::quarantine(args),
        Verb::Release(args) => quarantine::release(args),
        Verb::Drill(args) => drill::run(args),
        Verb::DrillPeer(args) => drill::peer::run(args),
        Verb::Policy(args) => policy::run(args),
        Verb::Completion(args) => completion::run(args, &Cli::command()),
        Verb::Man(args) => man::run(args, Cli::command()),
        Verb::Names(args) => names::run(args, &Cli::command()),
        Verb::Enforcer(args) => enforcer::run(args),
        Verb::Porter(args) => porter::run(&args),
    }
}

/// Reads the command line. What the parser itself prints, help and complaints, keeps to `--color` as well.
fn parse() -> Result<Cli, clap::Error> {
    let mut command = Cli::command().color(asked_colours());
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// What `--color` says, looked at before the command line is known to be good.
fn asked_colours() -> ColorChoice {
    let ours = std::env::args_os().skip(1).take_while(|word| word != "--");
    let words: Vec<String> = ours
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let asked = words.iter().enumerate().find_map(|(at, word)| {
        match word.strip_prefix("--color")?.strip_prefix('=') {
            Some(when) => Some(when.to_owned()),
            None => words.get(at + 1).cloned(),
        }
    });
    match asked.and_then(|when| output::When::from_str(&when, false).ok()) {
        Some(output::When::Always) => ColorChoice::Always,
        Some(output::When::Never) => ColorChoice::Never,
        Some(output::When::Auto) | None => ColorChoice::Auto,
    }
}

/// Help and versions go to standard output and are no errors; wrong usage of `run` is one of its own refusals.
fn explain(error: &clap::Error, runs: bool) -> ExitCode {
    // A terminal must not obey what a word of the command line holds; plain words keep their colours.
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let printed = if words.any(|word| word.contains(text::misleads)) {
        output::print_safely(&error.render().to_string(), error.use_stderr())
    } else {
        error.print()
    };
    if let Err(cause) = printed
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
/// on it fails closed and, where it is supervised, starts again. One in a condition is caught, and refuses the condition or
/// denies the request: if it ended the process, whoever finds such a request could end it as often as they like.
fn die_of_panics(code: u8, is_contained: fn() -> bool) {
    let report = std::panic::take_hook();
    let contained = Once::new();
    std::panic::set_hook(Box::new(move |panic| {
        if is_contained() {
            // Each refusal is recorded. What the panic says may repeat what a request holds.
            contained.call_once(|| {
                let place = panic.location().map(ToString::to_string);
                output::say(format!(
                    "internal error: a condition broke its evaluator at {}, and what it was about is refused (said once); \
                     please report it with the condition, which the refusal names",
                    place.unwrap_or_default()
                ));
            });
            return;
        }
        output::say("internal error; please report it with the lines below");
        report(panic);
        std::process::exit(code.into());
    }));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::process::{Command, Output};

    use super::*;

    /// Each in a process of its own: a hook is the whole process's.
    #[test]
    fn a_panic_ends_the_process_unless_it_is_contained() {
        const CHILD: &str = "RINGFENCE_TEST_CONTAINED";
        const TEST: &str = "tests::a_panic_ends_the_process_unless_it_is_contained";
        if let Ok(contained) = std::env::var(CHILD) {
            die_of_panics(
                7,
                if contained == "yes" {
                    || true
                } else {
                    || false
                },
            );
            for _ in 0..2 {
                assert!(std::panic::catch_unwind(|| panic!("words of a request")).is_err());
            }
            return;
        }
        let end = |contained: &str| -> (Option<i32>, String) {
            let Output { status, stderr, .. } = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", TEST, "--nocapture"])
                .env(CHILD, contained)
                .output()
                .unwrap();
            (status.code(), String::from_utf8(stderr).unwrap())
        };
        let (code, said) = end("no");
        assert_eq!(code, Some(7), "{said}");
        assert!(said.contains("words of a request"), "{said}");
        let (code, said) = end("yes");
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(said.matches("broke its evaluator at").count(), 1, "{said}");
        assert!(!said.contains("words of a request"), "{said}");
    }
}
