//! All techniques, by subject.

mod calls;
mod devices;
mod door;
mod files;
mod filters;
mod handed;
mod ipc;
mod mounts;
mod namespaces;
mod neighbour;
mod network;
mod own_network;
mod privilege;
mod proc;
mod processes;
mod signals;
mod sockets;
mod terminal;

use super::Technique;

/// A folder of techniques.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The folder's name.
    pub name: &'static str,
    /// Its files.
    pub techniques: &'static [&'static Technique],
}

/// Every subject.
pub fn subjects() -> impl Iterator<Item = Subject> {
    const ALL: &[(&str, &[&Technique])] = &[
        ("calls", calls::ALL),
        ("devices", devices::ALL),
        ("door", door::ALL),
        ("files", files::ALL),
        ("filters", filters::ALL),
        ("handed", handed::ALL),
        ("ipc", ipc::ALL),
        ("mounts", mounts::ALL),
        ("namespaces", namespaces::ALL),
        ("neighbour", neighbour::ALL),
        ("network", network::ALL),
        ("own_network", own_network::ALL),
        ("privilege", privilege::ALL),
        ("proc", proc::ALL),
        ("processes", processes::ALL),
        ("signals", signals::ALL),
        ("sockets", sockets::ALL),
        ("terminal", terminal::ALL),
    ];
    ALL.iter()
        .map(|&(name, techniques)| Subject { name, techniques })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;
    use std::collections::BTreeSet;

    /// Names in a folder, without `mod`.
    fn names(folder: &str) -> BTreeSet<String> {
        let path = format!(
            "{}/src/escape/techniques/{folder}",
            env!("CARGO_MANIFEST_DIR")
        );
        std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.trim_end_matches(".rs").replace('_', "-"))
            .filter(|name| name != "mod")
            .collect()
    }

    #[test]
    fn every_file_is_listed_under_its_name() {
        let folders: BTreeSet<_> = subjects()
            .map(|subject| subject.name.replace('_', "-"))
            .collect();
        assert_eq!(folders, names(""));
        for subject in subjects() {
            let listed: BTreeSet<_> = subject
                .techniques
                .iter()
                .map(|technique| technique.name.to_owned())
                .collect();
            assert_eq!(listed, names(subject.name), "{}", subject.name);
            assert_eq!(
                listed.len(),
                subject.techniques.len(),
                "a name stands twice"
            );
        }
    }

    #[test]
    fn the_security_model_counts_them() {
        let path = format!(
            "{}/../../docs/security-model.md",
            env!("CARGO_MANIFEST_DIR")
        );
        let model = std::fs::read_to_string(path).unwrap();
        let mut all = 0;
        for subject in subjects() {
            let count = subject.techniques.len();
            let row = format!("| `{}` | {count} |", subject.name);
            assert!(model.contains(&row), "docs/security-model.md lacks {row}");
            all += count;
        }
        assert!(model.contains(&format!("There are {all}, in")), "{all}");
    }

    #[test]
    fn no_name_stands_in_two_subjects() {
        let mut seen = BTreeSet::new();
        for technique in subjects().flat_map(|subject| subject.techniques) {
            assert!(seen.insert(technique.name), "{}", technique.name);
        }
    }
}
