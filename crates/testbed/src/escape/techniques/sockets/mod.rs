//! Families, types and protocols of sockets other than those the doors take.

mod alg_socket;
mod atm_socket;
mod ax25_socket;
mod bluetooth_socket;
mod caif_socket;
mod can_socket;
mod dccp_socket;
mod family_with_high_bits;
mod ieee802154_socket;
mod kcm_socket;
mod key_socket;
mod llc_socket;
mod mctp_socket;
mod netlink_audit;
mod netlink_connector;
mod netlink_crypto;
mod netlink_diagnosis;
mod netlink_forwarding;
mod netlink_generic;
mod netlink_iscsi;
mod netlink_netfilter;
mod netlink_rdma;
mod netlink_selinux;
mod netlink_uevent;
mod netlink_user;
mod netlink_xfrm;
mod nfc_socket;
mod packet_socket;
mod packet_socket_by_type;
mod pair_of_another_family;
mod phonet_socket;
mod ping_socket;
mod pppox_socket;
mod qipcrtr_socket;
mod raw_icmp;
mod raw_igmp;
mod raw_ip;
mod raw_tunnels;
mod rds_socket;
mod rxrpc_socket;
mod sctp_socket;
mod smc_socket;
mod tipc_socket;
mod udp_lite_socket;
mod vsock_socket;
mod whole_range;
mod x25_socket;
mod xdp_socket;

use crate::escape::Technique;

pub(super) const ALL: &[&Technique] = &[
    &alg_socket::TECHNIQUE,
    &atm_socket::TECHNIQUE,
    &ax25_socket::TECHNIQUE,
    &bluetooth_socket::TECHNIQUE,
    &caif_socket::TECHNIQUE,
    &can_socket::TECHNIQUE,
    &dccp_socket::TECHNIQUE,
    &family_with_high_bits::TECHNIQUE,
    &ieee802154_socket::TECHNIQUE,
    &kcm_socket::TECHNIQUE,
    &key_socket::TECHNIQUE,
    &llc_socket::TECHNIQUE,
    &mctp_socket::TECHNIQUE,
    &netlink_audit::TECHNIQUE,
    &netlink_connector::TECHNIQUE,
    &netlink_crypto::TECHNIQUE,
    &netlink_diagnosis::TECHNIQUE,
    &netlink_forwarding::TECHNIQUE,
    &netlink_generic::TECHNIQUE,
    &netlink_iscsi::TECHNIQUE,
    &netlink_netfilter::TECHNIQUE,
    &netlink_rdma::TECHNIQUE,
    &netlink_selinux::TECHNIQUE,
    &netlink_uevent::TECHNIQUE,
    &netlink_user::TECHNIQUE,
    &netlink_xfrm::TECHNIQUE,
    &nfc_socket::TECHNIQUE,
    &packet_socket::TECHNIQUE,
    &packet_socket_by_type::TECHNIQUE,
    &pair_of_another_family::TECHNIQUE,
    &phonet_socket::TECHNIQUE,
    &ping_socket::TECHNIQUE,
    &pppox_socket::TECHNIQUE,
    &qipcrtr_socket::TECHNIQUE,
    &raw_icmp::TECHNIQUE,
    &raw_igmp::TECHNIQUE,
    &raw_ip::TECHNIQUE,
    &raw_tunnels::TECHNIQUE,
    &rds_socket::TECHNIQUE,
    &rxrpc_socket::TECHNIQUE,
    &sctp_socket::TECHNIQUE,
    &smc_socket::TECHNIQUE,
    &tipc_socket::TECHNIQUE,
    &udp_lite_socket::TECHNIQUE,
    &vsock_socket::TECHNIQUE,
    &whole_range::TECHNIQUE,
    &x25_socket::TECHNIQUE,
    &xdp_socket::TECHNIQUE,
];
