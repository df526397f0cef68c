//! Devices, routes, rules and settings of the own network.

mod address_added;
mod address_deleted;
mod device_made;
mod device_moved;
mod loopback_down;
mod namespaces_by_socket;
mod network_settings;
mod old_device_calls;
mod route_added;
mod route_deleted;
mod rules_flushed;
mod traffic_control;
mod tunnel_device;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &address_added::TECHNIQUE,
    &address_deleted::TECHNIQUE,
    &device_made::TECHNIQUE,
    &device_moved::TECHNIQUE,
    &loopback_down::TECHNIQUE,
    &namespaces_by_socket::TECHNIQUE,
    &network_settings::TECHNIQUE,
    &old_device_calls::TECHNIQUE,
    &route_added::TECHNIQUE,
    &route_deleted::TECHNIQUE,
    &rules_flushed::TECHNIQUE,
    &traffic_control::TECHNIQUE,
    &tunnel_device::TECHNIQUE,
];
