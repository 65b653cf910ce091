//! What is wrong with a description as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use guestnet_core::{Path, Problems};

use super::{DnsmasqSpec, RouterAdvertisement};
use crate::value::Tag;

/// The longest line that dnsmasq reads as one is 1024 bytes with its end.
const LONGEST_LINE: usize = 1000;

pub(super) fn check(spec: &DnsmasqSpec, path: &Path, problems: &mut Problems) {
    if spec.interfaces.is_empty() {
        problems.at(&path.field("interfaces"), "without an interface dnsmasq would serve all that there are");
    }
    unique(spec.interfaces.iter(), &path.field("interfaces"), problems);
    check_dns(spec, &path.field("dns"), problems);

    let list = path.field("router_advertisements");
    unique(spec.router_advertisements.iter().map(|ra| &ra.interface), &list, problems);
    for (n, ra) in spec.router_advertisements.iter().enumerate() {
        check_advertisement(spec, ra, &list.index(n), problems);
    }
    for (n, range) in spec.ranges4.iter().enumerate() {
        range.check(&path.field("ranges4").index(n), problems);
    }
    for (n, range) in spec.ranges6.iter().enumerate() {
        range.check(&path.field("ranges6").index(n), problems);
    }
    check_overlaps(spec, path, problems);
    check_shared_networks(spec, &path.field("shared_networks"), problems);
    check_shared_networks6(spec, &path.field("shared_networks6"), problems);
    check_hosts(spec, &path.field("hosts"), problems);
    for (n, option) in spec.options.iter().enumerate() {
        let path = path.field("options").index(n);
        option.check(&path, problems);
        let length = option.to_string().len();
        if length > LONGEST_LINE {
            problems
                .at(&path, format!("it makes a line of {length} characters, dnsmasq reads {LONGEST_LINE}"));
        }
    }
    check_tags(spec, path, problems);
}

fn unique<T: Ord + Display>(values: impl Iterator<Item = T>, list: &Path, problems: &mut Problems) {
    let mut seen = BTreeMap::new();
    for (n, value) in values.enumerate() {
        match seen.get(&value) {
            Some(first) => problems.at(&list.index(n), format!("{value} is also at {}", list.index(*first))),
            None => {
                seen.insert(value, n);
            }
        }
    }
}

fn check_dns(spec: &DnsmasqSpec, path: &Path, problems: &mut Problems) {
    let Some(dns) = &spec.dns else { return };
    let list = path.field("upstream");
    if dns.upstream.is_empty() && !dns.resolv_conf {
        problems.at(&list, "a DNS server that asks nobody answers nothing; say upstream or resolv_conf");
    }
    for (n, ip) in dns.upstream.iter().enumerate() {
        if ip.is_unspecified() || ip.is_multicast() {
            problems.at(&list.index(n), format!("{ip} is no address of a server"));
        }
    }
    unique(dns.upstream.iter(), &list, problems);
}

fn check_advertisement(spec: &DnsmasqSpec, ra: &RouterAdvertisement, path: &Path, problems: &mut Problems) {
    if !spec.interfaces.contains(&ra.interface) {
        problems.at(&path.field("interface"), format!("{} is not among the interfaces", ra.interface));
    }
    if let Some(mtu) = ra.mtu.filter(|mtu| !(1280..=65_535).contains(mtu)) {
        problems.at(&path.field("mtu"), format!("{mtu} is not 1280 to 65535 (RFC 8200, section 5)"));
    }
    if let Some(interval) = ra.interval.filter(|interval| !(4..=1800).contains(interval)) {
        problems
            .at(&path.field("interval"), format!("{interval} is not 4 to 1800 (RFC 4861, section 6.2.1)"));
    }
    let least = ra.interval.unwrap_or(RouterAdvertisement::INTERVAL);
    if let Some(lifetime) = ra.lifetime.filter(|n| *n != 0 && !(least..=9000).contains(n)) {
        let why = format!("{lifetime} is neither 0 nor from the interval, {least}, to 9000");
        problems.at(&path.field("lifetime"), why);
    }
}

/// Ranges for the same requests must not share addresses. Those with different tags may.
fn check_overlaps(spec: &DnsmasqSpec, path: &Path, problems: &mut Problems) {
    let ranges4 = spec
        .ranges4
        .iter()
        .map(|r| (r.tag.as_ref(), u128::from(u32::from(r.start)), u32::from(r.end).into()));
    overlaps(ranges4, &path.field("ranges4"), problems);
    let ranges6 = spec.ranges6.iter();
    let ranges6 =
        ranges6.map(|r| (r.tag.as_ref(), u128::from(r.start), u128::from(r.end.unwrap_or(r.start))));
    overlaps(ranges6, &path.field("ranges6"), problems);
}

fn overlaps<'a>(
    ranges: impl Iterator<Item = (Option<&'a Tag>, u128, u128)>,
    list: &Path,
    problems: &mut Problems,
) {
    let mut ranges: Vec<_> = ranges.enumerate().map(|(n, (tag, start, end))| (tag, start, end, n)).collect();
    ranges.sort_unstable();
    let mut furthest: Option<(Option<&Tag>, u128, usize)> = None;
    for (tag, start, end, n) in ranges {
        match furthest {
            Some((t, last, other)) if t == tag && start <= last => {
                let (first, second) = (n.min(other), n.max(other));
                problems.at(&list.index(second), format!("it shares addresses with {}", list.index(first)));
                furthest = Some((t, last.max(end), other));
            }
            _ => furthest = Some((tag, end, n)),
        }
    }
}

fn check_shared_networks(spec: &DnsmasqSpec, list: &Path, problems: &mut Problems) {
    unique(spec.shared_networks.iter(), list, problems);
    let with_mask: BTreeSet<_> =
        spec.ranges4.iter().filter(|r| r.prefix_len.is_some()).map(|r| (r.start, r.end)).collect();
    for (n, network) in spec.shared_networks.iter().enumerate() {
        let ip = network.address;
        // The last range that starts at or before it; ranges do not overlap.
        let range = with_mask.range(..=(ip, std::net::Ipv4Addr::BROADCAST)).next_back();
        if range.is_none_or(|(_, end)| *end < ip) {
            let why = format!("{ip} is in no range that says its prefix_len");
            problems.at(&list.index(n).field("address"), why);
        }
    }
}

fn check_shared_networks6(spec: &DnsmasqSpec, list: &Path, problems: &mut Problems) {
    unique(spec.shared_networks6.iter(), list, problems);
    let lent: BTreeMap<_, _> =
        spec.ranges6.iter().filter_map(|range| Some((range.start, range.end?))).collect();
    for (n, network) in spec.shared_networks6.iter().enumerate() {
        let ip = network.address;
        // The last range that starts at or before it; ranges do not overlap.
        if lent.range(..=ip).next_back().is_none_or(|(_, end)| *end < ip) {
            problems.at(&list.index(n).field("address"), format!("{ip} is in no range that is lent"));
        }
    }
}

fn check_hosts(spec: &DnsmasqSpec, list: &Path, problems: &mut Problems) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (n, host) in spec.hosts.iter().enumerate() {
        let path = list.index(n);
        host.check(&path, problems);
        let identities = [
            ("mac", Some(host.mac.to_string())),
            ("address", host.address.map(|ip| ip.to_string())),
            ("address6", host.address6.map(|ip| ip.to_string())),
            ("hostname", host.hostname.as_ref().map(ToString::to_string)),
        ];
        for (field, value) in identities {
            let Some(value) = value else { continue };
            match seen.get(&format!("{field} {value}")) {
                Some(other) => {
                    let why = format!("{value} is also that of {}", list.index(*other));
                    problems.at(&path.field(field), why);
                }
                None => {
                    seen.insert(format!("{field} {value}"), n);
                }
            }
        }
    }
}

/// A tag that nobody sets makes what it is on dead.
fn check_tags(spec: &DnsmasqSpec, path: &Path, problems: &mut Problems) {
    let mut set: BTreeSet<Tag> = spec.interfaces.iter().map(Tag::from).collect();
    set.extend(spec.ranges4.iter().filter_map(|r| r.set.clone()));
    set.extend(spec.ranges6.iter().filter_map(|r| r.set.clone()));
    set.extend(spec.hosts.iter().filter_map(|h| h.set.clone()));
    let mut used = |list: &str, tags: Vec<Option<&Tag>>| {
        for (n, tag) in tags.into_iter().enumerate() {
            if let Some(tag) = tag.filter(|tag| !set.contains(*tag)) {
                let why =
                    format!("no request gets the tag {tag}: it is neither an interface nor set by anything");
                problems.at(&path.field(list).index(n).field("tag"), why);
            }
        }
    };
    used("ranges4", spec.ranges4.iter().map(|r| r.tag.as_ref()).collect());
    used("ranges6", spec.ranges6.iter().map(|r| r.tag.as_ref()).collect());
    used("hosts", spec.hosts.iter().map(|h| h.tag.as_ref()).collect());
    used("options", spec.options.iter().map(|o| o.tag.as_ref()).collect());
}
