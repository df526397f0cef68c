//! What is wrong with resource files, said so that it can be mended.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A place in a resource file. Line and column count from 1; columns count characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Path relative to the configuration directory.
    pub file: Arc<str>,
    /// 1-based.
    pub line: u32,
    /// 1-based.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One error in the resource files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Where; absent when the directory itself is the matter.
    pub at: Option<Position>,
    /// What is wrong, lower case, without a full stop.
    pub message: String,
    /// The line of text the error is on, cut to a readable width, control characters escaped.
    pub text: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// A second place that belongs to it, such as the first of two duplicates.
    pub also: Option<Position>,
}

/// All errors of one load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostic {
    /// `FILE:LINE:COLUMN: message`, then the text with a caret, `also` and `help` on lines of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{}:{}:{}: ", at.file, at.line, at.column)?;
        }
        f.write_str(&self.message)?;
        if let (Some(at), Some(text)) = (&self.at, &self.text) {
            let number = at.line.to_string();
            let gutter = " ".repeat(number.len());
            let length = text.chars().count();
            // A text cut at its start ends with the character the error is at.
            let caret = match text.starts_with('…') {
                true => length.saturating_sub(1),
                false => length.min(at.column.saturating_sub(1) as usize),
            };
            let indent = " ".repeat(caret);
            write!(
                f,
                "\n {gutter} |\n {number} | {text}\n {gutter} | {indent}^"
            )?;
        }
        if let Some(also) = &self.also {
            write!(
                f,
                "\n   = also at {}:{}:{}",
                also.file, also.line, also.column
            )?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n   = help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
