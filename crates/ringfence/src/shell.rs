//! Commands to paste: text of others as one word of a shell, or not at all.

use ringfence_model::text::misleads;

/// Longest word that is offered, in bytes. Nobody reads a longer one before pressing return.
const WORD_MAX: usize = 1024;

/// `text` as one word that `sh`, bash, zsh and fish read alike, which does nothing but be that text.
///
/// `None` for what no quoting makes safe to paste: control characters and line ends, characters that hide or reorder
/// text, a backslash (which fish reads inside quotes), `!` (which csh does), text that is cut or too long.
pub(crate) fn word(text: &str) -> Option<String> {
    let unsafe_anywhere = |c: char| misleads(c) || matches!(c, '\\' | '!' | '…');
    if text.len() > WORD_MAX || text.contains(unsafe_anywhere) {
        return None;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        Some(text.to_owned())
    } else {
        Some(format!("'{}'", text.replace('\'', "'\\''")))
    }
}

/// `--NAME VALUE`, in a way that a value which begins like an option stays a value.
pub(crate) fn option(name: &str, value: &str) -> Option<String> {
    let between = if value.starts_with('-') { '=' } else { ' ' };
    let value = word(value)?;
    Some(format!("--{name}{between}{value}"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What a shell makes of a word.
    fn read_by(shell: &str, word: &str) -> Option<String> {
        let output = Command::new(shell)
            .args(["-c", &format!("printf %s {word}")])
            .output()
            .ok()?;
        assert!(output.status.success(), "{shell} {word}");
        assert!(output.stderr.is_empty(), "{shell} {word}");
        Some(String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn every_shell_reads_the_text_back() {
        for text in [
            "assistant",
            "",
            "GET /books/1",
            "GET /o'reilly",
            "''",
            "'; touch /tmp/owned; '",
            "$(touch /tmp/owned)",
            "`touch /tmp/owned`",
            "$HOME ${HOME} ~ * ? [a] {a,b} # & | < > ;",
            "\"; true; \"",
            "-rf",
            "GET /grüße/世界",
            "a=b",
        ] {
            let word = word(text).unwrap();
            for shell in ["sh", "bash", "dash", "zsh", "fish"] {
                if let Some(read) = read_by(shell, &word) {
                    assert_eq!(read, text, "{shell}: {word}");
                }
            }
            assert_eq!(read_by("sh", &word).as_deref(), Some(text));
        }
    }

    #[test]
    fn offers_nothing_that_no_quoting_makes_safe() {
        for text in [
            "GET /\nrm -rf /",
            "GET /\r",
            "GET /\x1b[2J",
            "GET /\u{9b}m",
            "GET /\u{202e}txt",
            "GET /\u{200b}",
            "GET /\0",
            "GET /\\",
            "GET /!!",
            "GET /cut…",
            &"x".repeat(WORD_MAX + 1),
        ] {
            assert_eq!(word(text), None, "{text:?}");
            assert_eq!(option("op", text), None, "{text:?}");
        }
    }

    #[test]
    fn a_value_stays_a_value() {
        assert_eq!(option("op", "GET /").unwrap(), "--op 'GET /'");
        assert_eq!(option("op", "--batch=/x").unwrap(), "--op='--batch=/x'");
    }
}
