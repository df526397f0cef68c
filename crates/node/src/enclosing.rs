//! A launcher names the process that its compartment comes from, and that is bounded.

use std::path::PathBuf;

use ringfence_compartment::link::{Bounds, Enclosure};
use ringfence_model::InstanceId;

use crate::cgroup;
use crate::supervisor::{Input, Inputs};

/// A compartment has a control group.
pub(crate) struct Enclosed {
    pub(crate) instance: InstanceId,
    pub(crate) directory: PathBuf,
}

/// What is done for a compartment that is being made, once.
pub(crate) struct Enclosing {
    pub(crate) instance: InstanceId,
    /// Of its control group.
    pub(crate) name: String,
    /// Its process, and whose that is.
    pub(crate) launcher: (u32, u32),
    pub(crate) bounds: Bounds,
    pub(crate) inputs: Inputs,
}

impl Enclosing {
    /// Bounds what comes from `process`, as far as this host can.
    pub(crate) async fn enclose(self, process: u32) -> Enclosure {
        let Self {
            instance,
            name,
            launcher,
            bounds,
            inputs,
        } = self;
        let put = move || cgroup::enclose(process, launcher, &name, bounds);
        let enclosure = tokio::task::spawn_blocking(put).await;
        let enclosure = enclosure.unwrap_or_else(|cause| Enclosure::None {
            why: cause.to_string(),
            fix: "report this with the kernel's version (`uname -r`)".to_owned(),
        });
        if let Enclosure::Group { directory, .. } = &enclosure {
            let enclosed = Enclosed {
                instance,
                directory: directory.clone(),
            };
            inputs.send(Input::Enclosed(enclosed)).await;
        }
        enclosure
    }
}
