//! A comparison as people, pull requests and programs read it.

use std::io::{self, Write};

use clap::ValueEnum;
use jiff::civil::Date;
use ringfence_model::{Kind, Position, Protocol};
use ringfence_policy::{Change, Depends, Direction, Effect, Fact};
use serde::Serialize;

use super::super::counted;
use super::Found;
use crate::output::{Colour, Failure, Paint, json, plain_table, safe};

/// Most rows that are shown to people. The rest is counted; `-o json` tells all.
const ROWS_SHOWN: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Markdown,
    Json,
}

/// Takes rows one by one.
pub(super) struct Printer {
    format: Format,
    rows: Vec<Row>,
    notes: Vec<[String; 3]>,
    /// Opened, loosened, tightened, closed, unknown, beside.
    counts: [usize; 6],
    noted: usize,
    left: usize,
    found: Found,
}

/// For people.
struct Row {
    effect: &'static str,
    colour: Colour,
    pair: String,
    operation: String,
    except: Vec<String>,
    depends: String,
    example: String,
}

/// A line of `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "row")]
enum Line<'a> {
    #[serde(rename_all = "camelCase")]
    Operation {
        effect: &'a str,
        from: &'a str,
        from_kind: Kind,
        to: &'a str,
        to_kind: Kind,
        protocol: Protocol,
        operation: &'a str,
        except: &'a [String],
        example: Option<&'a str>,
        #[serde(flatten)]
        depends: DependsLine<'a>,
        other: Vec<DependsLine<'a>>,
        certain: bool,
        rule: Option<&'a Position>,
        receive_rule: Option<&'a Position>,
    },
    Fact {
        about: &'a str,
        what: &'a str,
        before: Option<&'a str>,
        after: Option<&'a str>,
        direction: &'a str,
    },
}

#[derive(Serialize)]
struct DependsLine<'a> {
    when: &'a [String],
    until: Option<Date>,
    mode: Option<&'a str>,
}

impl<'a> From<&'a Depends> for DependsLine<'a> {
    fn from(depends: &'a Depends) -> Self {
        Self {
            when: &depends.when,
            until: depends.until,
            mode: depends.mode,
        }
    }
}

impl Printer {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            rows: Vec::new(),
            notes: Vec::new(),
            counts: [0; 6],
            noted: 0,
            left: 0,
            found: Found::default(),
        }
    }

    pub(super) fn change(&mut self, out: &mut impl Write, change: &Change) -> Result<(), Failure> {
        self.found.change(change);
        let (index, colour) = match change.effect {
            Effect::Opened => (0, Colour::Yellow),
            Effect::Loosened => (1, Colour::Yellow),
            Effect::Tightened => (2, Colour::Green),
            Effect::Closed => (3, Colour::Green),
            Effect::Unknown => (4, Colour::Magenta),
        };
        self.counts[index] += 1;
        if self.format == Format::Json {
            writeln!(out, "{}", json(&line(change))?)?;
        } else if self.rows.len() < ROWS_SHOWN {
            self.rows.push(row(change, colour));
        } else {
            self.left += 1;
        }
        Ok(())
    }

    pub(super) fn fact(&mut self, out: &mut impl Write, fact: &Fact) -> Result<(), Failure> {
        self.found.fact(fact.direction);
        match fact.direction {
            Direction::Note => self.noted += 1,
            _ => self.counts[5] += 1,
        }
        if self.format == Format::Json {
            let line = Line::Fact {
                about: &fact.about,
                what: fact.what,
                before: fact.before.as_deref(),
                after: fact.after.as_deref(),
                direction: fact.direction.as_str(),
            };
            writeln!(out, "{}", json(&line)?)?;
        } else if self.notes.len() < ROWS_SHOWN {
            self.notes.push([
                fact.direction.as_str().to_owned(),
                format!("{} {}", fact.about, fact.what),
                words(fact),
            ]);
        } else {
            self.left += 1;
        }
        Ok(())
    }

    pub(super) fn finish(self, out: &mut impl Write, names: [&str; 2]) -> Result<Found, Failure> {
        match self.format {
            Format::Table => self.table(out)?,
            Format::Markdown => self.markdown(out, names)?,
            Format::Json => {}
        }
        Ok(self.found)
    }

    fn summary(&self) -> String {
        let [opened, loosened, tightened, closed, unknown, beside] = self.counts;
        let mut words: Vec<String> = [
            (opened, "opened"),
            (loosened, "loosened"),
            (tightened, "tightened"),
            (closed, "closed"),
            (unknown, "unknown"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
        if words.is_empty() {
            words.push("no operation is decided differently".to_owned());
        }
        if beside > 0 {
            words.push(counted(beside, "other difference", "other differences"));
        }
        if self.noted > 0 {
            words.push(counted(self.noted, "note", "notes"));
        }
        words.join(", ")
    }

    fn table(&self, out: &mut impl Write) -> io::Result<()> {
        let paint = Paint::stdout();
        for row in &self.rows {
            let effect = format!("{:<9}", row.effect);
            write!(
                out,
                "{}  {} : {}",
                paint.paint(row.colour, &effect),
                safe(&row.pair),
                safe(&row.operation)
            )?;
            if !row.except.is_empty() {
                write!(out, "  except {}", safe(&row.except.join(", ")))?;
            }
            writeln!(out)?;
            if !row.depends.is_empty() {
                writeln!(out, "             {}", safe(&row.depends))?;
            }
            if !row.example.is_empty() {
                let example = format!("such as {}", row.example);
                writeln!(
                    out,
                    "             {}",
                    paint.paint(Colour::Dim, &safe(&example))
                )?;
            }
        }
        if !self.notes.is_empty() {
            let mut table = plain_table();
            for note in &self.notes {
                table.add_row(note.iter().map(|cell| safe(cell).into_owned()));
            }
            if !self.rows.is_empty() {
                writeln!(out)?;
            }
            for line in table.lines() {
                writeln!(out, "{}", line.trim())?;
            }
        }
        if !self.rows.is_empty() || !self.notes.is_empty() {
            writeln!(out)?;
        }
        if self.left > 0 {
            writeln!(out, "{} more; -o json tells all", self.left)?;
        }
        writeln!(out, "{}", self.summary())
    }

    fn markdown(&self, out: &mut impl Write, [old, new]: [&str; 2]) -> io::Result<()> {
        writeln!(
            out,
            "**Policy, from {} to {}**: {}",
            code(old),
            code(new),
            self.summary()
        )?;
        if !self.rows.is_empty() {
            writeln!(out, "\n| | from → to | operations | depends on | such as |")?;
            writeln!(out, "| --- | --- | --- | --- | --- |")?;
        }
        for row in &self.rows {
            let mut operation = code(&row.operation);
            if !row.except.is_empty() {
                let except: Vec<String> = row.except.iter().map(|it| code(it)).collect();
                operation += &format!(" except {}", except.join(", "));
            }
            writeln!(
                out,
                "| {} | {} | {operation} | {} | {} |",
                row.effect,
                code(&row.pair),
                code(&row.depends),
                code(&row.example)
            )?;
        }
        if !self.notes.is_empty() {
            writeln!(out, "\n| | what | before → after |")?;
            writeln!(out, "| --- | --- | --- |")?;
        }
        for [direction, what, words] in &self.notes {
            writeln!(out, "| {direction} | {} | {} |", code(what), code(words))?;
        }
        if self.left > 0 {
            writeln!(
                out,
                "\n{} more: `ringfence policy diff -o json` tells all.",
                self.left
            )?;
        }
        Ok(())
    }
}

fn line(change: &Change) -> Line<'_> {
    Line::Operation {
        effect: change.effect.as_str(),
        from: change.from.name.as_str(),
        from_kind: change.from.kind,
        to: change.to.name.as_str(),
        to_kind: change.to.kind,
        protocol: change.protocol,
        operation: &change.operation,
        except: &change.except,
        example: change.example.as_deref(),
        depends: (&change.depends).into(),
        other: change.other.iter().map(Into::into).collect(),
        certain: change.certain,
        rule: change.rule.as_ref(),
        receive_rule: change.receive_rule.as_ref(),
    }
}

fn row(change: &Change, colour: Colour) -> Row {
    let own = depends(&change.depends);
    let other: Vec<String> = change.other.iter().map(|it| always(depends(it))).collect();
    let other = other.join("; ");
    let mut depends = match change.effect {
        Effect::Opened | Effect::Closed => own,
        Effect::Loosened => format!("now also {}; before {other}", always(own)),
        Effect::Tightened => format!("no longer {}; now {other}", always(own)),
        Effect::Unknown => {
            "a bound of the search was reached: perhaps nothing changes, perhaps more than is listed".to_owned()
        }
    };
    if !change.certain && change.effect != Effect::Unknown {
        if !depends.is_empty() {
            depends += "; ";
        }
        depends += "perhaps: no example was found that is decided differently";
    }
    Row {
        effect: change.effect.as_str(),
        colour,
        pair: format!("{} → {}", change.from.name, change.to.name),
        operation: match change.operation.as_str() {
            "" => "any operation".to_owned(),
            operation => operation.to_owned(),
        },
        except: change.except.clone(),
        depends,
        example: change.example.clone().unwrap_or_default(),
    }
}

/// `when task == 'x', until 2027-01-01`
fn depends(depends: &Depends) -> String {
    let mut words: Vec<String> = Vec::new();
    if !depends.when.is_empty() {
        words.push(format!("when {}", depends.when.join(" and ")));
    }
    if let Some(until) = depends.until {
        words.push(format!("until {until}"));
    }
    if let Some(mode) = depends.mode {
        words.push(format!("let pass by mode {mode}"));
    }
    words.join(", ")
}

fn always(words: String) -> String {
    match words.is_empty() {
        true => "always".to_owned(),
        false => words,
    }
}

fn words(fact: &Fact) -> String {
    match (&fact.before, &fact.after) {
        (None, Some(_)) if fact.what == "resource" => "appears".to_owned(),
        (Some(_), None) if fact.what == "resource" => "vanishes".to_owned(),
        (before, after) => {
            let word = |it: &Option<String>| it.clone().unwrap_or_else(|| "nothing".to_owned());
            format!("{} → {}", word(before), word(after))
        }
    }
}

/// Words of others as code of Markdown: on one line, within a cell, and nothing in them is markup.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let text = safe(text).replace(['\n', '\r'], " ").replace('|', "\\|");
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    if longest > 0 {
        format!("{fence} {text} {fence}")
    } else {
        format!("{fence}{text}{fence}")
    }
}
