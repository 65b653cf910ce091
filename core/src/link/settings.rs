//! Settings of a link: what `/proc/sys/net/ipv4/conf/LINK`, `…/ipv6/conf/LINK` and `…/ipv4/neigh/LINK` hold
//! (`Documentation/networking/ip-sysctl.rst`), and ARP. They come and go with the link, so nobody has to remember what they
//! were.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Conf;
use crate::problem::{Path, Problems};

/// How a link deals with packets and neighbours. What is left out is the kernel's and the host's to choose, and any choice
/// of it is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether neighbours are looked for and answered (`ip link set … arp on`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arp: Option<bool>,
    /// Those of IPv4.
    #[serde(skip_serializing_if = "Ipv4Settings::is_empty")]
    pub ipv4: Ipv4Settings,
    /// Those of IPv6. A link with an MTU below 1280 has none.
    #[serde(skip_serializing_if = "Ipv6Settings::is_empty")]
    pub ipv6: Ipv6Settings,
}

/// How the IPv6 link-local address of a link is made when it comes up (`ip link set … addrgenmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddrGenMode {
    /// From the MAC address (RFC 4291 appendix A).
    Eui64,
    /// Not at all.
    None,
    /// From a secret that the host keeps (RFC 7217).
    StablePrivacy,
    /// From a secret that is new each time.
    Random,
}

/// A setting of links as the kernel knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    /// `ipv4` or `ipv6`.
    pub(crate) family: &'static str,
    /// The name of its file.
    pub(crate) name: &'static str,
    pub(crate) place: Place,
}

/// Where the kernel takes and shows a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the link's message, which takes it too: `IPV4_DEVCONF_*`, `IFLA_INET6_ADDR_GEN_MODE`.
    Message(u16),
    /// In the link's message, which does not take it.
    Shown,
    /// In a file of `neigh/LINK` only.
    Neighbours,
}

impl Parameter {
    /// The path of its file for `link`, below `/proc/sys`.
    pub(crate) fn key(&self, link: &str) -> String {
        let group = if self.place == Place::Neighbours { "neigh" } else { "conf" };
        ["net/", self.family, "/", group, "/", link, "/", self.name].concat()
    }
}

/// A value that the kernel has as a number.
trait Number: Copy {
    fn number(self) -> i32;
    fn of(number: i32) -> Option<Self>;
}

impl Number for bool {
    fn number(self) -> i32 {
        self.into()
    }
    fn of(number: i32) -> Option<Self> {
        Some(number != 0)
    }
}

impl Number for u8 {
    fn number(self) -> i32 {
        self.into()
    }
    fn of(number: i32) -> Option<Self> {
        number.try_into().ok()
    }
}

impl Number for u32 {
    fn number(self) -> i32 {
        i32::try_from(self).unwrap_or(i32::MAX)
    }
    fn of(number: i32) -> Option<Self> {
        number.try_into().ok()
    }
}

const MODES: [AddrGenMode; 4] =
    [AddrGenMode::Eui64, AddrGenMode::None, AddrGenMode::StablePrivacy, AddrGenMode::Random];

impl Number for AddrGenMode {
    fn number(self) -> i32 {
        self as i32
    }
    fn of(number: i32) -> Option<Self> {
        MODES.get(usize::try_from(number).ok()?).copied()
    }
}

/// Writes the settings of one family, and everything that treats all of them alike. A line each: field, type, place, what
/// is usual.
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident $family:literal: $($(#[$of:meta])* $field:ident: $type:ty, $place:expr, $usual:literal;)*) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $(
                $(#[$of])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
        }

        impl $name {
            fn is_empty(&self) -> bool {
                *self == Self::default()
            }

            /// Every setting of the family, and what it is here.
            fn each(&self) -> impl Iterator<Item = (Parameter, Option<i32>)> {
                [$((
                    Parameter { family: $family, name: stringify!($field), place: $place },
                    self.$field.map(Number::number),
                )),*].into_iter()
            }

            /// What the kernel says: `value` knows it by name.
            fn read(value: impl Fn(&'static str) -> Option<i32>) -> Self {
                Self { $($field: value(stringify!($field)).and_then(Number::of),)* }
            }

            /// Those of which `keep` says so, by their values here and in `other`.
            fn filtered(&self, other: &Self, keep: impl Fn(i32, Option<i32>, i32) -> bool) -> Self {
                Self { $($field: self.$field.filter(|value| {
                    keep(value.number(), other.$field.map(Number::number), $usual)
                }),)* }
            }
        }
    };
}

settings! {
    /// Settings of IPv4.
    Ipv4Settings "ipv4":
    /// Whether packets that come from it are passed on to other links (`forwarding`).
    forwarding: bool, Place::Message(1), 0;
    /// Whether ARP is answered for addresses that are elsewhere (`proxy_arp`).
    proxy_arp: bool, Place::Message(3), 0;
    /// Whether others are told of shorter ways (`send_redirects`). It is so if `conf/all` or this says so.
    send_redirects: bool, Place::Message(6), 1;
    /// Whether the source of a packet has to be routed back to it (`rp_filter`, RFC 3704): 0 no, 1 strictly, 2 loosely, by
    /// any link. The larger of this and that of `conf/all` counts.
    rp_filter: u8, Place::Message(8), 0;
    /// Whether packets are taken whose source is an address of the host (`accept_local`).
    accept_local: bool, Place::Message(23), 0;
    /// For which addresses ARP is answered (`arp_ignore`): 0 all of the host's, 1 those of the link, 8 none.
    arp_ignore: u8, Place::Message(19), 0;
    /// How long an answer to ARP for an address that is elsewhere waits, at most, in hundredths of a second
    /// (`neigh/LINK/proxy_delay`, arp(7)); 0: not at all. Looked at where `proxy_arp` is on.
    proxy_delay: u32, Place::Neighbours, 80;
}

settings! {
    /// Settings of IPv6.
    Ipv6Settings "ipv6":
    /// Whether the link has no IPv6 at all (`disable_ipv6`).
    disable_ipv6: bool, Place::Shown, 0;
    /// How its link-local address is made (`addr_gen_mode`).
    addr_gen_mode: AddrGenMode, Place::Message(IFLA_INET6_ADDR_GEN_MODE), 0;
    /// Whether it is a router's (`forwarding`).
    forwarding: bool, Place::Shown, 0;
    /// Whether router advertisements are taken from it (`accept_ra`): 0 no, 1 unless `forwarding` is on, 2 always.
    accept_ra: u8, Place::Shown, 1;
    /// Whether addresses are looked for on the link before they are used (`accept_dad`, RFC 4862 section 5.4): 0 no, 1 yes,
    /// 2 yes, and without IPv6 where the link-local address is another's.
    accept_dad: u8, Place::Shown, 1;
}

pub(crate) const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;

impl Settings {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Notes what is wrong with them for a link of `mtu`.
    pub(super) fn check(&self, mtu: Option<u32>, path: &Path, problems: &mut Problems) {
        let mut at_most = |family: &str, name: &'static str, value: Option<u8>, most: u8| {
            if let Some(value) = value.filter(|value| *value > most) {
                problems.at(&path.field(family).field(name), format!("{value} is not one: 0 to {most}"));
            }
        };
        at_most("ipv4", "rp_filter", self.ipv4.rp_filter, 2);
        at_most("ipv4", "arp_ignore", self.ipv4.arp_ignore, 8);
        at_most("ipv6", "accept_ra", self.ipv6.accept_ra, 2);
        at_most("ipv6", "accept_dad", self.ipv6.accept_dad, 2);
        if let Some(mtu) = mtu.filter(|mtu| *mtu < 1280 && !self.ipv6.is_empty()) {
            problems
                .at(&path.field("ipv6"), format!("a link with an MTU of {mtu} has no IPv6: 1280 or more"));
        }
    }

    /// What the message of a link says: `conf` of its families, and its flags.
    pub(super) fn read(conf: &Conf, flags: u32) -> Self {
        Self {
            arp: Some(flags & libc::IFF_NOARP as u32 == 0),
            ipv4: Ipv4Settings::read(|name| conf.get("ipv4", name)),
            ipv6: Ipv6Settings::read(|name| conf.get("ipv6", name)),
        }
    }

    /// All of both families, but ARP.
    pub(crate) fn each(&self) -> impl Iterator<Item = (Parameter, Option<i32>)> {
        self.ipv4.each().chain(self.ipv6.each())
    }

    /// Those that are not as in `old`, of which nothing may be known.
    pub(super) fn changed(&self, old: Option<&Self>) -> Self {
        let none = Self::default();
        let old = old.unwrap_or(&none);
        let differs = |new, old, _| Some(new) != old;
        Self {
            arp: self.arp.filter(|arp| old.arp != Some(*arp)),
            ipv4: self.ipv4.filtered(&old.ipv4, differs),
            ipv6: self.ipv6.filtered(&old.ipv6, differs),
        }
    }

    /// Those that are not as the kernel gives them to a new link where nobody has asked for anything else.
    #[must_use]
    pub fn unusual(&self) -> Self {
        let unusual = |value, _, usual| value != usual;
        Self {
            arp: self.arp.filter(|arp| !arp),
            ipv4: self.ipv4.filtered(&self.ipv4, unusual),
            ipv6: self.ipv6.filtered(&self.ipv6, unusual),
        }
    }

    /// Whether a link that has `found` is as wanted here.
    pub(super) fn accepts(&self, found: &Self) -> bool {
        self.changed(Some(found)).is_empty()
    }

    /// The lines of sysctl(8) that set them on `link`.
    pub fn to_sysctl(&self, link: &str) -> Vec<String> {
        let said = self.each().filter_map(|(parameter, value)| Some((parameter, value?)));
        said.map(|(parameter, value)| format!("{}={value}", parameter.key(link))).collect()
    }
}

/// What is not usual, a blank before each: ` ipv4/proxy_arp=1`.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.arp == Some(false) { " arp off" } else { "" })?;
        for (parameter, value) in self.unusual().each() {
            if let Some(value) = value {
                write!(f, " {}/{}={value}", parameter.family, parameter.name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_compared_and_nothing_else() {
        let wanted = Settings {
            arp: Some(true),
            ipv4: Ipv4Settings { proxy_arp: Some(true), ..Ipv4Settings::default() },
            ..Settings::default()
        };
        let mut found = wanted.clone();
        found.ipv6.accept_ra = Some(2);
        assert!(wanted.accepts(&found) && !found.accepts(&wanted));
        found.ipv4.proxy_arp = None;
        assert!(!wanted.accepts(&found), "what is not there is not as wanted");
        found.ipv4.proxy_arp = Some(true);
        found.arp = Some(false);
        assert!(!wanted.accepts(&found));
        assert_eq!(wanted.changed(Some(&found)), Settings { arp: Some(true), ..Settings::default() });
    }

    #[test]
    fn what_is_usual_is_not_said() {
        let ipv6 = Ipv6Settings { accept_dad: Some(1), accept_ra: Some(0), ..Ipv6Settings::default() };
        let settings = Settings { arp: Some(true), ipv6, ..Settings::default() };
        assert_eq!(settings.to_string(), " ipv6/accept_ra=0");
        assert_eq!(settings.to_sysctl("tap0").len(), 2);
        assert_eq!(settings.unusual().arp, None);
    }
}
