//! A guest's tunnels: states and policies, and the routes that lead to them, each with the MTU that fits.

use guestnet_core::link::XfrmOptions;
use guestnet_core::{Error, Link, LinkKind, LinkName, Object, Route};
use guestnet_nft::{Chain, Family, Hook, Rule, Table, meta, statement, th};
use guestnet_xfrm::TunnelSpec;
use ipnet::IpNet;

use super::{Lowered, LoweredTunnel, Spot};
pub(super) use crate::resolve::ETHERNET;
use crate::resolve::{Resolved, ResolvedGuest};
use crate::spec::Interface;

/// `mangle`, before others filter.
const MANGLE: i32 = -150;
const TCP: u8 = 6;
const SYN: u8 = 2;

impl Lowered {
    pub(super) fn tunnels(
        &mut self,
        spec: &Resolved<'_>,
        guest: &ResolvedGuest<'_>,
        path: &Spot,
    ) -> Result<(), Error> {
        let netns = &guest.netns;
        for (n, (tunnel, keyed)) in guest.tunnels.iter().zip(&guest.keyed).enumerate() {
            let path = path.field("tunnels").index(n);
            let (states, policies) = keyed.lower()?;
            let keys = states.iter().map(Object::key).collect();
            let lowered = LoweredTunnel { spec: tunnel.clone(), states: keys };
            self.tunnels.entry(netns.clone()).or_default().push(lowered);
            for state in states {
                self.add(netns, state, &path, |o| &mut o.states);
            }
            for policy in policies {
                self.add(netns, policy, &path, |o| &mut o.policies);
            }
            let mtu = link_mtu(guest, tunnel);
            let link = interface(tunnel, mtu)?;
            for pair in &tunnel.pairs {
                let dev = link.as_ref().map(|link| &link.name);
                if let Some(route) = route(spec, guest, tunnel, dev, pair.remote.trunc()) {
                    self.add(netns, route, &path, |o| &mut o.routes);
                }
            }
            if let Some(link) = link {
                self.add(netns, link, &path.field("if_id"), |o| &mut o.links);
            }
            if tunnel.clamp_mss {
                self.add(netns, clamp()?, &path.field("clamp_mss"), |o| &mut o.tables);
            }
        }
        Ok(())
    }
}

/// The MTU of the link on which packets of `tunnel` leave. That of a host is not known here: the path stands for it.
fn link_mtu(guest: &ResolvedGuest<'_>, tunnel: &TunnelSpec) -> u32 {
    guest.ends.as_ref().map_or_else(|| tunnel.path_mtu.unwrap_or(ETHERNET), |ends| ends.mtu)
}

/// The route to the other end's prefix `to`, through `interface` if the tunnel has one. It leads to the policy, which
/// sends the packets into the tunnel; and it says how large they may be, so that all others keep their whole MTU.
///
/// It is not locked (`mtu lock`): if the path is narrower still, that is learned. In the host's namespace the host's own
/// routes lead to the policies, and the kernel knows what fits its links; there is one more for a narrower path only.
fn route(
    spec: &Resolved<'_>,
    guest: &ResolvedGuest<'_>,
    tunnel: &TunnelSpec,
    interface: Option<&LinkName>,
    to: IpNet,
) -> Option<Route> {
    let uplink = spec.uplink.as_ref().filter(|_| tunnel.path_mtu.is_some());
    let route = match (interface, &guest.ends, uplink) {
        (Some(interface), ..) => Route::on_link(to, interface.clone()),
        (None, Some(ends), _) => Route::via(to, ends.host_mac.link_local().into(), ends.guest_link.clone()),
        (None, None, Some(uplink)) => Route::on_link(to, uplink.clone()),
        (None, None, None) => return None,
    };
    let mtu = tunnel.route_mtu(link_mtu(guest, tunnel), matches!(to, IpNet::V6(_)));
    Some(Route { mtu: Some(mtu), ..route })
}

/// The xfrm interface of the tunnel: `xfrm7` for the id 7.
fn interface(tunnel: &TunnelSpec, mtu: u32) -> Result<Option<Link>, Error> {
    let Some(if_id) = tunnel.if_id else { return Ok(None) };
    let name = format!("xfrm{if_id}").parse().map_err(|e| Error::malformed("link", e))?;
    Ok(Some(Link { mtu: Some(mtu), ..Link::new(name, LinkKind::Xfrm(XfrmOptions { if_id })) }))
}

/// The table that lowers the TCP MSS to what routes leave: one rule, for any number of tunnels.
///
/// `tcp flags syn tcp option maxseg size set rt mtu`
fn clamp() -> Result<Table, Error> {
    let failed = |e: String| Error::malformed("table", e);
    let rule =
        Rule::new().with(meta::l4proto().eq(TCP)).with(th::tcp_flags().has(SYN)).with(statement::clamp_mss());
    let forward = Chain::base("forward".parse().map_err(failed)?, Hook::Forward, MANGLE).rule(rule);
    Ok(Table::new(Family::Inet, "guestnet_mss".parse().map_err(failed)?).chain(forward))
}

/// The MTU that a guest is told for `interface`: what the spec says; or, where it has no public address and so speaks with
/// none but private ones, what fits its narrowest tunnel. `None` where there is nothing to tell: what goes to the internet
/// shall keep the whole MTU, and hears from the router what is too large for a tunnel.
pub(super) fn announced_mtu(guest: &ResolvedGuest<'_>, interface: &Interface) -> Option<u16> {
    let mut mtu = interface.mtu;
    let public = interface.public_ipv4.is_some() || interface.public_ipv6.is_some();
    if mtu.is_none() && !public && interface.routed_ipv6.is_empty() {
        let is_of = |tunnel: &&TunnelSpec| tunnel.pairs.iter().any(|pair| interface.has(&pair.local));
        for tunnel in guest.tunnels.iter().filter(is_of) {
            let fits = tunnel.route_mtu(link_mtu(guest, tunnel), interface.private_ipv6.is_some());
            // The link itself carries no more than that.
            mtu = Some(mtu.unwrap_or(ETHERNET).min(fits));
        }
    }
    mtu.and_then(|mtu| u16::try_from(mtu).ok())
}

impl Interface {
    /// Whether a private address of it is in `net`, or `net` in its prefix.
    fn has(&self, net: &IpNet) -> bool {
        match net {
            IpNet::V4(net) => self.private_ipv4.is_some_and(|address| net.contains(&address)),
            IpNet::V6(net) => {
                self.private_ipv6.is_some_and(|prefix| prefix.contains(net) || net.contains(&prefix))
            }
        }
    }
}
