//! A configuration that somebody is in the middle of writing.

use std::fs::OpenOptions;

use super::ground::{DEAF, ESTATE, Ground};
use crate::limits::UNSETTLED_STARTS;

#[tokio::test]
async fn a_start_waits_so_many_looks_for_the_files_to_rest() {
    let mut ground = Ground::new(DEAF, ESTATE);
    let file = ground.path().join("config/estate.yaml");
    let writing = OpenOptions::new().append(true).open(file).unwrap();
    for look in 1..UNSETTLED_STARTS {
        ground.read();
        assert!(
            !ground.supervisor.child.was_started(),
            "started after {look} looks"
        );
    }
    ground.read();
    assert!(ground.supervisor.child.was_started());
    // With nothing, as there was nothing before; what is written comes into force when it is whole.
    ground.serve();
    let degraded = ground.degraded();
    assert!(degraded.contains("no policy is in force"), "{degraded}");
    assert!(ground.claim("clerk", None).try_recv().unwrap().is_err());
    drop(writing);
    ground.read();
    ground.serve();
    assert_eq!(ground.degraded(), "");
    ground.granted("clerk");
}
