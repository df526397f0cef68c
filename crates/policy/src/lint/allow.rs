//! Findings that somebody has looked at and lets stand: `# ringfence: allow RF1104 reason`.

use std::collections::HashMap;

use super::Finding;

/// What begins a comment that lets a finding stand.
const MARK: &str = "# ringfence: allow ";

/// Splits findings into those that remain and those that a comment lets stand, with a reason: at the end of the line that is
/// found, or in the comment lines just above it. `texts` are the files, by the names that positions have.
pub fn allowed<'a>(
    findings: Vec<Finding>,
    texts: impl Iterator<Item = (&'a str, &'a str)>,
) -> (Vec<Finding>, Vec<Finding>) {
    // Most estates have no such comment: nothing is looked up.
    let lines: HashMap<&str, Vec<&str>> = texts
        .filter(|(_, text)| text.contains(MARK))
        .map(|(name, text)| (name, text.lines().collect()))
        .collect();
    findings.into_iter().partition(|finding| {
        !lines
            .get(&*finding.at.file)
            .is_some_and(|lines| stands(finding, lines))
    })
}

fn stands(finding: &Finding, lines: &[&str]) -> bool {
    let Some(index) = (finding.at.line as usize).checked_sub(1) else {
        return false;
    };
    let own = lines.get(index).copied();
    let above = lines
        .get(..index)
        .unwrap_or_default()
        .iter()
        .rev()
        .copied()
        .take_while(|line| line.trim_start().starts_with('#'));
    own.into_iter()
        .chain(above)
        .any(|line| allows(line, finding.code.id))
}

/// Several codes may be named; a reason must follow.
fn allows(line: &str, id: &str) -> bool {
    let Some((before, comment)) = line.split_once(MARK) else {
        return false;
    };
    let is_comment = before.trim().is_empty() || before.ends_with([' ', '\t']);
    let mut named = false;
    let mut words = comment
        .split([' ', ',', ':'])
        .filter(|word| !word.is_empty());
    let reason = words.find(|word| {
        named |= *word == id;
        super::code(word).is_none()
    });
    is_comment && named && reason.is_some()
}

#[cfg(test)]
mod tests {
    use super::allows;

    #[test]
    fn a_comment_names_codes_and_gives_a_reason() {
        for line in [
            "# ringfence: allow RF1104 it is public",
            "  # ringfence: allow RF1201, RF1104: it is public",
            "metadata: { name: s } # ringfence: allow RF1104 RF1201 public",
        ] {
            assert!(allows(line, "RF1104"), "{line}");
        }
        for line in [
            "# ringfence: allow RF1104",
            "# ringfence: allow RF1201 it is public",
            "# ringfence: allow it is public RF1104",
            "# ringfence: allow RF9999 RF1104 x",
            "name: x# ringfence: allow RF1104 no comment in YAML",
            "# RF1104 it is public",
        ] {
            assert!(!allows(line, "RF1104"), "{line}");
        }
    }
}
