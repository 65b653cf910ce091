//! Typed values: what stands in sets, and what packets are compared with.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_core::{LinkName, Mac};

use crate::DataType;

/// One value. How many bytes it has is up to the [`DataType`] that it stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// A MAC address, also a multicast one.
    Ether([u8; 6]),
    /// The name of an interface.
    Ifname(LinkName),
    /// A number: a port, a protocol, a mark, a type.
    Number(u32),
}

impl Value {
    /// Whether it is a value of `data`.
    pub fn fits(&self, data: DataType) -> bool {
        match (self, data) {
            (Self::Ipv4(_), DataType::Ipv4Addr)
            | (Self::Ipv6(_), DataType::Ipv6Addr)
            | (Self::Ether(_), DataType::EtherAddr)
            | (Self::Ifname(_), DataType::Ifname) => true,
            (Self::Number(n), _) => match data {
                DataType::Mark | DataType::IfaceIndex => true,
                DataType::EtherType | DataType::InetService | DataType::ArpOp => *n <= 0xffff,
                DataType::InetProto
                | DataType::IcmpType
                | DataType::Icmpv6Type
                | DataType::IcmpCode
                | DataType::Icmpv6Code => *n <= 0xff,
                _ => false,
            },
            _ => false,
        }
    }

    /// Its bytes as a value of `data`. Where it does not [fit](Self::fits) they are cut or filled with zeros.
    pub fn bytes(&self, data: DataType) -> Vec<u8> {
        let mut bytes = vec![0; data.size()];
        self.write(data, &mut bytes);
        bytes
    }

    /// Fills `place` with its [`Self::bytes`].
    pub(crate) fn write(&self, data: DataType, place: &mut [u8]) {
        match self {
            Self::Ipv4(ip) => put_all(ip.octets(), place),
            Self::Ipv6(ip) => put_all(ip.octets(), place),
            Self::Ether(mac) => put_all(*mac, place),
            Self::Ifname(name) => put(name.as_str().as_bytes(), place),
            Self::Number(n) if data.is_host_order() => put_all(n.to_ne_bytes(), place),
            Self::Number(n) => put(&n.to_be_bytes()[4 - place.len().min(4)..], place),
        }
    }
}

/// [`put`], for the many that fit: how many bytes there are is known here, so they need no call to be copied.
fn put_all<const N: usize>(bytes: [u8; N], place: &mut [u8]) {
    match <&mut [u8; N]>::try_from(&mut *place) {
        Ok(place) => *place = bytes,
        Err(_) => put(&bytes, place),
    }
}

/// `bytes`, cut or filled with zeros.
fn put(bytes: &[u8], place: &mut [u8]) {
    let length = bytes.len().min(place.len());
    let (start, rest) = place.split_at_mut(length);
    start.copy_from_slice(&bytes[..length]);
    if !rest.is_empty() {
        rest.fill(0);
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(ip) => ip.fmt(f),
            Self::Ipv6(ip) => ip.fmt(f),
            Self::Ether([a, b, c, d, e, g]) => write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"),
            Self::Ifname(name) => name.fmt(f),
            Self::Number(n) => n.fmt(f),
        }
    }
}

impl From<Ipv4Addr> for Value {
    fn from(ip: Ipv4Addr) -> Self {
        Self::Ipv4(ip)
    }
}

impl From<Ipv6Addr> for Value {
    fn from(ip: Ipv6Addr) -> Self {
        Self::Ipv6(ip)
    }
}

impl From<IpAddr> for Value {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::Ipv4(ip),
            IpAddr::V6(ip) => Self::Ipv6(ip),
        }
    }
}

impl From<Mac> for Value {
    fn from(mac: Mac) -> Self {
        Self::Ether(mac.0)
    }
}

impl From<LinkName> for Value {
    fn from(name: LinkName) -> Self {
        Self::Ifname(name)
    }
}

impl From<&LinkName> for Value {
    fn from(name: &LinkName) -> Self {
        Self::Ifname(name.clone())
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::Number(n)
    }
}

impl From<u16> for Value {
    fn from(n: u16) -> Self {
        Self::Number(n.into())
    }
}

impl From<u8> for Value {
    fn from(n: u8) -> Self {
        Self::Number(n.into())
    }
}
