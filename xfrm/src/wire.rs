//! Between our types and the kernel's structures (linux/xfrm.h), for what states and policies share.

use std::net::IpAddr;
use std::num::NonZeroU64;

use guestnet_core::Message;
use guestnet_core::netlink::Attributes;
use ipnet::IpNet;
use netlink_packet_core::Emitable;
use netlink_packet_xfrm as xfrm;
use netlink_packet_xfrm::constants::{AF_INET, AF_INET6, XFRM_INF, XFRMA_SET_MARK, XFRMA_SET_MARK_MASK};
use zeroize::Zeroizing;

use crate::encap::Encap;
use crate::lifetime::{Lifetimes, Limits};
use crate::selector::{Mark, Selector};

pub const ESP: u8 = 50;
pub const XFRMA_SA_DIR: u16 = 33;
/// `linux/udp.h`.
const UDP_ENCAP_ESPINUDP: u16 = 2;

pub fn family(address: IpAddr) -> u16 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

pub fn ip(address: &xfrm::Address, family: u16) -> Option<IpAddr> {
    match family {
        AF_INET => Some(address.to_ipv4().into()),
        AF_INET6 => Some(address.to_ipv6().into()),
        _ => None,
    }
}

pub fn selector(selector: &Selector) -> xfrm::Selector {
    let mask = |port: Option<u16>| port.map_or(0, |_| u16::MAX);
    xfrm::Selector {
        daddr: xfrm::Address::from_ip(&selector.dst.addr()),
        saddr: xfrm::Address::from_ip(&selector.src.addr()),
        dport: selector.dport.unwrap_or(0),
        dport_mask: mask(selector.dport),
        sport: selector.sport.unwrap_or(0),
        sport_mask: mask(selector.sport),
        family: family(selector.src.addr()),
        prefixlen_d: selector.dst.prefix_len(),
        prefixlen_s: selector.src.prefix_len(),
        proto: selector.proto.unwrap_or(0),
        ifindex: 0,
        user: 0,
    }
}

/// `None` for a selector that [`Selector`] cannot say: of an interface, a user, a range of ports.
pub fn read_selector(found: &xfrm::Selector) -> Option<Selector> {
    let port = |port, mask| match mask {
        0 => Some(None),
        u16::MAX => Some(Some(port)),
        _ => None,
    };
    let net = |address, length| IpNet::new(ip(address, found.family)?, length).ok();
    let selector = Selector {
        src: net(&found.saddr, found.prefixlen_s)?,
        dst: net(&found.daddr, found.prefixlen_d)?,
        proto: Some(found.proto).filter(|proto| *proto != 0),
        sport: port(found.sport, found.sport_mask)?,
        dport: port(found.dport, found.dport_mask)?,
    };
    (found.ifindex == 0 && found.user == 0).then_some(selector)
}

pub fn lifetimes(lifetimes: &Lifetimes) -> xfrm::LifetimeConfig {
    let count = |limit: Option<NonZeroU64>| limit.map_or(XFRM_INF, NonZeroU64::get);
    let time = |limit: Option<NonZeroU64>| limit.map_or(0, NonZeroU64::get);
    let (soft, hard) = (lifetimes.soft, lifetimes.hard);
    xfrm::LifetimeConfig {
        soft_byte_limit: count(soft.bytes),
        hard_byte_limit: count(hard.bytes),
        soft_packet_limit: count(soft.packets),
        hard_packet_limit: count(hard.packets),
        soft_add_expires_seconds: time(soft.seconds),
        hard_add_expires_seconds: time(hard.seconds),
        soft_use_expires_seconds: 0,
        hard_use_expires_seconds: 0,
    }
}

pub fn read_lifetimes(found: &xfrm::LifetimeConfig) -> Lifetimes {
    let count = |limit| NonZeroU64::new(limit).filter(|limit| limit.get() != XFRM_INF);
    Lifetimes {
        soft: Limits {
            bytes: count(found.soft_byte_limit),
            packets: count(found.soft_packet_limit),
            seconds: NonZeroU64::new(found.soft_add_expires_seconds),
        },
        hard: Limits {
            bytes: count(found.hard_byte_limit),
            packets: count(found.hard_packet_limit),
            seconds: NonZeroU64::new(found.hard_add_expires_seconds),
        },
    }
}

pub fn mark(mark: Mark) -> xfrm::XfrmAttrs {
    xfrm::XfrmAttrs::Mark(xfrm::Mark { value: mark.value, mask: mark.mask })
}

/// The mark in an attribute; one under no bits is none.
pub fn read_mark(value: Option<&[u8]>) -> Option<Mark> {
    let found = xfrm::Mark::parse(value?).ok()?;
    Some(Mark { value: found.value, mask: found.mask }).filter(|mark| mark.mask != 0)
}

/// The mark that a state sets; without a mask all bits of it are set.
pub fn read_set_mark(attributes: Attributes<'_>) -> Option<Mark> {
    let mask = attributes.get_u32(XFRMA_SET_MARK_MASK);
    let value = attributes.get_u32(XFRMA_SET_MARK).or(mask.map(|_| 0))?;
    Some(Mark { value, mask: mask.unwrap_or(u32::MAX) }).filter(|mark| mark.mask != 0)
}

pub fn encap(encap: Encap) -> xfrm::XfrmAttrs {
    xfrm::XfrmAttrs::EncapsulationTemplate(xfrm::EncapTmpl {
        encap_type: UDP_ENCAP_ESPINUDP,
        encap_sport: encap.sport,
        encap_dport: encap.dport,
        encap_oa: xfrm::Address::default(),
    })
}

/// `None` for an encapsulation that [`Encap`] cannot say: in TCP, or with an original address.
pub fn read_encap(value: &[u8]) -> Option<Encap> {
    let found = xfrm::EncapTmpl::parse(value).ok()?;
    let plain = found.encap_type == UDP_ENCAP_ESPINUDP && found.encap_oa == xfrm::Address::default();
    plain.then_some(Encap { sport: found.encap_sport, dport: found.encap_dport })
}

/// A message of `kind`.
pub fn message(kind: u16, flags: i32, body: &impl Emitable) -> Message {
    let mut payload = vec![0; body.buffer_len()];
    body.emit(&mut payload);
    Message::new(kind, flags as u16, &payload)
}

/// A message of `kind` whose body holds keys: no copy of it is left.
pub fn secret_message(kind: u16, flags: i32, body: &impl Emitable) -> Message {
    let mut payload = Zeroizing::new(vec![0; body.buffer_len()]);
    body.emit(&mut payload);
    Message::secret(kind, flags as u16, &payload)
}
