//! Device nodes: the host's, and those made inside.

mod host_devices;
mod make_device;
mod random_settings;
mod touch_device;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &host_devices::TECHNIQUE,
    &make_device::TECHNIQUE,
    &random_settings::TECHNIQUE,
    &touch_device::TECHNIQUE,
];
