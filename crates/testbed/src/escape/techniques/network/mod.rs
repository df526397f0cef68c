//! Addresses, options and disguises of IP: everything that a host's network could be reached by.

mod bound_to_device;
mod bound_to_index;
mod changed_family;
mod closed_congestion_control;
mod corked_datagram;
mod datagrams_without_checksum;
mod directed_broadcast;
mod door_address_v4;
mod door_address_v6;
mod empty_datagram;
mod encapsulation;
mod extension_headers;
mod fast_open;
mod fast_open_connect;
mod firewall_mark;
mod firewall_mark_by_message;
mod firewall_rules_by_option;
mod foreign_source;
mod fragments_v6;
mod host_address_mapped;
mod host_address_tcp;
mod host_address_udp;
mod host_address_v6;
mod host_loopback_elsewhere;
mod host_loopback_mapped;
mod host_loopback_tcp;
mod host_loopback_udp;
mod host_loopback_v6;
mod large_datagram;
mod limited_broadcast;
mod link_local_v6;
mod metadata_service;
mod metadata_service_v6;
mod multicast_membership;
mod multicast_v4;
mod multicast_v6;
mod multipath_tcp;
mod names_as_a_tunnel;
mod names_of_others;
mod names_over_tcp;
mod nat64;
mod neighbour_virtual_address;
mod packet_info_source;
mod packet_info_source_v6;
mod privileged_buffers;
mod reconnected_socket;
mod record_route_option;
mod repaired_connection;
mod reserved_v4;
mod reset_at_once;
mod routing_header;
mod segmented_by_message;
mod segmented_datagrams;
mod service_wrong_port;
mod shared_address_space;
mod signed_segments;
mod six_to_four;
mod source_of_the_door;
mod source_route_option;
mod teredo;
mod timed_transmission;
mod transparent_source;
mod transparent_source_v6;
mod unicast_device;
mod unique_local_v6;
mod unspecified_mapped;
mod unspecified_v4;
mod unspecified_v6;
mod urgent_data;
mod v4_compatible;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &bound_to_device::TECHNIQUE,
    &bound_to_index::TECHNIQUE,
    &changed_family::TECHNIQUE,
    &closed_congestion_control::TECHNIQUE,
    &corked_datagram::TECHNIQUE,
    &datagrams_without_checksum::TECHNIQUE,
    &directed_broadcast::TECHNIQUE,
    &door_address_v4::TECHNIQUE,
    &door_address_v6::TECHNIQUE,
    &empty_datagram::TECHNIQUE,
    &encapsulation::TECHNIQUE,
    &extension_headers::TECHNIQUE,
    &fast_open::TECHNIQUE,
    &fast_open_connect::TECHNIQUE,
    &firewall_mark::TECHNIQUE,
    &firewall_mark_by_message::TECHNIQUE,
    &firewall_rules_by_option::TECHNIQUE,
    &foreign_source::TECHNIQUE,
    &fragments_v6::TECHNIQUE,
    &host_address_mapped::TECHNIQUE,
    &host_address_tcp::TECHNIQUE,
    &host_address_udp::TECHNIQUE,
    &host_address_v6::TECHNIQUE,
    &host_loopback_elsewhere::TECHNIQUE,
    &host_loopback_mapped::TECHNIQUE,
    &host_loopback_tcp::TECHNIQUE,
    &host_loopback_udp::TECHNIQUE,
    &host_loopback_v6::TECHNIQUE,
    &large_datagram::TECHNIQUE,
    &limited_broadcast::TECHNIQUE,
    &link_local_v6::TECHNIQUE,
    &metadata_service::TECHNIQUE,
    &metadata_service_v6::TECHNIQUE,
    &multicast_membership::TECHNIQUE,
    &multicast_v4::TECHNIQUE,
    &multicast_v6::TECHNIQUE,
    &multipath_tcp::TECHNIQUE,
    &names_as_a_tunnel::TECHNIQUE,
    &names_of_others::TECHNIQUE,
    &names_over_tcp::TECHNIQUE,
    &nat64::TECHNIQUE,
    &neighbour_virtual_address::TECHNIQUE,
    &packet_info_source::TECHNIQUE,
    &packet_info_source_v6::TECHNIQUE,
    &privileged_buffers::TECHNIQUE,
    &reconnected_socket::TECHNIQUE,
    &record_route_option::TECHNIQUE,
    &repaired_connection::TECHNIQUE,
    &reserved_v4::TECHNIQUE,
    &reset_at_once::TECHNIQUE,
    &routing_header::TECHNIQUE,
    &segmented_by_message::TECHNIQUE,
    &segmented_datagrams::TECHNIQUE,
    &service_wrong_port::TECHNIQUE,
    &shared_address_space::TECHNIQUE,
    &signed_segments::TECHNIQUE,
    &six_to_four::TECHNIQUE,
    &source_of_the_door::TECHNIQUE,
    &source_route_option::TECHNIQUE,
    &teredo::TECHNIQUE,
    &timed_transmission::TECHNIQUE,
    &transparent_source::TECHNIQUE,
    &transparent_source_v6::TECHNIQUE,
    &unicast_device::TECHNIQUE,
    &unique_local_v6::TECHNIQUE,
    &unspecified_mapped::TECHNIQUE,
    &unspecified_v4::TECHNIQUE,
    &unspecified_v6::TECHNIQUE,
    &urgent_data::TECHNIQUE,
    &v4_compatible::TECHNIQUE,
];
