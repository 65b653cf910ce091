//! How much of a packet a tunnel carries.

use guestnet_core::problem::{Path, Problems};

use super::TunnelSpec;
use crate::mtu::{Encapsulation, Outer, inner_mtu};

/// Every link of IPv6 carries so much (RFC 8200 section 5).
pub const LEAST_IPV6: u32 = 1280;

/// What every host that speaks IPv4 takes (RFC 791 section 3.1).
const LEAST_IPV4: u32 = 576;

impl TunnelSpec {
    /// The largest packet that it carries over a path of `outer_mtu` bytes.
    pub fn inner_mtu(&self, outer_mtu: u32) -> u32 {
        let encapsulation = if self.udp.is_some() { Encapsulation::Udp } else { Encapsulation::None };
        inner_mtu(outer_mtu, Outer::from(self.local), self.icv, encapsulation)
    }

    /// The MTU of a route whose packets leave through it on a link of `link_mtu` bytes: what fits the path; for IPv6
    /// never less than its least, 1280, for which the outer packet is fragmented (RFC 2473 section 7.1).
    pub fn route_mtu(&self, link_mtu: u32, ipv6: bool) -> u32 {
        let fits = self.inner_mtu(self.path_mtu.map_or(link_mtu, |path| path.min(link_mtu)));
        if ipv6 { fits.max(LEAST_IPV6) } else { fits }
    }

    pub(super) fn check_path_mtu(&self, path: &Path, problems: &mut Problems) {
        let least = if self.local.is_ipv4() { LEAST_IPV4 } else { LEAST_IPV6 };
        if let Some(mtu) = self.path_mtu.filter(|mtu| !(least..=65535).contains(mtu)) {
            let family = if self.local.is_ipv4() { "IPv4" } else { "IPv6" };
            problems.at(path, format!("{mtu} is not the MTU of a path over {family}: {least} to 65535"));
        }
    }
}
