//! What of an answer lasts. Counters and timers change by themselves, and whether somebody is at the other end of a link is
//! not for us to say; without them two answers that say the same are the same bytes.

use super::reply::Attributes;

const IFLA_STATS: u16 = libc::IFLA_STATS;
const IFLA_STATS64: u16 = libc::IFLA_STATS64;
/// `IFLA_OPERSTATE`, `IFLA_CARRIER`, `IFLA_CARRIER_CHANGES`, `_UP_COUNT`, `_DOWN_COUNT`.
const CARRIER: [u16; 5] = [16, 33, 35, 47, 48];
/// The same in `ifi_flags`.
const CARRIER_FLAGS: u32 = (libc::IFF_RUNNING | IFF_LOWER_UP | IFF_DORMANT) as u32;
const IFF_LOWER_UP: libc::c_int = 0x1_0000;
const IFF_DORMANT: libc::c_int = 0x2_0000;
const IFLA_INFO_KIND: u16 = libc::IFLA_INFO_KIND;
const IFLA_INFO_DATA: u16 = libc::IFLA_INFO_DATA;
const IFLA_INFO_SLAVE_DATA: u16 = libc::IFLA_INFO_SLAVE_DATA;
/// `IFLA_BR_HELLO_TIMER` to `IFLA_BR_GC_TIMER`.
const BRIDGE_TIMERS: std::ops::RangeInclusive<u16> = 16..=19;
/// `IFLA_BRPORT_MESSAGE_AGE_TIMER` to `IFLA_BRPORT_HOLD_TIMER`.
const PORT_TIMERS: std::ops::RangeInclusive<u16> = 21..=23;
/// `IFLA_INET6_FLAGS` (how far router discovery is), `_STATS`, `_CACHEINFO`, `_ICMP6STATS`.
const INET6_COUNTERS: [u16; 4] = [1, 3, 5, 6];
const IFA_CACHEINFO: u16 = libc::IFA_CACHEINFO;
/// Of a neighbour that is not permanent: how sure the kernel is of it, since when, and how often it has asked.
const NEIGHBOUR_TIMERS: [u16; 2] = [libc::NDA_CACHEINFO, libc::NDA_PROBES];

const RTM_NEWNEIGHTBL: u16 = 64;
/// What a table of neighbours holds now, and how often it was asked.
const NDTA_CONFIG: u16 = 5;
const NDTA_PARMS: u16 = 6;
const NDTA_STATS: u16 = 7;
/// Who refers to it, and what is drawn by lot again each few minutes.
const NDTPA_REFCNT: u16 = 2;
const NDTPA_REACHABLE_TIME: u16 = 3;

/// Lengths of `struct nlmsghdr`, `struct ifinfomsg`, `struct ifaddrmsg` and `struct ndtmsg`.
const NLMSGHDR: usize = 16;
const IFINFOMSG: usize = 16;
const IFADDRMSG: usize = 8;
const NDTMSG: usize = 4;
/// Length of `struct ndmsg`, and where in it the state is.
const NDMSG: usize = 12;
const NDM_STATE: usize = 8;

/// Fills with zeros what does not last in the messages of `dump`, and the numbers of the request and of who asked.
pub fn keep(dump: &mut [u8]) {
    let mut rest = dump;
    while let Some([a, b, c, d, kind, kind_, _, _, who @ ..]) = rest.get_mut(..NLMSGHDR) {
        who.fill(0);
        let kind = u16::from_ne_bytes([*kind, *kind_]);
        let length = (u32::from_ne_bytes([*a, *b, *c, *d]) as usize).max(NLMSGHDR).min(rest.len());
        let (message, behind) = rest.split_at_mut(length.next_multiple_of(4).min(rest.len()));
        let message = &mut message[..length];
        match kind {
            libc::RTM_NEWLINK => {
                // The state of a bridge's port is told from what its carrier does to it.
                let is_port =
                    Attributes::after(message, NLMSGHDR + IFINFOMSG).get(libc::IFLA_MASTER).is_some();
                let passing =
                    if is_port { CARRIER_FLAGS & !(libc::IFF_RUNNING as u32) } else { CARRIER_FLAGS };
                if let Some(flags) = message.get_mut(NLMSGHDR + 8..).and_then(|rest| rest.first_chunk_mut()) {
                    *flags = (u32::from_ne_bytes(*flags) & !passing).to_ne_bytes();
                }
                each(message.get_mut(NLMSGHDR + IFINFOMSG..), of_link);
            }
            libc::RTM_NEWNEIGH => {
                if let Some(state) =
                    message.get_mut(NLMSGHDR + NDM_STATE..).and_then(|rest| rest.first_chunk_mut())
                {
                    *state = (u16::from_ne_bytes(*state) & libc::NUD_PERMANENT).to_ne_bytes();
                }
                each(message.get_mut(NLMSGHDR + NDMSG..), |kind, value| {
                    if NEIGHBOUR_TIMERS.contains(&kind) {
                        value.fill(0);
                    }
                });
            }
            RTM_NEWNEIGHTBL => each(message.get_mut(NLMSGHDR + NDTMSG..), |kind, value| match kind {
                NDTA_CONFIG | NDTA_STATS => value.fill(0),
                NDTA_PARMS => forget(value, |kind| [NDTPA_REFCNT, NDTPA_REACHABLE_TIME].contains(&kind)),
                _ => {}
            }),
            libc::RTM_NEWADDR => each(message.get_mut(NLMSGHDR + IFADDRMSG..), |kind, value| {
                if kind == IFA_CACHEINFO {
                    // How long it is preferred and valid, when it was made and changed. That something has no end lasts.
                    let (times, _) = value.as_chunks_mut::<4>();
                    times.iter_mut().filter(|time| **time != [0xff; 4]).for_each(|time| *time = [0; 4]);
                }
            }),
            _ => {}
        }
        rest = behind;
    }
}

fn of_link(kind: u16, value: &mut [u8]) {
    match kind {
        IFLA_STATS | IFLA_STATS64 => value.fill(0),
        kind if CARRIER.contains(&kind) => value.fill(0),
        libc::IFLA_AF_SPEC => each(Some(value), |family, value| {
            if i32::from(family) == libc::AF_INET6 {
                forget(value, |kind| INET6_COUNTERS.contains(&kind));
            }
        }),
        libc::IFLA_LINKINFO => {
            let mut is_bridge = false;
            each(Some(value), |kind, value| match kind {
                IFLA_INFO_KIND => is_bridge = value.starts_with(b"bridge"),
                IFLA_INFO_DATA if is_bridge => forget(value, |kind| BRIDGE_TIMERS.contains(&kind)),
                IFLA_INFO_SLAVE_DATA => forget(value, |kind| PORT_TIMERS.contains(&kind)),
                _ => {}
            });
        }
        _ => {}
    }
}

fn forget(attributes: &mut [u8], passing: impl Fn(u16) -> bool) {
    each(Some(attributes), |kind, value| {
        if passing(kind) {
            value.fill(0);
        }
    });
}

/// Calls `of` with type and value of each attribute.
fn each(attributes: Option<&mut [u8]>, mut of: impl FnMut(u16, &mut [u8])) {
    let mut rest = attributes.unwrap_or_default();
    while let Some([a, b, c, d]) = rest.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        // Without the flags "nested" and "in network order".
        let kind = u16::from_ne_bytes([*c, *d]) & 0x3fff;
        let Some(value) = rest.get_mut(4..length) else { return };
        of(kind, value);
        let next = length.next_multiple_of(4).min(rest.len());
        rest = &mut std::mem::take(&mut rest)[next..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute;

    fn message(kind: u16, header: usize, sequence: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let body = [vec![0; header], attributes.concat()].concat();
        let mut bytes = (16 + body.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([2, 0]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        [bytes, body].concat()
    }

    fn link(sequence: u32, counter: u8, mtu: u8) -> Vec<u8> {
        let inet6 = attribute(10, &[attribute(2, &[mtu; 8]), attribute(3, &[counter; 16])].concat());
        let data = [attribute(4, &[mtu; 4]), attribute(19, &[counter; 8])].concat();
        let info = [attribute(IFLA_INFO_KIND, b"bridge\0"), attribute(IFLA_INFO_DATA, &data)].concat();
        let attributes = [
            attribute(libc::IFLA_IFNAME, b"br0\0"),
            attribute(IFLA_STATS64, &[counter; 200]),
            attribute(16, &[counter]),
            attribute(libc::IFLA_MTU, &[mtu; 4]),
            attribute(libc::IFLA_LINKINFO | 0x8000, &info),
            attribute(libc::IFLA_AF_SPEC, &inet6),
        ];
        let mut message = message(libc::RTM_NEWLINK, IFINFOMSG, sequence, &attributes);
        // IFF_RUNNING and IFF_UP.
        message[24] = if counter == 8 { 0x41 } else { 1 };
        message
    }

    fn kept(mut bytes: Vec<u8>) -> Vec<u8> {
        keep(&mut bytes);
        bytes
    }

    #[test]
    fn counters_and_timers_make_no_difference_and_settings_do() {
        let two = |sequence, counter, mtu| [link(sequence, 0, 5), link(sequence, counter, mtu)].concat();
        assert_ne!(two(1, 7, 5), two(2, 8, 5));
        assert_eq!(kept(two(1, 7, 5)), kept(two(2, 8, 5)));
        assert_ne!(kept(two(1, 7, 5)), kept(two(1, 7, 6)));
        let mut down = link(1, 7, 5);
        down[24] = 0;
        assert_ne!(kept(link(1, 7, 5)), kept(down), "IFF_UP");
    }

    #[test]
    fn nothing_in_a_message_ends_the_process() {
        let whole = link(1, 2, 3);
        for n in 0..whole.len() {
            kept(whole[..n].to_vec());
            for bad in [0, 1, 3, 0xff] {
                let mut damaged = whole.clone();
                damaged[n] = bad;
                kept(damaged);
            }
        }
    }
}
