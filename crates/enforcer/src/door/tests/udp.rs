use ringfence_compartment::datagram::Received;
use ringfence_model::Kind as WorkloadKind;
use ringfence_model::flow::{Kind, Outcome};

use super::*;

#[tokio::test]
async fn datagrams_meet_silence_and_are_recorded() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let datagram = |to: OriginalDst, port: u16| Received {
        length: 1,
        cut: false,
        source: SocketAddr::from(([127, 0, 0, 1], port)),
        destination: to,
    };
    let nowhere = "[2606:4700::1]:443".parse().map(OriginalDst::new).unwrap();
    super::super::udp::silence(&world.node, &home, &datagram(nowhere, 1000));
    super::super::udp::silence(&world.node, &home, &datagram(world.at(2, 7), 1000));
    let flows = world.flows();
    for flow in &flows {
        assert_eq!(
            (flow.kind(), flow.outcome()),
            (Kind::Connection, Outcome::Deny)
        );
        assert_eq!(
            (flow.protocol.as_str(), flow.operation.as_str()),
            ("udp", "send")
        );
    }
    assert_eq!(flows[0].original_destination, "[2606:4700::1]:443");
    assert_eq!(flows[1].destination, "echo");

    // A flood from one port folds, to one from another port it does not.
    for _ in 0..500 {
        super::super::udp::silence(&world.node, &home, &datagram(nowhere, 2000));
    }
    super::super::udp::silence(&world.node, &home, &datagram(nowhere, 2001));
    assert_eq!(world.flows().len(), 2 + 100 + 1);
    home.finish();
    let flows = world.flows();
    assert_eq!(flows.last().unwrap().count, 400);
    assert_eq!(flows.iter().map(|flow| flow.count).sum::<u64>(), 503);
}
