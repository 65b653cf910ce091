//! States and policies on the running kernel, in namespaces of each test's own. Tests of states are called
//! `esp_…`: they need a kernel with ESP and AES-GCM, and are skipped aloud where there is none.

use anyhow::{Result, ensure};
use guestnet_core::owner::{Owner, REQIDS};
use guestnet_core::set::{Conflict, diff};
use guestnet_core::{Change, Context, Kind, Message, Namespace, Outbox, Phase, Protocol, Set, Step, netns};
use guestnet_lab::{Capability, lab_test, need, sh};
use guestnet_xfrm::derive::Inner;
use guestnet_xfrm::tunnel::Shape;
use guestnet_xfrm::{
    Action, Direction, Icv, Key, KeySource, Lifetimes, Mark, Mode, PairSecret, Policy, Selector, Spi, State,
    StateDirection, Template, Tunnel, TunnelSpec,
};

/// A namespace that guestnet made, in which everything is its own.
fn own() -> Result<Namespace> {
    let name = "xfrm".parse()?;
    netns::create(&name, Owner(1))?;
    let namespace = Namespace::named(&name)?;
    ensure!(namespace.is_ours());
    Ok(namespace)
}

/// Runs `ip -n xfrm …`.
fn ip(arguments: &str) -> Result<String> {
    sh(&format!("ip -n xfrm {arguments}"))
}

fn changes<K: Kind>(namespace: &mut Namespace, wanted: &Set<K>) -> Result<(Vec<Change<K>>, Vec<Conflict>)> {
    Ok(diff(wanted, &K::observe(namespace, wanted)?))
}

fn messages<K: Kind>(changes: &[Change<K>]) -> guestnet_core::Result<Vec<Message>> {
    let mut out = Outbox::new();
    for change in changes {
        K::encode(change, Phase::Tunnels, &Context::default(), &mut out)?;
    }
    let steps = out.into_steps().into_iter();
    Ok(steps
        .map(|(_, step)| if let Step::Send(Protocol::Xfrm, m) = step { m } else { panic!("{step:?}") })
        .collect())
}

/// Makes the namespace as wanted and looks whether it is; the lines of the plan.
fn apply<K: Kind>(namespace: &mut Namespace, wanted: &Set<K>) -> Result<Vec<String>> {
    let (plan, conflicts) = changes(namespace, wanted)?;
    ensure!(conflicts.is_empty(), "{conflicts:?}");
    namespace.request(Protocol::Xfrm, &mut messages(&plan)?, "change IPsec")?;
    let (left, _) = changes(namespace, wanted)?;
    ensure!(left.is_empty(), "applied and still not as wanted: {left:#?}");
    Ok(plan.iter().map(|change| format!("{} {}", change.sign(), change.text())).collect())
}

/// The blocks of what `ip xfrm` shows, each a line that starts at the margin and those behind it; the sequence
/// numbers as if nothing had been sent, and without the type of policies, which kernels with sub-policies add.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.trim_end().trim_end_matches(" ptype main");
        let counted =
            line.split_once("oseq 0x").and_then(|(head, rest)| Some((head, rest.split_once(',')?.1)));
        let line = counted.map_or(line.to_owned(), |(head, tail)| format!("{head}oseq 0x0,{tail}"));
        match blocks.last_mut() {
            Some(block) if line.starts_with('\t') => *block += &format!("\n{line}"),
            _ => blocks.push(line),
        }
    }
    blocks.sort();
    blocks
}

fn seed() -> Result<(Set<State>, Set<Policy>)> {
    lower(&serde_json::from_str(include_str!("seed/tunnel.json"))?)
}

fn lower(tunnel: &TunnelSpec) -> Result<(Set<State>, Set<Policy>)> {
    let (states, policies) = tunnel.lower()?;
    Ok((states.into_iter().collect(), policies.into_iter().collect()))
}

fn secret() -> PairSecret {
    PairSecret::new((0..32).collect()).expect("32 bytes")
}

fn template(reqid: u32) -> Template {
    Template::tunnel("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap(), reqid)
}

fn selector(src: &str, dst: &str) -> Selector {
    Selector::new(src.parse().unwrap(), dst.parse().unwrap())
}

/// Policies of every kind that the type can say.
fn policies() -> Set<Policy> {
    let plain = |net: &str, direction| Policy::through(selector(net, "10.0.0.0/8"), direction, template(7));
    let v6 = selector("fd00::/64", "fd01::1/128");
    let spi = Spi::new(0x4567_89ab);
    let ports = Selector { proto: Some(6), sport: Some(1), dport: Some(65535), ..v6.clone() };
    let transport = Template { mode: Mode::Transport, level: guestnet_xfrm::Level::Use, ..template(8) };
    [
        plain("192.0.2.0/24", Direction::Out),
        plain("192.0.2.0/24", Direction::Fwd),
        plain("192.0.2.0/24", Direction::In),
        Policy { mark: Some(Mark { value: 5, mask: 0xff }), ..plain("192.0.2.0/24", Direction::Out) },
        Policy { if_id: std::num::NonZeroU32::new(9), ..plain("192.0.2.0/24", Direction::Out) },
        Policy {
            priority: 4000,
            ..Policy::through(v6.clone(), Direction::Out, Template { spi, ..template(7) })
        },
        Policy { action: Action::Block, ..Policy::through(ports, Direction::Out, template(7)) },
        Policy {
            action: Action::Block,
            templates: vec![],
            ..Policy::through(v6.clone(), Direction::In, template(7))
        },
        Policy {
            templates: vec![template(9), transport],
            ..Policy::through(v6, Direction::Fwd, template(7))
        },
    ]
    .into_iter()
    .collect()
}

lab_test! {
    fn policies_come_back_as_they_were_sent() -> Result<()> {
        need(Capability::XfrmPolicy);
        let mut namespace = own()?;
        let wanted = policies();
        assert_eq!(apply(&mut namespace, &wanted)?.len(), wanted.len());
        assert_eq!(apply(&mut namespace, &wanted)?, [""; 0]);
        assert_eq!(ip("xfrm policy list")?.matches("dir ").count(), wanted.len());
        assert_eq!(apply(&mut namespace, &Set::<Policy>::new())?.len(), wanted.len());
        assert_eq!(ip("xfrm policy list")?, "");
        Ok(())
    }

    fn a_changed_policy_is_replaced_in_one_step() -> Result<()> {
        need(Capability::XfrmPolicy);
        let mut namespace = own()?;
        let mut wanted = policies();
        apply(&mut namespace, &wanted)?;
        let mut policy = wanted.iter().next().unwrap().clone();
        policy.priority = 1;
        policy.templates[0].spi = Spi::new(0x300);
        wanted.insert(policy);
        let (plan, _) = changes(&mut namespace, &wanted)?;
        let sent = messages(&plan)?;
        assert_eq!(sent.iter().map(Message::kind).collect::<Vec<_>>(), [0x19], "one XFRM_MSG_UPDPOLICY");
        let plan = apply(&mut namespace, &wanted)?;
        assert!(plan[0].starts_with("~ xfrm policy ") && plan[0].contains("spi 0x00000300") && plan[0].contains("(was: "), "{plan:?}");
        Ok(())
    }

    fn what_is_not_marked_stays_in_a_shared_namespace() -> Result<()> {
        need(Capability::XfrmPolicy);
        let theirs = "src 192.0.2.0/24 dst 10.0.0.0/8 dir out priority 7";
        for policy in [
            format!("{theirs} tmpl src 2001:db8::1 dst 2001:db8::2 proto esp reqid 5 mode tunnel"),
            "src fd00::/64 dst fd01::/64 dir out action block".into(),
            "src fd00::/64 dst fd02::/64 dev lo dir out tmpl proto ah reqid 9 mode transport".into(),
            "src fd00::/64 dst fd03::/64 dir in flag icmp".into(),
            "src fd00::/64 dst fd04::/64 dir fwd tmpl src ::1 dst ::2 proto comp reqid 1728053249 mode tunnel".into(),
        ] {
            sh(&format!("ip xfrm policy add {policy}"))?;
        }
        let before = sh("ip xfrm policy list")?;
        let mut namespace = Namespace::current()?;
        let ours = |net: &str| Policy::through(selector(net, "10.0.0.0/8"), Direction::Out, template(*REQIDS.start()));
        let block = Policy { action: Action::Block, ..ours("198.51.100.0/24") };
        apply(&mut namespace, &[ours("203.0.113.0/24"), block].into_iter().collect())?;
        assert_eq!(sh("ip xfrm policy list")?.matches("dir ").count(), 7);

        let in_the_way = ours("192.0.2.0/24");
        let (plan, conflicts) = changes(&mut namespace, &[in_the_way].into_iter().collect())?;
        assert_eq!(plan.len(), 2, "only deletions: {plan:?}");
        assert!(conflicts[0].found.contains("priority 7"), "{conflicts:?}");
        let mut other = ours("fd00::/64");
        other.selector.dst = "fd03::/64".parse()?;
        other.direction = Direction::In;
        let (_, conflicts) = changes(&mut namespace, &[other].into_iter().collect())?;
        assert!(conflicts[0].found.contains("settings that guestnet does not know"), "{conflicts:?}");

        apply(&mut namespace, &Set::<Policy>::new())?;
        assert_eq!(sh("ip xfrm policy list")?, before);
        Ok(())
    }

    fn the_seed_s_policies_are_printed_as_the_seed_prints_them() -> Result<()> {
        need(Capability::XfrmPolicy);
        let mut namespace = own()?;
        apply(&mut namespace, &seed()?.1)?;
        assert_eq!(blocks(&ip("xfrm policy")?), blocks(include_str!("seed/policy.txt")));
        Ok(())
    }

    fn a_kernel_without_the_algorithm_says_so() -> Result<()> {
        need(Capability::XfrmPolicy);
        if guestnet_lab::has(Capability::Esp).is_ok() {
            guestnet_lab::skip("this kernel has AES-GCM");
        }
        let mut namespace = own()?;
        let error = apply(&mut namespace, &seed()?.0).unwrap_err();
        let words = error.to_string();
        assert!(words.contains("Requested AEAD algorithm not found (ENOSYS)"), "{words}");
        Ok(())
    }

    fn lines_for_review_make_the_same_policies() -> Result<()> {
        need(Capability::XfrmPolicy);
        let mut namespace = own()?;
        let wanted = policies();
        for policy in &wanted {
            ip(policy.to_ip().strip_prefix("ip ").unwrap())?;
        }
        assert_eq!(apply(&mut namespace, &wanted)?, [""; 0]);
        Ok(())
    }

    fn esp_the_seed_is_printed_as_the_seed_prints_it() -> Result<()> {
        need(Capability::Esp);
        let mut namespace = own()?;
        let (states, policies) = seed()?;
        apply(&mut namespace, &states)?;
        apply(&mut namespace, &policies)?;
        assert_eq!(blocks(&ip("xfrm state")?), blocks(include_str!("seed/state.txt")));
        assert_eq!(blocks(&ip("xfrm policy")?), blocks(include_str!("seed/policy.txt")));
        assert_eq!(apply(&mut namespace, &states)?, [""; 0]);
        Ok(())
    }

    fn esp_states_come_back_as_they_were_sent() -> Result<()> {
        need(Capability::Esp);
        let mut namespace = own()?;
        let wanted = states();
        assert_eq!(apply(&mut namespace, &wanted)?.len(), wanted.len());
        assert_eq!(apply(&mut namespace, &wanted)?, [""; 0]);
        assert_eq!(ip("xfrm state list")?.matches("proto esp").count(), wanted.len());
        assert_eq!(apply(&mut namespace, &Set::<State>::new())?.len(), wanted.len());
        assert_eq!(ip("xfrm state list")?, "");
        Ok(())
    }

    fn esp_lines_for_review_make_the_same_states() -> Result<()> {
        need(Capability::Esp);
        let mut namespace = own()?;
        let wanted = states();
        for state in wanted.iter().filter(|state| state.if_id.is_none()) {
            let line = state.to_ip();
            let hex: String = key_bytes(state).iter().map(|byte| format!("{byte:02x}")).collect();
            ip(&line.strip_prefix("ip ").unwrap().replace("(hidden)", &format!("0x{hex}")))?;
        }
        let made = wanted.iter().filter(|state| state.if_id.is_none()).cloned().collect();
        assert_eq!(apply(&mut namespace, &made)?, [""; 0]);
        Ok(())
    }

    fn esp_lifetimes_change_in_place_and_the_rest_by_a_new_state_that_counts_on() -> Result<()> {
        need(Capability::Esp);
        let mut namespace = own()?;
        ip("xfrm state add src 2001:db8::1 dst 2001:db8::2 proto esp spi 0x300 reqid 7 mode tunnel \
            replay-oseq 0x10 replay-seq 0x20 aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128 \
            flag af-unspec")?;
        let kinds = |namespace: &mut Namespace, wanted: &Set<State>| -> Result<Vec<u16>> {
            Ok(messages(&changes(namespace, wanted)?.0)?.iter().map(Message::kind).collect())
        };
        let mut state = state(0x300, 20);
        state.reqid = 7;
        assert_eq!(apply(&mut namespace, &only(&state))?, [""; 0]);

        state.lifetimes.hard.packets = std::num::NonZeroU64::new(1000);
        assert_eq!(kinds(&mut namespace, &only(&state))?, [0x1a], "one XFRM_MSG_UPDSA");
        let plan = apply(&mut namespace, &only(&state))?;
        assert!(plan[0].ends_with("(lifetimes [limit packet-hard 1000], was [])"), "{plan:?}");
        assert!(ip("xfrm state")?.contains("seq 0x20, oseq 0x10"));

        state.reqid = 8;
        assert_eq!(kinds(&mut namespace, &only(&state))?, [0x11, 0x10], "XFRM_MSG_DELSA, XFRM_MSG_NEWSA");
        apply(&mut namespace, &only(&state))?;
        assert!(ip("xfrm state")?.contains("seq 0x20, oseq 0x10, bitmap 0xffffffff"), "{}", ip("xfrm state")?);

        state.replay_window = 64;
        apply(&mut namespace, &only(&state))?;
        assert!(ip("xfrm state")?.contains("seq 0x20, oseq-hi 0x0, oseq 0x10"), "{}", ip("xfrm state")?);

        state.key = key(1, 20).into();
        let plan = apply(&mut namespace, &only(&state))?;
        assert!(plan[0].contains("key (hidden)") && !plan[0].contains("0102"), "{plan:?}");
        assert!(ip("xfrm state")?.contains("seq 0x0, oseq-hi 0x0, oseq 0x0"), "{}", ip("xfrm state")?);
        Ok(())
    }

    fn esp_what_is_shown_can_be_applied_again_without_keys() -> Result<()> {
        need(Capability::Esp);
        let mut namespace = own()?;
        apply(&mut namespace, &states())?;
        let found = State::observe(&mut namespace, &Set::new())?.ours;
        let shown = serde_json::to_string(&found)?;
        assert!(!shown.contains("0102") && shown.contains("kept"), "{shown}");
        let again: Set<State> = serde_json::from_str(&shown)?;
        assert_eq!(apply(&mut namespace, &again)?, [""; 0]);

        let renamed: Set<State> = again.iter().cloned().map(|state| State { reqid: 99, ..state }).collect();
        assert_eq!(apply(&mut namespace, &renamed)?.len(), renamed.len());
        assert_eq!(State::observe(&mut namespace, &Set::new())?.ours.iter().next().unwrap().key, found.iter().next().unwrap().key);

        ip("xfrm state flush")?;
        let words = apply(&mut namespace, &again).unwrap_err().to_string();
        assert!(words.contains("but the kernel has no such state; give the key itself"), "{words}");
        apply(&mut namespace, &states())?;
        let mut wrong = only(again.iter().next().unwrap());
        wrong = wrong.into_iter().map(|s| State { key: KeySource::Kept("0011223344556677".parse().unwrap()), ..s }).collect();
        let words = apply(&mut namespace, &wrong).unwrap_err().to_string();
        assert!(words.contains("keeps the key 0011223344556677 that the kernel has, but the kernel has another"), "{words}");
        Ok(())
    }

    fn esp_states_of_others_stay_and_strange_ones_disturb_nobody() -> Result<()> {
        need(Capability::Esp);
        let outer = "src 2001:db8::1 dst 2001:db8::2 proto esp";
        for strange in [
            "auth 'hmac(sha256)' 0x0102030405060708091011121314151617181920212223242526272829303132 enc 'cbc(aes)' 0x01020304050607080910111213141516",
            "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f1011121314151617181a1b1c 128",
            "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128 encap espinudp 4500 4500 ::",
            "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128 flag nopmtudisc sel src ::1 dst ::2 dev lo",
            "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128",
        ].iter().enumerate().map(|(n, how)| format!("{outer} spi {} reqid 1728053248 mode tunnel {how}", 0x300 + n)) {
            // A kernel may lack one of them.
            let _ = sh(&format!("ip xfrm state add {strange}"));
        }
        sh(&format!("ip xfrm state add {outer} spi 0x400 reqid 5 mode tunnel aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128"))?;
        sh(&format!("ip xfrm state allocspi {outer} reqid 1728053248 mode tunnel min 0x500 max 0x500"))?;
        let theirs = sh("ip xfrm state | grep -c .")?;
        let mut namespace = Namespace::current()?;
        let mut ours = state(0x600, 20);
        ours.reqid = *REQIDS.start();
        let plan = apply(&mut namespace, &only(&ours))?;
        assert_eq!(plan.len(), 2, "the one that could be ours goes, ours comes: {plan:#?}");

        for (spi, words) in [(0x300, "not AES-GCM"), (0x400, "reqid 5")] {
            let in_the_way = State { spi: Spi::new(spi).unwrap(), ..ours.clone() };
            let (_, conflicts) = changes(&mut namespace, &only(&in_the_way))?;
            assert!(conflicts[0].found.contains(words), "{conflicts:?}");
        }
        apply(&mut namespace, &Set::<State>::new())?;
        let last = format!("{outer} spi 0x304");
        sh(&format!("ip xfrm state add {last} reqid 1728053248 mode tunnel aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128"))?;
        assert_eq!(sh("ip xfrm state | grep -c .")?, theirs);
        Ok(())
    }

    fn esp_one_description_joins_two_hosts_in_every_shape() -> Result<()> {
        need(Capability::Esp);
        for (round, tunnel) in joined().into_iter().enumerate() {
            let (a, b) = tunnel.ends();
            let hosts = [("a", &a), ("b", &b)].map(|(name, end)| (format!("{name}{round}"), end));
            let [(a_name, _), (b_name, _)] = &hosts;
            for (name, _) in &hosts {
                netns::create(&name.parse()?, Owner(1))?;
            }
            sh(&format!("ip -n {a_name} link add v type veth peer name v netns {b_name}"))?;
            for (name, end) in &hosts {
                let (outer, length) = (end.local, if end.local.is_ipv4() { 24 } else { 64 });
                sh(&format!("ip -n {name} link set v up; ip -n {name} addr add {outer}/{length} dev v $( [ {length} = 64 ] && echo nodad )"))?;
                for pair in &end.pairs {
                    sh(&format!("ip -n {name} addr add {} dev lo", pair.local))?;
                    sh(&format!("ip -n {name} route add {} dev v src {}", pair.remote, pair.local.addr()))?;
                }
                let mut namespace = Namespace::named(&name.parse()?)?;
                let (states, policies) = lower(end)?;
                apply(&mut namespace, &states)?;
                apply(&mut namespace, &policies)?;
            }
            let inner = a.inner_mtu(1500);
            for pair in &a.pairs {
                let headers = if pair.remote.addr().is_ipv4() { 28 } else { 48 };
                let ping = |size: u32| sh(&format!("ip netns exec {a_name} ping -c 1 -W 5 -M do -s {} {}", size - headers, pair.remote.addr()));
                ping(inner)?;
                let refused = ping(inner + 1).unwrap_err().to_string();
                assert!(refused.contains("too long") || refused.contains(&format!("mtu={inner}")), "{refused}");
            }
            let counters = sh(&format!("ip -n {b_name} -s xfrm state"))?;
            let used = counters.matches("(packets)").count() - counters.matches(" 0(packets)").count();
            assert_eq!(used, a.lower()?.0.len(), "every state has carried packets:\n{counters}");
        }
        Ok(())
    }
}

fn only(state: &State) -> Set<State> {
    std::iter::once(state.clone()).collect()
}

fn bytes(first: u8, length: u8) -> Vec<u8> {
    (first..first + length).collect()
}

fn key(first: u8, length: u8) -> Key {
    Key::new(bytes(first, length)).expect("a key of a right length")
}

/// The key that [`state`] gave it.
fn key_bytes(state: &State) -> Vec<u8> {
    bytes(0, u8::try_from(state.algorithm.key_length()).expect("short"))
}

fn state(spi: u32, length: u8) -> State {
    let key = key(0, length);
    let (src, dst) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
    State::new(src, dst, Spi::new(spi).unwrap(), key.algorithm(), key)
}

/// States of every kind that the type can say.
fn states() -> Set<State> {
    let limit = std::num::NonZeroU64::new;
    let limits =
        guestnet_xfrm::Limits { bytes: limit(1 << 40), packets: limit(1000), seconds: limit(86_400) };
    let (v4_src, v4_dst) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    let ports = Selector { proto: Some(17), sport: Some(53), dport: None, ..Selector::ipv6() };
    let all = [
        State { reqid: 7, ..state(256, 36) },
        State { replay_window: 1, ..state(256, 20) },
        State { replay_window: 32, selector: Some(Selector::ipv4()), ..state(256, 20) },
        State { replay_window: 33, selector: Some(ports), ..state(256, 20) },
        State { replay_window: 4096, icv: Icv::BITS_96, ..state(256, 36) },
        State { replay_window: 1, esn: true, icv: Icv::BITS_64, ..state(256, 36) },
        State { replay_window: 128, esn: true, direction: Some(StateDirection::In), ..state(256, 36) },
        State { lifetimes: Lifetimes { soft: limits, hard: limits }, ..state(256, 20) },
        State { mark: Some(Mark { value: 6, mask: 0xff }), ..state(256, 20) },
        State { if_id: std::num::NonZeroU32::new(3), ..state(256, 20) },
        State { mode: Mode::Transport, selector: Some(Selector::ipv6()), ..state(256, 20) },
        State { src: v4_src, dst: v4_dst, ..state(256, 20) },
    ];
    all.into_iter().zip(0x300..).map(|(state, spi)| State { spi: Spi::new(spi).unwrap(), ..state }).collect()
}

/// A tunnel of each shape, over either family, with every length of key.
fn joined() -> [Tunnel; 4] {
    use guestnet_xfrm::Algorithm::{Aes128Gcm, Aes256Gcm};
    let carry = |a: &str, b: &str| {
        Tunnel::between(a.parse().unwrap(), b.parse().unwrap())
            .carry_hosts("10.1.0.1/32".parse().unwrap(), "10.2.0.1/32".parse().unwrap())
            .carry_hosts("fd01::1/128".parse().unwrap(), "fd02::1/128".parse().unwrap())
    };
    let spi = |n| Spi::new(n).unwrap();
    [
        carry("2001:db8::1", "2001:db8::2").secret(secret()),
        carry("192.0.2.1", "192.0.2.2")
            .secret(secret())
            .shape(Shape::PerFamily)
            .algorithm(Aes128Gcm, Icv::BITS_96),
        carry("2001:db8::1", "2001:db8::2").secret(secret()).replay(false, 0).generation(5),
        carry("192.0.2.1", "192.0.2.2").algorithm(Aes256Gcm, Icv::BITS_64).states(
            Inner::Both,
            (spi(256), key(0, 36)),
            (spi(256), key(1, 36)),
        ),
    ]
}
