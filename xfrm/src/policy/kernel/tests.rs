//! What is sent is read back, and nothing that is read panics. No kernel: those tests are in `tests/kernel.rs`.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::selector::{Mark, Selector};
use crate::state::Mode;

fn templates() -> impl Strategy<Value = Template> {
    let outer = prop_oneof![
        any::<[std::net::Ipv4Addr; 2]>().prop_map(|ips| ips.map(IpAddr::from)),
        any::<[std::net::Ipv6Addr; 2]>().prop_map(|ips| ips.map(IpAddr::from)),
    ];
    (outer, any::<u32>(), any::<u32>(), any::<[bool; 2]>()).prop_map(
        |([src, dst], spi, reqid, [transport, optional])| Template {
            spi: Spi::new(spi),
            mode: if transport { Mode::Transport } else { Mode::Tunnel },
            level: if optional { Level::Use } else { Level::Required },
            ..Template::tunnel(src, dst, reqid)
        },
    )
}

/// Any policy.
fn policies() -> impl Strategy<Value = Policy> {
    let selector = (any::<[u32; 2]>(), 0_u8..=32, any::<(u8, Option<u16>, Option<u16>)>(), any::<bool>())
        .prop_map(|([src, dst], length, (proto, sport, dport), v6)| {
            let net = |ip: u32| ipnet::Ipv4Net::new(ip.into(), length).unwrap().trunc();
            let net6 = |ip: u32| ipnet::Ipv6Net::new((u128::from(ip) << 96).into(), length).unwrap().trunc();
            let plain = if v6 {
                Selector::new(net6(src).into(), net6(dst).into())
            } else {
                Selector::new(net(src).into(), net(dst).into())
            };
            Selector { proto: Some(proto).filter(|p| *p != 0), sport, dport, ..plain }
        });
    let direction = prop::sample::select(vec![Direction::In, Direction::Out, Direction::Fwd]);
    let list = proptest::collection::vec(templates(), 0..=6);
    (selector, direction, list, any::<[u32; 3]>(), any::<bool>()).prop_map(
        |(selector, direction, templates, [priority, mark, id], block)| Policy {
            selector,
            direction,
            action: if block { Action::Block } else { Action::Allow },
            priority,
            templates,
            mark: (mark % 2 == 0).then_some(Mark { value: mark, mask: u32::MAX }),
            if_id: NonZeroU32::new(id % 3),
            extras: Extras::default(),
        },
    )
}

proptest! {
    #[test]
    fn what_is_sent_is_read_back(policy in policies()) {
        let message = new_message(XFRM_MSG_NEWPOLICY, &policy);
        let Some(found) = read(&message.bytes()[16..]) else { panic!("not read: {policy}") };
        prop_assert_eq!(found, policy);
    }

    #[test]
    fn no_dump_panics(
        policy in policies(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let message = new_message(XFRM_MSG_NEWPOLICY, &policy);
        let mut bytes = message.bytes()[16..].to_vec();
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
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }
}

#[test]
fn policies_of_sockets_and_sub_policies_are_passed_over() {
    let template = Template::tunnel("::1".parse().unwrap(), "::2".parse().unwrap(), 1);
    let policy = Policy::through(Selector::ipv6(), Direction::Out, template);
    let message = new_message(XFRM_MSG_NEWPOLICY, &policy);
    let mut bytes = message.bytes()[16..].to_vec();
    assert!(read(&bytes).is_some());
    // XFRMA_POLICY_TYPE, 10 bytes long, of the type SUB.
    let sub = [10, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    assert!(read(&[bytes.clone(), sub.to_vec()].concat()).is_none());
    // The direction stands behind selector, lifetimes, priority and index; 4 is a socket's, outbound.
    let direction = 56 + 64 + 32 + 4 + 4;
    assert_eq!(bytes[direction], XFRM_POLICY_OUT);
    bytes[direction] = 4;
    assert!(read(&bytes).is_none());
}
