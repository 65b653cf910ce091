//! Policies: any kernel with XFRM.

use anyhow::Result;
use guestnet_core::owner::REQIDS;
use guestnet_core::{Message, Namespace, Set};
use guestnet_lab::{Capability, lab_test, need, sh};
use guestnet_xfrm::{Action, Direction, Level, Mark, Mode, Policy, Selector, Spi, Template};

use crate::host::{apply, blocks, changes, ip, messages, own, seed};

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
    let transport = Template { mode: Mode::Transport, level: Level::Use, ..template(8) };
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
        assert!(conflicts[0].found.ends_with(" flag icmp"), "{conflicts:?}");

        apply(&mut namespace, &Set::<Policy>::new())?;
        assert_eq!(sh("ip xfrm policy list")?, before);
        Ok(())
    }

    fn the_seed_s_policies_are_printed_as_the_seed_prints_them() -> Result<()> {
        need(Capability::XfrmPolicy);
        let mut namespace = own()?;
        apply(&mut namespace, &seed()?.1)?;
        assert_eq!(blocks(&ip("xfrm policy")?), blocks(include_str!("../seed/policy.txt")));
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
}
