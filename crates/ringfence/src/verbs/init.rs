//! `ringfence init`: a small estate to begin with.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::{ToSpan, Zoned};
use rustix::fs::{Access, access};

use crate::output::{Failure, finish, safe};
use crate::shell;

/// The review date in the template, replaced by a day three months ahead.
const REVIEW_BY: &str = "2027-06-30";

/// What is written, by file name.
const FILES: [(&str, &str); 4] = [
    ("services.yaml", include_str!("estate/services.yaml")),
    ("agents.yaml", include_str!("estate/agents.yaml")),
    ("policies.yaml", include_str!("estate/policies.yaml")),
    // What `policy schema` prints. Editors find it by the first line of the others.
    (
        "ringfence.schema.json",
        include_str!("../../../../docs/schema/ringfence.dev-v1alpha1.json"),
    ),
];

const EXAMPLES: &str = "\
Examples:
  ringfence init estate
  ringfence init --dry-run /etc/ringfence                   say what would be written

docs/policy.md says what the files mean.

Exit codes: 0 ok, 1 a file cannot be written or is there already, 2 usage.";

/// Writes a small commented estate: one service, one agent, one policy with tests.
///
/// The files load as they are and are meant to be changed. Nothing that exists is overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// Directory to write to; made when it is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the verb.
pub(crate) fn run(args: InitArgs) -> ExitCode {
    finish(init(&args.directory, args.dry_run).map(|()| ExitCode::SUCCESS))
}

fn init(directory: &Path, dry_run: bool) -> Result<(), Failure> {
    let cannot = |path: &Path, e: &io::Error| {
        Failure::new(
            format!("{} cannot be written: {e}", path.display()),
            "choose a directory of your own",
        )
    };
    // Looked at first, so that nothing is written beside files that are already there.
    for (name, _) in FILES {
        let path = directory.join(name);
        match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Ok(_) => {
                return Err(Failure::new(
                    format!("{} exists already", path.display()),
                    "choose another directory, or move it away",
                ));
            }
            Err(e) => return Err(cannot(&path, &e)),
        }
    }
    if dry_run {
        return rehearse(directory);
    }
    fs::create_dir_all(directory).map_err(|e| cannot(directory, &e))?;
    // A calendar that ends within three months keeps the date as it stands.
    let review_by = Zoned::now()
        .date()
        .checked_add(3.months())
        .map_or_else(|_| REVIEW_BY.to_owned(), |day| day.to_string());
    for (index, (name, text)) in FILES.into_iter().enumerate() {
        let path = directory.join(name);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| {
                file.write_all(text.replace(REVIEW_BY, &review_by).as_bytes())
                    .inspect_err(|_| remove(&path))
            });
        if let Err(e) = written {
            for (earlier, _) in &FILES[..index] {
                remove(&directory.join(earlier));
            }
            return Err(cannot(&path, &e));
        }
    }
    let shown = shell::word(&directory.to_string_lossy()).unwrap_or_else(|| "DIR".to_owned());
    let mut out = io::stdout().lock();
    for (name, _) in FILES {
        writeln!(
            out,
            "wrote {}",
            safe(&directory.join(name).to_string_lossy())
        )?;
    }
    writeln!(
        out,
        "\nNext:\n\
         \x20 ringfence policy lint --config {shown}\n\
         \x20 ringfence up --config {shown}\n\
         Then, each in a terminal of its own:\n\
         \x20 ringfence run library -- python3 -m http.server 8000\n\
         \x20 ringfence run assistant -- curl -sS http://library:8000/\n\
         \x20 ringfence run assistant -- curl -sS -X DELETE http://library:8000/books/1\n\
         \x20 ringfence observe"
    )?;
    out.flush()?;
    Ok(())
}

/// Says what would be written, as far as can be told without writing.
fn rehearse(directory: &Path) -> Result<(), Failure> {
    let absolute = std::path::absolute(directory)?;
    let there = absolute
        .ancestors()
        .find(|above| above.symlink_metadata().is_ok())
        .unwrap_or(&absolute);
    access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        Failure::new(
            format!("{} cannot be written: {error}", there.display()),
            "choose a directory of your own",
        )
    })?;
    let mut out = io::stdout().lock();
    for (name, _) in FILES {
        let path = directory.join(name);
        writeln!(out, "would write {}", safe(&path.to_string_lossy()))?;
    }
    Ok(out.flush()?)
}

/// Takes back a file of ours after another could not be written. The error that is reported is that other one.
fn remove(path: &Path) {
    let _reported_otherwise = fs::remove_file(path);
}
