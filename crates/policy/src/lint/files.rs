//! Ways from one workload to another that no rule names: trees of files that both see.

use std::path::Path;

use ringfence_model::resource::Policy;

use super::Finding;
use super::codes::{HOST_SOCKETS, SHARED_TREE};
use super::view::View;

/// A path of a policy's `filesystem`.
struct Shown<'a> {
    path: &'a Path,
    writable: bool,
    policy: &'a Policy,
}

pub(super) fn find(view: &View<'_>, findings: &mut Vec<Finding>) {
    let policies = &view.estate.policies;
    let mut trees: Vec<_> = policies.iter().flat_map(trees).collect();
    // A tree before what lies in it; of one tree that two name, who may write comes first.
    trees.sort_by(|a, b| (a.path, !a.writable).cmp(&(b.path, !b.writable)));
    let (mut above, mut writable_above) = (Vec::<&Shown<'_>>::new(), Vec::<&Shown<'_>>::new());
    for tree in &trees {
        for stack in [&mut above, &mut writable_above] {
            while stack
                .pop_if(|top| !tree.path.starts_with(top.path))
                .is_some()
            {}
        }
        // Whoever reads is reached by those who write; whoever writes reaches all.
        let others = if tree.writable {
            &above
        } else {
            &writable_above
        };
        let other = others
            .iter()
            .rev()
            .find(|other| other.policy.subject != tree.policy.subject);
        findings.extend(other.map(|other| shared(tree, other)));
        above.push(tree);
        if tree.writable {
            writable_above.push(tree);
        }
    }
    findings.extend(
        policies
            .iter()
            .filter(|policy| policy.filesystem.sockets)
            .map(sockets),
    );
}

fn trees(policy: &Policy) -> impl Iterator<Item = Shown<'_>> {
    let shown = move |writable| {
        move |path| Shown {
            path,
            writable,
            policy,
        }
    };
    let files = &policy.filesystem;
    let read = files.read.iter().map(|path| path.as_path());
    let write = files.write.iter().map(|path| path.as_path());
    read.map(shown(false)).chain(write.map(shown(true)))
}

fn may(tree: &Shown<'_>) -> String {
    let verb = if tree.writable { "write" } else { "read" };
    format!("{} may {verb} {}", tree.policy.subject, tree.path.display())
}

fn shared(tree: &Shown<'_>, other: &Shown<'_>) -> Finding {
    Finding::new(
        &SHARED_TREE,
        format!("policy {}", tree.policy.name),
        &tree.policy.at,
        format!("{}, and {}: the two can talk there", may(tree), may(other)),
        "give each a tree of its own, and let them talk where a rule says what about",
    )
    .also(Some(&other.policy.at))
}

fn sockets(policy: &Policy) -> Finding {
    Finding::new(
        &HOST_SOCKETS,
        format!("policy {}", policy.name),
        &policy.at,
        format!(
            "{} may connect every socket that lies in a tree it is shown",
            policy.subject
        ),
        "remove `sockets: true`, and make what listens there a service",
    )
}
