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

Names of agents and services are completed too: from --config or RINGFENCE_CONFIG, or from the node, if it is yours.
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
    let script = with_names(&args.shell, &String::from_utf8_lossy(&script));
    let script = script.as_bytes();
    let written = (io::stdout().lock().write_all(script)).and_then(|()| io::stdout().flush());
    finish(written.map(|()| ExitCode::SUCCESS).map_err(Failure::from))
}

/// What bash asks first. An empty answer: no name may stand here, or nobody knows one.
const BASH: &str = r#"
_ringfence_or_name() {
    local cur="${COMP_WORDS[COMP_CWORD]}" names=""
    [[ "$cur" == "=" ]] && cur=""
    case "${COMP_WORDS[1]}" in
        run|observe|audit|policy|-*)
            names="$(command "$1" names -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" ;;
    esac
    if [[ -n "$names" ]]; then
        COMPREPLY=( $(compgen -W "$names" -- "$cur") )
    else
        _ringfence "$@"
    fi
}
complete -F _ringfence_or_name -o bashdefault -o default ringfence
"#;

/// The words of the line are those of its own verb by the time zsh comes here: the line itself says more.
const ZSH: &str = r#"
(( $+functions[_ringfence_names] )) ||
_ringfence_names() {
    local -a line names
    line=(${(Q)${(z)LBUFFER}})
    names=(${(f)"$(command ringfence names --all -- "${(@)line[2,-1]}" 2>/dev/null)"})
    compadd -a names
}
"#;

const FISH: &str = r#"
function __ringfence_names
    set -l words (commandline -opc) (commandline -ct)
    command ringfence names -- $words[2..-1] 2>/dev/null
end
complete -c ringfence -n "__fish_seen_subcommand_from run" -a "(__ringfence_names)"
complete -c ringfence -n "__fish_seen_subcommand_from observe explain list" -l from -x -a "(__ringfence_names)"
complete -c ringfence -n "__fish_seen_subcommand_from observe explain list" -l to -x -a "(__ringfence_names)"
complete -c ringfence -n "__fish_seen_subcommand_from export" -l source -x -a "(__ringfence_names)"
complete -c ringfence -n "__fish_seen_subcommand_from export" -l destination -x -a "(__ringfence_names)"
"#;

/// Adds the names of workloads, which no script can know, to what `script` completes.
fn with_names(shell: &Spoken, script: &str) -> String {
    match shell {
        Spoken::Bash => format!("{script}{BASH}"),
        Spoken::Fish => format!("{script}{FISH}"),
        Spoken::Zsh => {
            let named = |line: &str| {
                let line = line.trim_start();
                let option = line.strip_prefix('\'').unwrap_or(line);
                let option = option.strip_prefix('*').unwrap_or(option);
                let end = ["--from=[", "--to=[", "--source=[", "--destination=["];
                line.starts_with("':name -- ")
                    || line.contains(":NAME:") && end.iter().any(|it| option.starts_with(it))
            };
            let lines = script.lines().map(|line| match named(line) {
                true => line.replace(":_default'", ":_ringfence_names'"),
                false => line.to_owned(),
            });
            let mut lines: Vec<String> = lines.collect();
            // Before the last lines, which call the whole.
            let end = lines.iter().rposition(|line| line.starts_with("if ["));
            lines.insert(end.unwrap_or(lines.len()), ZSH.to_owned());
            lines.join("\n") + "\n"
        }
    }
}
