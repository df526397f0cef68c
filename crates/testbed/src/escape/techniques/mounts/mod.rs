//! Mounts, roots, devices and settings of the kernel.

mod changed_root;
mod mount;
mod new_mount_calls;
mod remount_writable;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &changed_root::TECHNIQUE,
    &mount::TECHNIQUE,
    &new_mount_calls::TECHNIQUE,
    &remount_writable::TECHNIQUE,
];
