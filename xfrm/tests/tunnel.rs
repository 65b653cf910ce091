//! Tunnels as descriptions: what follows from them, what is wrong with them. No kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use guestnet_core::problem::{Path, Problems};
use guestnet_core::{Object, owner};
use guestnet_xfrm::derive::Inner;
use guestnet_xfrm::tunnel::{PinSpi, Shape, check_tunnels};
use guestnet_xfrm::{Algorithm, Icv, PairSecret, Policy, Secrets, Source, Spi, State, Tunnel, TunnelSpec};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

const SEED: &str = include_str!("seed/tunnel.json");
const ANY: RangeInclusive<u32> = 0..=u32::MAX;

fn problems(spec: &TunnelSpec, reqids: &RangeInclusive<u32>) -> Vec<String> {
    let mut problems = Problems::new();
    spec.check(reqids, &Path::root().field("tunnels").index(0), &mut problems);
    problems.iter().map(|problem| problem.path.to_string()).collect()
}

fn secret(byte: u8) -> PairSecret {
    PairSecret::new((byte..).take(32).collect()).unwrap()
}

fn lines(objects: &[impl std::fmt::Display]) -> Vec<String> {
    objects.iter().map(ToString::to_string).collect()
}

#[test]
fn the_seed_becomes_its_states_and_policies() {
    let spec: TunnelSpec = serde_json::from_str(SEED).unwrap();
    assert_eq!(problems(&spec, &ANY), [""; 0]);
    let (states, policies) = spec.lower().unwrap();
    let (here, there) = ("2a01:4f8:242:4f68:3f93::", "2a01:4f8:10a:128b:fc0f::");
    let out = format!("src {here} dst {there} proto esp spi");
    let inbound = format!("src {there} dst {here} proto esp spi");
    let tail = "reqid 1 mode tunnel";
    assert_eq!(
        lines(&states),
        [
            format!("{out} 0x562a887b {tail}"),
            format!("{out} 0x2ec0170c {tail}"),
            format!("{inbound} 0x49f55272 {tail}"),
            format!("{inbound} 0xf567061f {tail}"),
        ]
    );
    let (v4, v4_there) = ("192.168.0.85/32", "192.168.0.127/32");
    let (v6, v6_there) = ("fdfe:62d4:efc4:ef3b::/64", "fdc9:3955:7bf:873c::/64");
    assert_eq!(
        lines(&policies),
        [
            format!("src {v4} dst {v4_there} dir out priority 0 tmpl {out} 0x562a887b {tail}"),
            format!("src {v4_there} dst {v4} dir fwd priority 0 tmpl {inbound} 0x49f55272 {tail}"),
            format!("src {v6} dst {v6_there} dir out priority 0 tmpl {out} 0x2ec0170c {tail}"),
            format!("src {v6_there} dst {v6} dir fwd priority 0 tmpl {inbound} 0xf567061f {tail}"),
        ]
    );
    assert_eq!(
        states[0].to_ip(),
        format!(
            "ip xfrm state add {} aead 'rfc4106(gcm(aes))' (hidden) 128 replay-window 0 sel src 0.0.0.0/0 dst 0.0.0.0/0",
            states[0]
        )
    );
}

#[test]
fn the_seed_s_shared_keys_are_refused_unless_said() {
    let mut spec: TunnelSpec = serde_json::from_str(SEED).unwrap();
    spec.allow_shared_key = false;
    assert_eq!(problems(&spec, &ANY), ["tunnels[0].states.out.ipv6.key", "tunnels[0].states.in.ipv6.key"]);
    assert_eq!(
        problems(&spec, &owner::REQIDS)[0],
        "tunnels[0].reqid",
        "and its reqid, where guestnet would not know it again"
    );
}

#[test]
fn a_new_spec_needs_little_and_gets_one_state_a_direction() {
    let (here, there) = Tunnel::between("192.0.2.1".parse().unwrap(), "198.51.100.1".parse().unwrap())
        .carry("10.0.0.1/32".parse().unwrap(), "10.0.0.2/32".parse().unwrap())
        .carry_hosts("fd00:1::/64".parse().unwrap(), "fd00:2::/64".parse().unwrap())
        .secret(secret(1))
        .ends();
    assert_eq!(problems(&here, &owner::REQIDS), [""; 0]);
    let (states, policies) = here.lower().unwrap();
    assert_eq!(states.len(), 2);
    assert!(states.iter().all(|state| state.selector.is_none() && state.esn));
    // Only the receiver looks; the kernel wants a window of every state with extended sequence numbers.
    assert_eq!((states[0].replay_window, states[1].replay_window), (1, 128));
    assert_ne!(states[0].key, states[1].key);
    let ways: Vec<_> =
        policies.iter().map(|p| (p.direction.to_string(), p.templates[0].spi.is_some())).collect();
    let way = |name: &str, pinned| (name.to_owned(), pinned);
    assert_eq!(
        ways,
        [way("out", true), way("fwd", false), way("out", true), way("fwd", false), way("in", false)]
    );
    assert_eq!(here.reqid(), there.reqid());
    assert_eq!(here.inner_mtu(1500), 1446);
}

#[test]
fn every_mistake_is_found_at_its_place() {
    let spec: TunnelSpec = serde_json::from_str(
        r#"{
            "local": "2001:db8::1", "remote": "192.0.2.1",
            "pairs": [
                {"local": "10.0.0.1/24", "remote": "fd00::/64"},
                {"local": "10.0.0.0/24", "remote": "fd00::/64"}
            ],
            "states": {
                "out": {"ipv4": {"spi": 256, "key": "000102030405060708090a0b0c0d0e0f10111213"}},
                "in": {"both": {"spi": 256, "key": "000102030405060708090a0b0c0d0e0f10111213"}}
            },
            "replay_window": 4097,
            "lifetimes": {"soft": {"packets": 2}, "hard": {"packets": 1}},
            "reqid": 7
        }"#,
    )
    .unwrap();
    assert_eq!(
        problems(&spec, &owner::REQIDS),
        [
            "tunnels[0].remote",
            "tunnels[0].pairs[0].local",
            "tunnels[0].pairs[0].remote",
            "tunnels[0].pairs[1].remote",
            "tunnels[0].states.out.both",
            "tunnels[0].states.out.ipv4",
            "tunnels[0].states.in.both.key",
            "tunnels[0].replay_window",
            "tunnels[0].lifetimes.soft.packets",
            "tunnels[0].reqid",
            "tunnels[0].pairs[1]",
        ]
    );
    let bare = r#"{"local": "::1", "remote": "::1", "pairs": [], "replay_window": 0}"#;
    let bare: TunnelSpec = serde_json::from_str(bare).unwrap();
    assert_eq!(
        problems(&bare, &ANY),
        ["tunnels[0].remote", "tunnels[0].pairs", "tunnels[0].secret", "tunnels[0].replay_window"]
    );
    assert!(bare.lower().is_err());
}

#[test]
fn secrets_that_are_not_there_are_said() {
    let spec = |secret: &str| -> TunnelSpec {
        serde_json::from_str(&format!(
            r#"{{"local": "::2", "remote": "::3", "pairs": [{{"local": "fd00::/64", "remote": "fd01::/64"}}], "secret": {secret}}}"#
        ))
        .unwrap()
    };
    let hex = format!("{:?}", "0123456789abcdef".repeat(4));
    assert_eq!(problems(&spec(&hex), &ANY), [""; 0]);
    for bad in [r#"{"file": "/no/such"}"#, r#"{"kept": "0123456789abcdef"}"#] {
        assert_eq!(problems(&spec(bad), &ANY), ["tunnels[0].secret"]);
        assert!(spec(bad).lower().is_err());
    }
    assert!(spec(r#"{"file": "/no/such"}"#).load(&Secrets::new()).is_err());
    let shown = serde_json::to_string(&spec(&hex)).unwrap();
    assert!(!shown.contains("0123456789abcdef0123"), "{shown}");
    assert!(!format!("{:?}", spec(&hex)).contains("0123456789abcdef0123"));
}

#[test]
fn tunnels_beside_each_other_do_not_share_spis_keys_or_pairs() {
    let between = |remote: &str| {
        Tunnel::between("2001:db8::1".parse().unwrap(), remote.parse().unwrap()).carry(
            "fd00:1::/64".parse().unwrap(),
            format!("fd00:{remote}/128").replace("2001:db8:", "").parse().unwrap(),
        )
    };
    let (one, two) = (between("2001:db8::2"), between("2001:db8::3"));
    let key = |text: &str| text.repeat(18).parse::<guestnet_xfrm::Key>().unwrap();
    let spi = |n| Spi::new(n).unwrap();
    // The first's inbound SPI is the second's: they have one destination. Outbound they differ.
    let (one, _) = one.states(Inner::Both, (spi(300), key("a1b2")), (spi(300), key("a1b3"))).ends();
    let (two, _) = two.states(Inner::Both, (spi(300), key("a1b2")), (spi(300), key("a1b4"))).ends();
    let beside = |one: &TunnelSpec, two: &TunnelSpec| {
        let mut problems = Problems::new();
        let path = Path::root().field("tunnels");
        let tunnels = [(path.index(0), &one.keyed()), (path.index(1), &two.keyed())];
        check_tunnels(&tunnels, &ANY, &mut problems);
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let together = |two| beside(&one, two);
    let said = together(&two);
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].starts_with("tunnels[1].states.out.both.key: "), "{}", said[0]);
    assert!(
        said[1]
            .starts_with("tunnels[1].states.in.both.spi: dst 2001:db8::1 proto esp spi 0x0000012c is taken"),
        "{}",
        said[1]
    );
    // A key is shared by two, so both have to say so.
    let sharing = |tunnel: &TunnelSpec| TunnelSpec { allow_shared_key: true, ..tunnel.clone() };
    let refused = |said: Vec<String>| said.iter().any(|p| p.contains("allow_shared_key"));
    assert!(refused(beside(&sharing(&one), &two)) && refused(beside(&one, &sharing(&two))));
    assert!(!refused(beside(&sharing(&one), &sharing(&two))));
    let mut same = two.clone();
    same.pairs = one.pairs.clone();
    assert!(together(&same).iter().any(|p| p.starts_with("tunnels[1].pairs[0]: the same pair")));
    let (other, _) = between("2001:db8::3").secret(secret(3)).ends();
    assert_eq!(together(&other), [""; 0]);
}

/// Any tunnel that is right.
fn tunnels() -> impl Strategy<Value = TunnelSpec> {
    let v4 =
        (any::<u32>(), 1_u8..=32).prop_map(|(a, n)| IpNet::from(Ipv4Net::new(a.into(), n).unwrap().trunc()));
    let v6 = (any::<u128>(), 1_u8..=128)
        .prop_map(|(a, n)| IpNet::from(Ipv6Net::new(a.into(), n).unwrap().trunc()));
    let pair = prop_oneof![(v4.clone(), v4), (v6.clone(), v6)];
    let outer = prop_oneof![
        (1_u32..0xe000_0000, 1_u32..0xe000_0000)
            .prop_map(|(a, b)| (Ipv4Addr::from(a), Ipv4Addr::from(b)))
            .prop_filter("addresses of one host", |(a, b)| !a.is_loopback() && !b.is_loopback())
            .prop_map(|(a, b)| (IpAddr::V4(a), IpAddr::V4(b))),
        (1_u128 << 64..1 << 120, 1_u128 << 64..1 << 120)
            .prop_map(|(a, b)| (IpAddr::V6(Ipv6Addr::from(a)), IpAddr::V6(b.into()))),
    ];
    let settings = (any::<[bool; 4]>(), 1_u32..4096, any::<[u32; 3]>());
    let carried = proptest::collection::vec((pair, any::<bool>()), 1..6);
    (outer, carried, settings, any::<[u8; 32]>()).prop_filter_map(
        "distinct ends",
        |((a, b), pairs, s, bytes)| {
            let (flags, window, numbers) = s;
            let mut tunnel = Tunnel::between(a, b)
                .secret(PairSecret::new(bytes.to_vec()).ok()?)
                .replay(flags[0], window)
                .shape(if flags[1] { Shape::Shared } else { Shape::PerFamily })
                .algorithm(if flags[2] { Algorithm::Aes128Gcm } else { Algorithm::Aes256Gcm }, Icv::BITS_96)
                .pin_spi(if flags[3] { PinSpi::All } else { PinSpi::Out })
                .id(numbers[0])
                .generation(numbers[1])
                .priority(numbers[2]);
            let distinct: BTreeSet<_> = pairs.iter().map(|(pair, _)| *pair).collect();
            let right = a != b && distinct.len() == pairs.len();
            for ((local, remote), host) in pairs {
                tunnel = if host { tunnel.carry_hosts(local, remote) } else { tunnel.carry(local, remote) };
            }
            right.then(|| tunnel.ends().0)
        },
    )
}

/// What both ends of a state have to agree on.
fn shared(state: &State) -> (impl PartialEq + std::fmt::Debug + use<>, guestnet_xfrm::KeySource) {
    let selector = state.selector.as_ref().map(ToString::to_string);
    let identity = (state.src, state.dst, state.spi, state.algorithm, state.icv, state.esn);
    ((identity, selector, state.reqid), state.key.clone())
}

fn templates(policies: &[Policy], way: impl Fn(&Policy) -> bool) -> Vec<(String, IpAddr, IpAddr, u32)> {
    let all = policies.iter().filter(|policy| way(policy));
    all.map(|p| (p.selector.to_string(), p.templates[0].src, p.templates[0].dst, p.templates[0].reqid))
        .collect()
}

#[test]
fn behind_nat_both_ends_agree_on_what_follows_from_addresses() {
    let json = |local: &str, remote: &str, udp: &str| -> TunnelSpec {
        let secret = "0123456789abcdef".repeat(4);
        serde_json::from_str(&format!(
            r#"{{"local": "{local}", "remote": "{remote}", "udp": {udp}, "secret": "{secret}",
                 "pairs": [{{"local": "fd00::/64", "remote": "fd01::/64"}}]}}"#
        ))
        .unwrap()
    };
    let inside = json("10.0.0.7", "198.51.100.1", r#"{"remote_port": 4501, "public": "203.0.113.9"}"#);
    let outside = json("198.51.100.1", "203.0.113.9", r#"{"local_port": 4501}"#);
    assert_eq!(problems(&inside, &ANY), [""; 0]);
    assert_eq!((inside.mirrored().local, inside.mirrored().remote), (outside.local, outside.remote));
    assert_eq!(inside.mirrored().udp, outside.udp);
    let (ours, _) = inside.lower().unwrap();
    let (theirs, _) = outside.lower().unwrap();
    let keys = |state: &State| (state.spi, state.key.fingerprint(), state.encap, state.reqid);
    assert_eq!(ours.iter().map(keys).collect::<Vec<_>>(), theirs.iter().rev().map(keys).collect::<Vec<_>>());
    // On the wire each has the addresses that it sees.
    assert_eq!(ours[0].src.to_string(), "10.0.0.7");
    assert_eq!(theirs[1].src.to_string(), "203.0.113.9");
    assert!(ours[0].to_ip().contains(" encap espinudp 4500 4501 ::"), "{}", ours[0].to_ip());

    let wrong = json("10.0.0.7", "198.51.100.1", r#"{"local_port": 0, "public": "2001:db8::1"}"#);
    assert_eq!(problems(&wrong, &ANY), ["tunnels[0].udp.local_port", "tunnels[0].udp.public"]);
}

#[test]
fn marks_and_interfaces_stand_where_packets_have_them() {
    let spec: TunnelSpec = serde_json::from_str(
        r#"{"local": "::2", "remote": "::3", "pairs": [{"local": "fd00::/64", "remote": "fd01::/64"}],
            "secret": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "if_id": 7, "path_mtu": 1279,
            "marks": {"out": {"value": 1, "mask": 15}, "in": {"value": 2, "mask": 15},
                      "set_out": {"value": 3, "mask": 15}, "set_in": {"value": 2, "mask": 1}}}"#,
    )
    .unwrap();
    assert_eq!(problems(&spec, &ANY), ["tunnels[0].marks.set_in.value", "tunnels[0].path_mtu"]);
    let (states, policies) = spec.lower().unwrap();
    let values =
        |marks: [Option<guestnet_xfrm::Mark>; 2]| marks.map(|mark| mark.map_or(0, |mark| mark.value));
    // What comes in is found by its SPI: it has no mark yet.
    assert_eq!(values([states[0].mark, states[1].mark]), [1, 0]);
    assert_eq!(values([states[0].set_mark, states[1].set_mark]), [3, 2]);
    assert_eq!(values([policies[0].mark, policies[1].mark]), [1, 2]);
    assert!(states.iter().all(|state| state.if_id == spec.if_id));
    assert!(policies.iter().all(|policy| policy.if_id == spec.if_id));
    assert!(states[0].to_ip().ends_with(" output-mark 0x3 mask 0xf if_id 0x7"), "{}", states[0].to_ip());
    // Tunnels with other marks carry packets between the same addresses.
    let mut other = spec.clone();
    other.marks.outbound = Some(guestnet_xfrm::Mark { value: 8, mask: 15 });
    other.id = 1;
    let mut problems = Problems::new();
    let tunnels = [(Path::root().index(0), &spec.keyed()), (Path::root().index(1), &other.keyed())];
    check_tunnels(&tunnels, &ANY, &mut problems);
    let paths: Vec<String> = problems.iter().map(|problem| problem.path.to_string()).collect();
    let alone = |n| ["marks.set_in.value", "path_mtu"].map(|field| format!("[{n}].{field}"));
    assert_eq!(paths, [alone(0), alone(1)].concat(), "nothing is wrong because of the other");
}

#[test]
fn routes_have_what_fits_and_ipv6_never_less_than_its_least() {
    let (mut spec, _) =
        Tunnel::between("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap()).ends();
    assert_eq!((spec.route_mtu(1500, false), spec.route_mtu(1500, true)), (1426, 1426));
    assert_eq!(spec.route_mtu(9000, true), 8926);
    spec.path_mtu = Some(1400);
    assert_eq!((spec.route_mtu(1500, false), spec.route_mtu(1300, false)), (1326, 1226));
    spec.path_mtu = Some(1280);
    assert_eq!((spec.route_mtu(1500, false), spec.route_mtu(1500, true)), (1206, 1280));
    spec.udp = Some(guestnet_xfrm::Udp::default());
    spec.path_mtu = None;
    assert_eq!(spec.route_mtu(1500, true), 1418);
}

proptest! {
    #[test]
    fn both_ends_agree(here in tunnels()) {
        let there = here.mirrored();
        prop_assert_eq!(&there.mirrored(), &here);
        let (ours, our_policies) = here.lower().unwrap();
        let (theirs, their_policies) = there.lower().unwrap();
        prop_assert_eq!(problems(&here, &owner::REQIDS), [""; 0]);
        prop_assert_eq!(ours.len(), theirs.len());
        for state in &ours {
            let other = theirs.iter().find(|other| other.key() == state.key()).expect("the same state there");
            prop_assert_eq!(shared(state), shared(other));
        }
        // No key twice, and all SPIs legal.
        let prints: BTreeSet<_> = ours.iter().map(|state| state.key.fingerprint()).collect();
        prop_assert_eq!(prints.len(), ours.len());
        // What leaves here by a template is let in there by one with the same ends.
        use guestnet_xfrm::Direction::{Fwd, Out};
        let sent = templates(&our_policies, |p| p.direction == Out);
        prop_assert_eq!(sent, templates(&their_policies, |p| p.direction == Fwd));
        // The states that the templates name are there.
        for policy in &our_policies {
            let template = &policy.templates[0];
            let state = ours.iter().find(|s| (s.src, s.dst, s.reqid) == (template.src, template.dst, template.reqid)
                && template.spi.is_none_or(|spi| spi == s.spi));
            prop_assert!(state.is_some(), "{policy}");
        }
    }

    #[test]
    fn lowering_is_deterministic_and_survives_json(here in tunnels()) {
        prop_assert_eq!(here.lower().unwrap(), here.lower().unwrap());
        let mut again: TunnelSpec = serde_json::from_str(&serde_json::to_string(&here).unwrap()).unwrap();
        // All but the secret, which is not written.
        prop_assert!(matches!(again.secret, Some(Source::Kept(_))));
        again.secret.clone_from(&here.secret);
        prop_assert_eq!(again, here);
    }

    #[test]
    fn a_new_generation_has_new_keys_and_spis(here in tunnels()) {
        let next = TunnelSpec { generation: here.generation.wrapping_add(1), ..here.clone() };
        let (old, _) = here.lower().unwrap();
        let (new, _) = next.lower().unwrap();
        for (old, new) in old.iter().zip(&new) {
            prop_assert_ne!(old.key.fingerprint(), new.key.fingerprint());
            prop_assert_ne!(old.spi, new.spi);
        }
    }
}
