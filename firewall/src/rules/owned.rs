//! Addresses that are one guest's alone (RFC 2827): as sources they come from its link and no other.

use guestnet_nft::{
    Chain, DataType, Element, Field, Rule, Set, Statement, arp, ether, icmpv6, ip, ip6, meta,
};
use ipnet::IpNet;

use super::discovery::ADVERTISEMENT;
use super::input::unless_looped;
use crate::prefixes::{Ip, Prefixes, USUAL};
use crate::words::{
    ARP, GUEST, ICMPV6, Words, chain, deny, ethertype, name, pass, protocol, room, rule, transport,
};
use crate::{FirewallSpec, GuestLink, Paragraph as P};

/// Whether a set of this name holds what is a guest's and nobody else's, whatever its keys start with.
pub fn is_exclusive(set: &str) -> bool {
    [HERE, OWNED, BEHIND, STATIONS].iter().any(|start| set.starts_with(start))
}

/// Start of the names of the sets that have the addresses of all guests of a namespace.
pub const HERE: &str = "here_";
/// The same of those on bridges, in the bridges' own table, with their link-local addresses.
pub const OWNED: &str = "owned_";
/// Start of the names of the sets of addresses behind bridges, each with its bridge.
pub const BEHIND: &str = "bridged_";

const STATIONS: &str = "stations";

/// Where packets go that have an address of a guest's as their source, and come from another link.
const ELSEWHERE: &str = "elsewhere";

/// The addresses of all guests of a namespace, whatever they are behind.
pub struct Owned {
    is_empty: bool,
    here: Prefixes,
    bridged: Option<Bridged>,
}

/// Guests that are ports of bridges.
pub struct Bridged {
    /// Addresses of one guest alone, each with its bridge, as the rules of IP know them.
    behind: Prefixes,
    /// Prefixes that a guest may send from, and that others may have, too.
    shared: Prefixes,
    /// Addresses of one guest alone, as the rules of bridges know them. (Which bridge a frame comes through only some kernels tell
    /// them.)
    owned: Prefixes,
    stations: Set,
}

/// The source of a packet.
pub fn source(ip: Ip) -> Field {
    if ip == Ip::V4 { ip::saddr() } else { ip6::saddr() }
}

fn destination(ip: Ip) -> Field {
    if ip == Ip::V4 { ip::daddr() } else { ip6::daddr() }
}

impl Owned {
    pub fn of(spec: &FirewallSpec) -> Self {
        let mut here = Prefixes::new(HERE, false, USUAL);
        let own = spec.guests.iter().flat_map(GuestLink::owned);
        own.chain(spec.beyond.iter().map(IpNet::trunc)).for_each(|net| here.add(None, &net));
        let is_empty = spec.guests.is_empty() && spec.inner.is_empty();
        Self { is_empty, here, bridged: Bridged::of(spec) }
    }

    /// Whether nobody lives here.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    pub fn sets(&self) -> impl Iterator<Item = Set> {
        let bridged = self.bridged.iter().flat_map(|bridged| {
            let all = [&bridged.behind, &bridged.shared].into_iter();
            all.flat_map(|prefixes| Ip::BOTH.into_iter().flat_map(|ip| prefixes.sets(ip)))
        });
        Ip::BOTH.into_iter().flat_map(|ip| self.here.sets(ip)).chain(bridged)
    }

    /// The guests that are ports of bridges, if there are any.
    pub fn bridged(&self) -> Option<&Bridged> {
        self.bridged.as_ref()
    }

    /// For packets from links that are no guests', before they are routed.
    pub fn rules(&self, words: Words) -> Vec<Rule> {
        let of = |ip: Ip| {
            let elsewhere =
                move |had: Statement| rule(P::OWNED, [words.is(ip), had, crate::words::goto(ELSEWHERE)]);
            self.here.have(ip, &source(ip)).into_iter().map(elsewhere)
        };
        Ip::BOTH.into_iter().flat_map(of).collect()
    }

    /// The chain that those go to.
    pub fn chain(&self, words: Words) -> Chain {
        let from_port = self.bridged.iter().flat_map(|bridged| bridged.from(words, P::OWNED));
        chain(ELSEWHERE, from_port.chain([unless_looped(), deny(P::OWNED, [])]))
    }
}

impl Bridged {
    fn of(spec: &FirewallSpec) -> Option<Self> {
        let ports = || spec.guests.iter().filter_map(|guest| Some((guest, guest.bridge.as_ref()?)));
        ports().next()?;
        let mut behind = Prefixes::new(BEHIND, true, USUAL);
        let mut shared = Prefixes::new("shared_", true, [&[], &[]]);
        let mut owned = Prefixes::new(OWNED, false, USUAL);
        for (guest, bridge) in ports() {
            for net in guest.owned().chain([guest.link_local()]) {
                behind.add(Some(bridge), &net);
                owned.add(None, &net);
            }
            guest.shared.iter().for_each(|net| shared.add(Some(bridge), &net.trunc()));
        }
        let stations = ports().map(|(guest, _)| Element::new(guest.mac));
        let stations = Set::new(name(STATIONS), DataType::EtherAddr).with(stations);
        let stations = Set { size: room(stations.elements.len()), ..stations };
        Some(Self { behind, shared, owned, stations })
    }

    /// Addresses of one guest alone.
    pub fn owned(&self) -> &Prefixes {
        &self.owned
    }

    /// Passes what comes through a bridge with a guest's own source.
    pub fn from(&self, words: Words, paragraph: P) -> impl Iterator<Item = Rule> {
        self.is_from(words).into_iter().map(move |parts| pass(paragraph, parts))
    }

    /// Statements that match it.
    pub fn is_from(&self, words: Words) -> Vec<[Statement; 2]> {
        within(&self.behind, words, &meta::iifname(), source)
    }

    /// Passes what goes through a bridge to a guest. Where others may have the address, too, only to a guest: it is marked.
    pub fn to(&self, words: Words, paragraph: P) -> Vec<Rule> {
        let of = |prefixes| within(prefixes, words, &meta::oifname(), destination);
        let own = of(&self.behind).into_iter().map(|parts| pass(paragraph, parts));
        let mark = || meta::mark().set_bits(GUEST, GUEST);
        let shared = of(&self.shared).into_iter();
        own.chain(shared.map(|parts| pass(paragraph, parts.into_iter().chain([mark()])))).collect()
    }

    /// The sets of the bridges' own table.
    pub fn sets(&self) -> impl Iterator<Item = Set> {
        Ip::BOTH.into_iter().flat_map(|ip| self.owned.sets(ip)).chain([self.stations.clone()])
    }

    /// Drops what comes through another port in a guest's name.
    pub fn strangers(&self, words: Words) -> Vec<Rule> {
        let owned = &self.owned;
        let mut rules = vec![deny(P::OWNED, [ether::saddr().is_in(name(STATIONS))])];
        let senders = owned.have(Ip::V4, &arp::saddr_ip());
        rules.extend(senders.into_iter().map(|sender| deny(P::OWNED, [ethertype().eq(ARP), sender])));
        for ip in Ip::BOTH {
            let sources = owned.have(ip, &source(ip));
            rules.extend(sources.into_iter().map(|source| deny(P::OWNED, [words.is(ip), source])));
        }
        let target = transport(8, 16).typed(DataType::Ipv6Addr);
        rules.extend(
            owned
                .have(Ip::V6, &target)
                .into_iter()
                .map(|target| deny(P::OWNED, [protocol(ICMPV6), icmpv6::kind().eq(ADVERTISEMENT), target])),
        );
        rules
    }
}

/// Statements that match packets of which `address` is in one of `prefixes`, each of which is of a `link`.
fn within(
    prefixes: &Prefixes,
    words: Words,
    link: &Field,
    address: impl Fn(Ip) -> Field,
) -> Vec<[Statement; 2]> {
    let of = |ip: Ip| {
        let had = prefixes.have_of(link, ip, &address(ip));
        had.into_iter().map(move |had| [words.is(ip), had])
    };
    Ip::BOTH.into_iter().flat_map(of).collect()
}
