//! Redaction: the keys are deleted by which one could check what an HMAC in a record was made of.

use ringfence_audit::Which;
use ringfence_compartment::link::{Event, ToNode};

use crate::control::{fitting, record};
use crate::node::Node;

/// Operation of the event.
const REDACTED: &str = "values redacted";

/// Deletes keys for good, and records who wanted that before it is done. `dry_run`: tells which they are.
pub(crate) fn redact(node: &Node, id: u64, which: Which, dry_run: bool, by: &str) -> ToNode {
    let log = node.recorder.log();
    let answer = |keys: u64, numbers, trouble: Option<String>| ToNode::Redacted {
        id,
        keys,
        numbers,
        trouble: trouble.map(fitting),
    };
    let selected = if dry_run {
        log.keys_of(which)
    } else {
        log.select_keys(which)
    };
    let selected = match selected {
        Ok(selected) => selected,
        Err(error) => return answer(0, None, Some(error.to_string())),
    };
    let (Some(&first), Some(&last)) = (selected.first(), selected.last()) else {
        return answer(0, None, None);
    };
    let many = selected.len() as u64;
    if dry_run {
        return answer(many, Some((first, last)), None);
    }
    let what = |reason, ok| Event {
        operation: REDACTED.to_owned(),
        reason,
        subject: None,
        ok,
    };
    let told = format!("{many} keys from {first} to {last} are deleted, {by}");
    if let Err(error) = record(node, &what(told, true)) {
        let why =
            format!("the log does not take the record of it, so nothing was deleted: {error}");
        return answer(0, None, Some(why));
    }
    let (gone, trouble) = log.delete_keys(&selected);
    let trouble = trouble.map(|error| error.to_string());
    if let Some(trouble) = &trouble {
        let told = format!("{} of these keys are not deleted: {trouble}", many - gone);
        // It stands in the answer as well; the log counts what it cannot take.
        let _counted_by_the_log = record(node, &what(told, false));
    }
    answer(gone, Some((first, last)), trouble)
}

#[cfg(test)]
mod tests {
    use ringfence_audit::{FieldKey, LogError};

    use super::*;
    use crate::testing::World;

    const ESTATE: &str =
        "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: { name: agent }\nspec: {}\n";
    const ALL: Which = Which {
        first: 0,
        last: u64::MAX,
        before_ns: None,
    };

    #[test]
    fn what_is_redacted_is_recorded_with_who_wanted_it() -> Result<(), LogError> {
        let world = World::new(ESTATE);
        let log = world.node.recorder.log();
        let old = log.field_key()?.number();
        let dry = redact(&world.node, 7, ALL, true, "by root: a test");
        let counted = |keys, trouble| ToNode::Redacted {
            id: 7,
            keys,
            numbers: Some((old, old)),
            trouble,
        };
        assert_eq!(dry, counted(1, None));
        assert_eq!(log.field_key()?.number(), old, "nothing was done");
        assert!(world.flows().is_empty());

        let done = redact(&world.node, 7, ALL, false, "by root: a test");
        assert_eq!(done, counted(1, None));
        assert!(log.field_key()?.number() > old);
        assert!(FieldKey::read(world.log_directory(), old)?.is_none());
        let [event] = &world.flows()[..] else {
            panic!("{:#?}", world.flows());
        };
        assert_eq!(event.operation, REDACTED);
        assert_eq!(
            event.reason,
            format!("1 keys from {old} to {old} are deleted, by root: a test")
        );
        Ok(())
    }
}
