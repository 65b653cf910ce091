//! What is sent is read back, and nothing that is read panics. No kernel: those tests are in `tests/kernel.rs`.

use std::num::NonZeroU64;

use guestnet_core::netlink::Attributes;
use proptest::prelude::*;

use super::*;
use crate::encap::Encap;
use crate::lifetime::{Lifetimes, Limits};
use crate::selector::{Mark, Selector};

fn limits() -> impl Strategy<Value = Limits> {
    let limit = || proptest::option::of((1..u64::MAX).prop_map(|n| NonZeroU64::new(n).unwrap()));
    (limit(), limit(), limit()).prop_map(|(bytes, packets, seconds)| Limits { bytes, packets, seconds })
}

fn selectors() -> impl Strategy<Value = Option<Selector>> {
    let prefix = "10.0.0.0/8".parse().unwrap();
    let ports = move |(proto, sport, dport)| Selector {
        proto: Some(proto),
        sport,
        dport,
        ..Selector::new(prefix, prefix)
    };
    prop_oneof![
        Just(None),
        Just(Some(Selector::ipv4())),
        Just(Some(Selector::ipv6())),
        (1_u8.., any::<Option<u16>>(), any::<Option<u16>>()).prop_map(move |p| Some(ports(p))),
    ]
}

/// Any state.
fn states() -> impl Strategy<Value = State> {
    let outer = prop_oneof![
        any::<[std::net::Ipv4Addr; 2]>().prop_map(|ips| ips.map(std::net::IpAddr::from)),
        any::<[std::net::Ipv6Addr; 2]>().prop_map(|ips| ips.map(std::net::IpAddr::from)),
    ];
    let key =
        prop_oneof![any::<[u8; 20]>().prop_map(|b| b.to_vec()), proptest::collection::vec(any::<u8>(), 36)];
    let numbers = (256_u32.., any::<[u32; 4]>(), 0..=LARGEST_WINDOW, any::<[bool; 5]>());
    let ports = proptest::option::of((1_u16.., 1_u16..));
    let rest = (selectors(), limits(), limits(), prop::sample::select(vec![64, 96, 128]));
    (outer, key, numbers, rest, ports).prop_filter_map("a key", |([src, dst], key, numbers, rest, ports)| {
        let (spi, [reqid, mark, id, count], window, [esn, transport, said, inbound, counted]) = numbers;
        let (selector, soft, hard, icv) = rest;
        let key = Key::new(key).ok()?;
        let count = u64::from(count) * u64::from(counted);
        Some(State {
            reqid,
            mode: if transport { Mode::Transport } else { Mode::Tunnel },
            icv: Icv::try_from(icv).ok()?,
            replay_window: window,
            esn,
            selector,
            lifetimes: Lifetimes { soft, hard },
            direction: said.then_some(if inbound { StateDirection::In } else { StateDirection::Out }),
            mark: (mark % 2 == 0).then_some(Mark { value: mark, mask: u32::MAX }),
            set_mark: (mark % 3 == 0).then_some(Mark { value: reqid & mark, mask: mark | 1 }),
            encap: ports.map(|(sport, dport)| Encap { sport, dport }),
            if_id: NonZeroU32::new(id % 3),
            // Only extended ones have more than 32 bits.
            sequence: Sequence { sent: count << (u32::from(esn) * 8), received: count },
            ..State::new(src, dst, Spi::new(spi)?, key.algorithm(), key)
        })
    })
}

fn steps(change: &Change<State>) -> Result<Vec<Message>> {
    let mut out = Outbox::new();
    State::encode(change, Phase::Tunnels, &Context::default(), &mut out)?;
    let message = |(_, step)| match step {
        guestnet_core::Step::Send(Protocol::Xfrm, message) => message,
        other => panic!("{other:?}"),
    };
    Ok(out.into_steps().into_iter().map(message).collect())
}

fn payload(message: &Message) -> &[u8] {
    &message.bytes()[16..]
}

fn some_state() -> State {
    let key = Key::new((0..36).collect()).unwrap();
    State::new("::1".parse().unwrap(), "::2".parse().unwrap(), Spi::LOWEST, key.algorithm(), key)
}

proptest! {
    #[test]
    fn what_is_sent_is_read_back(state in states()) {
        let messages = steps(&Change::Create(state.clone())).unwrap();
        let Some(Found::State(found)) = read(payload(&messages[0])) else { panic!("not read: {state:?}") };
        prop_assert_eq!(&*found, &state);
        prop_assert!(state.accepts(&found));
        prop_assert_eq!((found.sequence.sent, found.sequence.received), (state.sequence.sent, state.sequence.received));
    }

    #[test]
    fn any_difference_is_seen(state in states(), other in states()) {
        let other = State { src: state.src, dst: state.dst, spi: state.spi, mark: state.mark, ..other };
        prop_assert!(!state.accepts(&other));
        let messages = steps(&Change::Replace { old: state.clone(), new: other.clone() }).unwrap();
        let has_key = |message: &Message| {
            let KeySource::Given(key) = &other.key else { panic!("{other:?}") };
            message.bytes().windows(key.expose().len()).any(|bytes| bytes == key.expose())
        };
        prop_assert!(messages.iter().any(has_key));
        prop_assert!(messages.iter().all(|message| message.is_secret() == has_key(message)));
        let Some(Found::State(found)) = read(payload(messages.last().unwrap())) else { panic!("not read: {other:?}") };
        prop_assert_eq!(*found, other);
    }

    #[test]
    fn no_dump_panics(
        state in states(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let messages = steps(&Change::Create(state)).unwrap();
        let mut bytes = payload(&messages[0]).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        let _ = read(&bytes);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&bytes);
    }
}

#[test]
fn a_key_that_is_not_there_is_not_made_up() {
    let refused = |key: KeySource| {
        let state = State { key, ..some_state() };
        steps(&Change::Create(state)).unwrap_err().to_string()
    };
    let words = refused(KeySource::File("/etc/key".into()));
    assert!(words.ends_with("its key in /etc/key was not read"), "{words}");
    let words = refused(KeySource::Kept("0011223344556677".parse().unwrap()));
    assert!(words.contains("the kernel has no such state"), "{words}");
    let words = refused(KeySource::Given(Key::found(vec![0; 36]).unwrap()));
    assert!(words.contains("the kernel hides its key"), "{words}");
}

#[test]
fn a_hidden_key_may_stay_but_not_be_made_again() {
    let old = State { key: KeySource::Given(Key::found(vec![0; 36]).unwrap()), ..some_state() };
    let kept = State { key: KeySource::Kept("0011223344556677".parse().unwrap()), ..some_state() };
    assert!(kept.accepts(&old));
    let mut longer = kept.clone();
    longer.lifetimes.hard.seconds = NonZeroU64::new(5);
    let replace = |new: &State| steps(&Change::Replace { old: old.clone(), new: new.clone() });
    assert_eq!(replace(&longer).unwrap().iter().map(Message::kind).collect::<Vec<_>>(), [XFRM_MSG_UPDSA]);
    assert!(replace(&State { reqid: 9, ..kept }).is_err());
    let given = State { reqid: 9, ..some_state() };
    assert_eq!(
        replace(&given).unwrap().iter().map(Message::kind).collect::<Vec<_>>(),
        [XFRM_MSG_DELSA, XFRM_MSG_NEWSA]
    );
}

#[test]
fn counters_make_no_difference_and_neither_does_a_direction_that_is_not_said() {
    let one = some_state();
    let counted = State { sequence: Sequence { sent: 7, received: 8 }, ..one.clone() };
    assert!(one == counted && one.accepts(&counted));
    let inbound = State { direction: Some(StateDirection::In), ..one.clone() };
    let outbound = State { direction: Some(StateDirection::Out), ..one.clone() };
    assert!(one.accepts(&inbound) && inbound.accepts(&one) && !inbound.accepts(&outbound));
}

#[test]
fn windows_have_the_shape_that_the_kernel_wants() {
    let attribute = |state: &State| {
        let messages = steps(&Change::Create(state.clone())).unwrap();
        let attributes = Attributes::after(payload(&messages[0]), xfrm::XFRM_USER_SA_INFO_LEN);
        attributes.get(XFRMA_REPLAY_ESN_VAL).map(<[u8]>::len)
    };
    let window = |replay_window, esn| attribute(&State { replay_window, esn, ..some_state() });
    // struct xfrm_replay_state_esn is 24 bytes and the bitmap.
    assert_eq!([window(0, false), window(32, false)], [None, None]);
    assert_eq!(
        [window(33, false), window(1, true), window(4096, true)],
        [Some(32), Some(28), Some(24 + 512)]
    );
}
