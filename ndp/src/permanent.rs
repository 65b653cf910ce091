//! Permanent neighbours: an address of a guest whose link-layer address is known, and is not asked for.

use std::fmt;
use std::net::IpAddr;

use guestnet_core::owner::PROTOCOL;
use guestnet_core::{
    Change, Context, Extras, Kind, LinkName, Mac, Mendable, Message, Namespace, Object, Observed, Outbox,
    Path, Phase, Problems, Protocol, Result, Ripple, Set,
};
use serde::{Deserialize, Serialize};

use crate::NeighbourKey;
use crate::ndmsg::{self, Entry, SINGLE};

/// A neighbour that is not asked for: `ip neigh replace ADDRESS dev DEV lladdr MAC nud permanent protocol 103`.
///
/// IPv6 (neighbour discovery, RFC 4861 section 7.2) or IPv4 (ARP). What is routed to a guest goes through a link-local
/// address that follows from its MAC address (RFC 4291, appendix A). A guest that makes its link-local address in
/// another way (RFC 7217: systemd-networkd, NetworkManager, Windows) does not answer for that one, and does not need
/// to: the entry says where packets go, and the guest takes what comes to its MAC address.
///
/// The kernel keeps the entry when the link loses its carrier (since 5.0), and drops it when the link goes down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermanentNeighbour {
    /// The address of the neighbour, which is the gateway of routes.
    pub address: IpAddr,
    /// The interface on which it is.
    pub dev: LinkName,
    /// Its link-layer address.
    pub mac: Mac,
    /// Flags and attributes of a neighbour on the host that no wanted one has. Not part of a spec.
    #[serde(skip)]
    pub extras: Extras,
}

impl PermanentNeighbour {
    /// `address` on `dev` is at `mac`.
    pub fn new(address: IpAddr, dev: LinkName, mac: Mac) -> Self {
        Self { address, dev, mac, extras: Extras::default() }
    }

    /// Notes what is wrong with the neighbour itself: addresses that no packet is sent to by way of a neighbour.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        let why = match self.address {
            ip if ip.is_unspecified() => "it is the unspecified address",
            ip if ip.is_multicast() => "it is multicast, whose link-layer address follows from it",
            ip if ip.is_loopback() => "it is a loopback address",
            IpAddr::V4(v4) if v4.is_broadcast() => "it is the broadcast address",
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
                "it is an IPv4 address in IPv6 form, which never is on a wire; give the IPv4 address"
            }
            _ => return,
        };
        problems.at(&path.field("address"), format!("{} cannot be a neighbour: {why}", self.address));
    }
}

impl Object for PermanentNeighbour {
    type Key = NeighbourKey;
    const KIND: &'static str = "permanent neighbour";

    fn key(&self) -> NeighbourKey {
        NeighbourKey::new(self.address, self.dev.clone())
    }

    fn accepts(&self, found: &Self) -> bool {
        let alike = || Self { extras: found.extras.clone(), ..self.clone() };
        self == found || self.extras.accepts(&found.extras) && alike() == *found
    }
}

impl fmt::Display for PermanentNeighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {} lladdr {}{}", self.address, self.dev, self.mac, self.extras)
    }
}

impl Kind for PermanentNeighbour {
    /// Before the routes through it: the first packet needs no question either.
    const PHASES: &'static [Phase] = &[Phase::Addresses];

    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let dump = namespace.dump(Protocol::Route, &ndmsg::dump_request(0))?;
        Ok(sorted(dump.replies().filter_map(|reply| ndmsg::read(reply.payload, namespace)), wanted))
    }

    /// Asks for each by its key (kernel 5.0).
    fn observe_keys(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        if wanted.len() > SINGLE {
            let mut all = Self::observe(namespace, wanted)?;
            all.ours.retain(|neighbour| wanted.contains(&neighbour.key()));
            return Ok(all);
        }
        let indexes = namespace.link_indexes();
        let of_link = |neighbour: &Self| {
            let index = *indexes.get(&neighbour.dev)?;
            Some(ndmsg::Request::new(neighbour.address, index).message(libc::RTM_GETNEIGH, 0))
        };
        let requests: Vec<Message> = wanted.iter().filter_map(of_link).collect();
        let answers = namespace.get_each(Protocol::Route, &requests)?;
        let entries = answers.replies().filter_map(|reply| ndmsg::read(reply.payload, namespace));
        let mut found = sorted(entries, wanted);
        // An answer about another one would be taken for one that nobody wants any more.
        found.ours.retain(|neighbour| wanted.contains(&neighbour.key()));
        Ok(found)
    }

    fn ripple(_: &Change<Self>) -> Ripple {
        Ripple::None
    }

    /// What the kernel has learned of the same address is replaced: `NLM_F_EXCL` would refuse it.
    fn encode(change: &Change<Self>, _: Phase, context: &Context, out: &mut Outbox) -> Result<()> {
        let new = || (libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
        let (kind, flags) = match change {
            Change::Create(_) | Change::Replace { .. } => new(),
            Change::Delete(_) => (libc::RTM_DELNEIGH, 0),
        };
        let neighbour = change.object();
        let request = ndmsg::Request {
            state: libc::NUD_PERMANENT,
            protocol: Some(PROTOCOL),
            lladdr: Some(neighbour.mac),
            ..ndmsg::Request::new(neighbour.address, context.index(&neighbour.dev)?)
        };
        out.send(Protocol::Route, request.message(kind, flags));
        Ok(())
    }

    fn lives_on(&self) -> Option<&LinkName> {
        Some(&self.dev)
    }
}

/// Ours, and permanent ones of others. What the kernel has learned is in nobody's way.
fn sorted(
    entries: impl Iterator<Item = Entry>,
    wanted: &Set<PermanentNeighbour>,
) -> Observed<PermanentNeighbour> {
    let mut observed = Observed::default();
    for entry in entries.filter(|entry| !entry.proxied && entry.state & libc::NUD_PERMANENT != 0) {
        let Some(mac) = entry.lladdr else { continue };
        let neighbour = PermanentNeighbour {
            extras: entry.extras,
            ..PermanentNeighbour::new(entry.address, entry.dev, mac)
        };
        if entry.protocol == PROTOCOL {
            observed.ours.insert(neighbour);
        } else {
            observed.note_foreign(&neighbour, wanted);
        }
    }
    observed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbour(address: &str) -> PermanentNeighbour {
        let mac = "02:00:5e:00:53:01".parse().unwrap();
        PermanentNeighbour::new(address.parse().unwrap(), "tap0".parse().unwrap(), mac)
    }

    #[test]
    fn it_reads_as_ip_neigh_says_it() {
        let text = Change::Create(neighbour("fe80::5eff:fe00:5301")).text();
        assert_eq!(text, "permanent neighbour fe80::5eff:fe00:5301 dev tap0 lladdr 02:00:5e:00:53:01");
    }

    #[test]
    fn addresses_that_are_nobodys_are_refused() {
        for (bad, word) in [
            ("::", "unspecified"),
            ("ff02::1", "multicast"),
            ("224.0.0.1", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("::1", "loopback"),
            ("::ffff:192.0.2.1", "IPv4"),
        ] {
            let mut problems = Problems::new();
            neighbour(bad).check(&Path::root().field("permanent_neighbours").index(0), &mut problems);
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(texts.len(), 1, "{bad}: {texts:?}");
            let place = "permanent_neighbours[0].address: ";
            assert!(texts[0].starts_with(place) && texts[0].contains(word), "{texts:?}");
        }
        for good in ["fe80::1", "2001:db8::1", "198.51.100.7"] {
            let mut problems = Problems::new();
            neighbour(good).check(&Path::root(), &mut problems);
            assert!(problems.is_empty(), "{good}: {problems}");
        }
    }
}
