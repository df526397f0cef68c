//! How verbs speak: data on stdout, messages on stderr, no byte that a terminal would obey.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::OnceLock;

use comfy_table::{Table, presets};

pub(crate) use ringfence_model::text::{safe, safe_json, safe_lines};

/// A verb went wrong: exit 1.
pub(crate) const EXIT_ERROR: u8 = 1;
/// The command line means nothing, beyond what its parser finds.
pub(crate) const EXIT_USAGE: u8 = 2;
/// Policy says no, or a policy test failed.
pub(crate) const EXIT_DENIED: u8 = 3;
/// A check failed.
pub(crate) const EXIT_CHECK: u8 = 4;

/// Evidence does not verify.
pub(crate) const EXIT_EVIDENCE: u8 = 6;

/// For people, or one JSON object.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Form {
    Table,
    Json,
}

/// Why a verb stops.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No one reads our output any more, as with `| head`. Not an error.
    OutletClosed,
    /// What is wrong, lower case, and what to do about it.
    Because {
        /// What is wrong.
        what: String,
        /// What to do, where `what` does not say it.
        fix: Option<String>,
    },
    /// Options that do not go together.
    Usage {
        /// What is wrong.
        what: String,
        /// What to write instead.
        fix: String,
    },
}

impl Failure {
    /// With a fix of its own.
    pub(crate) fn new(what: impl fmt::Display, fix: impl Into<String>) -> Self {
        Self::Because {
            what: what.to_string(),
            fix: Some(fix.into()),
        }
    }

    /// Without one, where the words say it.
    pub(crate) fn plain(what: impl fmt::Display) -> Self {
        Self::Because {
            what: what.to_string(),
            fix: None,
        }
    }
}

/// Of writing to stdout, or reading stdin.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutletClosed
        } else {
            Self::Because {
                what: format!("the output cannot be written: {error}"),
                fix: None,
            }
        }
    }
}

/// `value` as one line of JSON, without a byte that a terminal would obey.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(value).map_err(Failure::plain)?;
    Ok(safe_json(&json).into_owned())
}

/// A table without lines, as all verbs print for people.
pub(crate) fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// Puts a table out, without blanks at the ends of its lines.
pub(crate) fn print_table(out: &mut impl io::Write, table: &Table) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Ends a verb: says what went wrong, and turns it into an exit code.
pub(crate) fn finish(result: Result<ExitCode, Failure>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(Failure::OutletClosed) => ExitCode::SUCCESS,
        Err(Failure::Because { what, fix }) => {
            say(&what);
            if let Some(fix) = fix {
                say(format!("help: {fix}"));
            }
            ExitCode::from(EXIT_ERROR)
        }
        Err(Failure::Usage { what, fix }) => {
            say(what);
            say(format!("help: {fix}"));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// A message for people, on stderr. Without a reader it is lost, which is no reason to stop.
pub(crate) fn say(message: impl fmt::Display) {
    use io::Write;
    let text = safe_lines(&message.to_string());
    let _no_reader = writeln!(io::stderr(), "ringfence: {text}");
}

/// Puts lines that others had a hand in on stdout or stderr.
pub(crate) fn print_safely(lines: &str, on_stderr: bool) -> io::Result<()> {
    use io::Write;
    let lines = safe_lines(lines);
    if on_stderr {
        io::stderr().write_all(lines.as_bytes())
    } else {
        io::stdout().write_all(lines.as_bytes())
    }
}

/// Colours that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Passed.
    Green,
    /// Refused.
    Red,
    /// Would have been refused.
    Yellow,
    /// Broke.
    Magenta,
    /// Less important.
    Dim,
}

/// Whether marks outside of ASCII can be shown: the locale's character set is UTF-8, and the terminal is no bare one.
pub(crate) fn shows_unicode() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL")
        .or_else(|| set("LC_CTYPE"))
        .or_else(|| set("LANG"));
    let utf8 = locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    utf8 && !matches!(std::env::var("TERM").as_deref(), Ok("dumb" | "linux"))
}

/// What `--color` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum When {
    // Not doc comments: the parser would repeat them in the help of every verb.
    // On a terminal that can, unless `NO_COLOR` is set (https://no-color.org).
    #[default]
    Auto,
    // Wherever the output goes.
    Always,
    // Nowhere.
    Never,
}

/// Set once, before any verb runs.
static COLOURS: OnceLock<When> = OnceLock::new();

/// Settles where colours appear, for all of the process. The first word counts.
pub(crate) fn colours(when: When) {
    let _first = COLOURS.set(when);
}

/// Whether to colour, decided once per stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// For stdout.
    pub(crate) fn stdout() -> Self {
        let auto = || {
            let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
            io::stdout().is_terminal() && !forbidden && !dumb
        };
        let on = match COLOURS.get().copied().unwrap_or_default() {
            When::Auto => auto(),
            When::Always => true,
            When::Never => false,
        };
        Self { on }
    }

    /// `text`, which is already safe, in `colour`.
    pub(crate) fn paint(self, colour: Colour, text: &str) -> Cow<'_, str> {
        let code = match colour {
            Colour::Green => "32",
            Colour::Red => "31",
            Colour::Yellow => "33",
            Colour::Magenta => "35",
            Colour::Dim => "2",
        };
        if self.on && !text.is_empty() {
            Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
        } else {
            Cow::Borrowed(text)
        }
    }
}
