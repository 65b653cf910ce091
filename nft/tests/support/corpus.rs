//! Tables that between them use everything the model has.

use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_nft::expr::{
    Bytes, Cmp, CmpOp, Connlimit, Exthdr, ExthdrKind, Fib, FibFlag, FibResult, Limit, LimitUnit, Log,
    PayloadBase, Register, Reject, Rt, RtKey,
};
use guestnet_nft::{
    Chain, ChainType, DataType, Element, Expr, Family, Field, Hook, Key, Rule, Set, Stateful, Table, Value,
    Verdict, arp, ct, ether, icmp, icmpv6, ip, ip6, meta, raw, statement, th,
};
use ipnet::IpNet;

use super::{name, table_name};

fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().expect("an IPv6 address")
}

fn net(text: &str) -> Element {
    Element::new(text.parse::<IpNet>().expect("a prefix"))
}

fn link(text: &str) -> Value {
    Value::Ifname(text.parse().expect("a link name"))
}

/// Stateless NAT as in the seed, with path MTU discovery.
pub fn nat() -> Table {
    let public = |n: u8| Ipv4Addr::new(203, 0, 113, n);
    let inbound = (1..=3).map(|n| Element::mapping(public(n), v4(n)).comment(format!("vm {n}")));
    let outbound = (1..=3).map(|n| Element::mapping(v4(n), public(n)));
    let types = || (DataType::Ipv4Addr, DataType::Ipv4Addr);
    Table::new(Family::Ip, table_name("guestnet_nat"))
        .set(Set::map(name("inbound"), types().0, types().1).size(262_144).with(inbound))
        .set(Set::map(name("outbound"), types().0, types().1).with(outbound))
        .set(Set::new(name("untranslated"), DataType::Ipv4Addr).interval().with([net("192.168.0.0/16")]))
        .chain(
            Chain::base(name("pre"), Hook::Prerouting, -300)
                .rule(
                    Rule::new()
                        .with(meta::l4proto().eq(1_u8))
                        .with(icmp::kind().eq(3_u8))
                        .with(icmp::quoted_saddr().set(ip::daddr().map(name("inbound"))))
                        .comment("path MTU discovery"),
                )
                .rule(
                    Rule::new()
                        .with(ip::daddr().set(ip::daddr().map(name("inbound"))))
                        .with(statement::notrack())
                        .with(meta::mark().set_bits(0x100_u32, 0x100_u32)),
                )
                .rule(
                    Rule::new()
                        .with(ip::daddr().not_in(name("untranslated")))
                        .with(ip::saddr().set(ip::saddr().map(name("outbound"))))
                        .with(statement::notrack()),
                ),
        )
        .chain(
            Chain::base(name("post"), Hook::Postrouting, 300)
                .policy_drop()
                .rule(
                    Rule::new().with(meta::mark().masked(0x100_u32).eq(0x100_u32)).with(statement::accept()),
                )
                .rule(
                    Rule::new()
                        .with(raw(PayloadBase::Transport, 0, 2).eq(7_u16))
                        .with(statement::jump(name("deep"))),
                )
                .rule(Rule::new().with(ip::daddr().set(v4(9))).with(statement::drop())),
        )
        .chain(
            Chain::regular(name("deep"))
                .rule(Rule::new().with(statement::counter()).with(statement::return_())),
        )
}

/// IPv6: addresses one to one, prefixes of 64 bits, and what is quoted in errors.
pub fn nat6() -> Table {
    Table::new(Family::Ip6, table_name("guestnet_nat6"))
        .set(
            Set::map(name("addresses"), DataType::Ipv6Addr, DataType::Ipv6Addr)
                .with([Element::mapping(v6("2001:db8::1"), v6("fd00::1"))]),
        )
        .set(
            Set::map(name("prefixes"), DataType::Ipv6Addr, DataType::Ipv6Addr)
                .with([Element::mapping(v6("2001:db8:1::"), v6("fd00:1::"))]),
        )
        .set(Set::new(name("nets"), DataType::Ipv6Addr).interval().with([
            net("2001:db8::/32"),
            net("ffff:ffff::/32"),
            net("::/64"),
            Element::new(Key::range(v6("fd00::5"), v6("fd00::9"))),
        ]))
        .chain(
            Chain::base(name("pre"), Hook::Prerouting, -300)
                .rule(Rule::new().with(ip6::daddr().set(ip6::daddr().map(name("addresses")))))
                .rule(
                    Rule::new().with(ip6::daddr_prefix(8).set(ip6::daddr().prefix(64).map(name("prefixes")))),
                )
                .rule(
                    Rule::new()
                        .with(meta::l4proto().eq(58_u8))
                        .with(icmpv6::kind().within(1_u8, 4_u8))
                        .with(icmpv6::code().eq(0_u8))
                        .with(icmpv6::quoted_daddr().set(ip6::saddr().map(name("addresses")))),
                )
                .rule(Rule::new().with(ip6::saddr().prefix(32).eq(v6("2001:db8::"))).with(statement::drop()))
                .rule(Rule::new().with(ip6::saddr().is_in(name("nets"))).with(statement::accept()))
                .rule(Rule::new().with(ip6::hoplimit().ne(255_u8)).with(statement::drop()))
                .rule(Rule::new().with(ip6::exthdr(44).eq(1_u8)).with(statement::drop()))
                .rule(Rule::new().with(ip6::exthdr(0).eq(0_u8)).with(statement::accept())),
        )
}

/// A firewall for both families: sets of every kind of key, verdict maps, logs, limits, states.
pub fn firewall() -> Table {
    let ports = [
        Element::new(Key::concatenation([
            link("tap0").into(),
            "10.0.0.0/8".parse::<IpNet>().expect("net").into(),
            Key::range(80_u16, 90_u16),
        ])),
        Element::new(vec![link("tap1"), v4(1).into(), 22_u16.into()]),
    ];
    let limit = Limit { rate: 1 << 20, unit: LimitUnit::Minute, burst: 4096, over: true, bytes: true };
    let nflog = Log { prefix: Some("dropped ".into()), group: Some(5), snaplen: Some(64), ..Log::default() };
    let syslog = Log { prefix: Some("seen ".into()), level: 6, ..Log::default() };
    let fib = |result, present| Fib {
        result,
        flags: [FibFlag::Saddr, FibFlag::Iif].into(),
        present,
        register: Register::default(),
    };
    let option = Exthdr {
        kind: ExthdrKind::Tcp,
        header: 2,
        exists: false,
        offset: 2,
        length: 2,
        register: Register::default(),
    };
    Table::new(Family::Inet, table_name("guestnet_firewall"))
        .set(
            Set::new(name("macs"), [DataType::Ifname, DataType::EtherAddr].to_vec())
                .with([Element::new(vec![link("tap0"), Value::Ether([2, 0, 0, 0, 0, 1])]).comment("a")]),
        )
        .set(
            Set::new(name("sources"), vec![DataType::Ifname, DataType::Ipv6Addr])
                .with([Element::new(vec![link("tap0"), v6("fd00:1::").into()])]),
        )
        .set(
            Set::new(name("ports"), vec![DataType::Ifname, DataType::Ipv4Addr, DataType::InetService])
                .interval()
                .with(ports),
        )
        .set(
            Set::new(name("rare"), vec![DataType::IcmpType, DataType::IcmpCode])
                .stateful(Stateful::Limit(Limit { over: false, bytes: false, ..limit.clone() }))
                .with([Element::new([3_u8.into(), 4_u8.into()])]),
        )
        .set(
            Set::new(name("few"), DataType::Ifname)
                .stateful(Stateful::Connlimit(Connlimit { count: 1000, over: true })),
        )
        .set(
            Set::new(name("types"), DataType::EtherType)
                .with([Element::new(0x0800_u16), Element::new(0x86dd_u16)]),
        )
        .set(Set::new(name("protocols"), DataType::InetProto).with([Element::new(6_u8), Element::new(17_u8)]))
        .set(Set::new(name("marks"), DataType::Mark).with([Element::new(0x10_u32)]))
        .set(Set::new(name("echo"), DataType::IcmpType).with([Element::new(8_u8)]))
        .set(Set::new(name("echo6"), DataType::Icmpv6Type).with([Element::new(128_u8)]))
        .set(
            Set::map(name("zones"), DataType::Ifname, DataType::Mark).with([Element::mapping(
                link("tap0"),
                7_u32,
            )
            .comment("b")]),
        )
        .set(
            Set::map(name("web"), DataType::InetService, vec![DataType::Ipv4Addr, DataType::InetService])
                .with([Element::mapping(80_u16, vec![v4(1).into(), Value::Number(8080)])]),
        )
        .set(Set::map(name("windows"), DataType::InetService, DataType::Mark).interval().with([
            Element::mapping(Key::range(0_u16, 9_u16), 1_u32),
            Element::mapping(Key::range(10_u16, 19_u16), 2_u32).comment("c"),
            Element::mapping(65535_u16, 3_u32),
        ]))
        .set(Set::verdict_map(name("guests"), DataType::Ifname).with([
            Element::mapping(link("tap0"), Verdict::Jump(name("guest"))),
            Element::mapping(link("tap1"), Verdict::Goto(name("guest"))),
            Element::mapping(link("tap2"), Verdict::Drop),
            Element::mapping(link("tap3"), Verdict::Accept),
            Element::mapping(link("tap4"), Verdict::Return),
        ]))
        .chain(
            Chain::base(name("forward_all"), Hook::Forward, 0)
                .policy_drop()
                .rule(
                    Rule::new()
                        .with(ct::state().has(ct::ESTABLISHED | ct::RELATED))
                        .with(statement::accept()),
                )
                .rule(
                    Rule::new()
                        .with(ct::state().has(ct::INVALID))
                        .with([Log::into_expr(nflog)])
                        .with(statement::drop()),
                )
                .rule(Rule::new().with(meta::iifname().vmap(name("guests"))))
                .rule(Rule::new().with(meta::iifname().starts_with("tap")).with([Log::into_expr(syslog)]))
                .rule(Rule::new().with(meta::oifname().ne(link("eth0"))).with(statement::log("not out ")))
                .rule(Rule::new().with(statement::limit(10, LimitUnit::Second, 5)).with(statement::accept()))
                .rule(Rule::new().with([Expr::Limit(limit)]).with(statement::drop()))
                .rule(Rule::new().with(meta::secpath().eq(1_u8)).with(statement::accept()))
                .rule(Rule::new().with(meta::pkttype().eq(1_u8)).with(statement::drop()))
                .rule(Rule::new().with(meta::iifgroup().eq(103_103_u32)).with(statement::accept()))
                .rule(Rule::new().with(statement::reject())),
        )
        .chain(
            Chain::regular(name("guest"))
                .rule(
                    Rule::new()
                        .with(meta::nfproto().eq(2_u8))
                        .with(meta::iifname().then(ip::saddr()).then(th::dport()).is_in(name("ports")))
                        .with(statement::accept()),
                )
                .rule(
                    Rule::new()
                        .with(meta::nfproto().eq(10_u8))
                        .with(meta::iifname().then(ip6::saddr().prefix(64)).not_in(name("sources")))
                        .with(statement::drop()),
                )
                .rule(
                    Rule::new()
                        .with(meta::l4proto().is_in(name("protocols")))
                        .with(th::dport().ge(1024_u16))
                        .with(statement::accept()),
                )
                .rule(
                    Rule::new()
                        .with(meta::l4proto().eq(1_u8))
                        .with(icmp::kind().is_in(name("echo")))
                        .with(statement::accept()),
                )
                .rule(
                    Rule::new()
                        .with(meta::l4proto().eq(1_u8))
                        .with(icmp::kind().then(icmp::code()).is_in(name("rare")))
                        .with(statement::accept()),
                )
                .rule(Rule::new().with(meta::iifname().added_to(name("few"))).with(statement::drop()))
                .rule(
                    Rule::new()
                        .with(meta::l4proto().eq(58_u8))
                        .with(icmpv6::kind().is_in(name("echo6")))
                        .with(statement::accept()),
                )
                .rule(
                    Rule::new()
                        .with(meta::l4proto().eq(6_u8))
                        .with(th::tcp_flags().masked(2_u8).eq(2_u8))
                        .with([Expr::Exthdr(option)])
                        .with([guestnet_nft::expr::Cmp {
                            op: guestnet_nft::expr::CmpOp::Gt,
                            data: [5, 0].into(),
                            register: Register::default(),
                        }
                        .into()])
                        .with([Expr::Reject(Reject::TcpReset)]),
                )
                .rule(Rule::new().with(meta::mark().is_in(name("marks"))).with(ct::mark().set(meta::mark())))
                .rule(Rule::new().with(meta::mark().set(meta::iifname().map(name("zones")))))
                .rule(
                    Rule::new()
                        .with(meta::l4proto().eq(17_u8))
                        .with(meta::mark().set(th::sport().map(name("windows")))),
                )
                .rule(Rule::new().with(meta::mark().set(0x20_u32)))
                .rule(
                    Rule::new()
                        .with([Expr::Fib(fib(FibResult::Oif, true))])
                        .with([guestnet_nft::expr::Cmp {
                            op: guestnet_nft::expr::CmpOp::Eq,
                            data: [0; 4].into(),
                            register: Register::default(),
                        }
                        .into()])
                        .with(statement::drop()),
                ),
        )
        .chain({
            let mut chain = Chain::base(name("out"), Hook::Output, -150);
            if let Some(base) = &mut chain.base {
                base.kind = ChainType::Route;
            }
            chain.rule(Rule::new().with(th::sport().lt(9_u16)).with(th::dport().not_within(1_u16, 9_u16)))
        })
        .chain({
            let mut chain = Chain::base(name("nat_out"), Hook::Postrouting, 100);
            if let Some(base) = &mut chain.base {
                base.kind = ChainType::Nat;
            }
            chain
        })
}

trait IntoExpr {
    fn into_expr(self) -> Expr;
}

impl IntoExpr for Log {
    fn into_expr(self) -> Expr {
        self.into()
    }
}

/// What a bridge and one device see. Needs a device `lo`, which every namespace has.
pub fn bridge() -> Table {
    Table::new(Family::Bridge, table_name("guestnet_bridge"))
        .set(
            Set::new(name("macs"), DataType::EtherAddr)
                .with([Element::new(Value::Ether([2, 0, 0, 0, 0, 9]))]),
        )
        .chain(
            Chain::base(name("pre"), Hook::Prerouting, -300)
                .rule(Rule::new().with(ether::saddr().not_in(name("macs"))).with(statement::drop()))
                .rule(Rule::new().with(meta::protocol().eq(0x0806_u16)).with(statement::accept()))
                .rule(Rule::new().with(ether::daddr().eq(Value::Ether([255; 6]))).with(statement::counter())),
        )
}

pub fn arp_table() -> Table {
    let bound = |field: Field| field.eq(v4(1));
    Table::new(Family::Arp, table_name("guestnet_arp")).chain(
        Chain::base(name("incoming"), Hook::Input, 0)
            .rule(
                Rule::new()
                    .with(arp::operation().eq(1_u16))
                    .with(bound(arp::saddr_ip()))
                    .with(statement::accept()),
            )
            .rule(Rule::new().with(bound(arp::daddr_ip())).with(arp::saddr_ether().ne(Value::Ether([2; 6])))),
    )
}

pub fn netdev() -> Table {
    let mut chain = Chain::base(name("from_lo"), Hook::Ingress, 0);
    if let Some(base) = &mut chain.base {
        base.devices = ["lo".parse().expect("a link name")].into();
    }
    Table::new(Family::Netdev, table_name("guestnet_netdev")).chain(chain.rule(
        Rule::new().with(meta::protocol().eq(0x0800_u16)).with(ip::saddr().eq(v4(1))).with(statement::drop()),
    ))
}

/// What routes and their MTUs are asked for.
pub fn mss() -> Table {
    Table::new(Family::Inet, table_name("guestnet_mss")).chain(
        Chain::base(name("forward"), Hook::Forward, -150)
            .rule(
                Rule::new()
                    .with(meta::l4proto().eq(6_u8))
                    .with(raw(PayloadBase::Transport, 13, 1).has(2_u8))
                    .with(statement::clamp_mss()),
            )
            .rule(Rule::new().with(vec![
                Rt { key: RtKey::Ipsec, register: Register::default() }.into(),
                Cmp { op: CmpOp::Eq, data: Bytes(vec![0]), register: Register::default() }.into(),
            ])),
    )
}

/// All of them.
pub fn all() -> Vec<Table> {
    vec![nat(), nat6(), firewall(), bridge(), arp_table(), netdev(), mss()]
}
