//! `docs/ocsf.md` shows the tables as they are.

#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use ringfence_ocsf::table::{Activity, Choice, HAPPENINGS, METHODS, OUTCOMES, ROWS, STATEMENTS};
use ringfence_ocsf::{MAPPING_VERSION, OCSF_VERSION};

fn choice((id, caption): Choice) -> String {
    match id {
        99 if caption.is_empty() => "99 Other".to_owned(),
        99 => format!("99 `{caption}`"),
        _ => format!("{id} {caption}"),
    }
}

fn activity(activity: Activity) -> String {
    match activity {
        Activity::Always(one) => choice(one),
        Activity::Came(passed, refused, failed) => format!(
            "{}; refused {}; failed {}",
            choice(passed),
            choice(refused),
            choice(failed)
        ),
        Activity::FirstWord([]) => "99, under the first word of the operation".to_owned(),
        Activity::FirstWord(list) if list == METHODS => "by method".to_owned(),
        Activity::FirstWord(_) => "by statement".to_owned(),
        Activity::Operation(_) => "by operation".to_owned(),
    }
}

fn tables() -> String {
    let mut text = format!("OCSF {OCSF_VERSION}, mapping {MAPPING_VERSION}.\n\n");
    text += "| kind | protocol | class | activity |\n| --- | --- | --- | --- |\n";
    for row in ROWS {
        let mut kind = format!("`{}`", row.kind);
        if let Some(outcome) = row.outcome {
            kind += &format!(" with outcome `{outcome}`");
        }
        let protocols: Vec<String> = row.protocols.iter().map(|it| format!("`{it}`")).collect();
        writeln!(
            text,
            "| {kind} | {} | {} {} | {} |",
            match protocols.is_empty() {
                true => "any other".to_owned(),
                false => protocols.join(", "),
            },
            row.class.uid,
            row.class.caption,
            activity(row.activity)
        )
        .unwrap();
    }
    text += "\n| outcome | status | severity | action | disposition |\n| --- | --- | --- | --- | --- |\n";
    for came in OUTCOMES {
        writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            came.outcome,
            choice(came.status),
            choice(came.severity),
            choice(came.action),
            choice(came.disposition)
        )
        .unwrap();
    }
    for (title, list) in [
        ("method", METHODS),
        ("statement", STATEMENTS),
        ("operation of an event", HAPPENINGS),
    ] {
        write!(text, "\n| {title} | activity |\n| --- | --- |\n").unwrap();
        // Those of one activity stand together.
        let mut rest = list;
        while let Some((_, one)) = rest.first() {
            let same = rest.iter().take_while(|it| it.1 == *one).count();
            let words: Vec<String> = rest[..same]
                .iter()
                .map(|it| format!("`{}`", it.0))
                .collect();
            writeln!(text, "| {} | {} |", words.join(", "), choice(*one)).unwrap();
            rest = &rest[same..];
        }
    }
    text
}

/// After a change that is meant: `OCSF_DOCS=write cargo test -p ringfence-ocsf`.
#[test]
fn the_manual_shows_the_tables_as_they_are() {
    const BEGIN: &str = "<!-- tables -->\n";
    const END: &str = "<!-- end of tables -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ocsf.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    let tables = tables();
    if std::env::var_os("OCSF_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{tables}{END}{after}")).unwrap();
    } else {
        assert_eq!(shown, tables);
    }
}
