//! What loads of registers find.

use super::packet::{Conntrack, Interface, Packet, Side};
use crate::expr::{Ct, CtKey, Exthdr, ExthdrKind, Fib, FibFlag, FibResult, MetaKey, PayloadBase};

/// What is loaded.
pub(super) enum Load {
    Bytes(Vec<u8>),
    /// Something, which is not known.
    Unknown,
    /// There is no such thing: the rule does not match.
    Nothing,
}

impl From<Option<Vec<u8>>> for Load {
    fn from(found: Option<Vec<u8>>) -> Self {
        found.map_or(Self::Unknown, Self::Bytes)
    }
}

/// `IFNAMSIZ`.
const NAME: usize = 16;

fn name(name: &str) -> Load {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(NAME, 0);
    Load::Bytes(bytes)
}

fn number(number: Option<u32>) -> Load {
    number.map(|number| number.to_ne_bytes().to_vec()).into()
}

/// What a side says, and what is said where there is no interface.
fn side(side: &Side, of: impl FnOnce(&Interface) -> Load, otherwise: Load) -> Load {
    match side {
        Side::None => otherwise,
        Side::Unknown => Load::Unknown,
        Side::Known(interface) => of(interface),
    }
}

impl Packet {
    pub(super) fn meta(&self, key: MetaKey) -> Load {
        let index = |interface: &Interface| number(interface.index);
        let group = |interface: &Interface| number(interface.group);
        let bridge = |bridge: &Option<String>| bridge.as_deref().map_or(Load::Nothing, name);
        match key {
            MetaKey::Length => number(u32::try_from(self.network.len()).ok()),
            MetaKey::Protocol => Load::Bytes(self.ethertype.to_be_bytes().to_vec()),
            MetaKey::Mark => number(self.mark),
            MetaKey::Iif => side(&self.input, index, number(Some(0))),
            MetaKey::Oif => side(&self.output, index, number(Some(0))),
            MetaKey::Iifname => side(&self.input, |i| name(&i.name), name("")),
            MetaKey::Oifname => side(&self.output, |i| name(&i.name), name("")),
            MetaKey::Iiftype => {
                let kind = |i: &Interface| i.kind.map(|kind| kind.to_ne_bytes().to_vec()).into();
                side(&self.input, kind, Load::Nothing)
            }
            MetaKey::Iifgroup => side(&self.input, group, Load::Nothing),
            MetaKey::Oifgroup => side(&self.output, group, Load::Nothing),
            MetaKey::Nfproto => Load::Bytes(vec![self.family()]),
            MetaKey::L4proto => {
                self.transport().map_or(Load::Nothing, |(protocol, _)| Load::Bytes(vec![protocol]))
            }
            MetaKey::Ibrname => bridge(&self.bridges.0),
            MetaKey::Obrname => bridge(&self.bridges.1),
            MetaKey::Pkttype => self.packet_type.map(|kind| vec![kind]).into(),
            MetaKey::Secpath => Load::Bytes(vec![u8::from(self.decrypted)]),
            MetaKey::Priority | MetaKey::Nftrace => Load::Unknown,
        }
    }

    pub(super) fn payload(&self, base: PayloadBase, offset: u32, length: u32) -> Load {
        let from = match base {
            PayloadBase::Link => Some(&self.link[..]),
            PayloadBase::Network => Some(&self.network[..]),
            PayloadBase::Transport => self.transport().and_then(|(_, at)| self.network.get(at..)),
            PayloadBase::Inner => return Load::Unknown,
        };
        let (offset, length) = (offset as usize, length as usize);
        let bytes = from.and_then(|bytes| bytes.get(offset..offset.checked_add(length)?));
        bytes.map_or(Load::Nothing, |bytes| Load::Bytes(bytes.to_vec()))
    }

    /// Writes bytes where they can be; checksums are nobody's concern here.
    pub(super) fn write(&mut self, base: PayloadBase, offset: u32, bytes: &[u8]) {
        let start = match base {
            PayloadBase::Network => Some(0),
            PayloadBase::Transport => self.transport().map(|(_, at)| at),
            _ => None,
        };
        let place = start.and_then(|start| {
            let start = start.checked_add(offset as usize)?;
            self.network.get_mut(start..start.checked_add(bytes.len())?)
        });
        place.into_iter().for_each(|place| place.copy_from_slice(bytes));
    }

    pub(super) fn ct(&self, ct: &Ct) -> Load {
        let Some(connection) = self.conntrack else { return Load::Unknown };
        let Conntrack { state, status, reply, mark } = connection;
        match ct.key {
            CtKey::State => number(Some(state)),
            // Only what is tracked has more.
            _ if !connection.is_tracked() => Load::Nothing,
            CtKey::Status => number(status),
            CtKey::Direction => Load::Bytes(vec![u8::from(reply)]),
            CtKey::Mark => number(mark),
            CtKey::Protocol => self.transport().map(|(protocol, _)| vec![protocol]).into(),
            _ => Load::Unknown,
        }
    }

    pub(super) fn exthdr(&self, exthdr: &Exthdr) -> Load {
        let has_none = match exthdr.kind {
            ExthdrKind::Tcp => false,
            ExthdrKind::Ipv4 | ExthdrKind::Ipv6 => self.is_plain(),
        };
        match (has_none, exthdr.exists) {
            (true, true) => Load::Bytes(vec![0]),
            (true, false) => Load::Nothing,
            (false, _) => Load::Unknown,
        }
    }

    pub(super) fn fib(&self, fib: &Fib) -> Load {
        let of_source = fib.flags.contains(&FibFlag::Saddr);
        match fib.result {
            FibResult::Addrtype => {
                let kind = if of_source { self.source_type } else { self.destination_type };
                number(kind.map(u32::from))
            }
            FibResult::Oif | FibResult::Oifname if of_source && fib.flags.contains(&FibFlag::Iif) => {
                let Some(right) = self.reverse_path else { return Load::Unknown };
                let there = |of: &dyn Fn(&Interface) -> Load, none: Load| match (&self.input, right) {
                    (Side::Known(interface), true) => of(interface),
                    (Side::Unknown, true) => Load::Unknown,
                    _ => none,
                };
                match fib.result {
                    _ if fib.present => Load::Bytes(vec![u8::from(right)]),
                    FibResult::Oif => there(&|i| number(i.index), number(Some(0))),
                    _ => there(&|i| name(&i.name), name("")),
                }
            }
            _ => Load::Unknown,
        }
    }
}
