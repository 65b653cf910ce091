//! Answers of the kernel, read by the kinds of objects.

use std::fmt::{Debug, Display};
use std::sync::Arc;

use guestnet::core::replay::Machine;
use guestnet::core::{Address, Kind, Link, Namespace, Netns, Object, Protocol, Route, Set, link};
use guestnet::ndp::{PermanentNeighbour, ProxyNeighbour};
use guestnet::nft::evaluate::{self, Conntrack, Packet};
use guestnet::nft::ruleset::{KernelSets, RulesetChain, RulesetTable, foreign_ruleset};
use guestnet::nft::{Table, counters, foreign_tables};
use guestnet::xfrm::state::State;
use guestnet::xfrm::threshold::HashThreshold;
use guestnet::xfrm::{Policy, Spd};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::{self, Kernel};
use crate::{memory, property};

/// Reads `K` of a kernel that answers with `input`. What the JSON of an object leaves out is in its words.
fn observe<K>(input: &[u8], protocol: Protocol, more: impl FnOnce(&mut Namespace))
where
    K: Kind + Clone + PartialEq + Debug + Display + Serialize + DeserializeOwned,
{
    let machine: Arc<dyn Machine> = Arc::new(Kernel::new(input, protocol));
    let namespace = Namespace::played(Netns::Host, &machine);
    let mut namespace = namespace.inspect_err(property::can_be_shown);
    let Ok(namespace) = &mut namespace else { return };
    let read = memory::in_proportion(input.len(), || {
        namespace.refresh_links()?;
        K::observe(namespace, &Set::default())
    });
    let ours = match read {
        Ok(observed) => observed.ours,
        Err(error) => return property::can_be_shown(&error),
    };
    for object in &ours {
        property::is_discreet(&format!("{object:?} {object}"));
        let printed =
            serde_json::to_string(object).unwrap_or_else(|e| panic!("{object:?} cannot be printed: {e}"));
        let again: K = match serde_json::from_str(&printed) {
            Ok(again) => again,
            // The kernel may have what a spec may not: the MAC address of a group, on a link of somebody else.
            Err(refusal) => {
                property::is_discreet(&refusal.to_string());
                continue;
            }
        };
        // An object on the host may be identified by more than a spec can say; its words have it.
        if again.key() != object.key() {
            assert_ne!(again.to_string(), object.to_string(), "{printed}");
        }
        let twice = serde_json::to_string(&again).unwrap_or_default();
        assert_eq!(printed, twice);
    }
    // All of what is ours is read as what is wanted is, by a kernel that answers twice the same: a refusal is given once.
    if kernel::messages(input).all(|(kind, _)| kind != kernel::ERROR)
        && let Ok(wanted) = K::observe_keys(namespace, &ours)
    {
        assert!(wanted.ours.iter().all(|object| ours.contains(&object.key())));
    }
    more(namespace);
}

pub fn links(input: &[u8]) {
    observe::<Link>(input, Protocol::Route, |namespace| {
        let names: Vec<_> = namespace.link_indexes().keys().cloned().collect();
        for name in &names {
            for words in link::users(namespace, name).unwrap_or_default() {
                property::is_discreet(&words);
            }
        }
        drop(link::in_use(namespace, &names));
    });
}

pub fn addresses(input: &[u8]) {
    observe::<Address>(input, Protocol::Route, |_| {});
}

pub fn routes(input: &[u8]) {
    observe::<Route>(input, Protocol::Route, |_| {});
}

pub fn neighbours(input: &[u8]) {
    observe::<ProxyNeighbour>(input, Protocol::Route, |_| {});
    observe::<PermanentNeighbour>(input, Protocol::Route, |_| {});
}

pub fn xfrm(input: &[u8]) {
    observe::<State>(input, Protocol::Xfrm, |_| {});
    observe::<Policy>(input, Protocol::Xfrm, |namespace| drop(Spd::read(namespace)));
    observe::<HashThreshold>(input, Protocol::Xfrm, |_| {});
}

pub fn nf_tables(input: &[u8]) {
    observe::<Table>(input, Protocol::Netfilter, |namespace| {
        drop(foreign_tables(namespace));
        if let Ok(observed) = Table::observe(namespace, &Set::default()) {
            observed.ours.iter().for_each(|table| drop(counters(namespace, &table.key())));
        }
        let Ok(ruleset) = memory::in_proportion(input.len(), || foreign_ruleset(namespace)) else { return };
        for table in &ruleset.tables {
            for chain in table.chains.values() {
                chain.rules.iter().for_each(|rule| property::is_discreet(&table.words(rule)));
                judge(table, chain, namespace);
            }
        }
    });
}

/// Asserts of rules that what they do with a packet is the same when it is asked twice.
fn judge(table: &RulesetTable, chain: &RulesetChain, namespace: &mut Namespace) {
    let mut run = || {
        // UDP from 192.0.2.1 to 192.0.2.2, port 53, with four bytes of data.
        let mut network = vec![0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        network.extend([0x30, 0, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]);
        let conntrack = Some(Conntrack::NEW);
        let mut packet = Packet { ethertype: 0x0800, network, conntrack, ..Packet::default() };
        evaluate::run(table, chain, &mut packet, &mut KernelSets::new(namespace))
    };
    assert_eq!(format!("{:?}", run()), format!("{:?}", run()));
}
