//! Addresses of interfaces.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Emitable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope,
};
use serde::{Deserialize, Serialize};

use crate::diff::Change;
use crate::error::Result;
use crate::kind::{Context, Kind, Message, Outbox, Phase, Protocol};
use crate::name::LinkName;
use crate::netlink::Attributes;
use crate::netns::Namespace;
use crate::owner::PROTOCOL;
use crate::set::{Object, Observed, Set};

/// An address on an interface: `ip address add ADDRESS/LEN dev DEV`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The interface.
    pub dev: LinkName,
    /// The address with the length of its prefix: `192.168.0.1/24`.
    #[schemars(with = "crate::schema::IpInterface")]
    pub address: IpNet,
    /// Make no route to the prefix (`noprefixroute`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub noprefixroute: bool,
    /// Use the IPv6 address at once, without duplicate address detection (`nodad`, RFC 4862 section 5.4).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub nodad: bool,
}

impl Address {
    /// `address` on `dev`, with a route to its prefix and, for IPv6, duplicate address detection.
    pub fn new(dev: LinkName, address: IpNet) -> Self {
        Self { dev, address, noprefixroute: false, nodad: false }
    }
}

impl Object for Address {
    type Key = AddressKey;
    const KIND: &'static str = "address";

    fn key(&self) -> AddressKey {
        AddressKey(self.dev.clone(), self.address)
    }
}

/// An address is identified by its interface, itself and the length of its prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressKey(LinkName, IpNet);

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.1, self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.address, self.dev)?;
        f.write_str(if self.noprefixroute { " noprefixroute" } else { "" })?;
        f.write_str(if self.nodad { " nodad" } else { "" })
    }
}

impl Kind for Address {
    const PHASES: &'static [Phase] = &[Phase::Addresses];

    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let mut observed = Observed::default();
        read_of(0, namespace, wanted, &mut observed)?;
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

    /// The kernel changes the lifetimes of an address in place, but not these flags in both families.
    fn can_become(old: &Self, new: &Self) -> bool {
        old == new
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
    for (address, protocol) in dump.replies().filter_map(|reply| read(reply.payload, namespace)) {
        if protocol == PROTOCOL {
            observed.ours.insert(address);
        } else {
            observed.note_foreign(&address, wanted);
        }
    }
    Ok(())
}

fn message(address: &Address, index: u32) -> AddressMessage {
    let ip = address.address.addr();
    let mut message = AddressMessage::default();
    message.header.family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.prefix_len = address.address.prefix_len();
    message.header.index = index;
    message.header.scope = match ip {
        IpAddr::V4(v4) if v4.is_link_local() => AddressScope::Link,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => AddressScope::Link,
        _ => AddressScope::Universe,
    };
    let mut flags = AddressFlags::empty();
    flags.set(AddressFlags::Noprefixroute, address.noprefixroute);
    flags.set(AddressFlags::Nodad, address.nodad);
    message.attributes = vec![
        AddressAttribute::Local(ip),
        AddressAttribute::Address(ip),
        AddressAttribute::Flags(flags),
        AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)),
    ];
    message
}

const IFADDRMSG: usize = 8;
const IFA_PROTO: u16 = 11;

/// An address and its protocol number.
fn read(payload: &[u8], namespace: &Namespace) -> Option<(Address, u8)> {
    let length = *payload.get(1)?;
    let index = u32::from_ne_bytes(payload.get(4..8)?.try_into().ok()?);
    let attributes = Attributes::after(payload, IFADDRMSG);
    let bytes = attributes.get(libc::IFA_LOCAL).or_else(|| attributes.get(libc::IFA_ADDRESS))?;
    let flags = AddressFlags::from_bits_retain(attributes.get_u32(libc::IFA_FLAGS).unwrap_or(0));
    let address = Address {
        dev: namespace.link_name(index)?.clone(),
        address: IpNet::new(ip(bytes)?, length).ok()?,
        noprefixroute: flags.contains(AddressFlags::Noprefixroute),
        nodad: flags.contains(AddressFlags::Nodad),
    };
    Some((address, attributes.get(IFA_PROTO).and_then(|p| p.first()).copied().unwrap_or(0)))
}

/// An IP address from the 4 or 16 bytes of an attribute.
pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
