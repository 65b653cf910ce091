//! Who else filters: what the chains of others do with the packets that guests depend on.
//!
//! Nothing is concluded from names or policies. Samples of those packets ([`samples`]) are run through the rules as they
//! are ([`guestnet_nft::evaluate`]); what cannot be evaluated is said to be so, and is no alarm.

mod frames;
mod remedy;
mod sample;
mod samples;

use std::collections::BTreeMap;

use guestnet_nft::evaluate::{Outcome, Place};
use guestnet_nft::ruleset::{KernelSets, Ruleset, RulesetTable, foreign_ruleset};
use guestnet_nft::{Family, Hook};

use self::remedy::Gap;
use self::sample::{Class, Met, Need, Sample};
use self::samples::World;
use super::case::Case;
use super::links::{self, HostLink};
use super::{Finding, Severity, routes};
use crate::resolve::Ends;
use crate::spec::HostSpec;

/// Guests in general, for when there is no spec.
const ANY: &str = r#"{"version": 1, "guests": [
    {"name": "own", "endpoint": "2001:db8::1", "interfaces": [{"name": "tap0", "mac": "02:00:00:00:00:02",
        "public_ipv4": "203.0.113.1", "private_ipv4": "192.168.0.1"}]},
    {"name": "host", "placement": "host", "interfaces": [{"name": "tap1", "mac": "02:00:00:00:00:02",
        "public_ipv4": "203.0.113.2", "private_ipv4": "192.168.0.2", "public_ipv6": "2001:db8:0:1::/64"}]}]}"#;

/// How many things are named of those that one chain drops.
const NAMED: usize = 3;

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    legacy(case, findings);
    let generic = HostSpec::from_json(ANY).ok();
    let Some(spec) = case.spec.or(generic.as_ref()) else { return };
    let links = case.host_links.clone();
    let uplink = case.uplink_name();
    let way_out = |of: Option<String>| of.or_else(|| uplink.clone());
    let bridged = |family| case.number(&format!("net/bridge/bridge-nf-call-{family}")) == Some(1);
    let world = World {
        links: &links,
        out4: way_out(routes::ipv4(case).into_iter().next()),
        out6: way_out(routes::ipv6(case).into_iter().next().map(|route| route.link)),
        uplink: uplink.clone(),
        bridged_ip: [bridged("iptables"), bridged("ip6tables")],
        named: case.spec.is_some(),
    };
    let samples = world.samples(spec);
    let names = Names::new(spec, &links, uplink, case.spec.is_some());
    let Some(namespace) = &mut case.namespace else { return };
    let Ok(ruleset) = foreign_ruleset(namespace) else { return };
    let mut sets = KernelSets::new(namespace);
    let mut report = Report { ruleset: &ruleset, names, groups: BTreeMap::new() };
    for sample in &samples {
        for met in sample.judge(&ruleset, &mut sets) {
            report.note(sample, &met);
        }
    }
    report.finish(findings);
}

/// Rules of xtables that are not in nf_tables.
fn legacy(case: &Case<'_>, findings: &mut Vec<Finding>) {
    for (file, program) in [("ip_tables_names", "iptables"), ("ip6_tables_names", "ip6tables")] {
        let tables = case.read(&format!("thread-self/net/{file}")).unwrap_or_default();
        if tables.is_empty() {
            continue;
        }
        let tables: Vec<&str> = tables.split_whitespace().collect();
        findings.push(Finding::new(
            Severity::Note,
            "foreign-legacy",
            format!("there are tables of {program}-legacy: {}", tables.join(", ")),
            "they are not in nf_tables, so what they drop cannot be said here",
            format!("look with `{program}-legacy -S`, and move what is needed to {program}-nft"),
        ));
    }
}

/// The links that remedies name.
struct Names {
    own: Vec<String>,
    routed: Vec<String>,
    ports: Vec<String>,
    bridges: Vec<String>,
    uplink: Vec<String>,
}

impl Names {
    fn new(spec: &HostSpec, all: &[HostLink], uplink: Option<String>, named: bool) -> Self {
        let uplink = uplink.into_iter().collect();
        if !named {
            let [own, routed] = ["vetho*", "tap*"].map(|name| vec![name.to_owned()]);
            return Self { own, routed, ports: Vec::new(), bridges: Vec::new(), uplink };
        }
        let away = spec.guests.iter().filter(|guest| !guest.is_on_host());
        let own: Vec<String> =
            away.filter_map(|guest| Ends::of(guest).ok()).map(|ends| ends.host_link.to_string()).collect();
        let here = spec.guests.iter().filter(|guest| guest.is_on_host());
        let (ports, routed): (Vec<_>, Vec<_>) =
            here.flat_map(|guest| &guest.interfaces).partition(|interface| interface.bridge.is_some());
        let names = |of: Vec<&crate::spec::Interface>| {
            of.into_iter().map(|interface| interface.name.to_string()).collect::<Vec<_>>()
        };
        Self {
            own: links::words(&own, all),
            routed: links::words(&names(routed), all),
            ports: links::words(&names(ports), all),
            bridges: spec.bridges.iter().map(|bridge| bridge.name.to_string()).collect(),
            uplink,
        }
    }

    fn of(&self, class: Class, family: Family) -> &[String] {
        match class {
            Class::Own => &self.own,
            Class::Routed => &self.routed,
            Class::Uplink => &self.uplink,
            Class::Port if matches!(family, Family::Bridge | Family::Netdev) => &self.ports,
            Class::Port => &self.bridges,
        }
    }
}

/// What is said once: of one base chain, what it does to all that is needed for one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Drops(Need, Class),
    Unsure(Need, Class),
    Translates,
}

struct Group<'a> {
    table: &'a RulesetTable,
    chain: String,
    hook: Hook,
    place: Place,
    /// By what it is not known.
    unknown: String,
    sample: Sample,
    whats: Vec<String>,
}

struct Report<'a> {
    ruleset: &'a Ruleset,
    names: Names,
    groups: BTreeMap<(usize, String, Subject), Group<'a>>,
}

impl<'a> Report<'a> {
    fn note(&mut self, sample: &Sample, met: &Met<'a>) {
        let is_table = |table: &RulesetTable| std::ptr::eq(table, met.table);
        let table = self.ruleset.tables.iter().position(is_table).unwrap_or(usize::MAX);
        let mut add = |subject, place: &Place, unknown: &str| {
            let group =
                self.groups.entry((table, met.chain.name.to_string(), subject)).or_insert_with(|| Group {
                    table: met.table,
                    chain: met.chain.name.to_string(),
                    hook: met.hook,
                    place: place.clone(),
                    unknown: unknown.to_owned(),
                    sample: sample.clone(),
                    whats: Vec::new(),
                });
            if !group.whats.contains(&sample.what) {
                group.whats.push(sample.what.clone());
            }
        };
        match &met.outcome {
            Outcome::Pass => {}
            Outcome::Drop(place) => add(Subject::Drops(sample.need, sample.class), place, ""),
            Outcome::Unsure { by, what, .. } => add(Subject::Unsure(sample.need, sample.class), by, what),
        }
        // A bridge's own frames are nobody's connections.
        if let Some(place) = met.translated.as_ref().filter(|_| sample.need == Need::Forwarding) {
            add(Subject::Translates, place, "");
        }
    }

    fn finish(self, findings: &mut Vec<Finding>) {
        for ((_, _, subject), group) in &self.groups {
            let finding = match subject {
                Subject::Drops(need, class) => self.drops(group, *need, *class),
                Subject::Unsure(..) => group.unsure(),
                Subject::Translates => group.translates(),
            };
            findings.push(finding);
        }
    }

    fn drops(&self, group: &Group<'_>, need: Need, class: Class) -> Finding {
        let gap = Gap {
            table: group.table,
            chain: &group.chain,
            hook: group.hook,
            sample: &group.sample,
            links: self.names.of(class, group.table.family),
        };
        Finding::new(
            Severity::Warning,
            "foreign-drop",
            format!("{} drops {}, by {}", group.subject(), group.list(), group.place()),
            meaning(need),
            gap.remedy(),
        )
    }
}

fn meaning(need: Need) -> &'static str {
    match need {
        Need::Discovery => {
            "the next hops of guests are link-local addresses: without neighbour discovery no packet of either family \
             comes to them"
        }
        Need::Dhcp => "guests get no address",
        Need::Arp => "guests and the host do not find each other over IPv4",
        Need::Forwarding => {
            "all that guests send and receive is forwarded, and every table has to let it pass, whatever others accept"
        }
        Need::Tunnel => "the tunnels carry nothing",
        Need::Proxied => "the router outside does not find the guests",
        Need::Bridged => "guests do not reach others on their bridge",
    }
}

impl Group<'_> {
    fn subject(&self) -> String {
        let RulesetTable { family, name, .. } = self.table;
        plain(&format!("the chain {} of the table {family} {name}, which is not guestnet's,", self.chain))
    }

    fn list(&self) -> String {
        let more = self.whats.len().saturating_sub(NAMED);
        let mut named = self.whats.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if more > 0 {
            named += &format!(" and {more} more");
        }
        named
    }

    /// The rule, as `nft -a list chain` shows it.
    fn place(&self) -> String {
        let Place { chain, rule } = &self.place;
        let of = if *chain == self.chain { String::new() } else { format!(" in its chain {chain}") };
        let chain = self.table.chains.get(chain);
        let rule = rule.and_then(|n| chain.and_then(|chain| chain.rules.get(n)));
        plain(&match rule {
            None => "its policy".to_owned(),
            Some(rule) => format!("the rule with handle {}{of} ({})", rule.handle, self.table.words(rule)),
        })
    }

    fn unsure(&self) -> Finding {
        Finding::new(
            Severity::Note,
            "foreign-unknown",
            format!(
                "whether {} lets pass {} cannot be said: it depends on {} ({})",
                self.subject(),
                self.list(),
                self.place(),
                plain(&self.unknown),
            ),
            "guestnet does not know what that rule does, and it may drop what guests need",
            format!(
                "look at it: `nft -a list chain {} {} {}`; `nft monitor trace` shows what becomes of packets",
                self.table.family,
                plain(&self.table.name),
                plain(&self.place.chain)
            ),
        )
    }

    fn translates(&self) -> Finding {
        Finding::new(
            Severity::Note,
            "foreign-nat",
            format!("{} translates {}, by {}", self.subject(), self.list(), self.place()),
            "guests are known by another address than theirs, or somebody else gets what is for them",
            "leave the guests' addresses out there; a guest in \"notrack\" mode is not translated by it",
        )
    }
}

/// In one line and without what a terminal would obey: names and comments are anybody's.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
