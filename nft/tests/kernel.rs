//! Tables on the running kernel.

mod support;

use guestnet_core::set::Change;
use guestnet_nft::expr::PayloadBase;
use guestnet_nft::{
    Chain, DataType, Element, Family, Hook, Rule, Set, Table, icmp, ip, meta, raw, statement,
};
use support::{apply, in_namespace, name, nft, one, plan, table_name};

/// Stateless NAT as in the seed, with path MTU discovery.
fn nat() -> Table {
    let element = |n: u8| {
        let (public, private) = ([203, 0, 113, n], [10, 0, 0, n]);
        (std::net::Ipv4Addr::from(public), std::net::Ipv4Addr::from(private))
    };
    let inbound =
        (1..=3).map(element).map(|(public, private)| Element::mapping(public, private).comment("vm"));
    let outbound = (1..=3).map(element).map(|(public, private)| Element::mapping(private, public));
    Table::new(Family::Ip, table_name("guestnet_nat"))
        .set(Set::map(name("inbound"), DataType::Ipv4Addr, DataType::Ipv4Addr).size(262_144).with(inbound))
        .set(Set::map(name("outbound"), DataType::Ipv4Addr, DataType::Ipv4Addr).with(outbound))
        .set(
            Set::new(name("untranslated"), DataType::Ipv4Addr)
                .interval()
                .with([Element::new("192.168.0.0/16".parse::<ipnet::IpNet>().unwrap())]),
        )
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
                ),
        )
        .chain(
            Chain::regular(name("deep"))
                .rule(Rule::new().with(statement::counter()).with(statement::return_())),
        )
}

#[test]
fn a_table_is_made_read_back_and_listed() {
    in_namespace(|namespace| {
        let wanted = one(nat());
        assert!(matches!(apply(namespace, &wanted)[..], [Change::Create(_)]));
        println!("{}", nft("list ruleset"));
        assert!(matches!(plan(namespace, &guestnet_core::Set::new())[..], [Change::Delete(_)]));
        apply(namespace, &guestnet_core::Set::new());
        assert_eq!(nft("list ruleset"), "");
    });
}
