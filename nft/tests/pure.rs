//! What needs no kernel: messages read back, JSON, text, mistakes, damage.

mod support;

use guestnet_core::Change;
use guestnet_core::netlink::{Attributes, text};
use guestnet_core::{Path, Problems};
use guestnet_nft::expr::{Cmp, CmpOp, Exthdr, ExthdrKind, Lookup, Map, Register, Unknown};
use guestnet_nft::{
    Chain, DataType, Element, Expr, Family, Hook, Key, Rule, Set, Table, Verdict, ip, meta, statement,
};
use proptest::prelude::*;
use support::{corpus, messages, name, one, table_name};

/// The messages that make `table`.
fn said(table: &Table) -> Vec<Vec<u8>> {
    messages(&[Change::Create(table.clone())]).iter().map(|message| message.bytes().to_vec()).collect()
}

#[test]
fn what_is_said_to_the_kernel_can_be_read() {
    for table in corpus::all() {
        assert_eq!(Table::read(said(&table).iter().map(Vec::as_slice)), one(table));
    }
}

#[test]
fn tables_stand_in_json_and_back() {
    for table in corpus::all() {
        let text = serde_json::to_string_pretty(&table).expect("to JSON");
        let back: Table = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"));
        assert_eq!(back, table, "{text}");
    }
    let schema = serde_json::to_string(&schemars::schema_for!(Table)).expect("a schema");
    assert!(schema.contains("\"payload_write\"") && schema.contains("\"verdict\""), "{schema}");
}

/// `GOLDEN=write cargo test -p guestnet-nft --test pure` writes the files anew.
#[test]
fn tables_read_as_nft_text() {
    for table in corpus::all() {
        let path = format!("{}/tests/golden/{}.nft", env!("CARGO_MANIFEST_DIR"), table.name);
        let text = table.to_nft();
        if std::env::var("GOLDEN").is_ok_and(|word| word == "write") {
            std::fs::write(&path, &text).expect("write");
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{path}");
    }
}

#[test]
fn a_plan_says_what_differs() {
    use guestnet_core::Object;
    let old = corpus::nat();
    assert_eq!(old.to_string(), "ip guestnet_nat  3 chains, 7 rules, 1 set, 2 maps with 7 elements");
    let untranslated = old.sets.get(&name("untranslated")).cloned().expect("the set");
    let more =
        (0..9_u8).map(|n| Element::new(ipnet::Ipv4Net::new([172, 16, n, 0].into(), 24).expect("a prefix")));
    let new = old.clone().set(untranslated.with(more));
    assert_eq!(
        new.changed_from(&old),
        "ip guestnet_nat  untranslated: +172.16.0.0/24 +172.16.1.0/24 +172.16.2.0/24 … (+9 ~0 -0 elements)"
    );
    let mut new = old.clone().chain(Chain::regular(name("more")));
    new.sets.remove(&name("untranslated"));
    assert_eq!(new.changed_from(&old), "ip guestnet_nat  +chain more, -set untranslated");
}

/// `NFTA_SET_TABLE`, `NFTA_SET_NAME`.
const SET: [u16; 2] = [1, 2];

#[test]
fn sets_that_go_are_deleted_by_their_names_before_elements_change() {
    let set = |text: &str, ports: &[u16]| {
        Set::new(name(text), DataType::InetService).with(ports.iter().map(|port| Element::new(*port)))
    };
    let table = |sets: &[Set]| {
        sets.iter().cloned().fold(Table::new(Family::Inet, table_name("guestnet_sets")), Table::set)
    };
    let old = table(&[set("empty", &[]), set("full", &[53]), set("kept", &[22, 80])]);
    let new = table(&[set("kept", &[80, 443])]);
    let messages = messages(&[Change::Replace { old, new }]);
    let kinds: Vec<i32> = messages.iter().map(|message| i32::from(message.kind() & 0xff)).collect();
    use libc::{NFT_MSG_DELSET, NFT_MSG_DELSETELEM, NFT_MSG_NEWSETELEM};
    assert_eq!(kinds, [NFT_MSG_DELSET, NFT_MSG_DELSET, NFT_MSG_DELSETELEM, NFT_MSG_NEWSETELEM]);
    for (message, gone) in messages.iter().zip(["empty", "full"]) {
        let payload = &message.bytes()[16..];
        assert_eq!(payload[0], Family::Inet.number());
        let [table, set] = Attributes::after(payload, 4).pick(SET).map(|value| value.and_then(text));
        assert_eq!((table, set), (Some("guestnet_sets"), Some(gone)));
    }
}

#[test]
fn every_mistake_is_told() {
    let first = Register::default();
    let lookup = |set: &str| Lookup { set: name(set), invert: false, register: first };
    let mut base = Chain::base(name("pre"), Hook::Ingress, 0);
    base.rules = vec![
        Rule::new().with(ip::saddr().is_in(name("nowhere"))),
        Rule::new().with(statement::jump(name("nowhere"))),
        Rule::new().with([Expr::Cmp(Cmp { op: CmpOp::Eq, data: [1].into(), register: first })]),
        Rule::new(),
        Rule::new().with(statement::reject()).comment("a \"quote\""),
        Rule::new().with([Expr::Unknown(Unknown { name: "quota".into() })]),
        Rule::new().with(meta::iifname().eq(1_u8)).with([Expr::Lookup(lookup("wide"))]),
        Rule::new().with(ip::saddr().set(ip::saddr().map(name("hosts")))),
        Rule::new().with(meta::l4proto().set(6_u8)),
    ];
    let table = Table::new(Family::Ip, table_name("guestnet_bad"))
        .chain(base)
        .chain(Chain::regular(name("a")).rule(Rule::new().with(statement::jump(name("b")))))
        .chain(Chain::regular(name("b")).rule(Rule::new().with(statement::goto(name("a")))))
        .set(Set::new(name("hosts"), DataType::Ipv4Addr).size(1).with([
            Element::new(1_u8),
            Element::mapping(std::net::Ipv4Addr::LOCALHOST, 1_u8),
            Element::new(Key::range(2_u8, 1_u8)),
        ]))
        .set(Set::new(name("wide"), vec![DataType::Ipv6Addr, DataType::Ipv6Addr]))
        .set(Set::new(name("names"), DataType::Ifname).interval())
        .set(Set::map(name("windows"), DataType::InetService, DataType::Mark).interval().with([
            Element::mapping(Key::range(1_u16, 9_u16), 1_u32),
            Element::mapping(Key::range(5_u16, 19_u16), 2_u32),
        ]))
        .set(Set::verdict_map(name("guests"), DataType::Mark).with([
            Element::mapping(1_u32, Verdict::Jump(name("nowhere"))),
            Element::mapping(2_u32, Verdict::Jump(name("pre"))),
            Element::mapping(3_u32, 3_u32),
        ]));
    let mut problems = Problems::new();
    table.check(&Path::root().field("tables").index(0), &mut problems);
    let expected = [
        "tables[0].sets.guests.elements[1]: the table has no chain nowhere",
        "tables[0].sets.guests.elements[2]: chain pre has a base: packets enter it from the kernel, not from rules",
        "tables[0].sets.guests.elements[3]: has the data 3 where verdict is wanted",
        "tables[0].sets.hosts.size: there is room for 1 where 3 are needed",
        "tables[0].sets.hosts.elements[127.0.0.1]: has data, but the set is no map",
        "tables[0].sets.hosts.elements[1]: 1 is not ipv4_addr",
        "tables[0].sets.hosts.elements[2-1]: 2 is not ipv4_addr",
        "tables[0].sets.hosts.elements[2-1]: 1 is not ipv4_addr",
        "tables[0].sets.hosts.elements[2-1]: is an interval, but the set is not one of intervals",
        "tables[0].sets.hosts.elements[2-1]: ends before it starts",
        "tables[0].sets.names.interval: values of ifname have no order that the kernel knows",
        "tables[0].sets.windows.elements[5-19]: overlaps with 1-9, and the two cannot be merged",
        "tables[0].chains.a: its jumps go in a circle: a -> b -> a",
        "tables[0].chains.b: its jumps go in a circle: b -> a -> b",
        "tables[0].chains.pre.base.hook: family ip has no hook ingress",
        "tables[0].chains.pre.base.devices: this hook needs at least one",
        "tables[0].chains.pre.rules[0].expressions[1].set: the table has no set or map nowhere",
        "tables[0].chains.pre.rules[1].expressions[0]: the table has no chain nowhere",
        "tables[0].chains.pre.rules[2].expressions[0].register: 1 bytes are taken from register 0, not all loaded before",
        "tables[0].chains.pre.rules[3].expressions: a rule needs at least one",
        "tables[0].chains.pre.rules[4].comment: a quote or a control character cannot stand in it",
        "tables[0].chains.pre.rules[4].expressions[0].reject: family ip cannot answer so",
        "tables[0].chains.pre.rules[5].expressions[0].unknown: quota was found, but cannot be asked for",
        "tables[0].chains.pre.rules[6].expressions[2].register: 32 bytes are taken from register 0, not all loaded before",
        "tables[0].chains.pre.rules[7].expressions[1].map: hosts is no map of values",
        "tables[0].chains.pre.rules[8].expressions[1].key: this cannot be set; mark, priority, pkttype and nftrace can",
    ];
    let mut found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let mut expected = expected.map(str::to_owned).to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn offsets_that_no_packet_has_can_be_rendered() {
    let kind = ExthdrKind::Ipv6;
    let far = Exthdr {
        kind,
        header: 1,
        exists: false,
        offset: u32::MAX,
        length: u32::MAX,
        register: Register::default(),
    };
    let chain = Chain::regular(name("far")).rule(Rule::new().with([far.into()]).with(ip::saddr().eq(1_u8)));
    let text = Table::new(Family::Ip, table_name("guestnet_far")).chain(chain).to_nft();
    assert!(text.contains("# netlink only: ip saddr"), "{text}");
}

#[test]
fn a_spec_with_an_unknown_field_is_refused() {
    let bad = serde_json::json!({ "family": "ip", "name": "guestnet_x", "chians": [] });
    assert!(serde_json::from_value::<Table>(bad).unwrap_err().to_string().contains("chians"));
    let map = Map { map: name("m"), register: Register::default(), to: Register::default() };
    assert_eq!(
        serde_json::to_value(Expr::from(map)).expect("JSON"),
        serde_json::json!({ "map": { "map": "m" } })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Damaged messages are understood otherwise or not at all; nothing breaks.
    #[test]
    fn damaged_messages_do_no_harm(
        which in 0_usize..6,
        damage in proptest::collection::vec((any::<u16>(), any::<u16>(), any::<u8>()), 1..40),
        cut in proptest::option::of((any::<u16>(), any::<u16>())),
    ) {
        let mut messages = said(&corpus::all()[which]);
        for (message, at, value) in damage {
            let n = usize::from(message) % messages.len();
            // The length in the header is the session's business, and kept.
            let at = 6 + usize::from(at) % (messages[n].len() - 6);
            messages[n][at] = value;
        }
        if let Some((message, length)) = cut {
            let n = usize::from(message) % messages.len();
            let length = (usize::from(length) % messages[n].len()).max(20);
            messages[n].truncate(length);
            messages[n][..4].copy_from_slice(&(length as u32).to_ne_bytes());
        }
        for table in &Table::read(messages.iter().map(Vec::as_slice)) {
            let _ = (table.to_nft(), table.to_string(), serde_json::to_string(table));
            table.check(&Path::root(), &mut Problems::new());
        }
    }

    #[test]
    fn any_bytes_are_no_harm(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8)) {
        let _ = Table::read(messages.iter().map(Vec::as_slice));
    }
}
