//! The neighbour itself: that it would notice.

use ringfence_testbed::Neighbour;

use crate::ground::node;

#[test]
fn a_neighbour_that_is_kept_waiting_notices() {
    let node = node();
    let neighbour = Neighbour::start(&node).unwrap();
    let calm = neighbour.calm().unwrap();
    assert!(calm.held_against(&calm).is_ok(), "{calm}");
    let (_, waited) = neighbour
        .during(|| {
            // Longer than any machine is slow, shorter than its patience.
            let enforcer = node.enforcer().unwrap();
            node.host().signal("STOP", enforcer).unwrap();
            std::thread::sleep(calm.worst() * 30 + std::time::Duration::from_secs(2));
            node.host().signal("CONT", enforcer).unwrap();
        })
        .unwrap();
    let noticed = waited.held_against(&calm).unwrap_err();
    assert!(noticed.contains("slowest request"), "{noticed}");
}

#[test]
fn a_neighbour_whose_service_has_gone_notices() {
    let node = node();
    let neighbour = Neighbour::start(&node).unwrap();
    let calm = neighbour.calm().unwrap();
    let (_, refused) = neighbour
        .during(|| node.host().signal("KILL", neighbour.shop_pid()).unwrap())
        .unwrap();
    let noticed = refused.held_against(&calm).unwrap_err();
    assert!(noticed.contains("failed"), "{noticed}");
}
