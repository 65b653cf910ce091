//! What holds for every spec, without a kernel.

mod support;

use guestnet_core::{Path, Problems};
use guestnet_firewall::{FirewallSpec, GuestLink, Paragraph};
use guestnet_nft::evaluate::{Conntrack, Interface, Outcome, Packet, Side, run};
use guestnet_nft::ruleset::{OwnSets, Ruleset};
use guestnet_nft::{Expr, Family, Table, Verdict};
use support::{full, guest};

/// `full`, with `more` guests like those that are there.
fn with_more(more: u8) -> FirewallSpec {
    let mut spec = full();
    let known = spec.guests.clone();
    let like = |n: u8| -> GuestLink {
        let model = &known[usize::from(n) % known.len()];
        let (access, ethertypes) = (model.access.clone(), model.ethertypes.clone());
        GuestLink { access, ethertypes, bridge: model.bridge.clone(), ..guest(n) }
    };
    spec.guests.extend((10..10 + more).map(like));
    spec
}

fn is_of_a_port(table: &Table) -> bool {
    table.name.as_str().starts_with("guestnet_port_")
}

fn rules(table: &Table) -> usize {
    table.chains.iter().map(|chain| chain.rules.len()).sum()
}

#[test]
fn guests_add_no_rules() {
    // But for what is at their ports, which no other guest's frames cross.
    let tables = |more| with_more(more).lower().into_iter().filter(|table| !is_of_a_port(table));
    for (few, many) in tables(0).zip(tables(200)) {
        let (few, many) = (&few, &many);
        assert!(few.same_structure(many), "{} differs from {}", few, many);
        assert_eq!(rules(few), rules(many));
    }
}

#[test]
fn every_table_is_one_that_the_kernel_and_nft_can_take() {
    for table in with_more(200).lower() {
        let mut problems = Problems::new();
        table.check(&Path::root(), &mut problems);
        assert!(problems.is_empty(), "{problems}");
    }
}

#[test]
fn every_rule_that_decides_says_by_which_paragraph() {
    let known = |words: &str| Paragraph::ALL.iter().any(|p| words.starts_with(&format!("{p} ")));
    for table in full().lower() {
        for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
            let words = rule.comment.as_deref().unwrap_or_default();
            // ICMP has two paragraphs, and what is no guest's has none.
            let exempt = words.starts_with("5 ") || words.starts_with("not ");
            assert!(exempt || known(words), "{}: {words:?} {rule:?}", table.name);
            if rule.expressions.last() == Some(&Expr::Verdict(Verdict::Drop)) {
                assert!(
                    rule.expressions.iter().any(|e| matches!(e, Expr::Counter(_))),
                    "{words}: not counted"
                );
            }
        }
    }
}

#[test]
fn nothing_that_is_wrong_is_taken() {
    let mut spec = full();
    spec.guests[0].addresses.push("192.168.0.1/24".parse().unwrap());
    spec.guests[0].addresses.push("224.0.0.0/4".parse().unwrap());
    spec.guests[1].ethertypes.push(0x88cc);
    spec.guests[2].ethertypes.push(0x0800);
    spec.guests[1].name = spec.guests[0].name.clone();
    spec.log.as_mut().unwrap().rate = 0;
    spec.guard.as_mut().unwrap().addresses.clear();
    let mut problems = Problems::new();
    spec.check(&Path::root(), &mut problems);
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "guests[0].addresses[2]",
            "guests[0].addresses[3]",
            "guests[1].name",
            "guests[1].ethertypes",
            "guests[2].ethertypes[1]",
            "log.rate",
            "guard.addresses",
        ]
    );
}

/// Whether a new connection from one link to another is forwarded by the table of `family`.
fn passes(spec: &FirewallSpec, family: Family, from: &str, to: &str) -> bool {
    let tables = spec.lower();
    let table = tables.iter().find(|table| table.family == family).unwrap();
    let ruleset: Ruleset = [table].into_iter().collect();
    let side =
        |name: &str| Side::Known(Interface { name: name.into(), group: Some(0), ..Interface::default() });
    let syn = [&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2][..], &[0; 20]].concat();
    let mut packet = Packet {
        ethertype: 0x0800,
        link: [&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8][..], &[8, 0]].concat(),
        network: syn,
        input: side(from),
        output: side(to),
        conntrack: Some(Conntrack::NEW),
        ..Packet::default()
    };
    let found = &ruleset.tables[0];
    let said = run(found, &found.chains["forward"], &mut packet, &mut OwnSets(vec![table]));
    said.outcome == Outcome::Pass
}

#[test]
fn trusted_links_are_said_by_name_or_by_how_they_start() {
    let mut spec = full();
    spec.trusted = ["uplink", "br-*", "docker*"].map(|name| name.parse().unwrap()).into();
    let port = &spec.guests.iter().find(|guest| guest.bridge.is_some()).unwrap().name.clone();
    for family in [Family::Inet, Family::Bridge] {
        for (from, to, trusted) in [
            ("br-1", "uplink", true),
            ("uplink", "br-2", true),
            ("br-1", "br-1", true),
            ("docker0", "br-1", true),
            ("uplink", "uplink", true),
            ("br", "uplink", false),
            ("uplink", "uplink2", false),
            ("eth0", "br-1", false),
        ] {
            assert_eq!(passes(&spec, family, from, to), trusted, "{family}: {from} to {to}");
        }
    }
    // Whatever a name starts with, a guest's is none of them.
    spec.trusted =
        [format!("{}*", &port.as_str()[..2]), "uplink".into()].map(|name| name.parse().unwrap()).into();
    assert!(!passes(&spec, Family::Bridge, "uplink", port.as_str()), "{port}");
    let problems = |name: &str| {
        let mut spec = full();
        spec.trusted = [name.parse().unwrap()].into();
        let mut problems = Problems::new();
        spec.check(&Path::root(), &mut problems);
        problems.to_string()
    };
    for (name, words) in [
        ("*", "every link is trusted"),
        ("a*b", "at the end"),
        (&format!("{}*", &port.as_str()[..2]), "is a guest's"),
        (port.as_str(), "is a guest's"),
    ] {
        let said = problems(name);
        assert!(said.contains("trusted[0]") && said.contains(words), "{name}: {said}");
    }
    assert_eq!(problems("docker*"), "");
}
