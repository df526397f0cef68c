//! A process of the host that starts the attacker with something of the host's in its hands, and tells what it felt there.
//!
//! Outside it starts the attacker itself, inside `ringfence run` with the attacker: whoever it starts gets the same. The
//! attacker's stdout is one of these things, so its verdict comes by a file of its work directory, and is
//! repeated here, on a stdout that nobody else has.

mod inherited;
mod sockets;
mod terminal;

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use super::senses::{TOUCH, say};
use super::{Ground, Start, sys};

pub(super) use terminal::Given as GivenTerminal;

/// How long is waited for something to be heard, between two looks at whether the attacker has ended.
const LOOK: Duration = Duration::from_millis(20);

/// What is put into somebody's hands.
trait Gift {
    /// Puts it there.
    fn give(&mut self, command: &mut Command) -> io::Result<()>;
    /// What came by it, if anything does within [`LOOK`]; empty if not.
    fn hear(&mut self) -> io::Result<Vec<u8>>;
    /// What was done to it, once whoever had it is gone.
    fn felt(&mut self) -> io::Result<Vec<String>>;
}

/// Words in front of a command line that is to be started so; none for one that needs no giver.
pub(super) fn words(start: Start, program: &str, ground: &str) -> Vec<String> {
    let kind = match start {
        Start::Plain => return Vec::new(),
        Start::Terminal => "terminal",
        Start::Sockets => "sockets",
        Start::Inherited => "inherited",
    };
    [program, "give", kind, ground].map(str::to_owned).to_vec()
}

/// Where the attacker leaves its verdict, where its stdout is something else.
pub(super) fn verdict_file() -> PathBuf {
    sys::own_directory().join("verdict")
}

/// Gives, starts `words`, waits for their end, tells.
pub(super) fn give(kind: &str, ground: &str, words: &[&str]) -> ExitCode {
    match give_and_tell(kind, ground, words) {
        Ok(code) => ExitCode::from(code),
        Err(cause) => {
            eprintln!("the giver: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn give_and_tell(kind: &str, ground: &str, words: &[&str]) -> io::Result<u8> {
    let ground: Ground = serde_json::from_str(ground)?;
    let verdict = verdict_file();
    forget(&verdict)?;
    let mut gift: Box<dyn Gift> = match kind {
        "terminal" => Box::new(terminal::Terminal::new()?),
        "sockets" => Box::new(sockets::Sockets::new(&ground)?),
        "inherited" => Box::new(inherited::Inherited::new(&ground)?),
        _ => return Err(io::Error::other(format!("nobody gives {kind}"))),
    };
    let Some((program, arguments)) = words.split_first() else {
        return Err(io::Error::other("nothing to start"));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    gift.give(&mut command)?;
    let mut child = command.spawn()?;
    // With its copies of what was given.
    drop(command);
    let mut heard = Vec::new();
    let status = loop {
        heard.extend(gift.hear()?);
        if let Some(status) = child.try_wait()? {
            break status;
        }
    };
    loop {
        let more = gift.hear()?;
        if more.is_empty() {
            break;
        }
        heard.extend(more);
    }
    let heard = String::from_utf8_lossy(&heard).escape_debug().to_string();
    say(format!("heard: {heard}\n"));
    for what in gift.felt()? {
        say(format!("{TOUCH} {what}\n"));
    }
    // An attacker that broke, or was killed, leaves none.
    let said = std::fs::read_to_string(verdict).unwrap_or_default();
    io::stdout().lock().write_all(said.as_bytes())?;
    let signal = || status.signal().map_or(1, |signal| 128 + signal);
    Ok(u8::try_from(status.code().unwrap_or_else(signal)).unwrap_or(1))
}

/// Takes away what an earlier giver left, who may have been another user.
fn forget(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Which of two lists of looks at the same things differ.
fn changed(before: &[(&str, String)], after: &[(&str, String)]) -> Vec<String> {
    let pairs = before.iter().zip(after);
    pairs
        .filter(|(before, after)| before.1 != after.1)
        .map(|(before, after)| format!("{}: {} became {}", before.0, before.1, after.1))
        .collect()
}

/// What there is to say of a look, or why there is none.
fn look<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(found) => format!("{found:?}"),
        Err(cause) => cause.to_string(),
    }
}
