//! What is wrong with a spec, all of it at once.

use std::net::IpAddr;

use guestnet_core::{Path, Problems};
use ipnet::IpNet;

use crate::{NatSpec, Pair};

impl NatSpec {
    /// Notes everything that is wrong with it. [`Self::lower`] leaves out pairs with problems of their own.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        for (n, net) in self.untranslated.iter().enumerate() {
            check_host_bits(*net, &path.field("untranslated").index(n), problems);
        }
        let mut sides = Vec::with_capacity(self.pairs.len() * 2);
        for (n, pair) in self.pairs.iter().enumerate() {
            let path = path.field("pairs").index(n);
            let (public, private) = (path.field("public"), path.field("private"));
            check_side(pair.public, &public, problems);
            check_side(pair.private, &private, problems);
            if let Some(text) = pair.mismatch() {
                problems.at(&path, text);
            }
            sides.push((pair.public.trunc(), n, "public"));
            sides.push((pair.private.trunc(), n, "private"));
        }
        check_overlaps(sides, &path.field("pairs"), problems);
    }
}

impl Pair {
    /// Why the two cannot stand for each other.
    pub(crate) fn mismatch(&self) -> Option<String> {
        let Self { public, private } = self;
        if public.addr().is_ipv4() != private.addr().is_ipv4() {
            return Some(format!("{public} and {private} are not of one family"));
        }
        (public.prefix_len() != private.prefix_len())
            .then(|| format!("{public} and {private} are not equally long"))
    }
}

fn check_host_bits(net: IpNet, path: &Path, problems: &mut Problems) {
    if net.trunc() != net {
        problems.at(path, format!("{net} has bits behind its prefix: {} is meant?", net.trunc()));
    }
}

fn check_side(net: IpNet, path: &Path, problems: &mut Problems) {
    check_host_bits(net, path, problems);
    if net.prefix_len() == 0 {
        problems
            .at(path, format!("{net} is everything; 1 to {} bits can be translated", net.max_prefix_len()));
    } else if let Some(what) = unfit(net.network()).or_else(|| unfit(net.broadcast())) {
        problems.at(path, format!("{net} has addresses that are {what}"));
    }
}

/// Why no host can have `address`, or none beyond a link.
fn unfit(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if address.is_multicast() {
        Some("multicast")
    } else if address.is_loopback() {
        Some("loopback")
    } else if address.is_unspecified() {
        Some("no address at all")
    } else {
        link_local.then_some("of one link only")
    }
}

/// No address may stand in two places: which of them is meant would depend on the order of rules. Two prefixes are
/// nested or apart, so those that overlap with one stand right behind it when they are sorted.
fn check_overlaps(mut sides: Vec<(IpNet, usize, &str)>, path: &Path, problems: &mut Problems) {
    // What is everything has been told already.
    sides.retain(|(net, ..)| net.prefix_len() > 0);
    sides.sort_unstable();
    let mut before: Option<(IpNet, usize, &str)> = None;
    let mut found = Vec::new();
    for side in sides {
        match before {
            Some(outer) if outer.0.contains(&side.0) => found.push((side, outer)),
            _ => before = Some(side),
        }
    }
    // In the order of the spec, told at the later of the two.
    let later = |(a, b): ((IpNet, usize, _), (IpNet, usize, _))| if a.1 < b.1 { (b, a) } else { (a, b) };
    let mut found: Vec<_> = found.into_iter().map(later).collect();
    found.sort_unstable_by_key(|(side, other)| (side.1, other.1));
    for ((net, n, field), (other, m, other_field)) in found {
        let place = path.index(m).field(other_field);
        problems.at(&path.index(n).field(field), format!("{net} overlaps with {other}, {place}"));
    }
}
