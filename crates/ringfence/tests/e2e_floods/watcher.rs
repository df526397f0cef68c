//! The neighbour itself: that it would notice.

use std::time::Duration;

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
            // Longer than this machine is slow. Where that is longer than the neighbour's patience of 10 s, its request
            // fails instead.
            let enforcer = node.enforcer().unwrap();
            node.host().signal("STOP", enforcer).unwrap();
            let slow = calm.worst() * 30 + Duration::from_secs(2);
            std::thread::sleep(slow.min(Duration::from_secs(12)));
            node.host().signal("CONT", enforcer).unwrap();
        })
        .unwrap();
    let noticed = waited.held_against(&calm).unwrap_err();
    let ways = ["slowest request", "failed"];
    assert!(ways.iter().any(|way| noticed.contains(way)), "{noticed}");
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
