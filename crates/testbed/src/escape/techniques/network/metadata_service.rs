//! Clouds answer at 169.254.169.254 with credentials, to anyone on the machine.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "metadata-service",
    tries: "the metadata service of clouds",
    wall: "doors",
    control: Control::Caller,
    record: Record::Denied("169.254.169.254:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock(ground, ground.metadata)
}
