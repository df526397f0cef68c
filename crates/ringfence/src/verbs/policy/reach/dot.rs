//! The graph in the language of Graphviz.

use std::fmt::Write as _;

use ringfence_model::Kind;

use super::picture::{Picture, Style};
use crate::output::safe;

/// Columns as ranks; every word of others between quotes.
pub(super) fn document(picture: &Picture) -> String {
    let mut out = String::from(
        "digraph reach {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fillcolor=\"#eef3f8\", fontname=\"sans-serif\", fontsize=11];\n  edge [fontname=\"sans-serif\", fontsize=9, color=\"#5b6b7b\"];\n",
    );
    for (index, node) in picture.nodes.iter().enumerate() {
        let shape = match node.kind {
            Kind::Agent => "",
            Kind::Service => ", shape=component",
        };
        let taken = match (&picture.from, node.column) {
            (Some(_), 0) => ", fillcolor=\"#fbd5d5\", penwidth=2",
            _ => "",
        };
        // Writing to a String cannot go wrong.
        let _infallible = writeln!(
            out,
            "  n{index} [label={}, tooltip={}{shape}{taken}];",
            quoted(&node.name),
            quoted(&node.tip)
        );
    }
    let columns = picture.nodes.iter().map(|node| node.column).max();
    for column in 0..=columns.unwrap_or(0) {
        let same = picture.nodes.iter().enumerate();
        let same: Vec<String> = same
            .filter(|(_, node)| node.column == column)
            .map(|(index, _)| format!("n{index}"))
            .collect();
        if !same.is_empty() {
            let _infallible = writeln!(out, "  {{ rank=same; {}; }}", same.join("; "));
        }
    }
    for link in &picture.links {
        let style = match link.style {
            Style::Plain => "",
            Style::Condition => ", style=dashed",
            Style::Soft => ", style=dotted",
        };
        let weight = match link.main {
            true => "",
            false => ", constraint=false, color=\"#b8c2cc\"",
        };
        let _infallible = writeln!(
            out,
            "  n{} -> n{} [label={}, tooltip={}{style}{weight}];",
            link.from,
            link.to,
            quoted(&link.label),
            quoted(&link.tip)
        );
    }
    for (index, (_, name)) in picture.apart.iter().enumerate() {
        let _infallible = writeln!(
            out,
            "  a{index} [label={}, fillcolor=\"#ffffff\", fontcolor=\"#8592a0\", color=\"#c9d1d9\"];",
            quoted(name)
        );
    }
    out.push_str("}\n");
    out
}

/// A quoted string of the language, in which a backslash begins an escape of its own.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in safe(text).chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
