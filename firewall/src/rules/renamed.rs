//! Links of guestnet that are in no set: rules know a guest by the name of its interface, and somebody has given that
//! another name. The group of the link stays.

use std::collections::BTreeSet;

use guestnet_core::LinkName;
use guestnet_core::owner::LINK_GROUP;
use guestnet_nft::{DataType, Element, Rule, Set, Statement, meta};

use crate::words::{deny, name, not_from_guest, room};
use crate::{FirewallSpec, Paragraph as P};

const LINKS: &str = "links";

/// The links of guestnet that are no guest's; `inner` are those to their namespaces, which are no ports.
pub fn set(spec: &FirewallSpec, inner: &BTreeSet<LinkName>) -> Set {
    let links = spec.links.iter().chain(inner).cloned().map(Element::new);
    let set = Set::new(name(LINKS), DataType::Ifname).with(links);
    Set { size: room(set.elements.len()), ..set }
}

/// Packets from one go nowhere.
pub fn from() -> Rule {
    let named = meta::iifname().not_in(name(LINKS));
    deny(P::RENAMED, [meta::iifgroup().eq(LINK_GROUP), not_from_guest(), named])
}

/// And nothing goes to one.
pub fn to() -> Rule {
    let named: [Statement; 2] = ["guests", LINKS].map(|set| meta::oifname().not_in(name(set)));
    deny(P::RENAMED, [meta::oifgroup().eq(LINK_GROUP)].into_iter().chain(named))
}
