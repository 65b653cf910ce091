//! Addresses in the kernel's words: `RTM_NEWADDR`, `RTM_DELADDR` and `RTM_GETADDR` (rtnetlink(7)).

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Emitable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope,
};

use super::{Address, Besides, connected};
use crate::diff::Change;
use crate::error::Result;
use crate::extras::Extras;
use crate::kind::{Context, Kind, Message, Outbox, Phase, Protocol};
use crate::name::LinkName;
use crate::netlink::{Attributes, number, text};
use crate::netns::Namespace;
use crate::owner::PROTOCOL;
use crate::set::{Object, Observed, Set};
use crate::visible::visible;

impl Kind for Address {
    const PHASES: &'static [Phase] = &[Phase::Addresses];

    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let mut observed = Observed::default();
        read_of(0, namespace, wanted, &mut observed)?;
        connected::look_for(namespace, &mut observed)?;
        Ok(observed)
    }

    /// The addresses of the wanted ones' interfaces (kernel 4.20; an older one sends all of them).
    fn observe_keys(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let mut observed = Observed::default();
        let devs: BTreeSet<&LinkName> = wanted.iter().map(|address| &address.dev).collect();
        let indexes = namespace.link_indexes();
        if devs.len() > DUMPS {
            read_of(0, namespace, wanted, &mut observed)?;
        } else {
            for index in devs.into_iter().filter_map(|dev| indexes.get(dev)) {
                read_of(*index, namespace, wanted, &mut observed)?;
            }
        }
        observed.ours.retain(|address| wanted.contains(&address.key()));
        Ok(observed)
    }

    fn encode(change: &Change<Self>, _: Phase, context: &Context, out: &mut Outbox) -> Result<()> {
        let (kind, flags, address) = match change {
            // The kernel may have made it by itself, since its link came up just now.
            Change::Create(new) if new.is_link_local() => {
                (libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, new)
            }
            Change::Create(new) => (libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, new),
            Change::Replace { new, .. } => (libc::RTM_NEWADDR, libc::NLM_F_REPLACE, new),
            Change::Delete(old) => (libc::RTM_DELADDR, 0, old),
        };
        let message = message(address, context.index(&address.dev)?);
        let mut payload = vec![0; message.buffer_len()];
        message.emit(&mut payload);
        out.send(Protocol::Route, Message::new(kind, flags as u16, &payload));
        Ok(())
    }

    /// The kernel changes the lifetimes of an address in place, but not its flags in both families. With an IPv6 address that is
    /// given again it makes the route to its prefix again, with an IPv4 address it does not.
    fn can_become(old: &Self, new: &Self) -> bool {
        let is_unrouted = old.besides.is_unrouted && matches!(old.address, IpNet::V4(_));
        let lasting = Besides { limited: false, is_unrouted, ..old.besides.clone() };
        *new == Self { besides: lasting, ..old.clone() }
    }

    /// A link has an IPv6 address once, whatever the length of its prefix; and an IPv4 address that is added to a subnet is
    /// secondary, and goes with the first (`promote_secondaries` is 0).
    fn place(&self) -> Option<String> {
        Some(match self.address {
            IpNet::V4(address) => format!("{} {}", self.dev, address.trunc()),
            IpNet::V6(address) => format!("{} {}", self.dev, address.addr()),
        })
    }

    fn lives_on(&self) -> Option<&LinkName> {
        Some(&self.dev)
    }
}

/// How many interfaces are asked for one by one; more than that, and a dump of all is less.
const DUMPS: usize = 64;

/// Reads the addresses of the interface with `index`, 0 for all of them.
fn read_of(
    index: u32,
    namespace: &mut Namespace,
    wanted: &Set<Address>,
    observed: &mut Observed<Address>,
) -> Result<()> {
    let mut header = [0; IFADDRMSG];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let dump = namespace.dump(Protocol::Route, &Message::new(libc::RTM_GETADDR, 0, &header))?;
    for found in dump.replies().filter_map(|reply| read(reply.payload, namespace)) {
        found.note(wanted, observed);
    }
    Ok(())
}

/// Addresses on the link `dev` that are not ours and not the link-local ones that the kernel makes.
///
/// # Errors
/// Fails as asking for addresses does. A link that is not known is no error.
pub fn others_on(namespace: &mut Namespace, dev: &LinkName) -> Result<Vec<IpNet>> {
    let Some(index) = namespace.link_indexes().get(dev).copied() else { return Ok(Vec::new()) };
    let mut header = [0; IFADDRMSG];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let dump = namespace.dump(Protocol::Route, &Message::new(libc::RTM_GETADDR, 0, &header))?;
    let found = dump.replies().filter_map(|reply| read(reply.payload, namespace));
    let is_local = |address: IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let others = found.filter(|Found { address, protocol, .. }| {
        address.dev == *dev && *protocol != PROTOCOL && !is_local(address.address.addr())
    });
    Ok(others.map(|found| found.address.address).collect())
}

fn scope_of(ip: IpAddr) -> AddressScope {
    match ip {
        IpAddr::V4(v4) if v4.is_link_local() => AddressScope::Link,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => AddressScope::Link,
        _ => AddressScope::Universe,
    }
}

fn message(address: &Address, index: u32) -> AddressMessage {
    let ip = address.address.addr();
    let mut message = AddressMessage::default();
    message.header.family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.prefix_len = address.address.prefix_len();
    message.header.index = index;
    message.header.scope = scope_of(ip);
    let mut flags = AddressFlags::empty();
    flags.set(AddressFlags::Noprefixroute, address.noprefixroute);
    flags.set(AddressFlags::Nodad, address.nodad);
    message.attributes = vec![
        AddressAttribute::Local(ip),
        AddressAttribute::Address(address.besides.peer.unwrap_or(ip)),
        AddressAttribute::Flags(flags),
        AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)),
    ];
    message
}

const IFADDRMSG: usize = 8;
const IFA_RT_PRIORITY: u16 = 9;
const IFA_PROTO: u16 = 11;
/// Flags that say what the kernel does with the address at this moment: secondary, optimistic, dadfailed, deprecated,
/// tentative, permanent, stable-privacy.
const PASSING: u32 = 0x01 | 0x04 | 0x08 | 0x20 | 0x40 | 0x80 | 0x800;
/// Flags that ip-address(8) sets and guestnet does not.
const FLAGS: [(u32, &str); 3] = [(0x10, "home"), (0x100, "mngtmpaddr"), (0x400, "autojoin")];

/// An address that was found.
struct Found {
    address: Address,
    protocol: u8,
    on_ours: bool,
}

impl Found {
    /// Notes it as ours or as somebody else's. On a link of ours a wanted address that a tool has changed by hand is ours
    /// still, though it has lost its protocol.
    fn note(self, wanted: &Set<Address>, observed: &mut Observed<Address>) {
        let by_hand = self.protocol == 0 && self.on_ours && wanted.contains(&self.address.key());
        if self.protocol == PROTOCOL || by_hand {
            observed.ours.insert(self.address);
        } else {
            observed.note_foreign(&self.address, wanted);
        }
    }
}

/// Reads one message: all that the kernel tells goes into the key, the fields or the extras.
fn read(payload: &[u8], namespace: &Namespace) -> Option<Found> {
    let [_, length, short_flags, scope] = *payload.first_chunk::<4>()?;
    let index = u32::from_ne_bytes(payload.get(4..8)?.try_into().ok()?);
    let dev = namespace.link_name(index)?.clone();
    let attributes = Attributes::after(payload, IFADDRMSG);
    let [local, address] = attributes.pick([libc::IFA_LOCAL, libc::IFA_ADDRESS]).map(|it| it.and_then(ip));
    let own = local.or(address)?;
    let peer = address.filter(|peer| *peer != own);
    let mut found = Address::new(dev, IpNet::new(own, length).ok()?);
    let mut extras = Extras::default();
    let mut flags = u32::from(short_flags);
    let mut protocol = 0;
    for (attribute, value) in attributes {
        match attribute {
            libc::IFA_LOCAL | libc::IFA_ADDRESS => {}
            libc::IFA_FLAGS => flags = number(value)?,
            IFA_PROTO => protocol = *value.first()?,
            libc::IFA_CACHEINFO => {
                let lasts = |at| value.get(at..).and_then(number) == Some(u32::MAX);
                found.besides.limited = !(lasts(0) && lasts(4));
            }
            libc::IFA_LABEL => {
                let label = text(value).unwrap_or_default();
                extras.note_if(label != found.dev.as_str(), format_args!("label {}", visible(label)));
            }
            // Of a prefix; nothing of a guest uses it, and most hosts' own addresses have one.
            libc::IFA_BROADCAST => {}
            IFA_RT_PRIORITY => extras.note(format_args!("metric {}", number(value).unwrap_or_default())),
            other => extras.note(format_args!("attribute {other}")),
        }
    }
    match peer {
        Some(peer) if peer.is_ipv4() && !found.address.contains(&peer) => found.besides.peer = Some(peer),
        Some(peer) => extras.note(format_args!("peer {peer}")),
        None => {}
    }
    let usual = u8::from(scope_of(own));
    extras.note_if(scope != usual, format_args!("scope {scope}"));
    for (flag, name) in FLAGS {
        extras.note_if(flags & flag != 0, name);
    }
    let known = AddressFlags::Noprefixroute.bits() | AddressFlags::Nodad.bits();
    let strange = FLAGS.iter().fold(flags & !(PASSING | known), |flags, (flag, _)| flags & !flag);
    extras.note_if(strange != 0, format_args!("flags {strange:#x}"));
    found.noprefixroute = flags & AddressFlags::Noprefixroute.bits() != 0;
    found.nodad = flags & AddressFlags::Nodad.bits() != 0;
    found.besides.extras = extras;
    Some(Found { address: found, protocol, on_ours: namespace.owns(index) })
}

/// An IP address from the 4 or 16 bytes of an attribute.
pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
