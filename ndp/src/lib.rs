//! Neighbours (neighbour discovery and ARP) that the host answers for, and those that it need not ask for.
//!
//! **Proxied neighbours**: the host answers for its guests where their addresses are on-link for others.
//!
//! A provider that routes a prefix to the uplink's segment instead of to the host asks for every single address
//! (neighbour solicitation, RFC 4861 section 7.2; ARP for IPv4). With a proxied neighbour the kernel answers with
//! the uplink's own link-layer address (RFC 4861 section 7.2.8) and forwards what comes.
//!
//! The kernel answers only where it also forwards: `net/ipv6/conf/all/forwarding` (for IPv4
//! `net/ipv4/conf/DEV/forwarding`) and a route to the address through another interface are the caller's part, the
//! rest is in [`sysctls`].
//!
//! **Permanent neighbours**: the host knows at which MAC address a guest is, and routes to it whether the guest answers
//! neighbour solicitations for the gateway or not.

mod limit;
mod ndmsg;
mod neighbour;
mod permanent;

pub use limit::{CEILING, too_many};
pub use neighbour::{NeighbourKey, ProxyNeighbour, sysctls};
pub use permanent::PermanentNeighbour;
