//! What iptables-nft says with matches and targets of xtables (`linux/netfilter/x_tables.h`): structures of C, in the
//! host's order of bytes unless said otherwise.

use smol_str::SmolStr;

use crate::view::View;

/// A match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `comment`, `limit`: matches.
    Always(SmolStr),
    /// `conntrack --ctstate` or `state`: bits as of nft's `ct state`.
    State {
        /// The states, one bit each.
        states: u32,
        /// Whether none of them may hold.
        invert: bool,
    },
    /// `addrtype`: bits by `RTN_*`; 0 asks nothing.
    AddressType {
        /// Types of the source.
        source: u16,
        /// Types of the destination.
        destination: u16,
        /// Whether the source is of another type.
        invert_source: bool,
        /// Whether the destination is of another type.
        invert_destination: bool,
    },
    /// `tcp`, `udp`, `multiport`.
    Ports {
        /// The protocol that it implies.
        protocol: Option<u8>,
        /// Ranges of the source, any of which fits; `None` asks nothing.
        source: Option<Vec<(u16, u16)>>,
        /// Ranges of the destination.
        destination: Option<Vec<(u16, u16)>>,
        /// Whether one of both is enough (`multiport --ports`).
        either: bool,
        /// Whether the source must not fit.
        invert_source: bool,
        /// Whether the destination must not fit.
        invert_destination: bool,
        /// Of TCP: which flags are looked at, which of them are set, and whether that must not be so.
        flags: (u8, u8, bool),
    },
    /// `icmp`, `icmp6`: a type, and codes from and to.
    Icmp {
        /// The protocol that it implies.
        protocol: u8,
        /// The type; 255 of IPv4 is any.
        kind: u8,
        /// The codes.
        codes: (u8, u8),
        /// Whether it must not be so.
        invert: bool,
    },
    /// `mark`, `connmark`.
    Mark {
        /// Whether it is the connection's.
        of_connection: bool,
        /// The value.
        value: u32,
        /// Which bits are looked at.
        mask: u32,
        /// Whether it must not be so.
        invert: bool,
    },
    /// `hl`, `ttl`: how the hop limit compares.
    HopLimit {
        /// 0 equal, 1 not equal, 2 less, 3 greater.
        mode: u8,
        /// With what.
        value: u8,
    },
    /// `pkttype`.
    PacketType {
        /// `PACKET_*`.
        kind: u32,
        /// Whether it must not be so.
        invert: bool,
    },
    /// `rpfilter`: whether the way back to the source is right.
    ReversePath {
        /// Whether it must not be.
        invert: bool,
    },
    /// `physdev`: ports of a bridge.
    BridgePort {
        /// Whether nothing of it is negated, so that no routed packet matches.
        plain: bool,
    },
    /// `rt`: an IPv6 routing header.
    RoutingHeader {
        /// Whether nothing of it is negated.
        plain: bool,
    },
    /// One that is not known here.
    Unknown(SmolStr),
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `REJECT`, `DROP`.
    Drop(SmolStr),
    /// `MASQUERADE`, `SNAT`, `DNAT`, `REDIRECT`, `NETMAP`.
    Translate(SmolStr),
    /// `MARK`: `mark = mark & !mask ^ value`.
    Mark {
        /// What is set.
        value: u32,
        /// Where.
        mask: u32,
    },
    /// `NOTRACK`, and `CT --notrack`.
    Untrack(SmolStr),
    /// One that changes nothing for what follows: `LOG`, `TCPMSS`.
    Nothing(SmolStr),
    /// One that is not known here.
    Unknown(SmolStr),
}

// Attributes of both: linux/netfilter/nf_tables_compat.h.
const NAME: u16 = 1;
const REVISION: u16 = 2;
const INFO: u16 = 3;

/// Reads a structure of C from front to back.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn skip(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.0.get(..2)?.try_into().ok()?;
        self.skip(2)?;
        Some(u16::from_ne_bytes(bytes))
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.0.get(..4)?.try_into().ok()?;
        self.skip(4)?;
        Some(u32::from_ne_bytes(bytes))
    }

    fn range(&mut self) -> Option<(u16, u16)> {
        Some((self.u16()?, self.u16()?))
    }
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

impl Match {
    pub(super) fn read(raw: &View<'_>) -> Self {
        let name = raw.text(NAME).unwrap_or("?");
        let known = raw.get(INFO).and_then(|info| known(name, raw.u32(REVISION).unwrap_or(0), info));
        known.unwrap_or_else(|| Self::Unknown(name.into()))
    }

    /// What `iptables -m` calls it, or `other` where several share it.
    pub fn name(&self) -> &str {
        match self {
            Self::Always(name) | Self::Unknown(name) => name,
            Self::State { .. } => "conntrack",
            Self::AddressType { .. } => "addrtype",
            Self::Ports { protocol: Some(TCP), .. } => "tcp",
            Self::Ports { protocol: Some(_), .. } => "udp",
            Self::Ports { protocol: None, .. } => "multiport",
            Self::Icmp { protocol: ICMPV6, .. } => "icmp6",
            Self::Icmp { .. } => "icmp",
            Self::Mark { of_connection: true, .. } => "connmark",
            Self::Mark { .. } => "mark",
            Self::HopLimit { .. } => "hl",
            Self::PacketType { .. } => "pkttype",
            Self::ReversePath { .. } => "rpfilter",
            Self::BridgePort { .. } => "physdev",
            Self::RoutingHeader { .. } => "rt",
        }
    }
}

fn known(name: &str, revision: u32, info: &[u8]) -> Option<Match> {
    let mut fields = Fields(info);
    match (name, revision) {
        // A packet that comes alone is within every limit.
        ("comment" | "limit", _) => Some(Match::Always(name.into())),
        ("conntrack", 2 | 3) => conntrack(fields),
        ("state", _) => Some(Match::State { states: states(fields.u32()?)?, invert: false }),
        ("addrtype", 1) => {
            let (source, destination, flags) = (fields.u16()?, fields.u16()?, fields.u32()?);
            // Nothing that is asked of the interface's own addresses alone.
            (flags & !3 == 0).then_some(Match::AddressType {
                source,
                destination,
                invert_source: flags & 1 != 0,
                invert_destination: flags & 2 != 0,
            })
        }
        ("tcp", 0) => {
            let (source, destination) = (fields.range()?, fields.range()?);
            let (option, mask, set, invert) = (fields.u8()?, fields.u8()?, fields.u8()?, fields.u8()?);
            let flags = (mask, set, invert & 4 != 0);
            (option == 0).then(|| one_range(TCP, source, destination, invert, flags))
        }
        ("udp", 0) => {
            let (source, destination) = (fields.range()?, fields.range()?);
            Some(one_range(UDP, source, destination, fields.u8()?, (0, 0, false)))
        }
        ("multiport", 1) => multiport(fields),
        ("icmp" | "icmp6", 0) => {
            let (kind, codes, invert) = (fields.u8()?, (fields.u8()?, fields.u8()?), fields.u8()? & 1 != 0);
            Some(Match::Icmp { protocol: if name == "icmp" { ICMP } else { ICMPV6 }, kind, codes, invert })
        }
        ("mark" | "connmark", 1) => {
            let (value, mask, invert) = (fields.u32()?, fields.u32()?, fields.u8()? != 0);
            Some(Match::Mark { of_connection: name == "connmark", value, mask, invert })
        }
        ("hl" | "ttl", 0) => Some(Match::HopLimit { mode: fields.u8()?, value: fields.u8()? }),
        ("pkttype", 0) => Some(Match::PacketType { kind: fields.u32()?, invert: fields.u32()? != 0 }),
        ("rpfilter", 0) => Some(Match::ReversePath { invert: fields.u8()? & 8 != 0 }),
        ("physdev", 0) => {
            // Names and masks of both ports.
            fields.skip(64)?;
            Some(Match::BridgePort { plain: fields.u8()? == 0 })
        }
        ("rt", 0) => {
            // A type, a range of segments left, a length, flags, and which of them are inverted.
            fields.skip(4 + 8 + 4 + 1)?;
            Some(Match::RoutingHeader { plain: fields.u8()? == 0 })
        }
        _ => None,
    }
}

/// `XT_CONNTRACK_STATE`, which alone is understood, and `XT_CONNTRACK_STATE_ALIAS`, which says how it was written.
const CT_STATE: u16 = 1;
const CT_STATE_ALIAS: u16 = 1 << 14;

fn conntrack(mut fields: Fields<'_>) -> Option<Match> {
    // Eight addresses and masks, two times of expiry, a protocol and four ports.
    fields.skip(8 * 16 + 2 * 4 + 5 * 2)?;
    let (asked, inverted, said) = (fields.u16()?, fields.u16()?, fields.u16()?);
    (asked & !CT_STATE_ALIAS == CT_STATE).then_some(())?;
    Some(Match::State { states: states(said.into())?, invert: inverted & CT_STATE != 0 })
}

/// The states of nft from those of xtables, which agree but for `UNTRACKED`. `None` where more is asked.
fn states(said: u32) -> Option<u32> {
    const UNTRACKED: u32 = 1 << 8;
    const TRACKED: u32 = 0xf;
    const TRANSLATED: u32 = 3 << 6;
    // What is translated is none of a guest's.
    let plain = said & !TRANSLATED;
    (plain & !(TRACKED | UNTRACKED) == 0 && (said == 0 || plain != 0)).then_some(())?;
    Some(plain & TRACKED | if plain & UNTRACKED == 0 { 0 } else { 64 })
}

fn one_range(
    protocol: u8,
    source: (u16, u16),
    destination: (u16, u16),
    invert: u8,
    flags: (u8, u8, bool),
) -> Match {
    let asked = |range, inverted: bool| (range != (0, u16::MAX) || inverted).then(|| vec![range]);
    let (invert_source, invert_destination) = (invert & 1 != 0, invert & 2 != 0);
    Match::Ports {
        protocol: Some(protocol),
        source: asked(source, invert_source),
        destination: asked(destination, invert_destination),
        either: false,
        invert_source,
        invert_destination,
        flags,
    }
}

fn multiport(mut fields: Fields<'_>) -> Option<Match> {
    const ROOM: usize = 15;
    let (kind, count) = (fields.u8()?, usize::from(fields.u8()?));
    let ports: Vec<u16> = (0..ROOM).map_while(|_| fields.u16()).collect();
    let starts: Vec<bool> = (0..ROOM).map_while(|_| fields.u8()).map(|flag| flag != 0).collect();
    let invert = fields.u8()? != 0;
    let mut ranges = Vec::new();
    let mut pairs = ports.into_iter().zip(starts).take(count);
    while let Some((first, starts)) = pairs.next() {
        ranges.push((first, if starts { pairs.next()?.0 } else { first }));
    }
    let side = |wanted: u8| (kind == 2 || kind == wanted).then(|| ranges.clone());
    Some(Match::Ports {
        protocol: None,
        source: side(0),
        destination: side(1),
        either: kind == 2,
        invert_source: invert,
        invert_destination: invert,
        flags: (0, 0, false),
    })
}

/// A flag of `struct xt_ct_target_info_v1`.
const XT_CT_NOTRACK: u16 = 1;

impl Target {
    pub(super) fn read(raw: &View<'_>) -> Self {
        let name = raw.text(NAME).unwrap_or("?");
        let info = raw.get(INFO).unwrap_or_default();
        match name {
            "REJECT" | "DROP" => Self::Drop(name.into()),
            "MASQUERADE" | "SNAT" | "DNAT" | "REDIRECT" | "NETMAP" => Self::Translate(name.into()),
            "MARK" => {
                let mut fields = Fields(info);
                match (raw.u32(REVISION), fields.u32(), fields.u32()) {
                    (Some(2), Some(value), Some(mask)) => Self::Mark { value, mask },
                    _ => Self::Unknown(name.into()),
                }
            }
            "NOTRACK" => Self::Untrack(name.into()),
            // Its flags come first; what else it does changes nothing for filters.
            "CT" => match Fields(info).u16() {
                Some(flags) if flags & XT_CT_NOTRACK != 0 => Self::Untrack(name.into()),
                Some(_) => Self::Nothing(name.into()),
                None => Self::Unknown(name.into()),
            },
            "LOG" | "NFLOG" | "ULOG" | "CONNMARK" | "TCPMSS" | "TCPOPTSTRIP" | "CHECKSUM" | "CLASSIFY"
            | "DSCP" | "TOS" | "TRACE" | "AUDIT" | "SECMARK" | "CONNSECMARK" | "HL" | "TTL" | "SET"
            | "RATEEST" | "LED" | "IDLETIMER" | "TEE" => Self::Nothing(name.into()),
            _ => Self::Unknown(name.into()),
        }
    }

    /// What `iptables -j` calls it.
    pub fn name(&self) -> &str {
        match self {
            Self::Drop(name)
            | Self::Translate(name)
            | Self::Untrack(name)
            | Self::Nothing(name)
            | Self::Unknown(name) => name,
            Self::Mark { .. } => "MARK",
        }
    }
}
