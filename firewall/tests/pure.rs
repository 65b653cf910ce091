//! What holds for every spec, without a kernel.

mod support;

use guestnet_core::{Path, Problems};
use guestnet_firewall::{FirewallSpec, GuestLink, Paragraph};
use guestnet_nft::{Expr, Table, Verdict};
use support::{full, guest};

/// `full`, with `more` guests like those that are there.
fn with_more(more: u8) -> FirewallSpec {
    let mut spec = full();
    let known = spec.guests.clone();
    let like = |n: u8| -> GuestLink {
        let model = &known[usize::from(n) % known.len()];
        let (access, ethertypes) = (model.access.clone(), model.ethertypes.clone());
        GuestLink { access, ethertypes, bridged: model.bridged, ..guest(n) }
    };
    spec.guests.extend((10..10 + more).map(like));
    spec
}

fn rules(table: &Table) -> usize {
    table.chains.iter().map(|chain| chain.rules.len()).sum()
}

#[test]
fn guests_add_no_rules() {
    for (few, many) in with_more(0).lower().iter().zip(&with_more(200).lower()) {
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
