//! Tables on the running kernel.

mod support;

use std::net::Ipv4Addr;

use guestnet_core::{Change, Deed, Object, Path, Problems, Protocol, Set as Keyed, Watch};
use guestnet_lab::{Capability, is_root, lab_test, need, skip};
use guestnet_nft::{Chain, DataType, Element, Family, Hook, Key, Rule, Set, Table, ip, statement};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::{apply, corpus, in_namespace, messages, name, nft, nft_file, one, plan, run, send, table_name};

lab_test! {
    fn every_table_is_made_read_back_and_deleted() {
        need(Capability::Conntrack);
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

    fn nft_lists_what_it_would_have_made_of_the_text() {
        need(Capability::Conntrack);
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

    fn a_new_guest_is_elements_and_nothing_else() {
        need(Capability::Conntrack);
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

    fn a_set_that_goes_leaves_the_rest_of_its_table() {
        need(Capability::Conntrack);
        in_namespace(|namespace| {
            let with = |sets: &[&str]| {
                let set = |text: &&str| Set::new(name(text), DataType::InetService).with([Element::new(53_u16)]);
                sets.iter().map(set).fold(many(2), Table::set)
            };
            apply(namespace, &one(with(&["gone", "kept"])));
            let before = run("nft", &["--handle", "list set ip guestnet_many kept"]);
            let changes = apply(namespace, &one(with(&["kept"])));
            let kinds: Vec<u16> = messages(&changes).iter().map(|message| message.kind() & 0xff).collect();
            assert_eq!(kinds, [libc::NFT_MSG_DELSET as u16]);
            assert!(!nft("list ruleset").contains("set gone"));
            assert_eq!(before, run("nft", &["--handle", "list set ip guestnet_many kept"]), "it is another set now");
        });
    }

    fn a_hundred_thousand_elements_are_one_transaction() {
        need(Capability::Conntrack);
        if !is_root() {
            skip("a send of 4 MB needs a send buffer that only root may have");
        }
        in_namespace(|namespace| {
            let wanted = one(many(100_000));
            let changes = plan(namespace, &wanted);
            assert!(send(namespace, &changes).is_empty());
            assert!(plan(namespace, &wanted).is_empty());
        });
    }

    /// Somebody moves an address from the one set to the other after the one was read and before the other is.
    fn what_is_read_is_of_one_moment() {
        need(Capability::Conntrack);
        let set = |of: &str| Set::new(name(of), DataType::Ipv4Addr);
        let address = Element::new(Ipv4Addr::new(10, 0, 0, 7));
        let table = || Table::new(Family::Ip, table_name("guestnet_moving"));
        let before = one(table().set(set("former").with([address.clone()])).set(set("latter")));
        let after = one(table().set(set("former")).set(set("latter").with([address])));
        in_namespace(|namespace| {
            apply(namespace, &before);
            let mut asked = 0;
            namespace.watch(&Watch::new(move |act| {
                let Deed::Ask(Protocol::Netfilter, datagram) = act.deed else { return };
                let kind = (libc::NFNL_SUBSYS_NFTABLES << 8 | libc::NFT_MSG_GETSETELEM) as u16;
                asked += datagram.messages().filter(|message| message.kind == kind).count();
                if asked == 2 {
                    nft_file("delete element ip guestnet_moving former { 10.0.0.7 }
                              add element ip guestnet_moving latter { 10.0.0.7 }");
                    asked += 1;
                }
            }));
            assert_eq!(plan(namespace, &after), []);
        });
    }

    fn what_others_did_to_a_table_is_seen_and_repaired() {
        need(Capability::Conntrack);
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

    fn tables_of_others_are_neither_seen_nor_touched() {
        need(Capability::Conntrack);
        in_namespace(|namespace| {
            nft_file("table ip nat { chain c { counter; }; set s { type ipv4_addr; elements = { 1.1.1.1 }; }; }");
            let before = nft("list ruleset");
            assert!(plan(namespace, &Keyed::new()).is_empty());
            apply(namespace, &corpus::all().into_iter().collect());
            apply(namespace, &Keyed::new());
            assert_eq!(nft("list ruleset"), before);
        });
    }

    fn one_bad_message_undoes_all_and_is_named() {
        need(Capability::Conntrack);
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

    fn every_refused_message_of_a_transaction_is_told() {
        need(Capability::Conntrack);
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

    fn elements_that_are_there_already_are_refused_with_their_place() {
        need(Capability::Conntrack);
        in_namespace(|namespace| {
            apply(namespace, &one(many(10)));
            let refused = send(namespace, &[Change::Replace { old: many(9), new: many(10) }]);
            assert_eq!((refused[0].0, refused[0].1.errno), (0, libc::EEXIST), "{refused:?}");
        });
    }

    fn a_change_is_one_generation_of_the_ruleset() {
        need(Capability::Conntrack);
        in_namespace(|namespace| {
            apply(namespace, &one(corpus::nat()));
            let listener = mnl::Socket::open(mnl::Bus::Netfilter).expect("a socket");
            let group = libc::NFNLGRP_NFTABLES;
            listener.bind(1 << (group - 1), 0).expect("bind");
            // Another structure: the old table goes and the new one comes, at once.
            let other = corpus::nat().chain(Chain::regular(name("another")));
            let changes = plan(namespace, &one(other));
            assert!(send(namespace, &changes).is_empty());
            nft("add table ip behind_it");
            let (mut buffer, mut kinds) = (vec![0; 1 << 16], Vec::new());
            let kind = |message: &[u8]| libc::c_int::from(u16::from_ne_bytes([message[4], message[5]]) & 0xff);
            while kinds.iter().filter(|kind| **kind == libc::NFT_MSG_NEWGEN).count() < 2 {
                let messages = listener.recv(&mut buffer).expect("notifications");
                kinds.extend(messages.map(|message| kind(message.expect("a message"))));
            }
            let first = kinds.iter().position(|kind| *kind == libc::NFT_MSG_NEWGEN).expect("a generation");
            let count = |wanted| kinds[..first].iter().filter(|kind| **kind == wanted).count();
            assert_eq!((count(libc::NFT_MSG_DELTABLE), count(libc::NFT_MSG_NEWTABLE)), (1, 1), "{kinds:?}");
            assert_eq!(count(libc::NFT_MSG_NEWCHAIN), 4, "{kinds:?}");
        });
    }

    fn a_circle_of_jumps_is_refused_as_a_whole() {
        need(Capability::Conntrack);
        in_namespace(|namespace| {
            let jump = |from: &str, to: &str| {
                Chain::regular(name(from)).rule(Rule::new().with(statement::jump(name(to))))
            };
            let start =
                Chain::base(name("start"), Hook::Input, 0).rule(Rule::new().with(statement::jump(name("a"))));
            let circle = Table::new(Family::Ip, table_name("guestnet_circle")).chain(start).chain(jump("a", "b"));
            let refused = send(namespace, &[Change::Create(circle.chain(jump("b", "a")))]);
            assert!(matches!(refused[0].1.errno, libc::ELOOP | libc::EMLINK), "{refused:?}");
            assert_eq!(nft("list ruleset"), "");
        });
    }

    fn intervals_become_others() {
        need(Capability::Conntrack);
        let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
        let steps = proptest::collection::vec(ranges(), 1..5);
        let outcome = runner.run(&steps, |steps| {
            in_namespace(|namespace| {
                for ranges in &steps {
                    let table = intervals(ranges);
                    let mut problems = Problems::new();
                    table.check(&Path::root(), &mut problems);
                    if problems.is_empty() {
                        apply(namespace, &one(table));
                    }
                }
            });
            Ok(())
        });
        outcome.expect("every step");
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

/// Ranges of a small part of the values, so that many touch and overlap.
fn ranges() -> impl Strategy<Value = Vec<(u8, u8)>> {
    proptest::collection::vec((0_u8..=30, 0_u8..6), 0..12)
}

/// Sets of intervals, and a map of them, at the low end, the high end and in the middle.
fn intervals(ranges: &[(u8, u8)]) -> Table {
    let v4 = |high: u8, n: u8| {
        Ipv4Addr::new(high, 255 * (high & 1), 255 * (high & 1), n.saturating_add(220 * (high & 1)))
    };
    let range = |high: u8, first: u8, more: u8| {
        let (first, last) = (v4(high, first), v4(high, first.saturating_add(more)));
        Key::range(first, last)
    };
    let elements =
        ranges.iter().flat_map(|(first, more)| [0, 10, 255].map(|high| range(high, *first, *more)));
    let plain = Set::new(name("plain"), DataType::Ipv4Addr).interval().with(elements.map(Element::new));
    let port = |first: u8, more: u8| Key::range(u16::from(first), u16::from(first) + u16::from(more));
    let both =
        ranges.iter().map(|(first, more)| Key::concatenation([range(10, *first, 0), port(*first, *more)]));
    let both = Set::new(name("both"), vec![DataType::Ipv4Addr, DataType::InetService])
        .interval()
        .with(both.map(Element::new));
    let mut end = 0;
    let apart = ranges.iter().map(|(gap, more)| {
        let first = end + u16::from(*gap);
        end = first + u16::from(*more) + 1;
        Element::mapping(Key::range(first, end - 1), u32::from(*more))
    });
    let map = Set::map(name("windows"), DataType::InetService, DataType::Mark).interval().with(apart);
    Table::new(Family::Ip, table_name("guestnet_intervals")).set(plain).set(both).set(map)
}
