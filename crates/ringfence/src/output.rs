//! How verbs speak: data on stdout, messages on stderr, no byte that a terminal would obey.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};
use std::process::ExitCode;

/// A verb went wrong: exit 1.
pub(crate) const EXIT_ERROR: u8 = 1;
/// Policy says no.
pub(crate) const EXIT_DENIED: u8 = 3;

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
}

impl Failure {
    /// With a fix of its own.
    pub(crate) fn new(what: impl fmt::Display, fix: impl Into<String>) -> Self {
        Self::Because {
            what: what.to_string(),
            fix: Some(fix.into()),
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
    }
}

/// A message for people, on stderr. Without a reader it is lost, which is no reason to stop.
pub(crate) fn say(message: impl fmt::Display) {
    use io::Write;
    let text = safe_lines(&message.to_string());
    let _no_reader = writeln!(io::stderr(), "ringfence: {text}");
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

/// Whether to colour, decided once per stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// For stdout: only on a terminal that can, and not when `NO_COLOR` is set (<https://no-color.org>).
    pub(crate) fn stdout() -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            on: io::stdout().is_terminal() && !forbidden && !dumb,
        }
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

/// Whether a character could move the cursor, colour, hide or reorder what stands around it.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// `text` with every character that a terminal would obey written out, as `\u{1b}`.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if !text.contains(misleads) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if misleads(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// As [`safe`], keeping line feeds.
pub(crate) fn safe_lines(text: &str) -> String {
    text.split('\n').map(safe).collect::<Vec<_>>().join("\n")
}

/// `json`, a serialised value, with the same characters as JSON escapes: the value stays what it was.
pub(crate) fn safe_json(json: &str) -> Cow<'_, str> {
    if !json.contains(misleads) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if misleads(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot go wrong.
                let _infallible = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "a\x1b[2Jb\u{9b}c\u{202e}d\u{7f}e\nf\u{200b}g\u{e0041}h";

    #[test]
    fn writes_out_what_a_terminal_would_obey() {
        assert_eq!(
            safe(NASTY),
            "a\\u{1b}[2Jb\\u{9b}c\\u{202e}d\\u{7f}e\\nf\\u{200b}g\\u{e0041}h"
        );
        assert_eq!(safe("GET /grüße/世界"), "GET /grüße/世界");
    }

    #[test]
    fn json_stays_the_same_value() {
        let json = safe_json(&serde_json::to_string(NASTY).unwrap()).into_owned();
        assert!(json.is_ascii(), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), NASTY);
    }
}
