//! The evaluation against the kernel: real frames through rulesets as people write them, and what was said of them.

mod support;

use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_core::Namespace;
use guestnet_lab::craft::{dhcp, ethernet, icmp, ipv4::Ipv4, ipv6, ipv6::Ipv6, ndp, transport};
use guestnet_lab::{Capability, Frame, Mac, Netns, lab_test, need, need_program, send_frame, sh};
use guestnet_nft::evaluate::{Conntrack, Interface, Outcome, Packet, Side, run};
use guestnet_nft::ruleset::{KernelSets, Ruleset, foreign_ruleset};
use guestnet_nft::{ChainType, Family, Hook};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::{nft, nft_file};

/// A frame that one of the neighbours sends, and where it goes.
struct Sample {
    name: &'static str,
    /// The neighbour sends it out of its end of this link.
    from: &'static str,
    /// Where it leaves; `None` where it is for the host.
    to: Option<&'static str>,
    ethertype: u16,
    /// How it is told from others: an expression of nft.
    seen_by: &'static str,
    conntrack: Conntrack,
    packet: Vec<u8>,
    destination: Mac,
    /// `RTN_*` of source and destination.
    types: (u8, u8),
    packet_type: u8,
}

const HOST: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
const BROADCAST: u8 = 3;
const MULTICAST: u8 = 5;

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The samples of one round: ports differ by round, so that each is the first packet of a connection.
fn samples(round: u16) -> Vec<Sample> {
    let port = 2000 + round;
    let tcp4 = |from: &str, to: &str, to_port| {
        let (from, to) = (v4(from), v4(to));
        let segment = transport::tcp(from.into(), to.into(), (port, to_port), transport::SYN, (1, 0));
        Ipv4::new(from, to, 6).carrying(&segment)
    };
    let tcp6 = |from: &str, to: &str, to_port| {
        let (from, to) = (v6(from), v6(to));
        let segment = transport::tcp(from.into(), to.into(), (port, to_port), transport::SYN, (1, 0));
        Ipv6::new(from, to, 6).carrying(&segment)
    };
    let base = |name, from, to, seen_by, packet| Sample {
        name,
        from,
        to,
        ethertype: 0x0800,
        seen_by,
        conntrack: Conntrack::NEW,
        packet,
        destination: HOST,
        types: (UNICAST, UNICAST),
        packet_type: 0,
    };
    let broadcast = Ipv4Addr::BROADCAST;
    let discover =
        transport::udp(Ipv4Addr::UNSPECIFIED.into(), broadcast.into(), (68, 67), &dhcp::dhcpv4(1, OTHER, 1));
    let (near, router) = (v6("fe80::2"), v6("fe80::1"));
    let group = ipv6::solicited_node(router);
    let mut body = vec![0; 4];
    body.extend(router.octets());
    body.extend(ndp::source_mac(OTHER));
    let solicitation = icmp::icmpv6(near, group, 135, 0, &body);
    let (far, here) = (v6("2001:db8::9"), v6("2001:db8::1"));
    let echo = |number: u16| [&number.to_be_bytes()[..], &[0, 1, 7, 7, 7, 7]].concat();
    let ping6 = icmp::icmpv6(far, here, 128, 0, &echo(port));
    let ping4 = icmp::icmp(8, 0, &echo(port));
    vec![
        base(
            "tcp4 in",
            "up0",
            Some("tapx"),
            "ip daddr 10.9.0.2 tcp dport 4242",
            tcp4("192.0.2.9", "10.9.0.2", 4242),
        ),
        base(
            "tcp4 out",
            "tapx",
            Some("up0"),
            "ip saddr 10.9.0.2 tcp dport 443",
            tcp4("10.9.0.2", "192.0.2.9", 443),
        ),
        Sample {
            ethertype: 0x86dd,
            ..base(
                "tcp6 in",
                "up0",
                Some("tapx"),
                "ip6 daddr 2001:db8:9::2 tcp dport 4242",
                tcp6("2001:db8::9", "2001:db8:9::2", 4242),
            )
        },
        Sample {
            ethertype: 0x86dd,
            ..base(
                "tcp6 out",
                "tapx",
                Some("up0"),
                "ip6 saddr 2001:db8:9::2 tcp dport 443",
                tcp6("2001:db8:9::2", "2001:db8::9", 443),
            )
        },
        Sample {
            ethertype: 0x86dd,
            conntrack: Conntrack::UNTRACKED,
            destination: Mac([0x33, 0x33, 0xff, 0, 0, 1]),
            types: (UNICAST, MULTICAST),
            packet_type: 2,
            ..base(
                "ns",
                "tapx",
                None,
                "icmpv6 type 135 ip6 saddr fe80::2",
                Ipv6::new(near, group, 58).hops(255).carrying(&solicitation),
            )
        },
        Sample {
            destination: Mac([0xff; 6]),
            types: (UNICAST, BROADCAST),
            packet_type: 1,
            ..base(
                "dhcp",
                "tapx",
                None,
                "udp sport 68 udp dport 67",
                Ipv4::new(Ipv4Addr::UNSPECIFIED, broadcast, 17).carrying(&discover),
            )
        },
        Sample {
            ethertype: 0x86dd,
            types: (UNICAST, LOCAL),
            ..base(
                "ping6",
                "up0",
                None,
                "icmpv6 type 128 ip6 daddr 2001:db8::1",
                Ipv6::new(far, here, 58).carrying(&ping6),
            )
        },
        Sample {
            types: (UNICAST, LOCAL),
            ..base(
                "ping4",
                "up0",
                None,
                "icmp type 8 ip daddr 192.0.2.1",
                Ipv4::new(v4("192.0.2.9"), v4("192.0.2.1"), 1).carrying(&ping4),
            )
        },
    ]
}

struct World {
    neighbours: [(&'static str, Netns); 2],
    round: u16,
}

impl World {
    fn new() -> Self {
        let outside = Netns::make("outside").unwrap();
        let guest = Netns::make("guest").unwrap();
        sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
            ip link add up0 address 02:00:00:00:00:01 type veth peer name end address 02:00:00:00:00:02 netns outside
            ip link add tapx address 02:00:00:00:00:01 type veth peer name end address 02:00:00:00:00:02 netns guest
            for l in up0 tapx; do ip link set $l up; ip address add fe80::1/64 dev $l nodad; done
            ip address add 192.0.2.1/24 dev up0; ip address add 2001:db8::1/64 dev up0 nodad
            ip address add 10.9.0.1/24 dev tapx; ip address add 2001:db8:9::1/64 dev tapx nodad
            ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:02 dev up0; ip neigh add 2001:db8::9 lladdr 02:00:00:00:00:02 dev up0
            ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev tapx; ip neigh add 2001:db8:9::2 lladdr 02:00:00:00:00:02 dev tapx
            ip neigh add fe80::2 lladdr 02:00:00:00:00:02 dev tapx
            ip -n outside link set end up; ip -n guest link set end up").unwrap();
        Self { neighbours: [("up0", outside), ("tapx", guest)], round: 0 }
    }

    /// For each sample: whether the kernel lets it pass, and what the evaluation says.
    /// `rules` are a file of nft's, `script` is run behind it.
    fn compare(&mut self, rules: &str, script: &str) -> Vec<(&'static str, bool, Outcome)> {
        self.round += 1;
        let samples = samples(self.round);
        nft("flush ruleset");
        let counters = |of_hook: fn(&Sample) -> bool| {
            let of_hook = samples.iter().filter(|sample| of_hook(sample));
            of_hook.map(|s| format!("{} counter comment \"{}\"\n", s.seen_by, s.name)).collect::<String>()
        };
        nft_file(&format!(
            "table inet guestnet_seen {{
               chain before {{ type filter hook prerouting priority -2000; {} }}
               chain input {{ type filter hook input priority 2000; {} }}
               chain forward {{ type filter hook forward priority 2000; {} }}
             }}\n{rules}",
            counters(|_| true),
            counters(|s| s.to.is_none()),
            counters(|s| s.to.is_some()),
        ));
        sh(script).unwrap_or_else(|e| panic!("{script}: {e:#}"));
        let said: Vec<Outcome> = samples.iter().map(outcome).collect();
        for sample in &samples {
            let netns = &self.neighbours.iter().find(|(link, _)| *link == sample.from).unwrap().1;
            let frame = ethernet::frame(sample.destination, OTHER, sample.ethertype, &sample.packet);
            send_frame(netns, "end", &Frame(frame)).unwrap();
        }
        let all_came = || samples.iter().all(|sample| count("before", sample.name) > 0);
        guestnet_lab::wait_until("all frames have come", std::time::Duration::from_secs(5), all_came)
            .unwrap();
        let passed = |s: &Sample| count(if s.to.is_some() { "forward" } else { "input" }, s.name) > 0;
        samples.iter().zip(said).map(|(sample, said)| (sample.name, passed(sample), said)).collect()
    }
}

impl World {
    /// Asserts that what is said is so, and that so many samples are dropped.
    fn holds(&mut self, rules: &str, script: &str, dropped: Option<usize>) {
        let compared = self.compare(rules, script);
        for (sample, passed, said) in &compared {
            let says = match said {
                Outcome::Pass => true,
                Outcome::Drop(_) => false,
                Outcome::Unsure { .. } => panic!("{sample}: {said:?}\n{rules}{script}"),
            };
            assert_eq!(says, *passed, "{sample}: {said:?}\n{rules}{script}");
        }
        let drops: Vec<_> =
            compared.iter().filter(|(_, passed, _)| !passed).map(|(name, ..)| *name).collect();
        if let Some(dropped) = dropped {
            assert_eq!(drops.len(), dropped, "{drops:?} are dropped by\n{rules}{script}");
        }
    }
}

/// Whether nft takes `rules`.
fn is_accepted(rules: &str) -> bool {
    sh(&format!("printf '%s' '{rules}' | nft -c -f -")).is_ok()
}

/// How many packets the rule with the comment `name` has counted.
fn count(chain: &str, name: &str) -> u32 {
    let listed = nft(&format!("list chain inet guestnet_seen {chain}"));
    let line = listed.lines().find(|line| line.ends_with(&format!("comment \"{name}\""))).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "packets").unwrap();
    words[at + 1].parse().unwrap()
}

/// What the evaluation says of a sample.
fn outcome(sample: &Sample) -> Outcome {
    let mut namespace = Namespace::current().unwrap();
    let ruleset: Ruleset = foreign_ruleset(&mut namespace).unwrap();
    let mut sets = KernelSets::new(&mut namespace);
    let side = |link: Option<&str>| {
        link.map_or(Side::None, |name| {
            let index = nix::net::if_::if_nametoindex(name).ok();
            Side::Known(Interface { name: name.into(), index, kind: Some(1), group: Some(0) })
        })
    };
    let mut packet = Packet {
        ethertype: sample.ethertype,
        link: ethernet::frame(sample.destination, OTHER, sample.ethertype, &[]),
        network: sample.packet.clone(),
        input: side(Some(sample.from)),
        output: Side::None,
        mark: Some(0),
        conntrack: Some(sample.conntrack),
        reverse_path: Some(true),
        source_type: Some(sample.types.0),
        destination_type: Some(sample.types.1),
        packet_type: Some(sample.packet_type),
        ..Packet::default()
    };
    let ip = if sample.ethertype == 0x0800 { Family::Ip } else { Family::Ip6 };
    let mut unsure = None;
    for hook in [Hook::Prerouting, if sample.to.is_some() { Hook::Forward } else { Hook::Input }] {
        if hook == Hook::Forward {
            packet.output = side(sample.to);
        }
        for (table, chain) in ruleset.at(&[ip, Family::Inet], hook) {
            let base = chain.base.as_ref().unwrap();
            if base.kind == ChainType::Nat && sample.conntrack != Conntrack::NEW {
                continue;
            }
            match run(table, chain, &mut packet, &mut sets).outcome {
                Outcome::Pass => {}
                drop @ Outcome::Drop(_) if unsure.is_none() => return drop,
                Outcome::Drop(drop) => return Outcome::Drop(drop),
                other => unsure = unsure.or(Some(other)),
            }
        }
    }
    unsure.unwrap_or(Outcome::Pass)
}

const FORWARD: &str = "type filter hook forward priority 0";
const INPUT: &str = "type filter hook input priority 0";
const RAW: &str = "type filter hook prerouting priority -300";

/// Rulesets as people write them, and how many of the samples the kernel is to drop: so that none of them does nothing.
fn rulesets() -> Vec<(String, usize)> {
    let chain = |head: &str, rules: &str| {
        format!("table inet theirs {{\n chain c {{\n {head};\n {rules}\n }}\n }}\n")
    };
    vec![
        (String::new(), 0),
        (chain(FORWARD, "policy drop;"), 4),
        (chain(FORWARD, "reject"), 4),
        (chain(FORWARD, "ct state established,related accept\n drop"), 4),
        (chain(FORWARD, "ct state invalid drop"), 0),
        (chain(FORWARD, "ct state new accept\n drop"), 0),
        (chain(FORWARD, "iifname \"tap*\" accept\n oifname \"tap*\" accept\n drop"), 0),
        (chain(FORWARD, "iifname != \"tapx\" drop"), 2),
        (chain(FORWARD, "iif lo accept\n iif up0 drop"), 2),
        (chain(FORWARD, "meta nfproto ipv6 reject with icmpv6 admin-prohibited"), 2),
        (chain(FORWARD, "meta l4proto { tcp, udp } th dport 1-1024 drop"), 2),
        (chain(FORWARD, "tcp dport != { 22, 443 } drop"), 2),
        (chain(FORWARD, "ip saddr 192.0.2.0/24 drop"), 1),
        (chain(FORWARD, "ip6 daddr & ffff:ffff:ffff:: == 2001:db8:9:: counter log limit rate 5/second accept\n ip6 daddr ::/0 drop"), 1),
        (chain(FORWARD, "tcp flags & (syn|ack) == syn meta mark set 7\n meta mark 7 drop"), 4),
        (chain(FORWARD, "meta mark set 3\n meta mark 2-4 drop"), 4),
        (chain(FORWARD, "iifname . oifname { \"up0\" . \"tapx\" } drop"), 2),
        (chain(FORWARD, "limit rate over 100/second drop"), 0),
        (chain(FORWARD, "meta length < 50 drop"), 2),
        (chain(INPUT, "policy drop; ct state established,related accept\n iif lo accept\n tcp dport 22 accept"), 4),
        (chain(INPUT, "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } ip6 hoplimit 255 accept\n meta l4proto ipv6-icmp drop"), 1),
        (chain(INPUT, "icmpv6 type nd-neighbor-solicit drop"), 1),
        (chain(INPUT, "udp dport { 53, 67-68 } drop"), 1),
        (chain(INPUT, "ct state untracked drop"), 1),
        (chain(INPUT, "meta pkttype { broadcast, multicast } drop"), 2),
        (chain(INPUT, "fib daddr type local accept\n drop"), 2),
        (chain(INPUT, "oifname != \"nope\" drop"), 4),
        (chain(INPUT, "ether saddr 02:00:00:00:00:02 drop"), 4),
        (chain(RAW, "ct state invalid drop"), 8),
        (chain(RAW, "fib saddr . iif oif missing drop"), 0),
        (chain(RAW, "iifname \"up0\" notrack") + "table ip f {\n chain f { type filter hook forward priority 10; ct state untracked drop\n }\n }\n", 1),
        ("table ip6 f { chain i { type filter hook input priority filter; policy drop; meta l4proto vmap { icmpv6 : jump pings, tcp : drop }\n }\n chain pings { icmpv6 type 135 return\n accept\n }\n }\n".into(), 1),
        ("table inet t { set ports { type inet_service; flags interval; elements = { 400-500, 4000-5000 }\n }\n chain f { type filter hook forward priority 0; tcp dport @ports drop\n }\n }\n".into(), 4),
        ("table inet t { map zones { type ifname : verdict; elements = { \"up0\" : goto public, \"lo\" : accept }\n }\n chain f { type filter hook forward priority 0; iifname vmap @zones\n drop\n }\n chain public { tcp dport 4242 accept\n }\n }\n".into(), 2),
        ("table ip t { set nets { type ipv4_addr . inet_service; flags interval; elements = { 10.9.0.0/24 . 4000-5000 }\n }\n chain f { type filter hook forward priority 0; ip daddr . tcp dport @nets drop\n }\n }\n".into(), 1),
        ("table ip t { map marks { type ipv4_addr : mark; elements = { 10.9.0.2 : 9 }\n }\n chain f { type filter hook forward priority 0; meta mark set ip daddr map @marks\n meta mark 9 drop\n }\n }\n".into(), 1),
        ("table inet t { flags dormant;\n chain f { type filter hook forward priority 0; policy drop;\n }\n }\n".into(), 0),
        (FIREWALLD.into(), 3),
    ]
}

/// What firewalld 1.3 makes with its defaults, `up0` in the zone public, shortened to what decides.
const FIREWALLD: &str = "
table inet firewalld {
  chain filter_PREROUTING { type filter hook prerouting priority filter + 10; policy accept;
    icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
    meta nfproto ipv6 fib saddr . mark . iif oif missing drop
  }
  chain filter_INPUT { type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname lo accept
    ct state invalid drop
    jump filter_INPUT_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname lo accept
    ct state invalid drop
    ip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002::/24, 2002:a00::/24 } reject with icmpv6 addr-unreachable
    jump filter_FORWARD_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_INPUT_ZONES { iifname up0 goto filter_IN_public
    goto filter_IN_public
  }
  chain filter_FORWARD_ZONES { iifname up0 goto filter_FWD_public
    goto filter_FWD_public
  }
  chain filter_IN_public { jump filter_IN_public_allow
    meta l4proto { icmp, ipv6-icmp } accept
  }
  chain filter_IN_public_allow { tcp dport 22 accept
    ip6 daddr fe80::/64 udp dport 546 accept
  }
  chain filter_FWD_public { jump filter_FWD_public_allow
    reject with icmpx admin-prohibited
  }
  chain filter_FWD_public_allow { oifname up0 ct state new accept
    tcp dport 443 drop
  }
}";

/// What iptables makes of matches that nft has no words for, and how many samples are dropped.
const IPTABLES: &[(&str, usize)] = &[
    (
        "iptables-nft -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; iptables-nft -A FORWARD -j REJECT",
        2,
    ),
    ("iptables-nft -A FORWARD -m conntrack ! --ctstate NEW -j DROP", 0),
    ("iptables-nft -A FORWARD -m conntrack --ctstate NEW -j DROP", 2),
    ("iptables-nft -A FORWARD -p tcp -m multiport --dports 22,400:500 -j DROP", 1),
    ("iptables-nft -A FORWARD -p tcp -m multiport ! --dports 443 -j DROP", 1),
    (
        "iptables-nft -A FORWARD -p tcp --syn -j DROP; ip6tables-nft -A FORWARD -p tcp --tcp-flags SYN,ACK,FIN SYN,ACK -j DROP",
        2,
    ),
    ("iptables-nft -A INPUT -m addrtype --dst-type LOCAL -j DROP", 1),
    ("iptables-nft -A INPUT -m addrtype ! --dst-type LOCAL -j DROP", 1),
    ("iptables-nft -A INPUT -m pkttype --pkt-type broadcast -j DROP", 1),
    ("iptables-nft -A INPUT -p icmp --icmp-type echo-request -j DROP", 1),
    (
        "iptables-nft -A INPUT -p icmp --icmp-type 3/4 -j DROP; iptables-nft -A INPUT -p icmp ! --icmp-type 8 -j DROP",
        0,
    ),
    (
        "ip6tables-nft -A INPUT -p icmpv6 --icmpv6-type neighbour-solicitation -m hl --hl-eq 255 -j ACCEPT; ip6tables-nft -A INPUT -p icmpv6 -j DROP",
        1,
    ),
    ("ip6tables-nft -A INPUT -m hl --hl-lt 255 -j DROP", 1),
    ("ip6tables-nft -A INPUT -m rt --rt-type 0 -j DROP", 0),
    (
        "iptables-nft -A FORWARD -m mark ! --mark 7 -j MARK --set-mark 7; iptables-nft -A FORWARD -m mark --mark 7/0xf -j DROP",
        2,
    ),
    ("iptables-nft -A FORWARD -m physdev --physdev-is-bridged -j DROP", 0),
    ("iptables-nft -A FORWARD -m limit --limit 3/min -m comment --comment x -j DROP", 2),
    (
        "iptables-nft -t raw -A PREROUTING -j NOTRACK; iptables-nft -A FORWARD -m conntrack --ctstate UNTRACKED -j DROP",
        2,
    ),
    (
        "iptables-nft -N A; iptables-nft -A FORWARD -i tap+ -g A; iptables-nft -A FORWARD -j DROP; iptables-nft -A A -s 10.9.0.0/24 -j RETURN",
        1,
    ),
];

/// A rule of a random ruleset: matches, each of which holds for some samples, and what it does.
fn random_rule(verdicts: &'static [&'static str]) -> impl Strategy<Value = String> {
    let matches = prop::sample::select(vec![
        "iifname \"up0\"",
        "iifname != \"up0\"",
        "oifname \"tap*\"",
        "meta nfproto ipv4",
        "meta l4proto { tcp, icmp }",
        "meta l4proto != tcp",
        "tcp dport 400-5000",
        "th dport { 67, 443 }",
        "ip saddr 10.0.0.0/8",
        "ip6 saddr != fe80::/10",
        "ip daddr { 10.9.0.0/24, 192.0.2.1 }",
        "@th,0,8 { 128, 135 }",
        "ct state new",
        "ct state != untracked",
        "ct status dnat",
        "meta mark 1",
        "meta mark & 3 != 2",
        "meta pkttype != host",
        "fib daddr type { local, broadcast }",
        "iifname . meta l4proto { \"up0\" . tcp, \"tapx\" . udp }",
        "ether type ip6",
        "meta length > 60",
    ]);
    let verdict = prop::sample::select(verdicts);
    (prop::collection::vec(matches, 0..3), verdict)
        .prop_map(|(matches, verdict)| format!("{} {verdict}", matches.join(" ")))
}

fn random_ruleset() -> impl Strategy<Value = String> {
    const BASE: &[&str] = &[
        "accept",
        "drop",
        "jump a",
        "goto a",
        "counter",
        "meta mark set 1",
        "meta mark set meta mark | 2",
        "return",
    ];
    const LEAF: &[&str] = &["accept", "drop", "return", "meta mark set 1", "reject"];
    let rules = |verdicts, most: usize| prop::collection::vec(random_rule(verdicts), 0..most);
    let policy = prop::sample::select(vec!["accept", "drop"]);
    (rules(BASE, 5), rules(BASE, 5), rules(LEAF, 4), policy.clone(), policy).prop_map(|(forward, input, leaf, of_forward, of_input)| {
        format!(
            "table inet theirs {{\n chain a {{\n {}\n }}\n chain forward {{\n type filter hook forward priority 0; policy {of_forward};\n {}\n }}\n \
             chain input {{\n type filter hook input priority 0; policy {of_input};\n {}\n }}\n }}\n",
            leaf.join("\n "),
            forward.join("\n "),
            input.join("\n "),
        )
    })
}

lab_test! {
    fn what_is_said_of_a_ruleset_is_what_the_kernel_does() {
        need(Capability::Conntrack);
        let mut world = World::new();
        for (rules, dropped) in rulesets() {
            world.holds(&rules, "", Some(dropped));
        }
    }

    fn what_is_said_of_iptables_is_what_the_kernel_does() {
        need(Capability::Conntrack);
        need_program("iptables-nft");
        let mut world = World::new();
        for (script, dropped) in IPTABLES {
            world.holds("", script, Some(*dropped));
        }
    }

    fn what_is_said_of_any_ruleset_is_what_the_kernel_does() {
        need(Capability::Conntrack);
        let world = std::cell::RefCell::new(World::new());
        let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
        TestRunner::new(config)
            .run(&random_ruleset(), |rules| {
                // Of two fields nft may say that they cannot be in one packet.
                prop_assume!(is_accepted(&rules));
                world.borrow_mut().holds(&rules, "", None);
                Ok(())
            })
            .unwrap();
    }
}
