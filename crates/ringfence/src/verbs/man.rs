//! `ringfence man`: the manual pages, made from what `--help` says.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_mangen::Man;
use ringfence_model::suggest::nearest;

use crate::output::{Failure, finish, safe};

const EXAMPLES: &str = "\
Examples:
  ringfence man | man -l -                                  read the first page
  ringfence man policy explain | man -l -                   read that of a verb
  ringfence man --dir ~/.local/share/man/man1               install them all; then `man ringfence-observe`

docs/operating.md says where packages put them; docs/ has the guides.

Exit codes: 0 ok, 1 a page cannot be written, 2 no such verb.";

/// Prints a manual page, or writes all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// Verb whose page to print, such as `observe` or `policy explain` [default: ringfence itself]
    #[arg(value_name = "VERB", conflicts_with = "dir")]
    verbs: Vec<String>,
    /// Directory to write all pages to, one file each; made when it is missing. Pages of the same name are replaced
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Say what would be written, and write nothing
    #[arg(long, requires = "dir")]
    dry_run: bool,
}

/// Runs the verb; `command` is the whole command line.
pub(crate) fn run(args: ManArgs, mut command: Command) -> ExitCode {
    // `help` would have a page for every verb again.
    command = command.disable_help_subcommand(true);
    command.build();
    let done = match &args.dir {
        Some(dir) => write_all(&command, dir, args.dry_run),
        None => print(&command, &args.verbs),
    };
    finish(done.map(|()| ExitCode::SUCCESS))
}

fn print(root: &Command, verbs: &[String]) -> Result<(), Failure> {
    let mut command = root;
    for verb in verbs {
        let known = || command.get_subcommands().filter(|verb| !verb.is_hide_set());
        let Some(next) = known().find(|known| known.get_name() == verb) else {
            return Err(Failure::Usage {
                what: format!("there is no verb `{verb}`"),
                fix: match nearest(verb, known().map(Command::get_name)) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => "`ringfence --help` lists them".to_owned(),
                },
            });
        };
        command = next;
    }
    let mut out = io::stdout().lock();
    out.write_all(&page(command)?)?;
    Ok(out.flush()?)
}

fn write_all(root: &Command, dir: &Path, dry_run: bool) -> Result<(), Failure> {
    let cannot = |path: &Path, error: &io::Error| {
        Failure::new(
            format!("{} cannot be written: {error}", path.display()),
            "choose a directory of your own",
        )
    };
    if !dry_run {
        std::fs::create_dir_all(dir).map_err(|error| cannot(dir, &error))?;
    }
    let mut out = io::stdout().lock();
    for command in pages(root) {
        let path = dir.join(format!("{}.1", name(command)));
        let page = page(command)?;
        if !dry_run {
            std::fs::write(&path, page).map_err(|error| cannot(&path, &error))?;
        }
        let done = if dry_run { "would write" } else { "wrote" };
        writeln!(out, "{done} {}", safe(&path.to_string_lossy()))?;
    }
    Ok(out.flush()?)
}

/// The command and all below it that are shown.
fn pages(command: &Command) -> Vec<&Command> {
    let mut all = vec![command];
    for below in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        all.extend(pages(below));
    }
    all
}

fn name(command: &Command) -> &str {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut roff = Vec::new();
    Man::new(command.clone())
        .manual("Ringfence")
        .render(&mut roff)?;
    Ok(roff)
}
