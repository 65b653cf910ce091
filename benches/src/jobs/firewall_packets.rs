//! What a packet costs through the filter: from guests, whose sources are looked at too, and to guests. They are guests of
//! routed links, and each packet opens a connection anew, as far as conntrack knows: nothing answers, so all is looked up.

use anyhow::Result;
use guestnet::core::Namespace;
use guestnet_lab::{Netns, sh};

use super::data_plane::{FRAMES, LENGTH, NOISE, OUTSIDE, SIZES, frame, round};
use crate::firewall::{self, PORT, link, mac};
use crate::goal::{Goal, Most};
use crate::guests::private;
use crate::job::{Contestant, Job, Round};
use crate::stage;
use crate::sys::Flood;

/// How many of the guests there really are: the filter holds the others too.
const REAL: usize = 64;

/// Which way packets go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    From,
    To,
}

macro_rules! job {
    ($name:literal, $what:literal, $way:expr) => {
        Job {
            name: $name,
            what: $what,
            sizes: SIZES,
            contestants: vec![
                Contestant::new("plain forwarding", |n| flooded(n, $way, |_| Ok(()))),
                Contestant::new("connection tracking alone", |n| flooded(n, $way, tracked)),
                Contestant::new("guestnet", |n| flooded(n, $way, filtered)),
                Contestant::new("sets by hand", |n| flooded(n, $way, by_hand)),
                Contestant::new("careful sets by hand", |n| flooded(n, $way, carefully)),
                Contestant::new("rules for each guest", |n| flooded(n, $way, linear)).up_to(1000),
            ],
            growth: Some(("guestnet", 1.5)),
            goals: ["sets by hand", "careful sets by hand"]
                .map(|with| Goal { who: "guestnet", with, most: Most::LongerAtBest(NOISE), from: 0 })
                .into(),
        }
    };
}

pub fn from_guests() -> Job {
    job!("packets-from-guests", "one packet from a guest through the filter to the world", Way::From)
}

pub fn to_guests() -> Job {
    job!("packets-to-guests", "one packet from the world through the filter to a guest", Way::To)
}

fn filtered(count: usize) -> Result<()> {
    firewall::make(&mut Namespace::current()?, &firewall::spec(count)?)
}

fn load(ruleset: &str) -> Result<()> {
    Netns::here()?.nft(ruleset).map(drop)
}

fn tracked(_: usize) -> Result<()> {
    load(
        "table inet t {
            chain forward {
                type filter hook forward priority 0; policy accept;
                ct state established accept
            }
        }",
    )
}

fn ether([a, b, c, d, e, f]: [u8; 6]) -> String {
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// A set of the guests, as `nft` reads it.
fn set(count: usize, name: &str, types: &str, element: impl Fn(usize) -> String) -> String {
    let size = if count > 1000 { "size 262144;" } else { "" };
    let elements: String = (0..count).map(|n| element(n) + ",\n").collect();
    format!("set {name} {{ type {types}; {size}\nelements = {{ {elements} }}\n}}\n")
}

/// The guests, and what each of them serves.
fn guests_and_open(count: usize) -> String {
    let guests = set(count, "guests", "ifname", |n| format!("\"{}\"", link(n)));
    let open = set(count, "open", "ifname . inet_proto . inet_service", |n| {
        format!("\"{0}\" . tcp . 443, \"{0}\" . udp . {PORT}", link(n))
    });
    guests + &open
}

/// The shortest that does the same for IPv4: no spoofing, what is open, nothing else.
fn by_hand(count: usize) -> Result<()> {
    let sources = set(count, "sources", "ifname . ether_addr . ipv4_addr", |n| {
        format!("\"{}\" . {} . {}", link(n), ether(mac(n)), private(n))
    });
    load(&format!(
        "table inet t {{
            {sources} {}
            chain prerouting {{
                type filter hook prerouting priority raw; policy accept;
                iifname @guests iifname . ether saddr . ip saddr != @sources drop
            }}
            chain forward {{
                type filter hook forward priority filter; policy drop;
                ct state established,related accept
                iifname @guests accept
                oifname . meta l4proto . th dport @open accept
            }}
        }}",
        guests_and_open(count)
    ))
}

/// What else the contract asks of these packets: who a guest is and from where it sends are two questions, since a guest can
/// have several addresses; no DHCP servers, no IGMP queries; what a guest sends to another has to be open there too, and
/// where a guest may send to is a list; nothing that belongs to no connection; ICMP by its types. Ports are compared one
/// by one, since a set in braces is a lookup too.
fn carefully(count: usize) -> Result<()> {
    let macs = set(count, "macs", "ifname . ether_addr", |n| format!("\"{}\" . {}", link(n), ether(mac(n))));
    let sources =
        set(count, "sources", "ifname . ipv4_addr", |n| format!("\"{}\" . {}", link(n), private(n)));
    let anywhere = set(count, "anywhere", "ifname", |n| format!("\"{}\"", link(n)));
    load(&format!(
        "table inet t {{
            {macs} {sources} {anywhere} {}
            chain prerouting {{
                type filter hook prerouting priority -350; policy accept;
                iifname != @guests accept
                iifname . ether saddr != @macs drop
                meta nfproto ipv4 goto source
                drop
            }}
            chain source {{
                udp sport 67 drop
                udp dport 67 drop
                udp dport 68 drop
                meta l4proto igmp @th,0,8 0x11 drop
                iifname . ip saddr @sources accept
                drop
            }}
            chain forward {{
                type filter hook forward priority filter; policy drop;
                ct state established,related accept
                ct state invalid drop
                iifname @guests goto from
                oifname @guests goto to
            }}
            chain from {{
                udp dport 67 drop
                udp dport 547 drop
                icmp type {{ 0, 3, 8, 11, 12 }} accept
                iifname @anywhere goto sent
            }}
            chain sent {{
                oifname @guests goto to
                accept
            }}
            chain to {{
                icmp type {{ 0, 3, 8, 11, 12 }} accept
                oifname . meta l4proto . th dport @open accept
            }}
        }}",
        guests_and_open(count)
    ))
}

/// Rules for each guest, as orchestrators write them.
fn linear(count: usize) -> Result<()> {
    let (mut sources, mut open) = (String::new(), String::new());
    for n in 0..count {
        let (link, mac, address) = (link(n), ether(mac(n)), private(n));
        sources +=
            &format!("iifname {link} ether saddr != {mac} drop\niifname {link} ip saddr != {address} drop\n");
        open += &format!(
            "iifname {link} accept\noifname {link} tcp dport 443 accept\noifname {link} udp dport {PORT} accept\n"
        );
    }
    load(&format!(
        "table inet t {{
            chain prerouting {{ type filter hook prerouting priority raw; policy accept; {sources} }}
            chain forward {{
                type filter hook forward priority filter; policy drop;
                ct state established,related accept
                {open}
            }}
        }}"
    ))
}

fn flooded(count: usize, way: Way, rules: fn(usize) -> Result<()>) -> Result<Round> {
    stage::bare()?;
    let (world, guests) = (Netns::make("world")?, Netns::make("guests")?);
    let real = count.min(REAL);
    sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
        ip link add w1 address 02:00:00:00:00:01 type veth peer name w0 address 02:00:00:00:00:02 netns world
        ip link set w1 up; ip -n world link set w0 up
        ip address add 198.51.100.1/24 dev w1
        ip neighbour add 198.51.100.10 lladdr 02:00:00:00:00:02 dev w1 nud permanent")?;
    for n in 0..real {
        let (link, address, mac) = (link(n), private(n), ether(mac(n)));
        sh(&format!(
            "ip link add {link} address 02:00:00:00:00:03 type veth peer name g{n} address {mac} netns guests
             ip link set {link} up; ip -n guests link set g{n} up
             ip route add {address} dev {link}
             ip neighbour add {address} lladdr {mac} dev {link} nud permanent"
        ))?;
    }
    rules(count)?;
    let insides: Vec<String> = (0..real).map(|n| format!("g{n}")).collect();
    let (from, to, sinks, arrived) = match way {
        Way::From => (guests, world, "w0".to_owned(), "ip saddr 10.0.0.0/8"),
        Way::To => (world, guests, insides.join(", "), "ip daddr 10.0.0.0/8"),
    };
    to.nft(&format!(
        "table netdev sink {{
            chain ingress {{
                type filter hook ingress devices = {{ {sinks} }} priority 0; policy accept;
                {arrived} counter drop
            }}
        }}"
    ))?;
    let mut frames = Vec::with_capacity(FRAMES * LENGTH);
    for n in (0..real).cycle().take(FRAMES) {
        let address = private(n).octets();
        frames.extend(match way {
            Way::From => frame([2, 0, 0, 0, 0, 3], mac(n), [address, OUTSIDE]),
            Way::To => frame([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [OUTSIDE, address]),
        });
    }
    let links = if way == Way::From { insides } else { vec!["w0".to_owned()] };
    let flood = from.run(|| Flood::new(&links, frames, LENGTH))?;
    round(flood, from, to)
}
