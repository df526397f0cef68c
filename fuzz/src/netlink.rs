//! What the kernel says over netlink, with packets of the workload in it.

use ringfence_compartment::fuzz::{acknowledgements, packet, refused_packets};

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "netlink",
    holds: "any answer or report is taken apart or passed over; what a refused packet is called is short and plain",
    length_max: 2048,
    run,
};

fn run(bytes: &[u8]) {
    // Sixteen bytes of header each.
    let parts = bytes.len() / 16;
    if let Ok(count) = acknowledgements(bytes) {
        assert!(count <= parts);
    }
    let refused = refused_packets(bytes);
    assert!(refused.len() <= parts);
    for packet in refused.into_iter().flatten().chain(packet(bytes)) {
        let (protocol, _) = packet;
        assert!((2..=12).contains(&protocol.len()), "{protocol:?}");
        assert!(
            protocol
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b' ')
        );
    }
}
