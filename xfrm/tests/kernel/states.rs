//! States: a kernel with ESP and AES-GCM.

use anyhow::Result;
use guestnet_core::owner::REQIDS;
use guestnet_core::{Kind, Message, Namespace, Set};
use guestnet_lab::{Capability, lab_test, need, sh};
use guestnet_xfrm::{Encap, Icv, KeySource, Lifetimes, Mark, Mode, Selector, Spi, State, StateDirection};

use crate::host::{apply, blocks, changes, ip, key, messages, own, seed};

fn only(state: &State) -> Set<State> {
    std::iter::once(state.clone()).collect()
}

fn bytes(first: u8, length: u8) -> Vec<u8> {
    (first..first + length).collect()
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
        State { reqid: 7, generation: u32::MAX, ..state(256, 36) },
        State { replay_window: 1, ..state(256, 20) },
        State { replay_window: 32, selector: Some(Selector::ipv4()), ..state(256, 20) },
        State { replay_window: 33, selector: Some(ports), ..state(256, 20) },
        State { replay_window: 4096, icv: Icv::BITS_96, ..state(256, 36) },
        State { replay_window: 1, esn: true, icv: Icv::BITS_64, ..state(256, 36) },
        State { replay_window: 128, esn: true, direction: Some(StateDirection::In), ..state(256, 36) },
        State { lifetimes: Lifetimes { soft: limits, hard: limits }, ..state(256, 20) },
        State { mark: Some(Mark { value: 6, mask: 0xff }), ..state(256, 20) },
        State { if_id: std::num::NonZeroU32::new(3), ..state(256, 20) },
        State { encap: Some(Encap { sport: 4500, dport: 4501 }), ..state(256, 20) },
        State { set_mark: Some(Mark { value: 2, mask: 0xf }), ..state(256, 20) },
        State { mode: Mode::Transport, selector: Some(Selector::ipv6()), ..state(256, 20) },
        State { src: v4_src, dst: v4_dst, ..state(256, 20) },
    ];
    all.into_iter().zip(0x300..).map(|(state, spi)| State { spi: Spi::new(spi).unwrap(), ..state }).collect()
}

lab_test! {
    fn esp_the_seed_is_printed_as_the_seed_prints_it() -> Result<()> {
        need(Capability::Esp);
        let mut namespace = own()?;
        let (states, policies) = seed()?;
        apply(&mut namespace, &states)?;
        apply(&mut namespace, &policies)?;
        assert_eq!(blocks(&ip("xfrm state")?), blocks(include_str!("../seed/state.txt")));
        assert_eq!(blocks(&ip("xfrm policy")?), blocks(include_str!("../seed/policy.txt")));
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
        let mut wanted = states();
        // Not in every iproute2: `dir` is from 6.10.
        wanted.retain(|state| state.direction.is_none());
        for state in &wanted {
            let line = state.to_ip();
            let hex: String = key_bytes(state).iter().map(|byte| format!("{byte:02x}")).collect();
            ip(&line.strip_prefix("ip ").unwrap().replace("(hidden)", &format!("0x{hex}")))?;
        }
        assert_eq!(apply(&mut namespace, &wanted)?, [""; 0]);
        Ok(())
    }

    fn esp_ip_and_guestnet_mean_the_same_generation() -> Result<()> {
        need(Capability::Esp);
        let mut namespace = own()?;
        let mut wanted = state(0x300, 20);
        wanted.generation = 5;
        apply(&mut namespace, &only(&wanted))?;
        let line = wanted.to_ip();
        assert!(line.contains(" seq 5 ") || line.ends_with(" seq 5"), "{line}");
        ip("xfrm state add src 2001:db8::1 dst 2001:db8::2 proto esp spi 0x301 reqid 7 mode tunnel seq 5 \
            aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128 flag af-unspec")?;
        let found = State::observe(&mut namespace, &Set::new())?.ours;
        let generations: Vec<u32> = found.iter().map(|state| state.generation).collect();
        assert_eq!(generations, [5, 5]);
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
            "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128 encap espinudp 4500 4500 ::1",
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
}
