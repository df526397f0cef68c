//! What a refused socket is called in a record.

use super::rules::SOCKET_TYPE_MASK;

/// Families by number (`include/linux/socket.h`), those in use since 2.6 at least.
const FAMILIES: &[(u32, &str)] = &[
    (1, "AF_UNIX"),
    (2, "AF_INET"),
    (3, "AF_AX25"),
    (4, "AF_IPX"),
    (5, "AF_APPLETALK"),
    (6, "AF_NETROM"),
    (8, "AF_ATMPVC"),
    (9, "AF_X25"),
    (10, "AF_INET6"),
    (11, "AF_ROSE"),
    (15, "AF_KEY"),
    (16, "AF_NETLINK"),
    (17, "AF_PACKET"),
    (20, "AF_ATMSVC"),
    (21, "AF_RDS"),
    (23, "AF_IRDA"),
    (24, "AF_PPPOX"),
    (26, "AF_LLC"),
    (27, "AF_IB"),
    (28, "AF_MPLS"),
    (29, "AF_CAN"),
    (30, "AF_TIPC"),
    (31, "AF_BLUETOOTH"),
    (32, "AF_IUCV"),
    (33, "AF_RXRPC"),
    (34, "AF_ISDN"),
    (35, "AF_PHONET"),
    (36, "AF_IEEE802154"),
    (37, "AF_CAIF"),
    (38, "AF_ALG"),
    (39, "AF_NFC"),
    (40, "AF_VSOCK"),
    (41, "AF_KCM"),
    (42, "AF_QIPCRTR"),
    (43, "AF_SMC"),
    (44, "AF_XDP"),
    (45, "AF_MCTP"),
];

/// Family, and type and protocol where they decide.
pub(super) fn socket_words(family: u32, kind: u32, protocol: u32) -> String {
    let Some((_, name)) = FAMILIES.iter().find(|(number, _)| *number == family) else {
        return format!("family {family}");
    };
    match family as i32 {
        libc::AF_INET | libc::AF_INET6 => match kind & SOCKET_TYPE_MASK {
            3 => format!("{name} SOCK_RAW protocol {protocol}"),
            kind => format!("{name} type {kind} protocol {protocol}"),
        },
        libc::AF_NETLINK => format!("{name} protocol {protocol}"),
        _ => (*name).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_called_what_the_kernel_calls_it() {
        let named = [
            (libc::AF_AX25, "AF_AX25"),
            (libc::AF_X25, "AF_X25"),
            (libc::AF_KEY, "AF_KEY"),
            (libc::AF_PACKET, "AF_PACKET"),
            (libc::AF_RDS, "AF_RDS"),
            (libc::AF_PPPOX, "AF_PPPOX"),
            (libc::AF_LLC, "AF_LLC"),
            (libc::AF_CAN, "AF_CAN"),
            (libc::AF_TIPC, "AF_TIPC"),
            (libc::AF_BLUETOOTH, "AF_BLUETOOTH"),
            (libc::AF_RXRPC, "AF_RXRPC"),
            (libc::AF_PHONET, "AF_PHONET"),
            (libc::AF_IEEE802154, "AF_IEEE802154"),
            (libc::AF_CAIF, "AF_CAIF"),
            (libc::AF_ALG, "AF_ALG"),
            (libc::AF_NFC, "AF_NFC"),
            (libc::AF_VSOCK, "AF_VSOCK"),
            (libc::AF_XDP, "AF_XDP"),
            // Not in every C library yet.
            (41, "AF_KCM"),
            (42, "AF_QIPCRTR"),
            (43, "AF_SMC"),
            (45, "AF_MCTP"),
        ];
        for (number, name) in named {
            assert_eq!(socket_words(number as u32, 1, 0), name);
        }
        assert_eq!(socket_words(46, 1, 0), "family 46");
        assert!(FAMILIES.is_sorted());
    }
}
