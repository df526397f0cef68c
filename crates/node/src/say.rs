//! What the operator in front of the terminal, or the journal, is told.

use std::io::Write;

/// One message on stderr. Later lines are indented, so that one message is told from the next.
pub(crate) fn warn(message: &str) {
    let text = message.replace('\n', "\n  ");
    // Nobody to tell when stderr is gone; the node serves on.
    let _ = writeln!(std::io::stderr(), "ringfence: {text}");
}
