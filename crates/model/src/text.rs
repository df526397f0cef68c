//! Text of others on its way to a terminal: nothing in it may be obeyed, hidden or reordered.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character could move the cursor, colour, hide or reorder what stands around it.
pub fn misleads(c: char) -> bool {
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
pub fn safe(text: &str) -> Cow<'_, str> {
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
pub fn safe_lines(text: &str) -> String {
    text.split('\n').map(safe).collect::<Vec<_>>().join("\n")
}

/// `json`, a serialised value, with the same characters as JSON escapes: the value stays what it was.
pub fn safe_json(json: &str) -> Cow<'_, str> {
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
