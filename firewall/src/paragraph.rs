//! The paragraphs of the contract, `docs/security.md`.

use std::fmt;

use serde::{Serialize, Serializer};

/// A paragraph of the contract. Prints as its number: `2.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Paragraph(u8, u8);

/// The paragraphs that decide over packets.
macro_rules! paragraphs {
    ($($name:ident = $chapter:literal, $number:literal, $title:literal;)*) => {
        impl Paragraph {
            $(
                #[doc = $title]
                pub const $name: Self = Self($chapter, $number);
            )*

            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What it is about, in a few words: what stands in the comments of rules.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                    _ => "",
                }
            }
        }
    };
}

paragraphs! {
    DENY = 1, 1, "nothing else is forwarded";
    HOST_SENDS = 1, 5, "what the host itself sends";
    RENAMED = 1, 6, "a link of guestnet under another name";
    MAC = 2, 1, "the MAC address is the guest's";
    ETHERTYPE = 2, 2, "ARP, IPv4, IPv6, or an EtherType of the interface";
    ARP_LAYOUT = 2, 3, "ARP is for Ethernet and IPv4";
    ARP_MAC = 2, 4, "the ARP sender's MAC address is the guest's";
    ARP_ADDRESS = 2, 5, "the ARP sender's address is the guest's";
    HEADERS = 2, 6, "headers and length can be told";
    BRIDGE_GROUP = 2, 7, "what bridges say to each other";
    TAG = 2, 8, "the VLANs of the interface";
    SOURCE_IPV4 = 3, 1, "the IPv4 source is the guest's";
    SOURCE_IPV6 = 3, 2, "the IPv6 source is the guest's";
    ROUTER = 3, 3, "the host's own addresses";
    UNSPECIFIED = 3, 4, "without a source";
    DHCP_SERVER = 3, 5, "a guest is no DHCP server";
    DHCP_CLIENT = 3, 6, "DHCP for clients";
    ROUTING_HEADER = 3, 7, "no route that the sender has chosen";
    OWNED = 3, 8, "a guest's addresses are nobody else's";
    AUTHENTICATION = 3, 9, "what an authentication header hides";
    QUOTED = 3, 10, "an error is about what was sent to the guest";
    DISCOVERY_LAYOUT = 4, 1, "neighbour discovery without extension headers and fragments";
    DISCOVERY_HOPS = 4, 2, "neighbour discovery from the link itself";
    DISCOVERY_TYPES = 4, 3, "what a guest may say on its link";
    SOLICITATION = 4, 4, "neighbour solicitation";
    ADVERTISEMENT = 4, 5, "neighbour advertisement";
    ROUTER_SOLICITATION = 4, 6, "router solicitation";
    MULTICAST = 4, 7, "membership of multicast groups";
    ICMPV6 = 5, 1, "ICMPv6 in transit (RFC 4890 4.3)";
    ICMPV4 = 5, 2, "ICMP in transit";
    LIST = 6, 1, "the access lists";
    STATE = 6, 2, "connections";
    BRIDGE = 6, 5, "neighbours on a bridge";
    FLOODED = 6, 7, "what a bridge floods is for its owner";
    BEYOND = 6, 8, "what is for the host is not forwarded";
    DENIED = 6, 9, "entries that deny";
    CONNECTIONS = 6, 10, "how many connections a guest has";
    HOST_FROM_GUEST = 7, 1, "the host, from guests";
    HOST = 7, 2, "the host";
    HOST_ICMPV6 = 7, 3, "ICMPv6 to the host (RFC 4890 4.4)";
    GUARD_ARP = 8, 1, "ARP of shared addresses stays here";
    GUARD_DISCOVERY = 8, 2, "neighbour discovery of shared addresses stays here";
}

impl Paragraph {
    /// The end of the name of the chain in which drops by it are counted: `2_1`.
    pub(crate) fn suffix(self) -> String {
        format!("{}_{}", self.0, self.1)
    }
}

impl fmt::Display for Paragraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Serialize for Paragraph {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_paragraph_stands_in_the_contract() {
        let contract = include_str!("../../docs/security.md");
        for paragraph in Paragraph::ALL {
            assert!(contract.contains(&format!("- **{paragraph}** ")), "{paragraph} {}", paragraph.title());
        }
    }
}
