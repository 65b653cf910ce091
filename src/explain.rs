//! What the firewall of a spec does with a packet, said from the spec alone.

mod addresses;
mod question;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use guestnet_core::{Mac, Netns};
use guestnet_firewall::{Decision, FirewallSpec, GuestLink, Packet, Paragraph, Transport};
use ipnet::IpNet;
use serde::Serialize;

use self::addresses::Addresses;
use self::question::{End, Question};
use crate::spec::{Guest, HostSpec, Interface};

/// What becomes of a packet: what each place says that it comes by, up to the first that drops it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether it passes all of them.
    pub passes: bool,
    /// The places.
    pub steps: Vec<Step>,
    /// Facts that the spec does not say, and that would make the answer the other one.
    pub unknown: Vec<String>,
}

/// What one place says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Step {
    /// Which.
    pub place: String,
    /// What it says.
    #[serde(flatten)]
    pub decision: Decision,
}

impl HostSpec {
    /// What becomes of the packet that `words` describe: `from guest web1 to 2001:db8::1 tcp 443`,
    /// `from 198.51.100.7 to guest web1 icmp 8`, `from guest web1 to host source 10.0.0.1 udp 53`. It is taken to be the
    /// first of its connection.
    ///
    /// # Errors
    /// Words that cannot be understood, and a spec that is wrong or has no firewall.
    pub fn explain(&self, words: &str) -> Result<Explanation, String> {
        let resolved = self.resolve().map_err(|e| e.to_string())?;
        let problems = resolved.checked();
        if !problems.is_empty() {
            return Err(format!("the spec is wrong: {problems}"));
        }
        let filters = resolved.firewalls();
        if filters.is_empty() {
            return Err("the spec has no \"firewall\": nothing is filtered".to_owned());
        }
        let question = self.question(words)?;
        Way { spec: self, filters, addresses: Addresses::of(&resolved) }.of(question)
    }
}

/// The way of a packet through the filters of a host.
struct Way<'a> {
    spec: &'a HostSpec,
    filters: BTreeMap<Netns, FirewallSpec>,
    addresses: Addresses,
}

/// Whom a packet comes to.
#[derive(Clone, Copy)]
enum Goal<'a> {
    Guest(Bound<'a>),
    /// The host itself, in one of its namespaces.
    Host(&'a Netns),
    /// Nobody that the spec knows.
    Beyond,
}

/// A guest's interface, as the spec and as the filter have it.
#[derive(Clone, Copy)]
struct Bound<'a> {
    guest: &'a Guest,
    interface: &'a Interface,
    filter: &'a FirewallSpec,
    link: &'a GuestLink,
}

impl Bound<'_> {
    /// An address of the family, as the guest has it.
    fn own(&self, ipv6: bool) -> Option<IpAddr> {
        let nets = self.link.addresses.iter().filter(|net| net.addr().is_ipv6() == ipv6);
        nets.map(an_address).next()
    }

    /// The decision at its link about a packet in this direction.
    fn says(&self, direction: &str, decision: Decision) -> Step {
        Step { place: format!("{direction} {} ({})", self.guest.name, self.link.name), decision }
    }
}

/// An address in a prefix that can be a guest's: behind the router's.
fn an_address(net: &IpNet) -> IpAddr {
    match net {
        IpNet::V6(net) if net.prefix_len() <= 126 => Ipv6Addr::from(u128::from(net.network()) + 2).into(),
        net => net.addr(),
    }
}

impl<'a> Way<'a> {
    fn interfaces(&self, guest: &'a Guest) -> impl Iterator<Item = Bound<'_>> {
        let filter = self.filters.get(&guest.netns());
        guest.interfaces.iter().filter_map(move |interface| {
            let filter = filter?;
            let link = filter.guests.iter().find(|link| link.name == interface.name)?;
            Some(Bound { guest, interface, filter, link })
        })
    }

    /// The guest whose `address` it is, and nobody else's.
    fn owner(&self, address: IpAddr) -> Option<Bound<'_>> {
        self.having(|link| link.owned().any(|net| net.contains(&address)))
    }

    /// The guest that gets what is for `address`: whose it is, or who may send from it.
    fn receiver(&self, address: IpAddr) -> Option<Bound<'_>> {
        self.owner(address).or_else(|| self.having(|link| link.known().any(|net| net.contains(&address))))
    }

    fn having(&self, has: impl Fn(&GuestLink) -> bool) -> Option<Bound<'_>> {
        let all = self.spec.guests.iter().flat_map(|guest| self.interfaces(guest));
        all.into_iter().find(|bound| has(bound.link))
    }

    /// Whom a packet from `from` comes to that is for `address`.
    fn goal(&self, from: Option<Bound<'_>>, address: IpAddr) -> Result<Goal<'_>, String> {
        let near = from.map_or(Netns::Host, |from| from.guest.netns());
        let taker = self.addresses.taker(&near, address).filter(|netns| self.filters.contains_key(netns));
        if self.addresses.is_everybodys(address) {
            let bridged = |link: &GuestLink| link.bridge.is_some();
            // From outside it may come through a bridge, or not.
            let carried = from.map_or_else(|| self.having(bridged).is_some(), |from| bridged(from.link));
            if carried {
                let one = "\"to guest NAME\" asks for a guest there, \"to host\" for the host";
                return Err(format!("{address} is for everybody, and a bridge carries it to each: {one}"));
            }
            let here = self.filters.keys().find(|netns| **netns == near);
            return Ok(taker.or(here).map_or(Goal::Beyond, Goal::Host));
        }
        let guest = || self.receiver(address).map_or(Goal::Beyond, Goal::Guest);
        Ok(taker.map_or_else(guest, Goal::Host))
    }

    fn of(&self, asked: Question<'a>) -> Result<Explanation, String> {
        let ipv6 = self.family(&asked);
        let with = |guest: &'a Guest| {
            let fits = |bound: &Bound<'_>| bound.own(ipv6).is_some();
            let family = if ipv6 { "IPv6" } else { "IPv4" };
            self.interfaces(guest).find(fits).ok_or_else(|| format!("{} has no {family} address", guest.name))
        };
        let from = match &asked.from {
            End::Guest(guest) => Some(with(guest)?),
            End::Host => {
                let to = match &asked.to {
                    End::Guest(guest) => Some(with(guest)?),
                    End::Address(address) => self.receiver(*address),
                    End::Host => None,
                };
                return Ok(Explanation::of(vec![self.sent_by_host(to, &asked, ipv6)]));
            }
            End::Address(address) => match self.owner(*address) {
                Some(bound) => {
                    return Err(format!("{address} is of guest {0}: from guest {0}", bound.guest.name));
                }
                None if self.addresses.is_hosts(*address) => {
                    return Err(format!(
                        "{address} is the host's: from host (3.8 drops what comes in with it)"
                    ));
                }
                None => None,
            },
        };
        let (goal, named) = match &asked.to {
            End::Guest(guest) => (Goal::Guest(with(guest)?), None),
            End::Host => (Goal::Host(&Netns::Host), None),
            End::Address(address) => (self.goal(from, *address)?, Some(*address)),
        };
        let to = match goal {
            Goal::Guest(to) => Some(to),
            _ => None,
        };
        let somewhere = || if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { [0, 0, 0, 0].into() };
        let destination = named.or_else(|| to.and_then(|to| to.own(ipv6))).unwrap_or_else(somewhere);
        let own = from.and_then(|from| from.own(ipv6));
        let outside = match asked.from {
            End::Address(address) => Some(address),
            _ => None,
        };
        let source = asked.source.or(own).or(outside).unwrap_or_else(somewhere);
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(format!("{source} and {destination} are not of one family"));
        }
        let Question { protocol, port, icmp, mac, .. } = asked;
        let packet = Packet { source, destination, protocol, port, icmp };
        let Goal::Beyond = goal else { return Ok(Explanation::of(self.steps(from, goal, mac, &packet))) };
        let mut said = Explanation::of(self.steps(from, goal, mac, &packet));
        let otherwise = Explanation::of(self.steps(from, Goal::Host(&Netns::Host), mac, &packet));
        if let Some(step) = otherwise.steps.last().filter(|_| otherwise.passes != said.passes) {
            let what = format!("whether {destination} is an address of the host is not in the spec");
            said.unknown.push(format!("{what}: if it is, {}", step.decision));
        }
        let host = self.filters.get(&Netns::Host).filter(|_| from.is_none());
        if host.is_some_and(|host| !host.trusted.is_empty()) {
            let what = "whether both are behind links of \"trusted\" is not in the spec";
            said.unknown.push(format!("{what}: if they are, passes by {}", Paragraph::DENY));
        }
        Ok(said)
    }

    /// A packet that the host sends by itself: filtered where a guest's list is asked on a bridge, or in its namespace.
    fn sent_by_host(&self, to: Option<Bound<'_>>, asked: &Question<'_>, ipv6: bool) -> Step {
        let Some(to) = to.filter(|to| to.link.bridge.is_some() || !to.guest.is_on_host()) else {
            return Step::host_sends();
        };
        let somewhere = || if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { [0, 0, 0, 0].into() };
        let routers = to.link.routers.iter().filter(|router| router.is_ipv6() == ipv6);
        // Of its own addresses the spec knows those on guests' links.
        let source = asked.source.or_else(|| routers.copied().next()).unwrap_or_else(somewhere);
        let destination = to.own(ipv6).unwrap_or_else(somewhere);
        let Question { protocol, port, icmp, .. } = *asked;
        let packet = Packet { source, destination, protocol, port, icmp };
        let decision = match to.link.bridge {
            Some(_) => to.filter.explain_from_host(to.link, &packet),
            None => to.filter.explain_got(to.link, &packet),
        };
        to.says("to", decision)
    }

    fn family(&self, asked: &Question<'_>) -> bool {
        let addresses = [&asked.to, &asked.from].into_iter().find_map(|end| match end {
            End::Address(address) => Some(address.is_ipv6()),
            _ => None,
        });
        let protocol = match asked.protocol {
            Some(Transport::ICMP) => Some(false),
            Some(Transport::ICMPV6) => Some(true),
            _ => None,
        };
        let has_ipv4 = |end: &End<'_>| !matches!(end, End::Guest(guest) if !guest.has_ipv4());
        let source = asked.source.map(|source| source.is_ipv6());
        addresses.or(source).or(protocol).unwrap_or(!has_ipv4(&asked.from) || !has_ipv4(&asked.to))
    }

    fn steps(&self, from: Option<Bound<'_>>, goal: Goal<'_>, mac: Option<Mac>, packet: &Packet) -> Vec<Step> {
        let to = match goal {
            Goal::Guest(to) => Some(to),
            Goal::Host(netns) => return self.to_host(from, netns, mac, packet),
            Goal::Beyond => None,
        };
        let mut steps = Vec::new();
        let together = from.zip(to).is_some_and(|(from, to)| from.guest.netns() == to.guest.netns());
        // In one namespace translation comes between the two looks at a packet, and what it makes is private.
        let own = |bound: &Bound<'_>| bound.own(packet.destination.is_ipv6());
        let behind = Packet {
            destination: to
                .and_then(|to| own(&to))
                .filter(|_| packet.destination.is_ipv4())
                .unwrap_or(packet.destination),
            ..packet.clone()
        };
        if let Some(from) = from {
            let seen = if together { &behind } else { packet };
            steps.push(from.says("from", from.filter.explain_sent(from.link, mac, seen)));
        }
        if let Some(to) = to {
            let public = from.filter(|_| !together).and_then(|from| from.interface.public_ipv4);
            let translated =
                public.filter(|_| packet.destination.is_ipv4() && Some(packet.destination) != own(&to));
            let source = translated.map_or(packet.source, IpAddr::from);
            let decision = to.filter.explain_got(to.link, &Packet { source, ..behind });
            steps.push(to.says("to", decision));
        }
        if steps.is_empty() {
            let because = "neither is a guest; it is forwarded only between two links of \"trusted\"";
            let decision =
                Decision { passes: false, paragraph: Paragraph::DENY, because: because.to_owned() };
            steps.push(Step { place: "the host".to_owned(), decision });
        }
        steps
    }

    /// To the host itself, in `netns`: where the guest lives that sends it, it is judged once.
    fn to_host(
        &self,
        from: Option<Bound<'_>>,
        netns: &Netns,
        mac: Option<Mac>,
        packet: &Packet,
    ) -> Vec<Step> {
        let Some(taker) = self.filters.get(netns) else { return Vec::new() };
        let mut steps = Vec::new();
        match from {
            Some(from) if from.guest.netns() == *netns => {
                return vec![from.says("from", taker.explain_taken(Some(from.link), mac, packet))];
            }
            Some(from) => steps.push(from.says("from", from.filter.explain_sent(from.link, mac, packet))),
            None => {}
        }
        let place = match netns {
            Netns::Host => "the host".to_owned(),
            Netns::Named(name) => format!("the namespace {name}"),
        };
        let link = from.filter(|_| *netns == Netns::Host).map(|from| from.link);
        // Who sends from outside passes the host first, which forwards to the namespace.
        let stranger = self.filters.get(&Netns::Host).filter(|_| from.is_none());
        let stranger = stranger.and_then(|host| host.explain_stranger(packet));
        let decision = stranger.unwrap_or_else(|| taker.explain_taken(link, None, packet));
        steps.push(Step { place, decision });
        steps
    }
}

impl Step {
    fn host_sends() -> Self {
        let because = "what the host sends is not filtered, but to a guest on a bridge (6.6) or in its namespace, and by the guard (8)";
        let decision =
            Decision { passes: true, paragraph: Paragraph::HOST_SENDS, because: because.to_owned() };
        Self { place: "the host".to_owned(), decision }
    }
}

impl Explanation {
    /// Up to the first place that drops it.
    fn of(mut steps: Vec<Step>) -> Self {
        let dropped = steps.iter().position(|step| !step.decision.passes);
        steps.truncate(dropped.map_or(steps.len(), |n| n + 1));
        Self { passes: dropped.is_none(), steps, unknown: Vec::new() }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{}: {}", step.place, step.decision)?;
        }
        f.write_str(if self.passes { "passes" } else { "does not pass" })?;
        self.unknown.iter().try_for_each(|what| write!(f, "; {what}"))
    }
}
