//! Resource files.

use ringfence_model::load;
use ringfence_policy::{lint, reach};

use super::compiled;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "resources",
    holds: "a resource file becomes an estate, the same each time, or a bounded list of errors with places in the file; never half of one",
    length_max: 4096,
    run,
};

fn run(bytes: &[u8]) {
    let loaded = load::documents(&[("a.yaml", bytes)]);
    assert_eq!(
        load::documents(&[("a.yaml", bytes)]),
        loaded,
        "another one the second time"
    );
    let estate = match loaded {
        Ok(estate) => estate,
        Err(diagnostics) => {
            assert!(!diagnostics.0.is_empty());
            assert!(diagnostics.0.len() <= load::DIAGNOSTICS_MAX + 1);
            let lines = bytes
                .iter()
                .filter(|&&b| matches!(b, b'\n' | b'\r'))
                .count()
                + 2;
            for diagnostic in &diagnostics.0 {
                // Messages are made fit for a terminal where they are shown; a line of the file is so from the start.
                let text = diagnostic.text.as_deref().unwrap_or_default();
                assert!(!text.contains(char::is_control), "{text:?}");
                if let Some(at) = &diagnostic.at {
                    assert_eq!(&*at.file, "a.yaml");
                    assert!(
                        at.line >= 1 && at.line as usize <= lines,
                        "line {} of {lines}",
                        at.line
                    );
                }
            }
            return;
        }
    };
    let today = jiff::civil::date(2026, 11, 25);
    // What lint and list say is of an estate that compiles.
    if let Some(snapshot) = compiled(&estate) {
        lint(&estate, today);
        reach(&snapshot, jiff::Timestamp::UNIX_EPOCH);
    }
}
