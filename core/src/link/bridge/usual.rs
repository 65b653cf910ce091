//! Attributes of bridges and their ports that guestnet leaves as the kernel has them for new ones (linux/if_link.h).
//!
//! Left out are those that the kernel decides itself or that mean nothing here: the cost and priority of a port and the
//! identifiers and timers, which are the spanning tree's; the size of the multicast table and the first query's time, which
//! depend on the kernel; `mcast_querier_state` and other counters.

use super::super::unusual::Usual;

macro_rules! number {
    ($value:literal $type:ty) => {
        &{
            const VALUE: $type = $value;
            VALUE.to_ne_bytes()
        }
    };
}

/// Attributes of a bridge: `IFLA_BR_*`, times in hundredths of a second.
pub(super) const BRIDGE: &[Usual] = &[
    Usual::new(1, "forward_delay", number!(1500 u32)),
    Usual::new(2, "hello_time", number!(200 u32)),
    Usual::new(3, "max_age", number!(2000 u32)),
    Usual::new(6, "priority", number!(32768 u16)),
    Usual::new(8, "vlan_protocol", &[0x81, 0]),
    Usual::new(9, "group_fwd_mask", number!(0 u16)),
    Usual::new(20, "group_address", &[1, 0x80, 0xc2, 0, 0, 0]),
    Usual::new(22, "mcast_router", &[1]),
    Usual::new(24, "mcast_query_use_ifaddr", &[0]),
    Usual::new(25, "mcast_querier", &[0]),
    Usual::new(28, "mcast_last_member_count", number!(2 u32)),
    Usual::new(29, "mcast_startup_query_count", number!(2 u32)),
    Usual::new(30, "mcast_last_member_interval", number!(100 u64)),
    Usual::new(31, "mcast_membership_interval", number!(26000 u64)),
    Usual::new(32, "mcast_querier_interval", number!(25500 u64)),
    Usual::new(33, "mcast_query_interval", number!(12500 u64)),
    Usual::new(34, "mcast_query_response_interval", number!(1000 u64)),
    Usual::new(36, "nf_call_iptables", &[0]),
    Usual::new(37, "nf_call_ip6tables", &[0]),
    Usual::new(38, "nf_call_arptables", &[0]),
    Usual::new(39, "vlan_default_pvid", number!(1 u16)),
    Usual::new(41, "vlan_stats_enabled", &[0]),
    Usual::new(42, "mcast_stats_enabled", &[0]),
    Usual::new(43, "mcast_igmp_version", &[2]),
    Usual::new(44, "mcast_mld_version", &[1]),
    Usual::new(45, "vlan_stats_per_port", &[0]),
    // no_linklocal_learn, mcast_vlan_snooping, mst_enabled and those to come.
    Usual { masked: true, ..Usual::new(46, "boolopt", number!(0 u32)) },
    Usual::new(49, "fdb_max_learned", number!(0 u32)),
];

/// Attributes of a port: `IFLA_BRPORT_*`.
pub(super) const PORT: &[Usual] = &[
    Usual::new(6, "root_block", &[0]),
    Usual::new(7, "fastleave", &[0]),
    Usual::new(10, "proxy_arp", &[0]),
    Usual::new(12, "proxy_arp_wifi", &[0]),
    Usual::new(25, "mcast_router", &[1]),
    Usual::new(27, "mcast_flood", &[1]),
    Usual::new(28, "mcast_to_unicast", &[0]),
    Usual::new(29, "vlan_tunnel", &[0]),
    Usual::new(30, "bcast_flood", &[1]),
    Usual::new(31, "group_fwd_mask", number!(0 u16)),
    Usual::new(34, "backup_port", number!(0 u32)),
    Usual::new(39, "locked", &[0]),
    Usual::new(40, "mab", &[0]),
    Usual::new(42, "mcast_max_groups", number!(0 u32)),
    Usual::new(43, "neigh_vlan_suppress", &[0]),
    Usual::new(44, "backup_nhid", number!(0 u32)),
];

/// The state of a port while no spanning tree decides it: 3 is forwarding.
pub(super) const STATE: Usual = Usual::new(1, "state", &[3]);
