//! Connections from and to a guest.

use std::net::IpAddr;

use guestnet_nat::Mode;
use guestnet_nft::evaluate::Conntrack;

use super::super::frames::{self, ICMP, ICMPV6, SYN, SYN_ACK, TCP};
use super::{Class, Draft, FAR4, FAR6, Need, Sample, World};

impl World<'_> {
    /// Connections from and to a guest, what is answered, and an error about one. `private` is what the guest has where
    /// its address is translated in this namespace, and in which mode.
    pub(super) fn both_ways(
        &self,
        who: &str,
        class: Class,
        link: &str,
        address: IpAddr,
        private: Option<(IpAddr, Mode)>,
    ) -> Vec<Sample> {
        let far: IpAddr = if address.is_ipv4() { FAR4.into() } else { FAR6.into() };
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        let (out, link) = (self.out_of(far), Some(link));
        let untracked = private.is_some_and(|(_, mode)| mode == Mode::Notrack);
        let seen_as = |state| if untracked { Conntrack::UNTRACKED } else { state };
        let (syn, answer) = (frames::tcp((40_000, 443), SYN), frames::tcp((443, 40_000), SYN_ACK));
        let inward = frames::tcp((40_000, 22), SYN);
        let quoted = frames::ip(address, far, TCP, 64, &syn);
        let too_big = match address {
            IpAddr::V4(_) => {
                frames::icmp(3, 4, &[&[0, 0, 5, 0][..], quoted.get(..28).unwrap_or_default()].concat())
            }
            IpAddr::V6(_) => frames::icmp(2, 0, &[&[0, 0, 5, 0][..], &quoted].concat()),
        };
        let draft = |what: &str, from, to, protocol, payload, state| Draft {
            need: Need::Forwarding,
            class,
            what: format!("{what} {who} over {family}"),
            from,
            to,
            protocol,
            payload,
            conntrack: seen_as(state),
        };
        let inside = private.map_or(address, |(private, _)| private);
        // The source is translated at once where connections are not tracked, else behind all filters.
        let outward = untracked.then_some([address, far]);
        let inward_as = private.map(|(private, _)| [far, private]);
        let icmp = if address.is_ipv4() { ICMP } else { ICMPV6 };
        vec![
            self.forwarded(
                draft("connections from", inside, far, TCP, &syn, Conntrack::NEW),
                [link, out],
                outward,
            ),
            self.forwarded(
                draft("connections to", far, address, TCP, &inward, Conntrack::NEW),
                [out, link],
                inward_as,
            ),
            self.forwarded(
                draft("answers to", far, address, TCP, &answer, Conntrack::ESTABLISHED),
                [out, link],
                inward_as,
            ),
            self.forwarded(
                draft("ICMP \"packet too big\" to", far, address, icmp, &too_big, Conntrack::RELATED),
                [out, link],
                inward_as,
            ),
        ]
    }
}
