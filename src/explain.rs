//! What the firewall of a spec does with a packet, said from the spec alone.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use guestnet_core::{Mac, Netns};
use guestnet_firewall::{Decision, FirewallSpec, GuestLink, Packet, Paragraph, Transport};
use ipnet::IpNet;
use serde::Serialize;

use crate::spec::{Guest, HostSpec, Interface};

/// What becomes of a packet: what each place says that it comes by, up to the first that drops it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether it passes all of them.
    pub passes: bool,
    /// The places.
    pub steps: Vec<Step>,
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

/// One end of a packet's way.
enum End<'a> {
    Guest(&'a Guest),
    Address(IpAddr),
    Host,
}

/// A packet in words, read.
struct Question<'a> {
    from: End<'a>,
    to: End<'a>,
    protocol: Option<Transport>,
    port: Option<u16>,
    icmp: Option<(u8, u8)>,
    source: Option<IpAddr>,
    mac: Option<Mac>,
}

const GRAMMAR: &str = "from guest NAME | host | ADDRESS, to guest NAME | host | ADDRESS, then a protocol with its port, \
                       or type and code: \"from guest web1 to 2001:db8::1 tcp 443\"; before the protocol may stand \
                       source ADDRESS and mac ADDRESS, which a guest pretends to";

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
        Way { spec: self, filters }.of(question)
    }

    fn question<'a>(&'a self, words: &str) -> Result<Question<'a>, String> {
        let refuse = |what: &str| format!("{what}; a packet is: {GRAMMAR}");
        let mut words = words.split_whitespace();
        let mut end = |expected: &str| -> Result<End<'a>, String> {
            let mut next = || words.next().ok_or_else(|| refuse("it ends too early"));
            let word = next()?;
            if word != expected {
                return Err(refuse(&format!("{word:?} stands where {expected:?} is expected")));
            }
            match next()? {
                "host" => Ok(End::Host),
                "guest" => {
                    let name = next()?;
                    let guest = self.guests.iter().find(|guest| guest.name.as_str() == name);
                    guest.map(End::Guest).ok_or_else(|| format!("the spec has no guest {name:?}"))
                }
                text => {
                    let address = text.parse().map(End::Address);
                    address.map_err(|_| refuse(&format!("{text:?} is no address")))
                }
            }
        };
        let (from, to) = (end("from")?, end("to")?);
        let mut question =
            Question { from, to, protocol: None, port: None, icmp: None, source: None, mac: None };
        while let Some(word) = words.next() {
            let mut next = || words.next().ok_or_else(|| refuse("it ends too early"));
            match word {
                "source" => {
                    let text = next()?;
                    let address = text.parse().map_err(|_| refuse(&format!("{text:?} is no address")))?;
                    question.source = Some(address);
                }
                "mac" => question.mac = Some(next()?.parse().map_err(|e| format!("{e}"))?),
                _ => {
                    let protocol: Transport = word.parse()?;
                    question.protocol = Some(protocol);
                    let number = |text: &str| refuse(&format!("{text:?} is no number that fits here"));
                    if protocol.has_ports() {
                        let text = next()?;
                        question.port = Some(text.parse().map_err(|_| number(text))?);
                    } else if [Transport::ICMP, Transport::ICMPV6].contains(&protocol) {
                        let text = next()?;
                        let kind = text.parse().map_err(|_| number(text))?;
                        let code =
                            words.next().map_or(Ok(0), |text| text.parse().map_err(|_| number(text)))?;
                        question.icmp = Some((kind, code));
                    }
                    if let Some(more) = words.next() {
                        return Err(refuse(&format!("{more:?} is too much")));
                    }
                }
            }
        }
        Ok(question)
    }
}

/// The way of a packet through the filters of a host.
struct Way<'a> {
    spec: &'a HostSpec,
    filters: BTreeMap<Netns, FirewallSpec>,
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

    /// The guest that `address` is of.
    fn owner(&self, address: IpAddr) -> Option<Bound<'_>> {
        let all = self.spec.guests.iter().flat_map(|guest| self.interfaces(guest));
        all.into_iter().find(|bound| bound.link.known().any(|net| net.contains(&address)))
    }

    /// Whether `address` is one of the host's on guests' links.
    fn is_hosts(&self, address: IpAddr) -> bool {
        self.filters.values().flat_map(|filter| &filter.guests).any(|link| link.routers.contains(&address))
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
            End::Host => return Ok(Explanation::of(vec![Step::host_sends()])),
            End::Address(address) => match self.owner(*address) {
                Some(bound) => {
                    return Err(format!("{address} is of guest {0}: from guest {0}", bound.guest.name));
                }
                None => None,
            },
        };
        let (to, named) = match &asked.to {
            End::Guest(guest) => (Some(with(guest)?), None),
            End::Host => (None, None),
            End::Address(address) if self.is_hosts(*address) => (None, None),
            End::Address(address) => (self.owner(*address), Some(*address)),
        };
        let to_host = to.is_none() && named.is_none();
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
        Ok(Explanation::of(self.steps(from, to, to_host, mac, packet)))
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

    fn steps(
        &self,
        from: Option<Bound<'_>>,
        to: Option<Bound<'_>>,
        to_host: bool,
        mac: Option<Mac>,
        packet: Packet,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        let host = self.filters.get(&Netns::Host);
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
            let seen = if together { &behind } else { &packet };
            let decision = match host {
                Some(host) if to_host && from.guest.is_on_host() => {
                    host.explain_taken(Some(from.link), mac, seen)
                }
                _ => from.filter.explain_sent(from.link, mac, seen),
            };
            steps.push(Step { place: format!("from {} ({})", from.guest.name, from.link.name), decision });
        }
        if to_host && from.is_none_or(|from| !from.guest.is_on_host()) {
            let link = from.map(|from| from.link);
            let taken = host.map(|host| host.explain_taken(link, None, &packet));
            steps.extend(taken.map(|decision| Step { place: "the host".to_owned(), decision }));
        }
        if let Some(to) = to {
            let public = from.filter(|_| !together).and_then(|from| from.interface.public_ipv4);
            let translated =
                public.filter(|_| packet.destination.is_ipv4() && Some(packet.destination) != own(&to));
            let source = translated.map_or(packet.source, IpAddr::from);
            let decision = to.filter.explain_got(to.link, &Packet { source, ..behind });
            steps.push(Step { place: format!("to {} ({})", to.guest.name, to.link.name), decision });
        }
        if steps.is_empty() {
            let because = "neither is a guest; it is forwarded only between two links of \"trusted\"";
            let decision =
                Decision { passes: false, paragraph: Paragraph::DENY, because: because.to_owned() };
            steps.push(Step { place: "the host".to_owned(), decision });
        }
        steps
    }
}

impl Step {
    fn host_sends() -> Self {
        let because =
            "what the host sends is not filtered, but to a guest on a bridge (6.6) and by the guard (8)";
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
        Self { passes: dropped.is_none(), steps }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{}: {}", step.place, step.decision)?;
        }
        f.write_str(if self.passes { "passes" } else { "does not pass" })
    }
}
