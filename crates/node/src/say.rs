//! What the operator in front of the terminal, or the journal, is told.

use std::io::Write;

use ringfence_model::text::misleads;

/// One message on stderr. Later lines are indented, so that one message is told from the next.
pub(crate) fn warn(message: &str) {
    // Nobody to tell when stderr is gone; the node serves on.
    let _ = writeln!(std::io::stderr(), "ringfence: {}", shown(message));
}

/// `message` with nothing in it that a terminal would obey: file names and resource files can hold anything.
fn shown(message: &str) -> String {
    let mut shown = String::with_capacity(message.len());
    for c in message.chars() {
        match c {
            '\n' => shown.push_str("\n  "),
            c if misleads(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_moves_no_cursor_and_starts_no_other_message() {
        assert_eq!(
            shown("a\x1b[2J\u{9b}\u{202e}\nringfence: b"),
            "a\\u{1b}[2J\\u{9b}\\u{202e}\n  ringfence: b"
        );
    }
}
