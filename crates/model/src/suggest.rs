//! "Did you mean": the word that a slip of the keyboard was meant to be.

/// The nearest of `words`, if it is near enough to be what was meant.
pub fn nearest<'a>(written: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Beyond this a text is no misspelt word.
    const LONGEST: usize = 80;
    let length = written.chars().count();
    if length > LONGEST {
        return None;
    }
    let limit = (length / 3).clamp(1, 3);
    words
        .into_iter()
        .filter(|word| word.chars().count().abs_diff(length) <= limit)
        .map(|word| {
            (
                distance(&written.to_lowercase(), &word.to_lowercase()),
                word,
            )
        })
        .filter(|&(distance, _)| distance <= limit)
        .min()
        .map(|(_, word)| word)
}

/// `did you mean …?` or `otherwise`.
pub fn help<'a>(
    written: &str,
    words: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    match nearest(written, words) {
        Some(word) => format!("did you mean {word}?"),
        None => otherwise.to_owned(),
    }
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let words = ["port", "protocol", "hosts", "owner"];
        assert_eq!(nearest("prot", words), Some("port"));
        assert_eq!(nearest("Protocol", words), Some("protocol"));
        assert_eq!(nearest("host", words), Some("hosts"));
        assert_eq!(nearest("colour", words), None);
    }
}
