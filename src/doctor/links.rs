//! The links that a host has, by all their names.

use guestnet_core::netlink::Attributes;
use guestnet_core::{Message, Namespace, Protocol};

/// A link of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostLink {
    pub(super) name: String,
    pub(super) index: u32,
    /// `ARPHRD_*`.
    pub(super) hardware: u16,
    pub(super) group: u32,
    /// What it was made as: `bridge`, `veth`; `None` for a device.
    pub(super) kind: Option<String>,
    /// The index of the bridge that it is a port of.
    pub(super) master: Option<u32>,
    /// Whether its other end is in another namespace.
    pub(super) leads_elsewhere: bool,
    /// Its other names (`ip link property add dev … altname …`).
    pub(super) other_names: Vec<String>,
}

const IFINFOMSG: usize = 16;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;

/// The links of `namespace`; none where they cannot be read.
pub(super) fn read(namespace: &mut Namespace) -> Vec<HostLink> {
    let mut payload = vec![0; IFINFOMSG];
    payload.extend(8_u16.to_ne_bytes());
    payload.extend(IFLA_EXT_MASK.to_ne_bytes());
    payload.extend(RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    let request = Message::new(libc::RTM_GETLINK, 0, &payload);
    let Ok(dump) = namespace.dump(Protocol::Route, &request) else { return Vec::new() };
    dump.replies().filter_map(|reply| link(reply.payload)).collect()
}

fn link(payload: &[u8]) -> Option<HostLink> {
    let attributes = Attributes::after(payload, IFINFOMSG);
    let info = Attributes::after(attributes.get(libc::IFLA_LINKINFO).unwrap_or_default(), 0);
    let properties = Attributes::after(attributes.get(IFLA_PROP_LIST).unwrap_or_default(), 0);
    let text = |bytes: &[u8]| {
        let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    };
    Some(HostLink {
        name: attributes.get_str(libc::IFLA_IFNAME)?.to_owned(),
        index: payload.get(4..8)?.try_into().ok().map(u32::from_ne_bytes)?,
        hardware: payload.get(2..4)?.try_into().ok().map(u16::from_ne_bytes)?,
        group: attributes.get_u32(libc::IFLA_GROUP).unwrap_or(0),
        kind: info.get_str(libc::IFLA_INFO_KIND).map(str::to_owned),
        master: attributes.get_u32(libc::IFLA_MASTER).filter(|index| *index != 0),
        leads_elsewhere: attributes.get(libc::IFLA_LINK_NETNSID).is_some(),
        other_names: properties.map(|(_, value)| text(value)).collect(),
    })
}

/// Words for `names` in a rule: a prefix and `*` where they have one that no other link of `all` has, else the names.
pub(super) fn words(names: &[String], all: &[HostLink]) -> Vec<String> {
    /// Shorter ones say nothing of whose a link is.
    const SHORTEST: usize = 3;
    let [first, _, ..] = names else { return names.to_vec() };
    let same = |at: usize| names.iter().all(|name| name.get(..at) == first.get(..at));
    let length = (1..=first.len()).take_while(|at| first.is_char_boundary(*at) && same(*at)).last();
    let prefix = first.get(..length.unwrap_or(0)).unwrap_or_default();
    let others = all.iter().any(|link| link.name.starts_with(prefix) && !names.contains(&link.name));
    if prefix.len() < SHORTEST || others {
        return names.to_vec();
    }
    vec![format!("{prefix}*")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_said_by_what_they_have_in_common_alone() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let link = |name: &str| HostLink { name: name.into(), ..HostLink::default() };
        assert_eq!(words(&names(&["vethoa", "vethob"]), &[]), ["vetho*"]);
        assert_eq!(words(&names(&["vethoa"]), &[]), ["vethoa"]);
        assert_eq!(
            words(&names(&["vethoa", "vethob"]), &[link("vethox"), link("vethoa")]),
            ["vethoa", "vethob"]
        );
        assert_eq!(words(&names(&["a1", "b1"]), &[]), ["a1", "b1"]);
        assert_eq!(words(&[], &[]), names(&[]));
    }
}
