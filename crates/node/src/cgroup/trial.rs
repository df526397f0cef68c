//! What a start would come to, for `run --dry-run` and `ringfence check`.

use ringfence_compartment::link::{Bounds, Enclosure};
use ringfence_compartment::probe::Finding;

use super::group::Group;
use super::place::{Controllers, Lacking, Place};

/// What a compartment of launcher `pid` would get. Nothing is made.
pub(crate) fn foresee(pid: u32, bounds: Bounds) -> Enclosure {
    match Place::of_launcher(pid, Controllers::Foresee) {
        Ok(place) => Enclosure::Group {
            directory: place.directory.clone(),
            bounds: place.least(bounds),
            shares: place.shares,
        },
        Err(lacking) => lacking.into(),
    }
}

/// Makes a group as for a compartment that is started from here, and removes it.
pub(crate) fn trial() -> Finding {
    const ID: &str = "memory";
    let pid = std::process::id();
    let made = Place::of_launcher(pid, Controllers::SwitchOn).and_then(|place| {
        let group = Group::make(&place, &format!("ringfence-check-{pid}"), Bounds::default())?;
        group.end().map_err(|cause| {
            Lacking::new(
                format!(
                    "{} cannot be removed again: {cause}",
                    group.path().display()
                ),
                "look at what else manages control groups here",
            )
        })?;
        Ok(place)
    });
    match made {
        Ok(place) => Finding::ok(
            ID,
            format!(
                "memory and processes of a compartment are bounded by a control group of its own, in {}{}",
                place.directory.display(),
                if place.shares {
                    ", with a fair share of the processors"
                } else {
                    "; processors are not shared by it"
                }
            ),
        ),
        Err(Lacking { why, fix }) => Finding::warn(
            ID,
            format!("memory of workloads that are started from here is not bounded: {why}"),
            fix,
        ),
    }
}
