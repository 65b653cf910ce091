//! Every expression in nft's words, in every family: nft takes them, and what it has no words for is a comment.

mod support;

use std::process::Command;

use guestnet_core::{LinkName, Path, Problems};
use guestnet_lab::{Capability, lab_test, need};
use guestnet_nft::expr::{
    Bitwise, Byteorder, Bytes, Cmp, CmpOp, Counter, Ct, CtDirection, CtKey, CtSet, Exthdr, ExthdrKind,
    ExthdrWrite, Fib, FibFlag, FibResult, Immediate, Limit, LimitUnit, Log, Lookup, Map, Meta, MetaKey,
    MetaSet, Notrack, Payload, PayloadBase, PayloadWrite, Range, Register, Reject, Rt, RtKey, VerdictMap,
};
use guestnet_nft::{Chain, DataType, Element, Expr, Family, Hook, Rule, Set, Table, Value, Verdict, meta};
use support::{apply, in_namespace, name, nft, nft_file, one, table_name};

/// Loads something, and how many bytes it has.
struct Source(Expr, usize);

fn sources() -> Vec<Source> {
    use CtKey as C;
    use MetaKey as M;
    let register = Register::default();
    let metas = [
        M::Length,
        M::Protocol,
        M::Priority,
        M::Mark,
        M::Iif,
        M::Oif,
        M::Iifname,
        M::Oifname,
        M::Iiftype,
        M::Nftrace,
        M::Nfproto,
        M::L4proto,
        M::Ibrname,
        M::Obrname,
        M::Pkttype,
        M::Iifgroup,
        M::Oifgroup,
        M::Secpath,
    ];
    let mut all: Vec<Source> = metas.map(|key| Source(Meta { key, register }.into(), key.size())).into();
    let cts = [
        C::State,
        C::Direction,
        C::Status,
        C::Mark,
        C::Saddr,
        C::Daddr,
        C::Protocol,
        C::ProtoSrc,
        C::ProtoDst,
        C::Zone,
        C::SrcIp,
        C::DstIp,
        C::SrcIp6,
        C::DstIp6,
    ];
    for key in cts {
        for direction in [None, Some(CtDirection::Original), Some(CtDirection::Reply)] {
            all.push(Source(Ct { key, direction, register }.into(), key.size()));
        }
    }
    for result in [FibResult::Oif, FibResult::Oifname, FibResult::Addrtype] {
        for by in [
            vec![FibFlag::Saddr],
            vec![FibFlag::Daddr],
            vec![FibFlag::Saddr, FibFlag::Iif],
            vec![FibFlag::Daddr, FibFlag::Oif],
            vec![FibFlag::Daddr, FibFlag::Iif],
            vec![FibFlag::Daddr, FibFlag::Mark],
            vec![FibFlag::Saddr, FibFlag::Mark, FibFlag::Iif],
        ] {
            for present in [false, true] {
                let size = if result == FibResult::Oifname && !present { 16 } else { 4 };
                let flags = by.iter().copied().collect();
                all.push(Source(Fib { result, flags, present, register }.into(), size));
            }
        }
    }
    for (key, size) in [(RtKey::Tcpmss, 2), (RtKey::Ipsec, 1)] {
        all.push(Source(Rt { key, register }.into(), size));
    }
    for kind in [ExthdrKind::Ipv6, ExthdrKind::Tcp, ExthdrKind::Ipv4] {
        for header in [0, 2, 7, 43, 44, 60, 135, 148] {
            for (exists, offset, length) in [(true, 0, 1), (false, 0, 1), (false, 2, 2), (false, 4, 4)] {
                all.push(Source(
                    Exthdr { kind, header, exists, offset, length, register }.into(),
                    length as usize,
                ));
            }
        }
    }
    for base in [PayloadBase::Link, PayloadBase::Network, PayloadBase::Transport, PayloadBase::Inner] {
        for offset in [0, 1, 2, 6, 7, 8, 9, 12, 13, 14, 16, 18, 24] {
            for length in [1, 2, 4, 6, 16] {
                all.push(Source(Payload { base, offset, length, register }.into(), length as usize));
            }
        }
    }
    all
}

/// Constants of `length` bytes.
fn values(length: usize) -> Vec<Bytes> {
    let small: Vec<u8> = (0..length).map(|n| u8::from(n + 1 == length)).collect();
    let mut name = b"tap0".to_vec();
    name.resize(length, 0);
    vec![
        Bytes::from(&small[..]),
        Bytes::from(&vec![0; length][..]),
        Bytes::from(&vec![0xfe; length][..]),
        Bytes::from(&name[..]),
    ]
}

/// What can be done with what is loaded.
fn tests(length: usize) -> Vec<Vec<Expr>> {
    let register = Register::default();
    let mut all = Vec::new();
    for data in values(length) {
        for op in [CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Le, CmpOp::Gt, CmpOp::Ge] {
            all.push(vec![Cmp { op, data: data.clone(), register }.into()]);
        }
    }
    let [low, _, high, ..] = &values(length)[..] else { unreachable!() };
    for invert in [false, true] {
        all.push(vec![Range { first: low.clone(), last: high.clone(), invert, register }.into()]);
    }
    let zero = Bytes::from(&vec![0; length][..]);
    for mask in [low, high, &Bytes::from(&vec![0xff; length][..])] {
        for xor in [&zero, low] {
            let bits: Expr = Bitwise { mask: mask.clone(), xor: xor.clone(), register, to: register }.into();
            for op in [CmpOp::Eq, CmpOp::Ne] {
                all.push(vec![bits.clone(), Cmp { op, data: zero.clone(), register }.into()]);
            }
        }
    }
    if length > 1 {
        all.push(vec![Cmp { op: CmpOp::Eq, data: Bytes::from(&b"tap"[..length.min(3)]), register }.into()]);
    }
    all
}

/// Statements that stand alone.
fn statements() -> Vec<Vec<Expr>> {
    let register = Register::default();
    let mut all: Vec<Vec<Expr>> = vec![
        vec![Notrack {}.into()],
        vec![Counter {}.into()],
        vec![Reject::TcpReset.into()],
        vec![Reject::IcmpxPortUnreachable.into()],
        vec![Reject::IcmpxAdminProhibited.into()],
        vec![Reject::IcmpxHostUnreachable.into()],
        vec![Reject::IcmpxNoRoute.into()],
    ];
    all.extend((0..=15).map(|code| vec![Reject::Icmp(code).into()]));
    let other = || name("other");
    let verdicts = [
        Verdict::Accept,
        Verdict::Drop,
        Verdict::Continue,
        Verdict::Return,
        Verdict::Jump(other()),
        Verdict::Goto(other()),
    ];
    all.extend(verdicts.map(|verdict| vec![verdict.into()]));
    all.extend((0..=7).map(|level| vec![Log { level, ..Log::default() }.into()]));
    for prefix in ["plain ", "$HOME", "a\\b", "it's", "@set {} # ; |", "grün", "\\", "%s *"] {
        all.push(vec![Log { prefix: Some(prefix.into()), ..Log::default() }.into()]);
    }
    all.push(vec![Log { group: Some(0), ..Log::default() }.into()]);
    all.push(vec![
        Log { group: Some(7), snaplen: Some(64), prefix: Some("p".into()), ..Log::default() }.into(),
    ]);
    for unit in [LimitUnit::Second, LimitUnit::Minute, LimitUnit::Hour, LimitUnit::Day, LimitUnit::Week] {
        for (rate, burst, over, bytes) in [
            (1, 5, false, false),
            (10, 1, true, false),
            (1000, 7, false, true),
            (1 << 20, 0, true, true),
            (4096, 4096, false, true),
            (1500, 1 << 20, false, true),
            (u64::MAX >> 32, 5, false, false),
        ] {
            all.push(vec![Limit { rate, unit, burst, over, bytes }.into()]);
        }
    }
    for (option, offset, length) in [(2, 2, 2), (3, 2, 2), (8, 2, 4), (8, 6, 4), (2, 2, 4)] {
        let data = Bytes::from(&[0x05, 0xb4, 0, 1][..length as usize]);
        all.push(vec![
            Immediate { data, register }.into(),
            ExthdrWrite { option, offset, length, register }.into(),
        ]);
    }
    all.push(vec![
        Rt { key: RtKey::Tcpmss, register }.into(),
        Byteorder { register }.into(),
        ExthdrWrite::mss(register).into(),
    ]);
    for key in [MetaKey::Mark, MetaKey::Priority, MetaKey::Pkttype, MetaKey::Nftrace] {
        for data in values(key.size()) {
            all.push(vec![Immediate { data, register }.into(), MetaSet { key, register }.into()]);
        }
        for from in [MetaKey::Mark, MetaKey::Priority, MetaKey::Iif, MetaKey::Length, MetaKey::L4proto] {
            all.push(vec![Meta { key: from, register }.into(), MetaSet { key, register }.into()]);
        }
    }
    for data in values(4) {
        all.push(vec![Immediate { data, register }.into(), CtSet { key: CtKey::Mark, register }.into()]);
    }
    for (base, offset, length, checksum, pseudo_header) in [
        (PayloadBase::Network, 12, 4, Some(10), true),
        (PayloadBase::Network, 16, 4, Some(10), true),
        (PayloadBase::Network, 16, 4, None, false),
        (PayloadBase::Network, 8, 16, None, true),
        (PayloadBase::Network, 24, 16, None, true),
        (PayloadBase::Network, 24, 16, Some(2), false),
        (PayloadBase::Link, 0, 6, None, false),
        (PayloadBase::Transport, 2, 2, Some(16), false),
        (PayloadBase::Network, 8, 1, Some(10), false),
        (PayloadBase::Network, 18, 6, None, false),
        (PayloadBase::Network, 24, 4, None, false),
    ] {
        for data in values(length as usize) {
            let write = PayloadWrite { base, offset, length, register, checksum, pseudo_header };
            all.push(vec![Immediate { data, register }.into(), write.into()]);
        }
    }
    all
}

/// What looks something up, and the set that it is in, which is called `in_set`.
fn lookups(in_set: impl Fn(usize) -> String) -> Vec<(Option<Set>, Vec<Expr>)> {
    let register = Register::default();
    let mut all: Vec<(Option<Set>, Vec<Expr>)> = Vec::new();
    for Source(load, length) in sources() {
        for data in DataType::ALL.into_iter().filter(|data| data.size() == length) {
            let Some(key) = values(length).iter().find_map(|bytes| data.read(&bytes.0)) else { continue };
            for invert in [false, true] {
                let set = name(&in_set(all.len()));
                let lookup = Lookup { set: set.clone(), invert, register };
                let set = Set::new(set, data).with([Element::new(key.clone())]);
                all.push((Some(set), vec![load.clone(), lookup.into()]));
            }
            let map = name(&in_set(all.len()));
            let get = Map { map: map.clone(), register, to: register };
            let map = Set::map(map, data, DataType::Mark).with([Element::mapping(key.clone(), 7_u32)]);
            let set = MetaSet { key: MetaKey::Mark, register };
            all.push((Some(map), vec![load.clone(), get.into(), set.into()]));
            let map = name(&in_set(all.len()));
            let decide = VerdictMap { map: map.clone(), register };
            let map = Set::verdict_map(map, data).with([Element::mapping(key, Verdict::Accept)]);
            all.push((Some(map), vec![load.clone(), decide.into()]));
        }
    }
    all
}

/// A table with one chain.
fn table(family: Family, hook: Hook) -> (Table, Chain) {
    let mut chain = Chain::base(name("base"), hook, -150);
    if family == Family::Netdev
        && let Some(base) = &mut chain.base
    {
        base.devices = ["lo".parse().unwrap()].into();
    }
    (Table::new(family, table_name("guestnet_t")).chain(Chain::regular(name("other"))), chain)
}

/// What nft says against the rules of `text`, each with the rule.
fn errors(text: &str) -> Vec<String> {
    let file = std::env::temp_dir().join(format!("guestnet-render-{}.nft", std::process::id()));
    let mut lines: Vec<&str> = text.lines().collect();
    let mut errors = Vec::new();
    // nft tells the first few.
    for _ in 0..20 {
        std::fs::write(&file, lines.join("\n")).unwrap();
        let output = Command::new("nft").args(["-c", "-f"]).arg(&file).output().unwrap();
        if output.status.success() {
            break;
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut of_kernel = 0;
        for error in said.lines().filter(|line| line.contains("rror: ")) {
            let line = error.split(':').nth(1).and_then(|n| lines.get_mut(n.parse::<usize>().ok()? - 1));
            let line = line.map(std::mem::take).unwrap_or_default();
            // What the kernel refuses is no matter of words.
            if error.contains("Could not process rule") {
                of_kernel += 1;
            } else {
                errors.push(format!("{error}: {}", line.trim()));
            }
        }
        assert!(of_kernel > 0 || !errors.is_empty(), "{said}");
    }
    std::fs::remove_file(&file).unwrap();
    errors
}

lab_test! {
    fn the_kind_of_a_link_means_the_same_to_nft() {
        in_namespace(|namespace| {
            let (table, chain) = table(Family::Inet, Hook::Input);
            let of_ethernet = Rule::new().with(meta::iiftype().eq(1_u16));
            let table = table.chain(chain.rule(of_ethernet));
            let text = table.to_nft();
            assert!(text.contains("iiftype 1\n"), "{text}");
            let table = one(table);
            apply(namespace, &table);
            let listed = nft("list table inet guestnet_t");
            assert!(listed.contains("iiftype ether\n"), "{listed}");
            nft("delete table inet guestnet_t");
            nft_file(&text);
            assert_eq!(nft("list table inet guestnet_t"), listed);
        });
    }

    fn nft_takes_every_expression_or_it_is_a_comment() {
        need(Capability::Conntrack);
        let (mut wrong, mut said, mut unsaid) = (Vec::new(), 0, 0);
        for (family, hook) in [
            (Family::Inet, Hook::Prerouting),
            (Family::Ip, Hook::Prerouting),
            (Family::Ip6, Hook::Forward),
            (Family::Bridge, Hook::Forward),
            (Family::Netdev, Hook::Ingress),
            (Family::Arp, Hook::Input),
        ] {
            let mut rules: Vec<(Option<Set>, Vec<Expr>)> =
                statements().into_iter().map(|statement| (None, statement)).collect();
            for Source(load, length) in sources() {
                rules.extend(tests(length).into_iter().map(|test| (None, [vec![load.clone()], test].concat())));
            }
            rules.extend(lookups(|n| format!("s{n}")));
            let (mut whole, mut chain) = table(family, hook);
            for (set, rule) in rules {
                let rule = Rule::new().with(rule);
                let (mut one, alone) = table(family, hook);
                one.sets.extend(set.clone());
                let mut problems = Problems::new();
                one.chain(alone.rule(rule.clone())).check(&Path::root(), &mut problems);
                if problems.is_empty() {
                    whole.sets.extend(set);
                    chain.rules.push(rule);
                }
            }
            let text = whole.chain(chain).to_nft();
            let (comments, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.contains("# netlink only: "));
            (said, unsaid) = (said + lines.len(), unsaid + comments.len());
            wrong.extend(errors(&text).into_iter().map(|error| format!("{family}: {error}")));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // Not because nothing is said.
        assert!(said > 2 * unsaid, "{said} lines, {unsaid} comments");
    }

    /// Characters that the kernel takes in the name of a link and that mean something to nft.
    fn nft_takes_every_name_of_a_link() {
        need(Capability::Conntrack);
        let register = Register::default();
        let (mut table, mut chain) = table(Family::Inet, Hook::Forward);
        let names = (b'!'..=b'~').map(char::from).flat_map(|c| [format!("{c}"), format!("{c}a"), format!("a{c}"), format!("a{c}b")]);
        let mut links: Vec<LinkName> = names.filter_map(|name| name.parse().ok()).collect();
        links.sort();
        links.dedup();
        assert!(links.len() > 200, "{}", links.len());
        let elements = links.iter().map(|link| Element::new(Value::Ifname(link.clone())));
        table.sets.extend([Set::new(name("links"), DataType::Ifname).with(elements)]);
        for link in &links {
            let data = Bytes(Value::Ifname(link.clone()).bytes(DataType::Ifname));
            let load = Meta { key: MetaKey::Iifname, register };
            chain.rules.push(Rule::new().with([load.into(), Cmp { op: CmpOp::Eq, data, register }.into()]));
        }
        let table = table.chain(chain);
        assert_eq!(errors(&table.to_nft()), Vec::<String>::new());
        in_namespace(|namespace| {
            apply(namespace, &one(table.clone()));
            let of_ours = nft("list ruleset");
            nft("flush ruleset");
            nft_file(&table.to_nft());
            assert_eq!(of_ours, nft("list ruleset"));
        });
    }
}
