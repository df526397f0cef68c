//! `ringfence completion`: what a shell needs to complete our verbs and options.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Command, ValueEnum};
use clap_complete::{Shell, generate};

use crate::output::{Failure, finish};

const EXAMPLES: &str = "\
Examples:
  source <(ringfence completion bash)                       for this shell
  ringfence completion bash > ~/.local/share/bash-completion/completions/ringfence
  ringfence completion zsh > ~/.zfunc/_ringfence            with ~/.zfunc in fpath
  ringfence completion fish > ~/.config/fish/completions/ringfence.fish

Write it anew after an upgrade. docs/operating.md says where packages put it.

Exit codes: 0 ok, 1 the output cannot be written, 2 usage.";

/// Prints the script that completes verbs and options in a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionArgs {
    /// Shell that is to read it
    #[arg(value_enum, value_name = "SHELL")]
    shell: Spoken,
}

/// Shells whose scripts are tested.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Spoken {
    Bash,
    Zsh,
    Fish,
}

/// Runs the verb; `command` is the whole command line.
pub(crate) fn run(args: CompletionArgs, command: &Command) -> ExitCode {
    let shell = match args.shell {
        Spoken::Bash => Shell::Bash,
        Spoken::Zsh => Shell::Zsh,
        Spoken::Fish => Shell::Fish,
    };
    // Scripts would list hidden verbs too.
    let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let mut shown = Command::new("ringfence")
        .version(env!("CARGO_PKG_VERSION"))
        .args(command.get_arguments())
        .subcommands(shown);
    // Made in memory: writing to a pipe that closes is no reason to panic, as it would be there.
    let mut script = Vec::new();
    generate(shell, &mut shown, "ringfence", &mut script);
    let written = (io::stdout().lock().write_all(&script)).and_then(|()| io::stdout().flush());
    finish(written.map(|()| ExitCode::SUCCESS).map_err(Failure::from))
}
