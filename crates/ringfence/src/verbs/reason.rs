//! Why an operator wants something: `--reason`.

use ringfence_node::limits::QUARANTINE_REASON_MAX;

/// A line that says something, and no more than a node takes.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("say why, for whoever finds it in the log".to_owned());
    }
    if text.len() > QUARANTINE_REASON_MAX {
        return Err(format!(
            "longer than {QUARANTINE_REASON_MAX} bytes: say it in a line, and write the rest elsewhere"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something_and_is_one_line_long() {
        for good in ["test", &"x".repeat(QUARANTINE_REASON_MAX)] {
            assert_eq!(reason(good).as_deref(), Ok(good));
        }
        for bad in ["", " \n", &"x".repeat(QUARANTINE_REASON_MAX + 1)] {
            assert!(reason(bad).is_err(), "{bad:?}");
        }
    }
}
