//! What a packet costs on its way through the host: forwarded as it is, and translated in several ways. One processor
//! sends, translates, forwards and throws away, so figures are sums; compare them with plain forwarding.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use guestnet::core::{Change, Namespace};
use guestnet::nat::Mode;
use guestnet_lab::{Netns, output, sh};

use crate::goal::{Goal, Most};
use crate::guests::{private, public};
use crate::job::{Contestant, Job, Round, Sizes};
use crate::sys::Flood;
use crate::{nat, stage};

/// Which way packets go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// For how many guests, in how many rounds.
pub const SIZES: Sizes =
    Sizes { whole: &[(1, 40), (100, 40), (10_000, 40), (100_000, 40)], quick: &[(1, 15), (1000, 15)] };

/// Within this, in nanoseconds, runs on a noisy machine do not differ.
pub const NOISE: f64 = 50.0;

macro_rules! job {
    ($name:literal, $what:literal, $way:expr) => {
        Job {
            name: $name,
            what: $what,
            sizes: SIZES,
            contestants: vec![
                Contestant::new("plain forwarding", |n| flooded(n, $way, Way::plain, |_| Ok(()))),
                Contestant::new("guestnet, notrack", |n| flooded(n, $way, Way::translated, notrack)),
                Contestant::new("guestnet, tracked", |n| flooded(n, $way, Way::translated, tracked)),
                Contestant::new("maps by hand", |n| flooded(n, $way, Way::translated, by_hand)),
                Contestant::new("careful maps by hand", |n| flooded(n, $way, Way::translated, carefully)),
                Contestant::new("careful maps by hand, tracked", |n| {
                    flooded(n, $way, Way::translated, carefully_tracked)
                }),
                Contestant::new("stateful NAT", |n| flooded(n, $way, Way::translated, stateful)),
                Contestant::new("the seed's linear rules", |n| flooded(n, $way, Way::translated, linear))
                    .up_to(1000),
            ],
            growth: None,
            goals: vec![
                Goal {
                    who: "guestnet, notrack",
                    with: "maps by hand",
                    most: Most::LongerAtBest(NOISE),
                    from: 0,
                },
                Goal {
                    who: "guestnet, tracked",
                    with: "maps by hand",
                    most: Most::LongerAtBest(NOISE),
                    from: 0,
                },
                Goal {
                    who: "guestnet, notrack",
                    with: "careful maps by hand",
                    most: Most::LongerAtBest(NOISE),
                    from: 0,
                },
                Goal {
                    who: "guestnet, tracked",
                    with: "careful maps by hand, tracked",
                    most: Most::LongerAtBest(NOISE),
                    from: 0,
                },
            ],
        }
    };
}

pub fn inward() -> Job {
    job!("packets-in", "one packet from the world to a guest, any of them", Way::In)
}

pub fn outward() -> Job {
    job!("packets-out", "one packet from a guest, any of them, to the world", Way::Out)
}

fn notrack(count: usize) -> Result<()> {
    library(count, Mode::Notrack)
}

fn tracked(count: usize) -> Result<()> {
    library(count, Mode::Tracked)
}

fn library(count: usize, mode: Mode) -> Result<()> {
    let table = nat::table(&nat::spec(count, mode))?;
    nat::send(&mut Namespace::current()?, &Change::Create(table))
}

fn elements(
    count: usize,
    from: fn(usize) -> std::net::Ipv4Addr,
    to: fn(usize) -> std::net::Ipv4Addr,
) -> String {
    (0..count).map(|n| format!("{} : {},\n", from(n), to(n))).collect()
}

fn load(ruleset: &str) -> Result<()> {
    Netns::here()?.nft(ruleset).map(drop)
}

fn maps(count: usize) -> String {
    let map = |name, elements| {
        let size = if count > 1000 { "size 262144;" } else { "" };
        format!("map {name} {{ type ipv4_addr : ipv4_addr; {size}\nelements = {{ {elements} }}\n}}\n")
    };
    map("inward", elements(count, public, private)) + &map("outward", elements(count, private, public))
}

/// The shortest that does it: two maps, two rules.
fn by_hand(count: usize) -> Result<()> {
    load(&format!(
        "table ip t {{
            {}
            chain prerouting {{
                type filter hook prerouting priority raw; policy accept;
                ip daddr set ip daddr map @inward notrack return
                ip daddr != 10.0.0.0/8 ip saddr set ip saddr map @outward notrack
            }}
        }}",
        maps(count)
    ))
}

/// Where private addresses are known.
const KNOWN: &str = "set known {
    type ipv4_addr; flags interval
    elements = { 10.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 224.0.0.0/4, 255.255.255.255 }
}";

/// The same, and what else has to be right, as far as `nft` has words for it: packets between guests by their public
/// addresses, and what stays as it is: to where private addresses are known, and answers of the host itself.
fn carefully(count: usize) -> Result<()> {
    load(&format!(
        "table ip t {{
            {}
            {KNOWN}
            chain source {{
                ip saddr set ip saddr map @outward notrack
            }}
            chain prerouting {{
                type filter hook prerouting priority raw; policy accept;
                ip daddr set ip daddr map @inward notrack goto source
                ip daddr @known return
                fib daddr type local return
                goto source
            }}
        }}",
        maps(count)
    ))
}

/// The same for those who track connections, who have to see both ways of one by private addresses: so the source is
/// translated behind them, and what was sent to a public address is marked until then.
fn carefully_tracked(count: usize) -> Result<()> {
    load(&format!(
        "table ip t {{
            {}
            {KNOWN}
            chain source {{
                ip saddr set ip saddr map @outward
            }}
            chain prerouting {{
                type filter hook prerouting priority raw; policy accept;
                ip daddr set ip daddr map @inward meta mark set meta mark or 0x1000000
            }}
            chain postrouting {{
                type filter hook postrouting priority 300; policy accept;
                meta mark and 0x1000000 != 0 meta mark set meta mark and 0xfeffffff goto source
                ip daddr @known return
                goto source
            }}
        }}",
        maps(count)
    ))
}

/// With connection tracking. Every connection is a known one after the first round.
fn stateful(count: usize) -> Result<()> {
    load(&format!(
        "table ip t {{
            {}
            chain prerouting {{
                type nat hook prerouting priority dstnat; policy accept;
                dnat to ip daddr map @inward
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat; policy accept;
                ip daddr != 10.0.0.0/8 snat to ip saddr map @outward
            }}
        }}",
        maps(count)
    ))
}

/// Two rules a guest.
fn linear(count: usize) -> Result<()> {
    let rules: String = (0..count)
        .map(|n| {
            let (public, private) = (public(n), private(n));
            format!(
                "ip daddr {public} ip daddr set {private} notrack\n\
                 ip saddr {private} ip daddr != 10.0.0.0/8 ip saddr set {public} notrack\n"
            )
        })
        .collect();
    load(&format!(
        "table ip raw {{
            chain prerouting {{
                type filter hook prerouting priority raw; policy accept;
                {rules}
            }}
        }}"
    ))
}

impl Way {
    /// The link that packets come from, its namespace, and that of those who receive them.
    fn ends(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::In => ("w0", "world", "guest"),
            Self::Out => ("g0", "guest", "world"),
        }
    }

    /// What is sent to, or from, guest `n` and somebody outside, and needs no translation.
    fn plain(self, n: usize, outside: [u8; 4]) -> [[u8; 4]; 2] {
        match self {
            Self::In => [outside, private(n).octets()],
            Self::Out => [public(n).octets(), outside],
        }
    }

    fn translated(self, n: usize, outside: [u8; 4]) -> [[u8; 4]; 2] {
        match self {
            Self::In => [outside, public(n).octets()],
            Self::Out => [private(n).octets(), outside],
        }
    }

    /// What arrives if it was translated.
    fn arrived(self) -> &'static str {
        match self {
            Self::In => "ip daddr 10.0.0.0/8",
            Self::Out => "ip saddr 11.0.0.0/8",
        }
    }
}

/// Somebody in the world.
pub const OUTSIDE: [u8; 4] = [198, 51, 100, 10];

/// How many different frames there are at most: as many guests are spoken to.
pub const FRAMES: usize = 65_536;

/// The shortest frame that goes over Ethernet.
pub const LENGTH: usize = 60;

/// How long the flood of a round takes. Short, and of many rounds, so that contestants who are compared have their turns
/// within the same tenths of a second: the pace of a machine can double for some seconds.
const FLOOD: Duration = Duration::from_millis(25);

/// How long it flows before it counts: others had the caches meanwhile.
const WARM: Duration = Duration::from_millis(5);

fn flooded(
    count: usize,
    way: Way,
    addresses: fn(Way, usize, [u8; 4]) -> [[u8; 4]; 2],
    rules: fn(usize) -> Result<()>,
) -> Result<Round> {
    stage::bare()?;
    let (world, guest) = (Netns::make("world")?, Netns::make("guest")?);
    sh("ip link add w1 address 02:00:00:00:00:01 type veth peer name w0 address 02:00:00:00:00:02 netns world
        ip link add g1 address 02:00:00:00:00:03 type veth peer name g0 address 02:00:00:00:00:04 netns guest
        ip link set w1 up; ip link set g1 up; ip -n world link set w0 up; ip -n guest link set g0 up
        sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.w1.rp_filter=0 \
            net.ipv4.conf.g1.rp_filter=0
        ip address add 198.51.100.1/24 dev w1; ip address add 172.16.0.1/24 dev g1
        ip route add 10.0.0.0/8 via 172.16.0.2; ip route add 198.18.0.0/15 via 198.51.100.10
        ip neighbour add 172.16.0.2 lladdr 02:00:00:00:00:04 dev g1 nud permanent
        ip neighbour add 198.51.100.10 lladdr 02:00:00:00:00:02 dev w1 nud permanent")?;
    rules(count)?;
    let (link, from, _) = way.ends();
    let (from, to) = if from == "world" { (world, guest) } else { (guest, world) };
    let sink = if link == "w0" { "g0" } else { "w0" };
    to.nft(&format!(
        "table netdev sink {{
            chain ingress {{
                type filter hook ingress device {sink} priority 0; policy accept;
                {} counter drop
            }}
        }}",
        way.arrived()
    ))?;
    let mac = if link == "w0" { 1 } else { 3 };
    let flood = from
        .run(|| Flood::new(&[link], frames(count, mac, |n, outside| addresses(way, n, outside)), LENGTH))?;
    round(flood, from, to)
}

/// Floods: from one namespace to another, whose table `sink` counts what arrives.
pub fn round(mut flood: Flood, from: Netns, to: Netns) -> Result<Round> {
    // Connections become known ones, caches warm.
    let mut packets = 0;
    while packets < 2 * FRAMES {
        packets += flood.burst()?;
    }
    Ok(Box::new(move |meter| {
        let before = arrived(&to)?;
        let (warmed, _) = flow(&mut flood, WARM)?;
        let (packets, took) = flow(&mut flood, FLOOD)?;
        meter.took(took.as_nanos() as f64 / packets as f64);
        let _keeps_its_name = &from;
        let (sent, arrived) = (warmed + packets, arrived(&to)? - before);
        ensure!(arrived * 100 >= sent * 98, "of {sent} packets only {arrived} arrived as they should");
        Ok(())
    }))
}

/// How many packets went in at least `time`, and in what time.
fn flow(flood: &mut Flood, time: Duration) -> Result<(usize, Duration)> {
    let (began, mut packets) = (Instant::now(), 0);
    while began.elapsed() < time {
        packets += flood.burst()?;
    }
    Ok((packets, began.elapsed()))
}

fn arrived(sink: &Netns) -> Result<usize> {
    let said = output(sink.command("nft").args(["list", "chain", "netdev", "sink", "ingress"]))?;
    let words = said.split_once("counter packets ").context("a counter")?.1;
    Ok(words.split_whitespace().next().context("a count")?.parse()?)
}

/// UDP in IPv4 in Ethernet, for guests in no order, and as many in the world (RFC 2544: 198.18.0.0/15): a map that is
/// asked for one and the same address of which it knows nothing has the answer at hand.
fn frames(count: usize, mac: u8, addresses: impl Fn(usize, [u8; 4]) -> [[u8; 4]; 2]) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut all = Vec::with_capacity(FRAMES * LENGTH);
    for _ in 0..FRAMES {
        // xorshift64: any order will do, if only the processor's cache cannot foresee it.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let outside = (0xc612_0000 | (state >> 40) as u32 & 0x1_ffff).to_be_bytes();
        let addresses = addresses(state as usize % count, outside);
        all.extend(frame([2, 0, 0, 0, 0, mac], [2, 0, 0, 0, 0, 9], addresses));
    }
    all
}

/// One frame, between two MAC addresses and two addresses.
pub fn frame(to: [u8; 6], from: [u8; 6], [src, dst]: [[u8; 4]; 2]) -> [u8; LENGTH] {
    let mut frame = [0; LENGTH];
    let mut ip = [0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    ip[12..16].copy_from_slice(&src);
    ip[16..20].copy_from_slice(&dst);
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = !((sum >> 16) + (sum & 0xffff)) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    // Ports 1000 to 2000, no checksum.
    let udp = [3, 232, 7, 208, 0, 26, 0, 0];
    let parts: [&[u8]; 5] = [&to, &from, &[8, 0], &ip, &udp];
    frame.iter_mut().zip(parts.concat()).for_each(|(to, from)| *to = from);
    frame
}
