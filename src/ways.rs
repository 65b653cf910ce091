//! The host's own ways, which guests depend on and no apply touches: that the links to the outside pass packets on, have the
//! families that guests have, that no rule (ip-rule(8)) drops what guests send or get, and that no link of others has an address of theirs.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_core::netlink::Attributes;
use guestnet_core::{LinkName, Message, Namespace, Netns, Protocol, address};
use ipnet::IpNet;

use crate::objects::NamespaceObjects;
use crate::spec::{Guest, HostSpec};
use crate::warning::Warning;

/// Addresses that nobody has, to be looked up: the way to them is that to most of the world. RFC 7526; 2000::/16 is given to
/// nobody by IANA.
const WORLD: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 88, 99, 1)), IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1))];

const RTMSG: usize = 12;
/// Where `struct rtmsg` has the kind of the route.
const ROUTE_KIND: usize = 7;
/// So many addresses are asked for one by one.
const FEW: usize = 16;
const RTM_GETRULE: u16 = 34;
/// `struct fib_rule_hdr` and its attributes: linux/fib_rules.h.
const RULE: usize = 12;
const ACTION: usize = 7;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_OIFNAME: u16 = 17;
/// `FR_ACT_BLACKHOLE` and those after it.
const DROPS: [(u8, &str); 3] = [(6, "blackhole"), (7, "unreachable"), (8, "prohibit")];

/// Warns of the host's `namespace`, of which the spec wants `wanted`; not of what cannot be read.
pub(crate) fn warnings(
    namespace: &mut Namespace,
    spec: &HostSpec,
    wanted: &NamespaceObjects,
) -> Vec<Warning> {
    let guests = guest_prefixes(spec);
    let mut all = Vec::new();
    for (world, family) in WORLD.into_iter().zip(["ipv4", "ipv6"]) {
        if !guests.iter().any(|prefix| prefix.addr().is_ipv4() == world.is_ipv4()) {
            continue;
        }
        if let Some(link) = outside(namespace, spec, wanted, world) {
            all.extend(link_to_the_outside(namespace, wanted, &link, family));
        }
        all.extend(dropping_rules(namespace, &guests, world.is_ipv4()));
    }
    all.extend(own_addresses(namespace, spec, wanted));
    all
}

/// Warns of rules in the `namespace` of `guest`: nobody but guestnet has anything to set there.
pub(crate) fn warnings_in(namespace: &mut Namespace, guest: &Guest) -> Vec<Warning> {
    let mut own = Vec::new();
    add_prefixes(guest, true, &mut own);
    let has = |ipv4: bool| own.iter().any(|prefix| prefix.addr().is_ipv4() == ipv4);
    [true, false]
        .into_iter()
        .filter(|ipv4| has(*ipv4))
        .flat_map(|ipv4| dropping_rules(namespace, &own, ipv4))
        .collect()
}

/// Addresses that are routed to guests, and that came to be on a link of others' as well: the host keeps what comes for them.
/// (Where the routes are yet to be made, they are in the way.)
fn own_addresses(namespace: &mut Namespace, spec: &HostSpec, wanted: &NamespaceObjects) -> Vec<Warning> {
    let mut routed: BTreeSet<IpAddr> = spec.guests.iter().flat_map(single_addresses).collect();
    // Few are asked for, so that one guest more costs the same on every host.
    if routed.len() <= FEW {
        routed = local_of(namespace, &routed);
    }
    if routed.is_empty() {
        return Vec::new();
    }
    let links = namespace.link_indexes();
    let mut all = Vec::new();
    for link in links.keys().filter(|link| !wanted.links.contains(*link)) {
        let others = address::others_on(namespace, link).unwrap_or_default();
        all.extend(others.into_iter().filter(|own| routed.contains(&own.addr())).map(|own| {
            Warning::new(
                "address-of-the-host",
                format!("{} is an address of a guest, and {own} is on {link}", own.addr()),
                "the host takes what comes for it, and the guest gets nothing",
                format!("`ip address delete {own} dev {link}`, or give the guest another"),
            )
        }));
    }
    all
}

/// The addresses that are routed to `guest` one by one. One that the host translates in its own namespace is not among them: that
/// is done before it looks what is its own.
fn single_addresses(guest: &Guest) -> Vec<IpAddr> {
    let on_host = guest.is_on_host();
    let mut all: Vec<IpAddr> = guest.endpoint.filter(|_| !on_host).map(IpAddr::from).into_iter().collect();
    for interface in &guest.interfaces {
        let translated = on_host && interface.private_ipv4.is_some();
        all.extend(interface.public_ipv4.filter(|_| !translated).map(IpAddr::from));
        all.extend(interface.private_ipv4.filter(|_| on_host).map(IpAddr::from));
        let prefixes = interface.public_ipv6.iter().chain(&interface.routed_ipv6);
        all.extend(
            prefixes.filter(|prefix| prefix.prefix_len() == 128).map(|prefix| IpAddr::from(prefix.addr())),
        );
    }
    all
}

/// The addresses and prefixes of guests that packets in the host's namespace have.
fn guest_prefixes(spec: &HostSpec) -> Vec<IpNet> {
    let mut all = Vec::new();
    // Those of a namespace of its own are not seen here.
    spec.guests.iter().for_each(|guest| add_prefixes(guest, guest.is_on_host(), &mut all));
    all
}

/// Adds the addresses and prefixes of `guest`, the private ones too where they are `seen`.
fn add_prefixes(guest: &Guest, seen: bool, all: &mut Vec<IpNet>) {
    all.extend(guest.endpoint.map(|address| IpNet::from(IpAddr::from(address))));
    all.extend(guest.proxied.iter().map(|address| IpNet::from(IpAddr::from(*address))));
    for interface in &guest.interfaces {
        all.extend(interface.public_ipv4.map(|address| IpNet::from(IpAddr::from(address))));
        all.extend(interface.public_ipv6.map(IpNet::from));
        all.extend(interface.routed_ipv6.iter().copied().map(IpNet::from));
        if seen {
            all.extend(interface.private_ipv4.map(|address| IpNet::from(IpAddr::from(address))));
            all.extend(interface.private_ipv6.map(IpNet::from));
        }
    }
}

/// The link of others that leads to the outside: the uplink, or where the spec says none, that on the way to the `world`.
fn outside(
    namespace: &mut Namespace,
    spec: &HostSpec,
    wanted: &NamespaceObjects,
    world: IpAddr,
) -> Option<LinkName> {
    let link = spec.uplink.clone().or_else(|| way_to(namespace, world));
    link.filter(|link| !wanted.links.contains(link))
}

/// The link that packets to `to` leave by.
fn way_to(namespace: &mut Namespace, to: IpAddr) -> Option<LinkName> {
    let answer = namespace.get_each(Protocol::Route, &[route_to(to)]).ok()?;
    let index =
        answer.replies().find_map(|reply| Attributes::after(reply.payload, RTMSG).get_u32(libc::RTA_OIF))?;
    namespace.link_name(index).cloned()
}

/// Picks those of `addresses` that the host has.
fn local_of(namespace: &mut Namespace, addresses: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let requests: Vec<Message> = addresses.iter().map(|address| route_to(*address)).collect();
    let Ok(answers) = namespace.get_each(Protocol::Route, &requests) else { return BTreeSet::new() };
    let local = answers.replies().filter(|reply| reply.payload.get(ROUTE_KIND) == Some(&libc::RTN_LOCAL));
    local
        .filter_map(|reply| {
            let to = Attributes::after(reply.payload, RTMSG).get(libc::RTA_DST)?;
            let ipv4 = <[u8; 4]>::try_from(to).map(IpAddr::from);
            ipv4.or_else(|_| <[u8; 16]>::try_from(to).map(IpAddr::from)).ok()
        })
        .collect()
}

/// `ip route get`.
fn route_to(to: IpAddr) -> Message {
    let bytes = match to {
        IpAddr::V4(to) => to.octets().to_vec(),
        IpAddr::V6(to) => to.octets().to_vec(),
    };
    let mut payload = vec![0; RTMSG];
    payload[0] = (if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8;
    payload[1] = bytes.len() as u8 * 8;
    payload.extend((4 + bytes.len() as u16).to_ne_bytes());
    payload.extend(libc::RTA_DST.to_ne_bytes());
    payload.extend(bytes);
    Message::new(libc::RTM_GETROUTE, 0, &payload)
}

fn link_to_the_outside(
    namespace: &Namespace,
    wanted: &NamespaceObjects,
    link: &LinkName,
    family: &str,
) -> Vec<Warning> {
    let switch = if family == "ipv4" { "net/ipv4/ip_forward" } else { "net/ipv6/conf/all/forwarding" };
    let of_link = |name: &str| format!("net/{family}/conf/{link}/{name}");
    let keys = [switch.to_owned(), of_link("forwarding"), of_link("disable_ipv6")];
    let files = keys.each_ref().map(|key| format!("/proc/sys/{key}"));
    let Ok([router, forwards, disabled]) = namespace.texts_of(files.each_ref().map(String::as_str)) else {
        return Vec::new();
    };
    let says = |text: &Option<String>, value: &str| text.as_deref().map(str::trim) == Some(value);
    let is_wanted = |key: &str| wanted.sysctls.iter().any(|sysctl| sysctl.key.to_string() == key);
    let mut all = Vec::new();
    // Where the host becomes a router only now, the kernel sets it on every link.
    if says(&forwards, "0") && says(&router, "1") && is_wanted(switch) && !is_wanted(&keys[1]) {
        all.push(Warning::new(
            "uplink-not-forwarding",
            format!("{} is 0, and {switch} is 1 already", keys[1]),
            format!("what comes in by {link} for guests is dropped"),
            format!("`sysctl -w {}=1`, and where the host says so at boot", keys[1]),
        ));
    }
    if says(&disabled, "1") {
        all.push(Warning::new(
            "uplink-without-ipv6",
            format!("{} is 1", keys[2]),
            format!("{link} has no IPv6, and guests have"),
            format!("`sysctl -w {}=0`, or leave IPv6 out of the spec", keys[2]),
        ));
    }
    all
}

/// A rule that drops.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    action: &'static str,
    priority: u32,
    from: Option<IpNet>,
    to: Option<IpNet>,
    /// The links that it asks for, inbound and outbound.
    links: [Option<String>; 2],
    /// Whether it asks for a mark: it is not known which packets have that.
    marked: bool,
}

impl Rule {
    fn read(payload: &[u8]) -> Option<Self> {
        let family = i32::from(*payload.first()?);
        let number = *payload.get(ACTION)?;
        let action = DROPS.iter().find(|(of, _)| *of == number)?.1;
        let attributes = Attributes::after(payload, RULE);
        let prefix = |kind, length: usize| {
            let bytes = attributes.get(kind)?;
            let address: IpAddr = match family {
                libc::AF_INET => <[u8; 4]>::try_from(bytes).ok()?.into(),
                libc::AF_INET6 => <[u8; 16]>::try_from(bytes).ok()?.into(),
                _ => return None,
            };
            IpNet::new(address, *payload.get(length)?).ok()
        };
        Some(Self {
            action,
            priority: attributes.get_u32(FRA_PRIORITY).unwrap_or(0),
            from: prefix(FRA_SRC, 2),
            to: prefix(FRA_DST, 1),
            links: [FRA_IIFNAME, FRA_OIFNAME].map(|kind| attributes.get_str(kind).map(str::to_owned)),
            marked: attributes.get(FRA_FWMARK).is_some(),
        })
    }

    /// Its selector and action: others may have the same priority.
    fn words(&self) -> String {
        let mut words = self.from.map_or_else(|| "from all".to_owned(), |from| format!("from {from}"));
        words += &self.to.map_or_else(String::new, |to| format!(" to {to}"));
        for (word, link) in ["iif", "oif"].iter().zip(&self.links) {
            words += &link.as_ref().map_or_else(String::new, |link| format!(" {word} {link}"));
        }
        format!("{words} {}", self.action)
    }

    /// Whether it drops something of `guests`, as far as can be told by addresses.
    fn concerns(&self, guests: &[IpNet]) -> bool {
        let overlaps = |own: &IpNet| guests.iter().any(|other| own.contains(other) || other.contains(own));
        let of_guests = [self.from, self.to].iter().flatten().any(overlaps);
        let of_all = self.from.is_none() && self.to.is_none();
        let only_loopback = self.links.iter().flatten().any(|link| link == "lo");
        !self.marked && !only_loopback && (of_guests || of_all)
    }
}

/// As ip-rule(8) shows it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.priority, self.words())
    }
}

fn dropping_rules(namespace: &mut Namespace, guests: &[IpNet], ipv4: bool) -> Vec<Warning> {
    let mut payload = vec![0; RULE];
    payload[0] = (if ipv4 { libc::AF_INET } else { libc::AF_INET6 }) as u8;
    let Ok(dump) = namespace.dump(Protocol::Route, &Message::new(RTM_GETRULE, 0, &payload)) else {
        return Vec::new();
    };
    let rules = dump.replies().filter_map(|reply| Rule::read(reply.payload));
    let of_family: Vec<IpNet> =
        guests.iter().filter(|prefix| prefix.addr().is_ipv4() == ipv4).copied().collect();
    let family = if ipv4 { "" } else { "-6 " };
    let place = match namespace.netns() {
        Netns::Host => String::new(),
        Netns::Named(name) => format!("-n {name} "),
    };
    rules
        .filter(|rule| rule.concerns(&of_family))
        .map(|rule| {
            Warning::new(
                "dropping-rule",
                format!("there is the rule \"{rule}\" (`ip {place}{family}rule`)"),
                "no route is looked up for packets of guests that it matches: they are dropped",
                format!(
                    "`ip {place}{family}rule delete {} priority {}`, or mean it",
                    rule.words(),
                    rule.priority
                ),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(action: u8, attributes: &[(u16, &[u8])], lengths: [u8; 2]) -> Vec<u8> {
        let mut payload = vec![0; RULE];
        payload[0] = libc::AF_INET as u8;
        (payload[1], payload[2], payload[ACTION]) = (lengths[0], lengths[1], action);
        for (kind, value) in attributes {
            payload.extend((4 + value.len() as u16).to_ne_bytes());
            payload.extend(kind.to_ne_bytes());
            payload.extend(*value);
            payload.resize(payload.len().next_multiple_of(4), 0);
        }
        payload
    }

    #[test]
    fn rules_that_drop_what_is_of_guests_are_told_from_others() {
        let guests = ["203.0.113.7/32".parse().unwrap()];
        let concerns = |payload: &[u8]| Rule::read(payload).is_some_and(|rule| rule.concerns(&guests));
        let net: &[u8] = &[203, 0, 113, 0];
        let priority = 100_u32.to_ne_bytes();
        let from = rule(6, &[(FRA_SRC, net), (FRA_PRIORITY, &priority)], [0, 24]);
        assert!(concerns(&from));
        assert_eq!(Rule::read(&from).unwrap().to_string(), "100: from 203.0.113.0/24 blackhole");
        assert!(concerns(&rule(8, &[(FRA_DST, &[203, 0, 113, 7])], [32, 0])));
        assert!(concerns(&rule(7, &[], [0, 0])), "of all");
        assert!(!concerns(&rule(1, &[(FRA_SRC, net)], [0, 24])), "it leads to a table");
        assert!(!concerns(&rule(
            6,
            &[(FRA_SRC, &[198, 51, 100, 0]), (FRA_DST, &[198, 51, 100, 0])],
            [24, 24]
        )));
        assert!(!concerns(&rule(6, &[(FRA_FWMARK, &priority)], [0, 0])));
        assert!(!concerns(&rule(6, &[(FRA_IIFNAME, b"lo\0")], [0, 0])));
        for length in 0..from.len() {
            let _ = Rule::read(&from[..length]);
        }
    }
}
