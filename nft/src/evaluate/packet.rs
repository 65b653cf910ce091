//! A packet, where a chain meets it.

/// A packet, and what the kernel knows of it there. What is `None` is not known, and whoever asks for it cannot be
/// answered.
#[derive(Clone, Debug, Default)]
pub struct Packet {
    /// The EtherType: 0x0800, 0x86dd, 0x0806.
    pub ethertype: u16,
    /// The Ethernet header; empty where there is none yet.
    pub link: Vec<u8>,
    /// All from the header of the network on.
    pub network: Vec<u8>,
    /// Where it came in.
    pub input: Side,
    /// Where it leaves.
    pub output: Side,
    /// The bridges of both, on a bridge.
    pub bridges: (Option<String>, Option<String>),
    /// Its mark.
    pub mark: Option<u32>,
    /// What conntrack knows of it.
    pub conntrack: Option<Conntrack>,
    /// Whether IPsec has decrypted it.
    pub decrypted: bool,
    /// Whether the way back to its source leads where it came in.
    pub reverse_path: Option<bool>,
    /// What its source is to the host (`RTN_UNICAST` 1, `RTN_LOCAL` 2, `RTN_BROADCAST` 3, `RTN_MULTICAST` 5).
    pub source_type: Option<u8>,
    /// What its destination is to the host.
    pub destination_type: Option<u8>,
    /// Whom the frame is for (`PACKET_HOST` 0, `PACKET_BROADCAST` 1, `PACKET_MULTICAST` 2).
    pub packet_type: Option<u8>,
}

/// An interface on the way of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// There is none, as on the way in to a host's own process.
    #[default]
    None,
    /// This one.
    Known(Interface),
    /// One that is not known.
    Unknown,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: Option<u32>,
    /// Its type (`ARPHRD_ETHER` 1).
    pub kind: Option<u16>,
    /// Its group.
    pub group: Option<u32>,
}

/// What conntrack knows of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conntrack {
    /// One bit: invalid (1), established (2), related (4), new (8), untracked (64).
    pub state: u32,
    /// Bits of `IPS_*`.
    pub status: Option<u32>,
    /// Whether it goes against the connection's first packet.
    pub reply: bool,
    /// The connection's mark.
    pub mark: Option<u32>,
}

impl Conntrack {
    /// The first packet of a connection.
    pub const NEW: Self = Self { state: 8, status: Some(0), reply: false, mark: Some(0) };
    /// An answer.
    pub const ESTABLISHED: Self = Self { state: 2, status: None, reply: true, mark: Some(0) };
    /// An error about a connection.
    pub const RELATED: Self = Self { state: 4, status: None, reply: true, mark: Some(0) };
    /// Of no connection, or not looked at yet.
    pub const INVALID: Self = Self { state: 1, status: None, reply: false, mark: None };
    /// Not looked at, as a rule wants it.
    pub const UNTRACKED: Self = Self { state: 64, status: None, reply: false, mark: None };

    /// Whether there is a connection that could be asked for more.
    pub(super) fn is_tracked(self) -> bool {
        self.state & (1 | 64) == 0
    }
}

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;

impl Packet {
    /// `NFPROTO_*` of what is in the frame.
    pub(super) fn family(&self) -> u8 {
        match self.ethertype {
            IPV4 => 2,
            IPV6 => 10,
            0x0806 => 3,
            _ => 0,
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.network.get(at).copied()
    }

    /// The transport protocol, and where its header is; `None` where there is none, as of ARP.
    pub(super) fn transport(&self) -> Option<(u8, usize)> {
        const HOP_BY_HOP: u8 = 0;
        const ROUTING: u8 = 43;
        const DESTINATION: u8 = 60;
        match self.ethertype {
            IPV4 => Some((self.byte(9)?, usize::from(self.byte(0)? & 15) * 4)),
            IPV6 => {
                let (mut next, mut at) = (self.byte(6)?, 40);
                while [HOP_BY_HOP, ROUTING, DESTINATION].contains(&next) {
                    let length = usize::from(self.byte(at + 1)?);
                    (next, at) = (self.byte(at)?, at + 8 * (length + 1));
                }
                Some((next, at))
            }
            _ => None,
        }
    }

    /// Whether it has headers between those of the network and of the transport, or options.
    pub(super) fn is_plain(&self) -> bool {
        match self.ethertype {
            IPV4 => self.byte(0) == Some(0x45),
            _ => self.transport().is_some_and(|(protocol, at)| at == 40 && protocol != 44),
        }
    }
}
