//! The default routes of a host.

use super::case::Case;

/// Flags of `/proc/net/ipv6_route` (linux/ipv6_route.h).
const RTF_DEFAULT: u32 = 0x0001_0000;
const RTF_ADDRCONF: u32 = 0x0004_0000;

/// The links that carry a default route of IPv4, the nearest first.
pub(super) fn ipv4(case: &Case<'_>) -> Vec<String> {
    let routes = case.read("thread-self/net/route").unwrap_or_default();
    let default = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [link, "00000000", _, _, _, _, metric, "00000000", ..] = fields[..] else { return None };
        Some((metric.parse::<u32>().ok()?, link.to_owned()))
    };
    let mut found: Vec<(u32, String)> = routes.lines().filter_map(default).collect();
    found.sort();
    found.into_iter().map(|(_, link)| link).collect()
}

/// A default route of IPv6.
pub(super) struct Default6 {
    pub(super) link: String,
    /// Whether it was taken from a router advertisement by the kernel.
    pub(super) announced: bool,
}

/// The links that carry a default route of IPv6, the nearest first.
pub(super) fn ipv6(case: &Case<'_>) -> Vec<Default6> {
    let routes = case.read("thread-self/net/ipv6_route").unwrap_or_default();
    let default = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "00", _, _, _, metric, _, _, flags, link] = fields[..] else { return None };
        // The kernel keeps one of its own that refuses everything.
        if link == "lo" {
            return None;
        }
        let metric = u32::from_str_radix(metric, 16).ok()?;
        let flags = u32::from_str_radix(flags, 16).unwrap_or(0);
        let announced = flags & (RTF_DEFAULT | RTF_ADDRCONF) == RTF_DEFAULT | RTF_ADDRCONF;
        Some((metric, Default6 { link: link.to_owned(), announced }))
    };
    let mut found: Vec<(u32, Default6)> = routes.lines().filter_map(default).collect();
    found.sort_by_key(|(metric, _)| *metric);
    found.into_iter().map(|(_, route)| route).collect()
}
