//! `ringfence run`: a program as an agent or service, in a compartment.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::ExitCode;

use ringfence_compartment::launch::{self, LaunchRequest, Outside, Rehearsed};

use crate::output::{Failure, finish, safe, say};

/// A program is read for its digest up to this many bytes: more would take longer than a look should.
const DIGEST_MAX: u64 = 64 * 1024 * 1024;

/// Exit code of everything that goes wrong before the program runs, as with `timeout` and `env`.
pub(crate) const EXIT_REFUSED: u8 = 125;

const EXAMPLES: &str = "\
Examples:
  ringfence run library -- python3 -m http.server 8000
  ringfence run assistant -- curl -sS http://library:8000/
  ringfence run assistant --workdir ./work -- python3 agent.py
  ringfence run assistant --env LOG_LEVEL=debug --env API_KEY -- bash
  ringfence run assistant --user 0 -- sh -c id            for a program that insists on being root
  ringfence run assistant --dry-run -- python3 agent.py    may I, and what would be started
The names are those of the estate that `ringfence init` writes.

Standard streams, signals, the terminal and the exit code are the program's own. The program sees /usr, /bin, /sbin, \
/lib and /opt read-only, a private /tmp, /run and /dev, and /work; `filesystem` in its policy adds paths. Of the \
environment it gets PATH, TERM, LANG, LC_*, TZ and what `--env` names.

Exit codes: 125 ringfence refuses, 126 the program cannot be executed, 127 it is not found, 128+N it was killed by \
signal N; else its own. With --dry-run: 0 it would start, else as without. docs/compartment.md says what a compartment is.";

/// Runs a program as the agent or service NAME: it reaches what its policy names, and nothing else.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// Agent or service to be
    name: String,
    /// State directory of the node [default: as `ringfence up` chooses it]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Directory that the program sees as /work, and may write; belongs to one compartment at a time [default: an
    /// empty one that ends with it]
    #[arg(long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// User, and group, that the program sees as its own: `0` for one that insists on being root, which it then
    /// looks like and is not [default: the caller's; 1000 where that is root]
    #[arg(long, value_name = "UID[:GID]", value_parser = user)]
    user: Option<(u32, u32)>,
    /// Variable to pass on, with this value or the caller's; may be given several times
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Say what would be claimed and started, and start nothing
    #[arg(long)]
    dry_run: bool,
    /// Program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub(crate) fn run(args: RunArgs) -> ExitCode {
    let dry_run = args.dry_run;
    match request(args) {
        Ok(request) if dry_run => rehearse(&request),
        Ok(request) => ExitCode::from(launch::run(request)),
        Err((what, fix)) => {
            say(what);
            say(format!("help: {fix}"));
            ExitCode::from(EXIT_REFUSED)
        }
    }
}

fn rehearse(request: &LaunchRequest) -> ExitCode {
    match launch::rehearse(request) {
        Ok(rehearsed) => {
            let told = tell(&rehearsed);
            finish(told.map(|()| ExitCode::SUCCESS).map_err(Failure::from))
        }
        Err(refusal) => {
            say(format!(
                "{} would not start: {}",
                request.name,
                safe(&refusal.what)
            ));
            say(format!("help: {}", safe(&refusal.fix)));
            ExitCode::from(refusal.code)
        }
    }
}

fn tell(it: &Rehearsed) -> io::Result<()> {
    let claim = &it.claim;
    let mut out = io::stdout().lock();
    let mut line = |what: &str, text: &str| writeln!(out, "{what:<12}{}", safe(text));
    line("would start", &claim.workload.to_string())?;
    line(
        "claim",
        &format!(
            "would be granted under generation {}; checked: {}",
            claim.generation.0, claim.checked
        ),
    )?;
    line(
        "address",
        &format!("{}, {}, {}", claim.fqdn, claim.address.v4, claim.address.v6),
    )?;
    let file = it.file.display();
    line(
        "program",
        &match it.program == it.file {
            true => file.to_string(),
            false => format!("{} ({file})", it.program.display()),
        },
    )?;
    line(
        "sha256",
        &match ringfence_node::digest(&it.file, DIGEST_MAX) {
            Ok(digest) => digest.to_string(),
            Err(why) => format!("not known: {why}"),
        },
    )?;
    // Never the arguments: they hold secrets.
    line("arguments", &it.arguments.to_string())?;
    let outside = match it.outside {
        Outside::OfItsOwn => "a user of its own".to_owned(),
        Outside::Caller(uid, gid) => format!("uid {uid}, gid {gid}, as you"),
    };
    let (uid, gid) = it.inside;
    line(
        "user",
        &format!("uid {uid}, gid {gid} inside; on the host {outside}"),
    )?;
    line(
        "/work",
        &match &it.workdir {
            Some(directory) => directory.display().to_string(),
            None => "an empty directory that ends with it".to_owned(),
        },
    )?;
    for tree in &it.trees {
        let how = if tree.writable {
            "may be written"
        } else {
            "read-only"
        };
        let from = match tree.source == tree.target {
            true => String::new(),
            false => format!(" (the host's {})", tree.source.display()),
        };
        line("shown", &format!("{}{from}, {how}", tree.target.display()))?;
    }
    for wall in &it.walls {
        line("wall", wall)?;
    }
    for words in &it.unbounded {
        line("unbounded", words)?;
    }
    if it.claim.quarantined {
        line(
            "note",
            "it is in quarantine: it would run, and reach nobody",
        )?;
    }
    if let Some(doubt) = it.doubt {
        line("doubt", doubt)?;
    }
    writeln!(
        out,
        "Nothing was granted, and nothing started. Walls are named, not tried: `ringfence check --pre` builds them."
    )?;
    out.flush()
}

fn request(args: RunArgs) -> Result<LaunchRequest, (String, String)> {
    let state = match args.state {
        Some(state) => state,
        None => ringfence_node::default_dir().map_err(|error| (error.to_string(), error.fix()))?,
    };
    let env = args
        .env
        .into_iter()
        .map(variable)
        .collect::<Result<_, _>>()?;
    Ok(LaunchRequest {
        state,
        name: args.name,
        command: args.command,
        workdir: args.workdir,
        user: args.user,
        env,
    })
}

/// `UID` or `UID:GID`. The group is the same number where none is given.
fn user(given: &str) -> Result<(u32, u32), String> {
    let (uid, gid) = given.split_once(':').unwrap_or((given, given));
    let id = |text: &str| match text.parse() {
        // The kernel's word for "no change".
        Ok(u32::MAX) | Err(_) => Err(format!(
            "{text:?} is no id: write a number below {}, or two as UID:GID",
            u32::MAX
        )),
        Ok(id) => Ok(id),
    };
    Ok((id(uid)?, id(gid)?))
}

/// `NAME=VALUE`, or `NAME` with the caller's value.
fn variable(given: OsString) -> Result<(OsString, OsString), (String, String)> {
    let bytes = given.as_bytes();
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (
            &bytes[..at],
            Some(OsString::from_vec(bytes[at + 1..].to_vec())),
        ),
        None => (bytes, None),
    };
    let name = OsString::from_vec(name.to_vec());
    if name.is_empty() {
        return Err((
            format!("--env {given:?} names no variable"),
            "write --env NAME or --env NAME=VALUE".to_owned(),
        ));
    }
    match value.or_else(|| std::env::var_os(&name)) {
        Some(value) => Ok((name, value)),
        None => Err((
            format!("--env {name:?}: there is no such variable here"),
            format!(
                "set it, or give a value with --env {}=VALUE",
                name.display()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_one_number_or_two() {
        assert_eq!(user("0"), Ok((0, 0)));
        assert_eq!(user("1000:50"), Ok((1000, 50)));
        for bad in [
            "",
            "root",
            "-1",
            "1:",
            ":1",
            "1:2:3",
            "4294967295",
            "4294967296",
        ] {
            user(bad).unwrap_err();
        }
    }

    #[test]
    fn a_variable_has_a_value_of_its_own_or_the_callers() {
        let parse = |text: &str| variable(OsString::from(text));
        assert_eq!(parse("A=b=c").unwrap(), ("A".into(), "b=c".into()));
        assert_eq!(parse("A=").unwrap(), ("A".into(), "".into()));
        assert_eq!(parse("PATH").unwrap().1, std::env::var_os("PATH").unwrap());
        parse("RINGFENCE_TEST_NOT_SET").unwrap_err();
        parse("=x").unwrap_err();
        parse("").unwrap_err();
    }
}
