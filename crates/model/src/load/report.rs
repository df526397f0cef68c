//! Collects errors, each with its place and the text that stands there.

use std::collections::HashMap;
use std::sync::Arc;

use super::DIAGNOSTICS_MAX;
use super::tree::Mark;
use crate::{Diagnostic, Diagnostics, Position};

/// Widest line of text shown, in characters.
const SHOWN_MAX: usize = 120;

/// The text of one file and where its lines begin.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) name: Arc<str>,
    text: Arc<str>,
    lines: Vec<usize>,
}

impl Text {
    pub(super) fn new(name: Arc<str>, text: Arc<str>) -> Self {
        let bytes = text.as_bytes();
        let mut lines = vec![0];
        for (at, &byte) in bytes.iter().enumerate() {
            // YAML breaks lines at LF, CR and CR LF.
            if byte == b'\n' || (byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')) {
                lines.push(at + 1);
            }
        }
        Self { name, text, lines }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    fn line(&self, number: u32) -> Option<&str> {
        let index = (number as usize).checked_sub(1)?;
        let from = *self.lines.get(index)?;
        let to = self
            .lines
            .get(index + 1)
            .copied()
            .unwrap_or(self.text.len());
        Some(self.text.get(from..to)?.trim_end_matches(['\n', '\r']))
    }

    /// The line as it is shown, one character for each of its own. Of a wider one, what ends after `column`.
    fn shown(&self, line: u32, column: u32) -> Option<String> {
        let line = self.line(line)?;
        let target = (column as usize).saturating_sub(1);
        if target < SHOWN_MAX {
            let mut out: String = line.chars().take(SHOWN_MAX).map(visible).collect();
            if line.chars().nth(SHOWN_MAX).is_some() {
                out.push('…');
            }
            return Some(out);
        }
        let from = target + 2 - SHOWN_MAX;
        let window = line.chars().skip(from).take(target + 1 - from).map(visible);
        Some(std::iter::once('…').chain(window).collect())
    }
}

/// Control characters as their pictures; those that reorder or hide text as the replacement character.
fn visible(character: char) -> char {
    match character {
        '\u{0}'..='\u{1F}' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{FFFD}'),
        '\u{7F}' => '\u{2421}',
        '\u{200B}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{FEFF}' => '\u{FFFD}',
        c if c.is_control() => '\u{FFFD}',
        c => c,
    }
}

/// All texts and all errors of one load.
#[derive(Debug, Default)]
pub(super) struct Report {
    texts: HashMap<Arc<str>, Text>,
    found: Vec<Diagnostic>,
    /// Errors beyond [`DIAGNOSTICS_MAX`], of which only the number is kept.
    more: usize,
}

impl Report {
    pub(super) fn with(found: Vec<Diagnostic>) -> Self {
        Self {
            found,
            ..Self::default()
        }
    }

    /// Files that have errors so far.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.found
            .iter()
            .map(|found| found.at.as_ref().map_or("the directory", |at| &at.file))
    }

    pub(super) fn add_text(&mut self, text: Text) {
        self.texts.insert(text.name.clone(), text);
    }

    pub(super) fn push(&mut self, at: Position, message: String, help: String) {
        self.push_also(at, message, help, None);
    }

    pub(super) fn push_also(
        &mut self,
        at: Position,
        message: String,
        help: String,
        also: Option<Position>,
    ) {
        if self.is_full() {
            self.more += 1;
            return;
        }
        self.found.push(Diagnostic {
            at: Some(at),
            message,
            text: None,
            help: Some(help),
            also,
        });
    }

    /// Errors that nobody kept.
    pub(super) fn count(&mut self, more: usize) {
        self.more += more;
    }

    /// Enough is wrong; further errors are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() > DIAGNOSTICS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Sorted by place, with texts, bounded.
    pub(super) fn finish(mut self) -> Diagnostics {
        self.found.sort_by(|a, b| place(a).cmp(&place(b)));
        self.found.dedup();
        let all = self.found.len() + self.more;
        if all > DIAGNOSTICS_MAX {
            self.found.truncate(DIAGNOSTICS_MAX);
            self.found.push(Diagnostic {
                at: None,
                message: format!("there are {all} errors, the first {DIAGNOSTICS_MAX} are shown"),
                text: None,
                help: Some("mend these first".to_owned()),
                also: None,
            });
        }
        for diagnostic in &mut self.found {
            quote(&self.texts, diagnostic);
        }
        Diagnostics(self.found)
    }
}

/// Adds the line of text to an error that has none.
pub(super) fn quote(texts: &HashMap<Arc<str>, Text>, diagnostic: &mut Diagnostic) {
    let Some(at) = &diagnostic.at else { return };
    let Some(text) = texts.get(&at.file) else {
        return;
    };
    if diagnostic.text.is_none() {
        diagnostic.text = text.shown(at.line, at.column);
    }
}

fn place(diagnostic: &Diagnostic) -> (bool, &str, u32, u32) {
    match &diagnostic.at {
        Some(at) => (false, &at.file, at.line, at.column),
        None => (true, "", 0, 0),
    }
}

/// A place in a file.
pub(super) fn position(file: &Arc<str>, mark: Mark) -> Position {
    Position {
        file: file.clone(),
        line: mark.line,
        column: mark.column,
    }
}
