//! Saying the settings of a link to the kernel: in one message what that takes, by files the rest.

use super::settings::{Parameter, Place, Settings};
use crate::error::{Error, Result};
use crate::kind::{Context, Message, Outbox, Protocol, Step};
use crate::name::LinkName;
use crate::netlink::put;

const IFINFOMSG: usize = 16;
const IFLA_INET_CONF: u16 = 1;
const NLA_F_NESTED: u16 = 0x8000;

const RTM_SETNEIGHTBL: u16 = 67;
const NDTMSG: usize = 4;
const NDTA_NAME: u16 = 1;
const NDTA_PARMS: u16 = 6;
const NDTPA_IFINDEX: u16 = 1;
const NDTPA_PROXY_DELAY: u16 = 13;
/// Milliseconds in the unit of the file, `USER_HZ`.
const UNIT: u64 = 10;

/// Sets what `settings` says on the existing link `name`.
pub(super) fn settings(
    settings: &Settings,
    name: &LinkName,
    context: &Context,
    out: &mut Outbox,
) -> Result<()> {
    let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
    for (parameter, value) in settings.each().filter_map(|(parameter, value)| Some((parameter, value?))) {
        match (parameter.place, parameter.family) {
            (Place::Message(number), "ipv4") => put(&mut ipv4, number, &value.to_ne_bytes()),
            (Place::Message(number), _) => put(&mut ipv6, number, &[value as u8]),
            (Place::Shown, _) => out.act(file(&parameter, name, value)?),
            (Place::Neighbours, _) => {
                let delay = u64::from(value.unsigned_abs()) * UNIT;
                out.send(Protocol::Route, neighbours(context.index(name)?, NDTPA_PROXY_DELAY, delay));
            }
        }
    }
    if settings.arp.is_none() && ipv4.is_empty() && ipv6.is_empty() {
        return Ok(());
    }
    let mut payload = vec![0; IFINFOMSG];
    if let Some(arp) = settings.arp {
        let noarp = libc::IFF_NOARP as u32;
        payload[8..12].copy_from_slice(&(if arp { 0 } else { noarp }).to_ne_bytes());
        payload[12..16].copy_from_slice(&noarp.to_ne_bytes());
    }
    put(&mut payload, libc::IFLA_IFNAME, format!("{name}\0").as_bytes());
    let mut families = Vec::new();
    if !ipv4.is_empty() {
        let mut conf = Vec::new();
        put(&mut conf, IFLA_INET_CONF | NLA_F_NESTED, &ipv4);
        put(&mut families, libc::AF_INET as u16 | NLA_F_NESTED, &conf);
    }
    if !ipv6.is_empty() {
        put(&mut families, libc::AF_INET6 as u16 | NLA_F_NESTED, &ipv6);
    }
    if !families.is_empty() {
        put(&mut payload, libc::IFLA_AF_SPEC | NLA_F_NESTED, &families);
    }
    out.send(Protocol::Route, Message::new(libc::RTM_NEWLINK, 0, &payload));
    Ok(())
}

fn file(parameter: &Parameter, name: &LinkName, value: i32) -> Result<Step> {
    let key = parameter.key(name.as_str());
    let key = key.parse().map_err(|e| Error::malformed(key, e))?;
    Ok(Step::SetOfLink(key, value.to_string()))
}

/// The message that sets the parameter `kind` of the IPv4 neighbours of the link with `index`.
fn neighbours(index: u32, kind: u16, milliseconds: u64) -> Message {
    let mut parameters = Vec::new();
    put(&mut parameters, NDTPA_IFINDEX, &index.to_ne_bytes());
    put(&mut parameters, kind, &milliseconds.to_ne_bytes());
    let mut payload = vec![0; NDTMSG];
    payload[0] = libc::AF_INET as u8;
    put(&mut payload, NDTA_NAME, b"arp_cache\0");
    put(&mut payload, NDTA_PARMS | NLA_F_NESTED, &parameters);
    Message::new(RTM_SETNEIGHTBL, 0, &payload)
}
