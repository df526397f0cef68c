//! `ringfence names`, hidden: what the completion scripts ask when the name of a workload may stand at the cursor.
//!
//! Silent whatever happens, and quick: somebody waits with a half-written line. Names come from the resource files
//! that the line or `RINGFENCE_CONFIG` names, or from the node, which tells its owner and root alone.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::{Arg, Command};
use ringfence_model::load;
use ringfence_node::{ask_status, default_dir};

/// After this nobody waits any longer, and nothing is said.
const PATIENCE: Duration = Duration::from_millis(200);

/// Prints the names that may stand at the cursor.
#[derive(Debug, clap::Args)]
pub(crate) struct NamesArgs {
    /// It is known that a name may stand there
    #[arg(long)]
    all: bool,
    /// The line up to the cursor, without the program; the last word is what is being written
    #[arg(last = true, value_name = "WORD")]
    words: Vec<String>,
}

/// Runs the verb; `command` is the whole command line.
pub(crate) fn run(args: NamesArgs, command: &Command) -> ExitCode {
    let words = joined(args.words);
    if args.all || is_name(command, &words) {
        let (answer, answered) = mpsc::channel();
        // A node that hangs, or a file system: left behind, and ended with this process.
        std::thread::spawn(move || answer.send(names(&words)));
        if let Ok(names) = answered.recv_timeout(PATIENCE) {
            let text: String = names.into_iter().map(|name| name + "\n").collect();
            // A shell that went away wants no names.
            let _gone = io::stdout().lock().write_all(text.as_bytes());
        }
    }
    ExitCode::SUCCESS
}

/// Bash takes `--from=x` for three words.
fn joined(words: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut open = false;
    for word in words {
        match joined.last_mut() {
            Some(last) if word == "=" && last.starts_with("--") && !last.contains('=') => {
                last.push('=');
                open = true;
                continue;
            }
            Some(last) if open => last.push_str(&word),
            _ => joined.push(word),
        }
        open = false;
    }
    joined
}

/// Whether the last of `words` stands where a workload is named.
fn is_name(command: &Command, words: &[String]) -> bool {
    let Some((current, before)) = words.split_last() else {
        return false;
    };
    let (mut verb, mut positional, mut pending) = (command, 0, None);
    for word in before {
        if pending.take().is_some() {
            continue;
        }
        if word == "--" {
            return false;
        }
        if let Some(long) = word.strip_prefix("--") {
            // One that carries its value is not found by this.
            pending = option(command, verb, |arg| arg.get_long() == Some(long));
        } else if let Some(short) = word.strip_prefix('-') {
            let short = short.chars().next_back();
            pending = option(command, verb, |arg| arg.get_short() == short);
        } else if let (0, Some(below)) = (positional, verb.find_subcommand(word)) {
            verb = below;
        } else {
            positional += 1;
        }
    }
    // `--from` of `audit` takes a number.
    let takes_name = |arg: &Arg| {
        matches!(
            arg.get_long(),
            Some("from" | "to" | "source" | "destination")
        ) && (arg.get_value_names()).is_some_and(|names| names.iter().any(|name| name == "NAME"))
    };
    let long = (current.strip_prefix("--")).and_then(|word| word.split_once('='));
    match (pending, long) {
        (Some(arg), _) => takes_name(arg),
        (None, Some((long, _))) => {
            option(command, verb, |arg| arg.get_long() == Some(long)).is_some_and(takes_name)
        }
        (None, None) => {
            matches!(verb.get_name(), "run" | "quarantine" | "release")
                && positional == 0
                && !current.starts_with('-')
        }
    }
}

/// The option of this verb, or of all, that takes a value and is `wanted`.
fn option<'a>(
    command: &'a Command,
    verb: &'a Command,
    wanted: impl Fn(&Arg) -> bool,
) -> Option<&'a Arg> {
    let mut options = verb.get_arguments().chain(command.get_arguments());
    options.find(|arg| arg.get_action().takes_values() && wanted(arg))
}

/// All names, each once. None where nobody can say.
fn names(words: &[String]) -> BTreeSet<String> {
    let config = given(words, "--config");
    let environment = || std::env::var_os("RINGFENCE_CONFIG").map(PathBuf::from);
    let state = given(words, "--state").or_else(|| default_dir().ok());
    let of_node = || state.as_deref().and_then(of_node);
    // Policy is asked of files; all else is about what runs.
    let found = match (config, words.first().is_some_and(|verb| verb == "policy")) {
        (Some(config), _) => of_files(&config),
        (None, true) => match (environment(), given(words, "--state")) {
            (Some(config), None) => of_files(&config),
            _ => of_node(),
        },
        (None, false) => of_node().or_else(|| of_files(&environment()?)),
    };
    found.unwrap_or_default()
}

/// The value that the line gives an option.
fn given(words: &[String], option: &str) -> Option<PathBuf> {
    let ours = words.iter().take_while(|word| *word != "--");
    let words: Vec<&String> = ours.collect();
    words.iter().enumerate().find_map(|(at, word)| {
        match word.strip_prefix(option)?.strip_prefix('=') {
            Some(value) => Some(value.into()),
            None if *word == option => words.get(at + 1).map(PathBuf::from),
            None => None,
        }
    })
}

fn of_files(config: &Path) -> Option<BTreeSet<String>> {
    let estate = load::directory(config).ok()?.estate;
    let agents = estate.agents.iter().map(|agent| &agent.name);
    let services = estate.services.iter().map(|service| &service.name);
    Some(agents.chain(services).map(ToString::to_string).collect())
}

fn of_node(state: &Path) -> Option<BTreeSet<String>> {
    let status = ask_status(state).ok()??;
    Some(status.estate.iter().map(|it| it.name.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn asks(line: &str) -> bool {
        let words = line.split(' ').map(str::to_owned).collect();
        is_name(&crate::Cli::command(), &joined(words))
    }

    #[test]
    fn a_name_is_asked_for_where_one_may_stand_and_nowhere_else() {
        for line in [
            "run ",
            "run as",
            "run --state /x as",
            "quarantine ",
            "release --state /x as",
            "run --workdir=/x --dry-run ",
            "--color never run ",
            "observe --from ",
            "observe -f --to ag",
            "observe --from=ag",
            "observe --from = ag",
            "observe --from =",
            "policy explain --config estate --from ",
            "policy explain --from a --to ",
            "policy list --by service --to x",
            "audit export --format csv --source ",
            "audit export --destination=",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in [
            "",
            "ru",
            "run assistant ",
            "run -",
            "run --state ",
            "run --env ",
            "run assistant -- ",
            "run assistant -- observe --from ",
            "observe ",
            "observe --node ",
            "policy --from ",
            "policy test --from ",
            "policy explain --from a ",
            "policy explain --op ",
            "status --from ",
            "audit export --from ",
            "audit export --to=",
        ] {
            assert!(!asks(line), "{line}");
        }
    }
}
