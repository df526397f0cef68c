//! State and configuration of the node decide what the workload may reach. Neither is ever shown, nor may be.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "node-files",
    tries: "state, configuration and log of the node",
    wall: "built root",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let paths = [
        ground.state.clone(),
        ground.state.join("log"),
        ground.config.clone(),
        ground.config.join("estate.yaml"),
    ];
    Verdict::any(paths.map(|path| (path.display().to_string(), sys::shows(path))))
}
