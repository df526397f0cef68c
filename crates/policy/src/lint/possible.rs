//! Whether anything is left of a rule when others have had their say.

use ringfence_model::operation::Pattern;
use ringfence_model::path::Allowances;

use crate::space::{Witness, witness};

/// Whether some operation of `rule` belongs to every list of `required` and to no pattern of `forbidden`.
///
/// It may say yes where the answer is no: where the search is cut off.
pub(crate) fn remains(
    rule: &Pattern,
    required: &[&[Pattern]],
    forbidden: &[&[Pattern]],
    allowances: Allowances,
) -> bool {
    let mut lists = vec![vec![rule]];
    lists.extend(required.iter().map(|list| list.iter().collect()));
    let lists: Vec<&[&Pattern]> = lists.iter().map(Vec::as_slice).collect();
    let forbidden: Vec<&Pattern> = forbidden.iter().flat_map(|list| list.iter()).collect();
    witness(&lists, &forbidden, allowances.into()) != Witness::None
}

#[cfg(test)]
mod tests {
    use ringfence_model::Protocol;

    use super::*;

    fn http(texts: &[&str]) -> Vec<Pattern> {
        let parse = |text: &&str| Pattern::parse(text, Protocol::Http, Allowances::default());
        texts.iter().map(parse).collect::<Result<_, _>>().unwrap()
    }

    fn left(rule: &str, required: &[&[&str]], forbidden: &[&[&str]]) -> bool {
        let lists = |texts: &[&[&str]]| texts.iter().map(|list| http(list)).collect::<Vec<_>>();
        let (required, forbidden) = (lists(required), lists(forbidden));
        let required: Vec<&[Pattern]> = required.iter().map(Vec::as_slice).collect();
        let forbidden: Vec<&[Pattern]> = forbidden.iter().map(Vec::as_slice).collect();
        remains(
            &http(&[rule])[0],
            &required,
            &forbidden,
            Allowances::default(),
        )
    }

    #[test]
    fn tells_what_is_left_of_a_rule() {
        for (rule, required, forbidden) in [
            ("GET /a", &[][..], &[][..]),
            ("GET /*", &[], &[&["GET /a", "GET /b"]]),
            ("* /a", &[], &[&["GET /a"]]),
            ("GET /**", &[], &[&["GET /*", "GET /*/*/**"]]),
            ("GET /a/**", &[], &[&["GET /a", "GET /a/*/**"]]),
            ("GET /**", &[&["* /a/*"], &["* /*/b"]], &[&["POST /**"]]),
        ] as [(&str, &[&[&str]], &[&[&str]]); 6]
        {
            assert!(left(rule, required, forbidden), "{rule} {forbidden:?}");
        }
        for (rule, required, forbidden) in [
            ("GET /a", &[&["POST /a"][..]][..], &[][..]),
            ("GET /*", &[], &[&["* /**"]]),
            (
                "GET /a/**",
                &[],
                &[&["GET /a", "GET /a/"], &["GET /a/*/**"]],
            ),
            ("GET /**", &[&["* /a/*"], &["* /*/b"]], &[&["GET /a/b"]]),
            ("GET /**", &[&["* /a", "* /b"]], &[&["GET /a"], &["GET /*"]]),
        ] as [(&str, &[&[&str]], &[&[&str]]); 5]
        {
            assert!(!left(rule, required, forbidden), "{rule} {forbidden:?}");
        }
    }
}
