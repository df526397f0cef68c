//! Texts that are no YAML, or more of it than anyone needs.

use super::*;

#[test]
fn yaml_that_bites_is_refused_quickly() {
    let before = std::time::Instant::now();
    let nested = "[".repeat(20_000);
    assert_eq!(
        errors(&nested),
        ["1:33 lists and mappings are nested more than 32 deep"]
    );
    let nested = "{a: ".repeat(20_000);
    assert!(errors(&nested)[0].contains("nested more than 32 deep"));
    let block: String = (0..400)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    assert!(errors(&block)[0].contains("nested more than 32 deep"));
    let dashes = "- ".repeat(20_000);
    assert!(errors(&dashes)[0].contains("nested more than 32 deep"));

    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let line = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{line}]").unwrap();
    }
    assert!(
        errors(&bomb)
            .iter()
            .any(|e| e.contains("expands to more than 1000000 values")),
        "{:?}",
        errors(&bomb)
    );
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..20_000 {
        writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
    }
    assert!(errors(&chain)[0].contains("nested more than 32 deep"));
    assert!(
        errors("a: &a [*a]")
            .iter()
            .any(|e| e.contains("the alias stands within what it names"))
    );
    assert!(
        errors("a: *a")
            .iter()
            .any(|e| e.contains("the alias names no anchor"))
    );
    assert!(before.elapsed().as_secs() < 5, "{:?}", before.elapsed());
}

#[test]
fn an_alias_stands_for_what_it_names() {
    let text = policy(
        "  agent: a\n  initiate:\n  - {service: s, operations: &ops [GET /a, GET /b]}\n  - {agent: b, operations: *ops}",
    );
    let estate = load(&text).unwrap();
    assert_eq!(estate.policies[0].initiate[1].operations.len(), 2);
}

#[test]
fn says_what_is_wrong_with_the_text() {
    for (text, wanted) in [
        ("a: 'x", "a quote is not closed"),
        ("a: [x", "the bracket [ is not closed"),
        ("a: [x}", "not YAML"),
        ("a:\n\tb: 1", "a tab stands where YAML takes only spaces"),
        ("%YAML 1.2\n---\na: 1", "a directive is not supported"),
        ("? [a]\n: b", "a key is not a text"),
        ("a: b: c", "not YAML"),
        ("", "the file is empty"),
        (" \n\n", "the file is empty"),
    ] {
        let found = errors(text);
        assert!(
            found.iter().any(|e| e.contains(wanted)),
            "{text:?}: {found:?}"
        );
    }
    let Diagnostics(found) = documents(&[("a.yaml", b"a: x\nb: \xC3\xA4\xFF")]).unwrap_err();
    assert_eq!(
        (
            found[0].at.as_ref().unwrap().line,
            found[0].at.as_ref().unwrap().column
        ),
        (2, 5)
    );
    assert_eq!(found[0].message, "the file is not UTF-8");
    assert!(documents(&[("a.yaml", b"\xFF\xFEa\0")]).is_err());
}

#[test]
fn a_byte_order_mark_comments_and_empty_documents_do_no_harm() {
    let text = format!(
        "\u{FEFF}# first\n---\n---\n{HEAD}kind: Agent\nmetadata: {{name: a}}\n---\n# last\n"
    );
    assert_eq!(load(&text).unwrap().agents.len(), 1);
    let text = text.replace('\n', "\r\n");
    assert_eq!(load(&text).unwrap().agents[0].at.line, 6);
    assert_eq!(load("# nothing yet\n").unwrap(), Estate::default());
}

#[test]
fn a_flood_of_errors_is_cut() {
    let text: String = (0..5000).map(|n| format!("x{n}: 1\n")).collect();
    let Diagnostics(found) = load(&text).unwrap_err();
    assert_eq!(found.len(), DIAGNOSTICS_MAX + 1);
    assert_eq!(
        found.last().unwrap().message,
        "there are 5003 errors, the first 1000 are shown"
    );
}

proptest::proptest! {
    #[test]
    fn never_panics(text in "([a-z{}\\[\\]:,\\-&*!|>'\"#%@?\n\t \u{FEFF}]|\\PC){0,80}") {
        let _ = load(&text);
    }

    /// Damage anywhere in a good file gives errors or an estate, never a panic, and errors have places in it.
    #[test]
    fn damage_is_told_or_harmless(at in 0usize..2000, with in "[a-z{}\\[\\]:,\n ]{0,3}", cut in 0usize..4) {
        let at = at.min(BANK.len() - 4);
        let text = format!("{}{with}{}", &BANK[..at], &BANK[at + cut..]);
        if let Err(Diagnostics(found)) = load(&text) {
            for diagnostic in found {
                let at = diagnostic.at.expect("a place");
                proptest::prop_assert!(at.line as usize <= text.lines().count() + 1);
            }
        }
    }
}

/// Large files, built to cost the reader more than their size. What is quadratic takes minutes here.
#[test]
fn large_files_are_read_in_time() {
    let full = |piece: &str| piece.repeat(256 * 1024 / piece.len());
    let keys: String = (0..20_000).map(|n| format!("k{n}: {n}\n")).collect();
    for text in [
        keys,
        full("- a\n"),
        full("[a,"),
        full("{a: b},"),
        format!("[{}", full("a,")),
        format!("{{{}", full("a,")),
        format!("{{{}", full("? ")),
        full("? "),
        full("?\n"),
        full(": "),
        full("a "),
        full("a\n"),
        full("a\n\n "),
        format!("\"{}", full("x ")),
        format!("\"{}", full("\\x41")),
        format!("'{}", full("'' ")),
        format!("|\n{}", full(" \n")),
        format!(">\n{}", full("  a\n\n")),
        full("&a "),
        full("&a a\n"),
        format!("- &a b\n{}", full("- *a\n")),
        full("!"),
        full("!!a b\n"),
        full("#"),
        full("# a\n"),
        full("\n"),
        full(" "),
        full("\t"),
        full("---\n"),
        full("--- a\n"),
        full("...\n"),
        full("%a\n"),
        full("\u{FEFF}"),
        full("ä: ö\n"),
        full("\r"),
    ] {
        let before = std::time::Instant::now();
        let _ = load(&text);
        let took = before.elapsed();
        assert!(
            took.as_secs() < 10,
            "{:?}… took {took:?}",
            &text[..text.len().min(12)]
        );
    }
}
