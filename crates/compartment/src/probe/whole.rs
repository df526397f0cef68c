//! A whole compartment, thrown away again: built, armed, a program run in it, taken down.

use super::aside::aside;
use super::{Finding, PATIENCE, RootIds};
use crate::error::{EXIT_NOT_FOUND, EXIT_REFUSED};
use crate::launch;

/// The program that is run inside.
const PROGRAM: &str = "true";

pub(super) fn look(ids: RootIds) -> Vec<Finding> {
    const ID: &str = "compartment";
    aside(ID, "a whole compartment", PATIENCE, |teller| {
        let hint = "report this with the kernel's version (`uname -r`)";
        teller.tell(match launch::trial(ids.workload, PROGRAM) {
            Ok(0) => Finding::ok(
                ID,
                format!("`{PROGRAM}` ran in a compartment with all its walls and armed doors, and left nothing"),
            ),
            Ok(EXIT_NOT_FOUND) => Finding::ok(
                ID,
                format!("a compartment stands; this machine has no program `{PROGRAM}` to run in it"),
            ),
            Ok(code) => Finding::fail(
                ID,
                format!("`{PROGRAM}` ended with exit code {code} in a compartment"),
                hint,
            ),
            Err(refusal) if refusal.code == EXIT_REFUSED => Finding::refused(ID, &refusal),
            Err(refusal) => Finding::fail(ID, refusal.what, refusal.fix),
        });
    })
}
