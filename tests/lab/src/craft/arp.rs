//! ARP for Ethernet and IPv4: RFC 826.

use std::net::Ipv4Addr;

use crate::Mac;

/// `oper` of a request.
pub const REQUEST: u16 = 1;
/// `oper` of a reply.
pub const REPLY: u16 = 2;

/// A message, every field to be set.
#[derive(Clone, Copy, Debug)]
pub struct Arp {
    /// Hardware type: 1 for Ethernet.
    pub hardware: u16,
    /// Protocol type: 0x0800 for IPv4.
    pub protocol: u16,
    /// Lengths of the addresses: 6 and 4.
    pub lengths: [u8; 2],
    /// What it asks or says.
    pub operation: u16,
    /// The sender's MAC address.
    pub sender_mac: Mac,
    /// The sender's address.
    pub sender: Ipv4Addr,
    /// The target's MAC address.
    pub target_mac: Mac,
    /// The target's address.
    pub target: Ipv4Addr,
}

impl Arp {
    /// `sender` asks who has `target`.
    pub fn request(sender_mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        let nobody = Mac([0; 6]);
        Self {
            hardware: 1,
            protocol: 0x0800,
            lengths: [6, 4],
            operation: REQUEST,
            sender_mac,
            sender,
            target_mac: nobody,
            target,
        }
    }

    /// `sender` says to `target` where it is.
    pub fn reply(sender_mac: Mac, sender: Ipv4Addr, target_mac: Mac, target: Ipv4Addr) -> Self {
        Self { operation: REPLY, target_mac, ..Self::request(sender_mac, sender, target) }
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(28);
        bytes.extend(self.hardware.to_be_bytes());
        bytes.extend(self.protocol.to_be_bytes());
        bytes.extend(self.lengths);
        bytes.extend(self.operation.to_be_bytes());
        bytes.extend(self.sender_mac.0);
        bytes.extend(self.sender.octets());
        bytes.extend(self.target_mac.0);
        bytes.extend(self.target.octets());
        bytes
    }
}
