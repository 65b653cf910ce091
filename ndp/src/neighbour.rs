//! One proxied neighbour, as it is wanted and as it is found.

use std::fmt;
use std::net::IpAddr;

use guestnet_core::owner::PROTOCOL;
use guestnet_core::sysctl::SysctlError;
use guestnet_core::{
    Change, Context, Extras, Kind, LinkName, Mendable, Message, Namespace, Object, Observed, Outbox, Path,
    Phase, Problems, Protocol, Result, Ripple, Set, Sysctl,
};
use serde::{Deserialize, Serialize};

use crate::ndmsg::{self, Entry, Request, SINGLE};

/// An address for which the host answers on an interface: `ip neigh add proxy ADDRESS dev DEV protocol 103`.
///
/// IPv6 (neighbour discovery) or IPv4 (ARP).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyNeighbour {
    /// The address of a guest.
    pub address: IpAddr,
    /// The interface on which others ask for it: the uplink.
    pub dev: LinkName,
    /// Flags and attributes of a neighbour on the host that no wanted one has. Not part of a spec.
    #[serde(skip)]
    pub extras: Extras,
}

/// A neighbour is identified by its address and the interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NeighbourKey {
    dev: LinkName,
    address: IpAddr,
}

impl NeighbourKey {
    pub(crate) fn new(address: IpAddr, dev: LinkName) -> Self {
        Self { dev, address }
    }
}

impl ProxyNeighbour {
    /// Answers for `address` on `dev`.
    pub fn new(address: IpAddr, dev: LinkName) -> Self {
        Self { address, dev, extras: Extras::default() }
    }

    /// Notes what is wrong with the neighbour itself: addresses that nobody asks for, or that are not forwarded.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        let why = match self.address {
            ip if ip.is_unspecified() => "it is the unspecified address",
            ip if ip.is_multicast() => "it is multicast, and nobody resolves that",
            ip if ip.is_loopback() => "it is a loopback address",
            IpAddr::V4(v4) if v4.is_broadcast() => "it is the broadcast address",
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                "it is link-local, and a host forwards no packets for it (RFC 4291, section 2.5.6)"
            }
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
                "it is an IPv4 address in IPv6 form, which never is on a wire; give the IPv4 address"
            }
            _ => return,
        };
        problems.at(&path.field("address"), format!("{} cannot be proxied: {why}", self.address));
    }
}

/// The sysctls with which the kernel answers for proxied neighbours on `dev`, at once.
///
/// | sysctl | value | why |
/// |---|---|---|
/// | `net/ipv6/conf/DEV/proxy_ndp` | 1 | without it IPv6 entries are ignored (IPv4 entries need no switch) |
/// | `net/ipv6/conf/all/proxy_ndp` | 1 | without it only multicast solicitations are answered, not the unicast probes by which a neighbour sees whether an entry is still good (RFC 4861, section 7.3) |
/// | `net/ipv6/neigh/DEV/proxy_delay`, `net/ipv4/…` | 0 | in units of 1/100 s (`USER_HZ`); 80 by default: each answer waits a random time up to 0.8 s |
///
/// While answers are delayed, at most `proxy_qlen` (64 by default) of them wait and the others are dropped, which
/// allows about 170 answers a second. Without a delay nothing is queued, so `proxy_qlen` is left as it is.
///
/// Forwarding is not among them: it concerns the whole namespace and has other effects (`accept_ra`).
///
/// # Errors
/// When the name of `dev` cannot be part of a sysctl, as `..x`.
pub fn sysctls(dev: &LinkName) -> std::result::Result<Vec<Sysctl>, SysctlError> {
    Ok(vec![
        Sysctl::new("net/ipv6/conf/all/proxy_ndp", "1")?,
        Sysctl::of_link("ipv6", dev, "proxy_ndp", "1")?,
        Sysctl::new(&format!("net/ipv6/neigh/{dev}/proxy_delay"), "0")?,
        Sysctl::new(&format!("net/ipv4/neigh/{dev}/proxy_delay"), "0")?,
    ])
}

impl Object for ProxyNeighbour {
    type Key = NeighbourKey;
    const KIND: &'static str = "proxied neighbour";

    fn key(&self) -> NeighbourKey {
        NeighbourKey { dev: self.dev.clone(), address: self.address }
    }

    fn accepts(&self, found: &Self) -> bool {
        let alike = || Self { extras: found.extras.clone(), ..self.clone() };
        self == found || self.extras.accepts(&found.extras) && alike() == *found
    }
}

impl fmt::Display for NeighbourKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.address, self.dev)
    }
}

impl fmt::Display for ProxyNeighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}{}", self.address, self.dev, self.extras)
    }
}

impl Kind for ProxyNeighbour {
    const PHASES: &'static [Phase] = &[Phase::Neighbours];

    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let dump = namespace.dump(Protocol::Route, &ndmsg::dump_request(libc::NTF_PROXY))?;
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
            Some(request(neighbour, *indexes.get(&neighbour.dev)?).message(libc::RTM_GETNEIGH, 0))
        };
        let requests: Vec<Message> = wanted.iter().filter_map(of_link).collect();
        let answers = namespace.get_each(Protocol::Route, &requests)?;
        let entries = answers.replies().filter_map(|reply| ndmsg::read(reply.payload, namespace));
        let mut found = sorted(entries, wanted);
        // An answer about another one would be taken for one that nobody wants any more.
        found.ours.retain(|neighbour| wanted.contains(&neighbour.key()));
        Ok(found)
    }

    /// `NLM_F_EXCL` means nothing to the kernel here: an entry that another adds after ours were observed becomes
    /// ours.
    fn ripple(_: &Change<Self>) -> Ripple {
        Ripple::None
    }

    fn encode(change: &Change<Self>, _: Phase, context: &Context, out: &mut Outbox) -> Result<()> {
        let (kind, flags, neighbour) = match change {
            Change::Create(new) => (libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_EXCL, new),
            Change::Replace { new, .. } => {
                (libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, new)
            }
            Change::Delete(old) => (libc::RTM_DELNEIGH, 0, old),
        };
        let request = Request {
            // Otherwise newer kernels drop the entry when the interface loses its carrier. It is not read back.
            state: libc::NUD_PERMANENT,
            protocol: Some(PROTOCOL),
            ..request(neighbour, context.index(&neighbour.dev)?)
        };
        out.send(Protocol::Route, request.message(kind, flags));
        Ok(())
    }

    fn lives_on(&self) -> Option<&LinkName> {
        Some(&self.dev)
    }
}

fn request(neighbour: &ProxyNeighbour, index: u32) -> Request {
    Request { flags: libc::NTF_PROXY, ..Request::new(neighbour.address, index) }
}

/// Ours and others' among `entries`.
fn sorted(entries: impl Iterator<Item = Entry>, wanted: &Set<ProxyNeighbour>) -> Observed<ProxyNeighbour> {
    let mut observed = Observed::default();
    for entry in entries.filter(|entry| entry.proxied) {
        let neighbour = ProxyNeighbour { address: entry.address, dev: entry.dev, extras: entry.extras };
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

    fn neighbour(address: &str) -> ProxyNeighbour {
        ProxyNeighbour::new(address.parse().unwrap(), "eth0".parse().unwrap())
    }

    #[test]
    fn it_reads_as_ip_neigh_says_it() {
        assert_eq!(neighbour("2001:db8::1").to_string(), "2001:db8::1 dev eth0");
        assert_eq!(Change::Create(neighbour("2001:db8::1")).text(), "proxied neighbour 2001:db8::1 dev eth0");
    }

    #[test]
    fn the_sysctls_are_those_of_the_interface_and_the_switch_for_all() {
        let dev: LinkName = "eth0.100".parse().unwrap();
        let texts: Vec<String> = sysctls(&dev).unwrap().iter().map(ToString::to_string).collect();
        let wanted = [
            "net/ipv6/conf/all/proxy_ndp=1",
            "net/ipv6/conf/eth0.100/proxy_ndp=1",
            "net/ipv6/neigh/eth0.100/proxy_delay=0",
            "net/ipv4/neigh/eth0.100/proxy_delay=0",
        ];
        assert_eq!(texts, wanted);
    }

    #[test]
    fn addresses_that_cannot_be_proxied_are_refused() {
        for (bad, word) in [
            ("::", "unspecified"),
            ("0.0.0.0", "unspecified"),
            ("ff02::1", "multicast"),
            ("224.0.0.1", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("::1", "loopback"),
            ("127.0.0.1", "loopback"),
            ("fe80::1", "link-local"),
            ("::ffff:192.0.2.1", "IPv4"),
        ] {
            let mut problems = Problems::new();
            neighbour(bad).check(&Path::root().field("neighbours").index(0), &mut problems);
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(texts.len(), 1, "{bad}: {texts:?}");
            assert!(texts[0].starts_with("neighbours[0].address: ") && texts[0].contains(word), "{texts:?}");
        }
        for good in ["2001:db8::1", "fd00::1", "198.51.100.7", "169.254.1.1"] {
            let mut problems = Problems::new();
            neighbour(good).check(&Path::root(), &mut problems);
            assert!(problems.is_empty(), "{good}: {problems}");
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        let read = |text| serde_json::from_str::<ProxyNeighbour>(text);
        assert_eq!(read(r#"{"address":"2001:db8::1","dev":"eth0"}"#).unwrap(), neighbour("2001:db8::1"));
        assert!(read(r#"{"address":"2001:db8::1","dev":"eth0","router":true}"#).is_err());
        assert!(read(r#"{"address":"2001:db8::/64","dev":"eth0"}"#).is_err());
    }
}
