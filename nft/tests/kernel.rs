//! Tables on the running kernel.

mod support;

use std::net::Ipv4Addr;

use guestnet_core::set::Change;
use guestnet_core::{Kind, Object, Path, Problems, Set as Keyed};
use guestnet_nft::{Chain, DataType, Element, Family, Rule, Set, Table, ip};
use support::{apply, corpus, in_namespace, messages, name, nft, nft_file, one, plan, send, table_name};

#[test]
fn every_table_is_made_read_back_and_deleted() {
    for table in corpus::all() {
        in_namespace(|namespace| {
            let mut problems = Problems::new();
            table.check(&Path::root(), &mut problems);
            assert!(problems.is_empty(), "{problems}");
            assert!(matches!(apply(namespace, &one(table.clone()))[..], [Change::Create(_)]), "{table}");
            apply(namespace, &Keyed::new());
            assert_eq!(nft("list ruleset"), "");
        });
    }
}

#[test]
fn nft_lists_what_it_would_have_made_of_the_text() {
    for table in corpus::all() {
        let text = table.to_nft();
        let mut sayable = table.clone();
        for chain in &table.chains {
            let lines: Vec<&str> = chain_lines(&text, chain.name.as_str());
            let mut chain = chain.clone();
            let rules = chain.rules.into_iter().zip(lines);
            chain.rules = rules.filter(|(_, line)| !line.starts_with('#')).map(|(rule, _)| rule).collect();
            sayable.chains.insert(chain);
        }
        in_namespace(|namespace| {
            apply(namespace, &one(sayable.clone()));
            let of_ours = nft("list ruleset");
            nft("flush ruleset");
            nft_file(&text);
            assert_eq!(of_ours, nft("list ruleset"), "{text}");
        });
    }
}

/// The lines of a chain's rules in the text of a table.
fn chain_lines<'a>(text: &'a str, chain: &str) -> Vec<&'a str> {
    let lines = text.lines().map(str::trim).skip_while(|line| *line != format!("chain {chain} {{")).skip(1);
    lines.take_while(|line| *line != "}").filter(|line| !line.starts_with("type ")).collect()
}

/// A table with one map of `n` addresses.
fn many(n: u32) -> Table {
    let address = |n: u32| (Ipv4Addr::from(0xcb00_0000 + n), Ipv4Addr::from(0x0a00_0000 + n));
    let elements = (0..n).map(address).map(|(public, private)| Element::mapping(public, private));
    let map = Set::map(name("inbound"), DataType::Ipv4Addr, DataType::Ipv4Addr).size(262_144).with(elements);
    Table::new(Family::Ip, table_name("guestnet_many")).set(map)
}

#[test]
fn a_new_guest_is_elements_and_nothing_else() {
    in_namespace(|namespace| {
        apply(namespace, &one(many(100)));
        let changes = plan(namespace, &one(many(101)));
        let Change::Replace { old, new } = &changes[0] else { panic!("{changes:?}") };
        assert_eq!(new.changed_from(old), "ip guestnet_many  inbound: +203.0.0.100 : 10.0.0.100");
        let kinds: Vec<u16> = messages(&changes).iter().map(|message| message.kind() & 0xff).collect();
        assert_eq!(kinds, [libc::NFT_MSG_NEWSETELEM as u16]);
        apply(namespace, &one(many(101)));

        // A changed datum is the old element deleted and the new one added.
        let mut moved = many(101);
        let map = moved.sets.get(&name("inbound")).cloned().expect("the map");
        moved =
            moved.set(map.with([Element::mapping(Ipv4Addr::from(0xcb00_0000), Ipv4Addr::new(10, 9, 9, 9))]));
        let changes = plan(namespace, &one(moved.clone()));
        let kinds: Vec<u16> = messages(&changes).iter().map(|message| message.kind() & 0xff).collect();
        assert_eq!(kinds, [libc::NFT_MSG_DELSETELEM as u16, libc::NFT_MSG_NEWSETELEM as u16]);
        apply(namespace, &one(moved));
        assert!(nft("list ruleset").contains("203.0.0.0 : 10.9.9.9"));
        apply(namespace, &one(many(7)));
    });
}

#[test]
fn a_hundred_thousand_elements_are_one_transaction() {
    in_namespace(|namespace| {
        let start = std::time::Instant::now();
        let wanted = one(many(100_000));
        let changes = plan(namespace, &wanted);
        assert!(send(namespace, &changes).is_empty());
        println!("made in {:?}", start.elapsed());
        let start = std::time::Instant::now();
        assert!(plan(namespace, &wanted).is_empty());
        println!("read and compared in {:?}", start.elapsed());
    });
}

#[test]
fn what_others_did_to_a_table_is_seen_and_repaired() {
    let table = "inet guestnet_firewall";
    let nat = "ip guestnet_nat";
    let meddling = [
        "flush ruleset".to_owned(),
        format!("delete table {table}"),
        format!("add rule {table} guest counter accept"),
        format!("insert rule {table} guest quota over 10 bytes drop"),
        format!("add rule {table} guest ip saddr {{ 10.1.1.1, 10.1.1.2 }} accept"),
        format!("flush chain {table} guest"),
        format!("add chain {table} another"),
        format!("add chain {table} Another"),
        format!("add set {table} another {{ type ipv4_addr; }}"),
        format!("add set {table} another {{ type dscp; }}"),
        format!("add set {table} another {{ type ipv4_addr; flags timeout; }}"),
        format!("add counter {table} another"),
        format!("add chain {table} forward_all {{ policy accept; }}"),
        format!("add element {table} marks {{ 0x99 }}"),
        format!("delete element {table} protocols {{ tcp }}"),
        format!("delete element {table} windows {{ 0-9 }}"),
        format!("add element {table} ports {{ \"tap9\" . 10.9.0.0/16 . 1-2 }}"),
        format!("add table {table} {{ flags dormant; }}"),
        format!("add element {nat} inbound {{ 203.0.113.9 : 10.0.0.9 }}"),
        format!("add element {nat} untranslated {{ 172.16.0.0/12 }}"),
        format!("delete element {nat} untranslated {{ 192.168.0.0/16 }}"),
    ];
    in_namespace(|namespace| {
        let wanted: Keyed<Table> = corpus::all().into_iter().collect();
        apply(namespace, &wanted);
        for command in meddling {
            nft(&command);
            assert!(!apply(namespace, &wanted).is_empty(), "not seen: {command}");
        }
    });
}

#[test]
fn tables_of_others_are_neither_seen_nor_touched() {
    in_namespace(|namespace| {
        nft_file("table ip nat { chain c { counter; }; set s { type ipv4_addr; elements = { 1.1.1.1 }; }; }");
        let before = nft("list ruleset");
        assert!(plan(namespace, &Keyed::new()).is_empty());
        apply(namespace, &corpus::all().into_iter().collect());
        apply(namespace, &Keyed::new());
        assert_eq!(nft("list ruleset"), before);
    });
}

#[test]
fn one_bad_message_undoes_all_and_is_named() {
    in_namespace(|namespace| {
        apply(namespace, &one(corpus::nat()));
        let before = nft("list ruleset");
        // A rule that looks up a set that is not there, behind a table that would be fine.
        let chain =
            Chain::regular(name("bad")).rule(Rule::new().with(ip::saddr().is_in(name("missing_set"))));
        let bad = Table::new(Family::Ip, table_name("guestnet_bad")).chain(chain);
        let mut problems = Problems::new();
        bad.check(&Path::root(), &mut problems);
        assert_eq!(problems.len(), 1, "{problems}");
        let changes = [Change::Create(many(3000)), Change::Create(bad)];
        let encoded = messages(&changes);
        let rule = encoded.iter().position(|m| m.kind() & 0xff == libc::NFT_MSG_NEWRULE as u16);
        let refused = send(namespace, &changes);
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!((Some(refused[0].0), refused[0].1.errno), (rule, libc::ENOENT), "{refused:?}");
        assert_eq!(nft("list ruleset"), before);
    });
}

#[test]
fn every_refused_message_of_a_transaction_is_told() {
    in_namespace(|namespace| {
        apply(namespace, &one(many(10)));
        // Deleting what is not there, in two elements' messages of one change and in another change.
        let changes = [
            Change::Delete(corpus::nat()),
            Change::Replace { old: many(20), new: many(10) },
            Change::Delete(corpus::bridge()),
        ];
        let mut refused: Vec<usize> = send(namespace, &changes).into_iter().map(|(at, _)| at).collect();
        refused.sort_unstable();
        assert_eq!(refused, [0, 1, 2]);
        assert!(plan(namespace, &one(many(10))).is_empty());
    });
}

#[test]
fn elements_that_are_there_already_are_refused_with_their_place() {
    in_namespace(|namespace| {
        apply(namespace, &one(many(10)));
        let refused = send(namespace, &[Change::Replace { old: many(9), new: many(10) }]);
        assert_eq!((refused[0].0, refused[0].1.errno), (0, libc::EEXIST), "{refused:?}");
        println!("{refused:?}");
    });
}

#[test]
fn reading_is_of_one_moment() {
    in_namespace(|namespace| {
        let found = Table::observe(namespace, &Keyed::new()).expect("observe");
        assert!(found.ours.is_empty() && found.foreign.is_empty());
    });
}
