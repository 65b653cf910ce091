//! `reject`.

use serde::{Deserialize, Serialize};

/// Drops the packet and answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reject {
    /// With a TCP reset: `reject with tcp reset`. Only for TCP.
    TcpReset,
    /// With "port unreachable" of the packet's family: `reject with icmpx port-unreachable`. Tables of both families
    /// and bridges only.
    IcmpxPortUnreachable,
    /// With "administratively prohibited" of the packet's family: `reject with icmpx admin-prohibited`.
    IcmpxAdminProhibited,
    /// With "host unreachable", or "address unreachable" in IPv6: `reject with icmpx host-unreachable`.
    IcmpxHostUnreachable,
    /// With "no route": `reject with icmpx no-route`.
    IcmpxNoRoute,
    /// With this code of ICMP or ICMPv6 "destination unreachable". For tables of one family.
    Icmp(u8),
}
