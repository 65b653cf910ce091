//! Specs and the tables that follow from them, without a kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_core::{Path, Problems};
use guestnet_nat::{LINK_SCOPE, Mode, NatSpec, Pair};
use guestnet_nft::{Data, Family, Table, Value};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn pair(public: &str, private: &str) -> Pair {
    Pair { public: net(public), private: net(private) }
}

fn problems(spec: &NatSpec) -> Vec<String> {
    let mut problems = Problems::new();
    spec.check(&Path::root().field("nat"), &mut problems);
    problems.iter().map(ToString::to_string).collect()
}

fn table_problems(table: &Table) -> String {
    let mut problems = Problems::new();
    table.check(&Path::root(), &mut problems);
    problems.to_string()
}

/// `n` pairs of each of these lengths, none overlapping.
fn pairs(n: u32, lengths: &[u8]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (at, length) in lengths.iter().enumerate() {
        let (at, length) = (at as u32, *length);
        for n in 0..n {
            let v4 = |base: u32| {
                let address = base + (at << 24) + (n << 8);
                IpNet::from(Ipv4Net::new(address.into(), length.max(24)).expect("a length").trunc())
            };
            pairs.push(Pair { public: v4(0x5000_0000), private: v4(0x0a00_0000) });
            let v6 = |base: u128| {
                let address = base + (u128::from(at) << 112) + (u128::from(n) << 80);
                IpNet::from(Ipv6Net::new(address.into(), length * 2).expect("a length").trunc())
            };
            pairs.push(Pair { public: v6(0x2001 << 112), private: v6(0xfd00 << 112) });
        }
    }
    pairs
}

/// The table as its rules go: all but the elements and the sizes.
fn rules(table: &Table) -> String {
    serde_json::to_string(&table.chains).expect("JSON")
}

#[test]
fn a_family_without_pairs_has_no_table() {
    let mut spec = NatSpec { untranslated: vec![net("10.0.0.0/8")], ..NatSpec::default() };
    assert!(spec.lower().is_empty() && spec.sysctls().is_empty());
    spec.pairs.push(pair("203.0.113.7/32", "10.0.0.7/32"));
    let keys =
        |spec: &NatSpec| spec.lower().iter().map(|t| format!("{} {}", t.family, t.name)).collect::<Vec<_>>();
    assert_eq!(keys(&spec), ["ip guestnet_nat"]);
    assert_eq!(
        spec.sysctls().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["net/ipv4/fwmark_reflect=1"]
    );
    spec.pairs.push(pair("2001:db8::7/128", "fd00::7/128"));
    assert_eq!(keys(&spec), ["ip guestnet_nat", "ip6 guestnet_nat6"]);
    assert_eq!(spec.sysctls().len(), 2);
    spec.mode = Mode::Notrack;
    assert!(spec.sysctls().is_empty());
}

#[test]
fn mistakes_are_all_found_with_their_places() {
    let spec = NatSpec {
        mode: Mode::Tracked,
        untranslated: vec![net("192.168.0.0/16"), net("192.168.1.1/16")],
        pairs: vec![
            pair("203.0.113.7/32", "10.0.0.7/32"),
            pair("203.0.113.8/32", "fd00::8/128"),
            pair("203.0.114.0/24", "10.1.0.0/25"),
            pair("203.0.115.1/24", "10.2.0.0/24"),
            pair("203.0.113.7/32", "10.0.0.9/32"),
            pair("203.0.116.0/30", "10.0.0.4/30"),
            pair("10.2.0.9/32", "203.0.117.1/32"),
            pair("0.0.0.0/0", "::/0"),
            pair("224.0.0.1/32", "127.0.0.1/32"),
            pair("fe80::1/128", "ff02::1/128"),
        ],
    };
    let expected = [
        "nat.untranslated[1]: 192.168.1.1/16 has bits behind its prefix: 192.168.0.0/16 is meant?",
        "nat.pairs[1]: 203.0.113.8/32 and fd00::8/128 are not of one family",
        "nat.pairs[2]: 203.0.114.0/24 and 10.1.0.0/25 are not equally long",
        "nat.pairs[3].public: 203.0.115.1/24 has bits behind its prefix: 203.0.115.0/24 is meant?",
        "nat.pairs[7].public: 0.0.0.0/0 is everything; 1 to 32 bits can be translated",
        "nat.pairs[7].private: ::/0 is everything; 1 to 128 bits can be translated",
        "nat.pairs[7]: 0.0.0.0/0 and ::/0 are not of one family",
        "nat.pairs[8].public: 224.0.0.1/32 has addresses that are multicast",
        "nat.pairs[8].private: 127.0.0.1/32 has addresses that are loopback",
        "nat.pairs[9].public: fe80::1/128 has addresses that are of one link only",
        "nat.pairs[9].private: ff02::1/128 has addresses that are multicast",
        "nat.pairs[4].public: 203.0.113.7/32 overlaps with 203.0.113.7/32, nat.pairs[0].public",
        "nat.pairs[5].private: 10.0.0.4/30 overlaps with 10.0.0.7/32, nat.pairs[0].private",
        "nat.pairs[6].public: 10.2.0.9/32 overlaps with 10.2.0.0/24, nat.pairs[3].private",
    ];
    assert_eq!(problems(&spec), expected);
    // And nothing panics on the way to tables.
    assert!(!spec.lower().is_empty());
}

#[test]
fn link_scope_is_prefixes() {
    for net in LINK_SCOPE {
        assert_eq!(net.trunc(), net);
    }
}

#[test]
fn specs_are_read_from_json() {
    let text = r#"{"mode": "notrack", "untranslated": ["192.168.0.0/16"],
        "pairs": [{"public": "203.0.113.7/32", "private": "10.0.0.7/32"}]}"#;
    let spec: NatSpec = serde_json::from_str(text).expect("a spec");
    assert_eq!((spec.mode, spec.pairs[0]), (Mode::Notrack, pair("203.0.113.7/32", "10.0.0.7/32")));
    for bad in
        [r#"{"modes": "tracked"}"#, r#"{"pairs": [{"public": "1.2.3.4/32"}]}"#, r#"{"mode": "Tracked"}"#]
    {
        assert!(serde_json::from_str::<NatSpec>(bad).is_err(), "{bad}");
    }
}

/// Whether `table` looks closely at packets to `address`.
fn is_near(table: &Table, address: IpAddr) -> bool {
    let first = IpNet::new(address, 8).expect("a length").network();
    table.sets.iter().any(|set| set.name.as_str() == "near" && set.elements.get(&first.into()).is_some())
}

#[test]
fn most_of_the_world_is_far() {
    let pairs = vec![pair("203.0.113.7/32", "10.0.0.7/32"), pair("2001:db8::7/128", "fd00::7/128")];
    let untranslated = vec![net("10.0.0.0/8"), net("172.16.0.0/12"), net("4.0.0.0/7"), net("fc00::/7")];
    let tables = NatSpec { pairs, untranslated, ..NatSpec::default() }.lower();
    let near = |table: &Table| {
        let near = (0..=255_u8).filter(|byte| match table.family {
            Family::Ip6 => is_near(table, Ipv6Addr::from_bits(u128::from(*byte) << 120).into()),
            _ => is_near(table, Ipv4Addr::new(*byte, 0, 0, 0).into()),
        });
        near.collect::<Vec<u8>>()
    };
    let multicast: Vec<u8> = (224..=239).collect();
    assert_eq!(near(&tables[0]), [&[4, 5, 10, 169, 172][..], &multicast, &[255]].concat());
    assert_eq!(near(&tables[1]), [0xfc, 0xfd, 0xfe, 0xff]);
}

/// What the maps of `table` called `prefix…` make of `address`.
fn mapped(table: &Table, prefix: &str, address: IpAddr) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for set in &table.sets {
        let Some(length) = set.name.as_str().strip_prefix(prefix).and_then(|l| l.parse::<u8>().ok()) else {
            continue;
        };
        let network = IpNet::new(address, length).expect("a length").network();
        let Some(element) = set.elements.get(&network.into()) else { continue };
        let Some(Data::Values(values)) = &element.data else { panic!("{element}") };
        found.push(match (&values[0], address) {
            (Value::Ipv4(to), IpAddr::V4(from)) => {
                let rest = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                Ipv4Addr::from_bits(to.to_bits() | from.to_bits() & rest).into()
            }
            (Value::Ipv6(to), IpAddr::V6(from)) => {
                let rest = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                Ipv6Addr::from_bits(to.to_bits() | from.to_bits() & rest).into()
            }
            other => panic!("{other:?}"),
        });
    }
    found
}

fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Notrack), Just(Mode::Tracked)]
}

proptest! {
    #[test]
    fn the_rules_do_not_grow_with_the_pairs(mode in modes(), few in 1_u32..4, many in 4_u32..60, mut order in any::<u64>()) {
        let lengths = [32, 24];
        let spec = |n| NatSpec { mode, untranslated: vec![], pairs: pairs(n, &lengths) };
        prop_assert!(problems(&spec(many)).is_empty(), "{:?}", problems(&spec(many)));
        let (small, large) = (spec(few).lower(), spec(many).lower());
        prop_assert_eq!(small.len(), 2);
        for (small, large) in small.iter().zip(&large) {
            prop_assert_eq!(rules(small), rules(large));
            prop_assert!(small.same_structure(large), "fewer than 1,024 elements: no map has another size");
            prop_assert_eq!(table_problems(large), "");
        }
        // The same pairs in another order are the same tables.
        let mut shuffled = spec(many);
        for n in (1..shuffled.pairs.len()).rev() {
            order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.pairs.swap(n, (order >> 33) as usize % (n + 1));
        }
        prop_assert_eq!(shuffled.lower(), large);
    }

    #[test]
    fn every_length_is_translated_bit_by_bit(length in 1_u8..=32, public in any::<u32>(), host in any::<u32>()) {
        let net = |address: u32| IpNet::from(Ipv4Net::new(address.into(), length).expect("a length").trunc());
        let pair = Pair { public: net(public), private: net(!public) };
        let untranslated = vec![net(host)];
        let tables = NatSpec { pairs: vec![pair], untranslated, ..NatSpec::default() }.lower();
        let rest = u32::MAX.checked_shr(length.into()).unwrap_or(0);
        let inside = |address: u32| IpAddr::from((address & !rest | host & rest).to_be_bytes());
        prop_assert_eq!(mapped(&tables[0], "inbound", inside(public)), [inside(!public)]);
        prop_assert_eq!(mapped(&tables[0], "outbound", inside(!public)), [inside(public)]);
        prop_assert!(mapped(&tables[0], "inbound", inside(!public)).is_empty());
        let private = inside(!public);
        prop_assert!(is_near(&tables[0], private) && is_near(&tables[0], host.to_be_bytes().into()));
        prop_assert!(tables[0].sets.iter().filter(|set| set.is_map()).all(|set| set.elements.len() <= 128));
    }

    #[test]
    fn every_length_of_ipv6_is_translated_bit_by_bit(length in 1_u8..=128, public in any::<u128>(), host in any::<u128>()) {
        let net = |address: u128| IpNet::from(Ipv6Net::new(address.into(), length).expect("a length").trunc());
        let pair = Pair { public: net(public), private: net(!public) };
        let untranslated = vec![net(host)];
        let tables = NatSpec { pairs: vec![pair], untranslated, ..NatSpec::default() }.lower();
        let rest = u128::MAX.checked_shr(length.into()).unwrap_or(0);
        let inside = |address: u128| IpAddr::from((address & !rest | host & rest).to_be_bytes());
        prop_assert_eq!(mapped(&tables[0], "inbound", inside(public)), [inside(!public)]);
        prop_assert_eq!(mapped(&tables[0], "outbound", inside(!public)), [inside(public)]);
        prop_assert!(mapped(&tables[0], "outbound", inside(public)).is_empty());
        let private = inside(!public);
        prop_assert!(is_near(&tables[0], private) && is_near(&tables[0], host.to_be_bytes().into()));
        prop_assert!(tables[0].sets.iter().filter(|set| set.is_map()).all(|set| set.elements.len() <= 128));
    }

    #[test]
    fn a_planted_overlap_is_found(n in 2_u32..40, of in any::<prop::sample::Index>(), swap in any::<bool>()) {
        let mut spec = NatSpec { pairs: pairs(n, &[24]), ..NatSpec::default() };
        prop_assert!(problems(&spec).is_empty());
        let mut copy = spec.pairs[of.index(spec.pairs.len())];
        if swap {
            copy = Pair { public: copy.private, private: copy.public };
        }
        spec.pairs.push(copy);
        let found = problems(&spec);
        prop_assert_eq!(found.len(), 2, "{:?}", found);
        let last = format!("nat.pairs[{}].", spec.pairs.len() - 1);
        prop_assert!(found.iter().all(|problem| problem.starts_with(&last)), "{:?}", found);
    }
}

#[test]
fn many_pairs_get_room() {
    let spec = NatSpec { pairs: pairs(5000, &[32]), ..NatSpec::default() };
    let tables = spec.lower();
    let sizes: Vec<Option<u32>> = tables[0].sets.iter().filter(|s| s.is_map()).map(|s| s.size).collect();
    assert_eq!(sizes, [Some(262_144); 2]);
    assert_eq!(table_problems(&tables[0]), "");
}
