//! What a guest is told by DHCP and router advertisements.

use std::net::IpAddr;

use guestnet_core::{Path, Problems};
use guestnet_dhcpconf::dnsmasq::{Dhcpv6, Guest as Served};
use guestnet_dhcpconf::value::LeaseTime;
use serde::{Deserialize, Serialize};

use super::Interface;

/// What a guest is told by DHCP and router advertisements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// DNS servers of either family.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    #[schemars(extend("uniqueItems" = true))]
    pub dns: Vec<IpAddr>,
    /// How long the guest holds an address by DHCP (RFC 2131) and DHCPv6 (RFC 8415): `12h`, `30m`, `3600s`, `7d`,
    /// `infinite`; two minutes at least. Left out: 12 hours. If dnsmasq goes away, the guest has its addresses for as
    /// long as that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseTime>,
    /// Write the range of the IPv4 address as orchestrators do that mean a prefix length:
    /// `dhcp-range=tap0,192.168.0.85,192.168.0.85,32`. dnsmasq reads the 32 as a lease time in seconds and raises it to
    /// two minutes. Needs `gateway_ipv4`. Left out: false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub bare_prefix_len: bool,
    /// What DHCPv6 has for the guest; left out: addresses. Router advertisements say so by their flags M and O (RFC
    /// 4861, section 4.2).
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("default" = Dhcpv6::default()))]
    pub dhcpv6: Dhcpv6,
    /// How long an advertised prefix of 64 bits is preferred and valid (RFC 4861, section 4.6.2; dnsmasq has one time
    /// for both): two minutes to `infinite`, and three times `interval` at least. Left out: 45 minutes (RFC 9096).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_lifetime: Option<LeaseTime>,
    /// Seconds for which an advertisement makes the host the default router: 0 (it is none), or from `interval` to 9000.
    /// Left out: three times `interval`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router_lifetime: Option<u16>,
    /// Seconds between router advertisements that nobody asked for, 4 to 1800. Left out: 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<u16>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Serve {
    /// How long addresses are lent.
    pub(crate) fn lease(&self) -> LeaseTime {
        self.lease.unwrap_or(Served::LEASE)
    }

    /// How long advertised prefixes are preferred and valid.
    pub(crate) fn prefix_lifetime(&self) -> LeaseTime {
        self.prefix_lifetime.unwrap_or(Served::PREFIX_LIFETIME)
    }

    /// Notes what dnsmasq would refuse, or do otherwise without a word.
    /// `path` is the path of the interface.
    pub(super) fn check(&self, interface: &Interface, path: &Path, problems: &mut Problems) {
        let (gateway, path) = (path.field("gateway_ipv4"), path.field("serve"));
        for (field, time) in [("lease", self.lease), ("prefix_lifetime", self.prefix_lifetime)] {
            if let Some(time) = time.filter(|time| *time < LeaseTime::LEAST) {
                problems
                    .at(&path.field(field), format!("{time} is less than two minutes, the least of dnsmasq"));
            }
        }
        if self.bare_prefix_len && self.lease.is_some() {
            problems
                .at(&path.field("bare_prefix_len"), "stands where the lease time does: give one of the two");
        }
        if self.bare_prefix_len && interface.gateway_ipv4.is_none() {
            let words = "needs gateway_ipv4: without it the range has a netmask";
            problems.at_because(&path.field("bare_prefix_len"), &gateway, words);
        }
        let interval = self.interval.unwrap_or(Self::INTERVAL);
        if !(4..=1800).contains(&interval) {
            let words = format!("{interval} is not an interval of router advertisements: 4 to 1800 seconds");
            problems.at(&path.field("interval"), words);
        } else if let Some(lifetime) =
            self.router_lifetime.filter(|n| *n != 0 && !(interval..=9000).contains(n))
        {
            let words = format!("{lifetime} is neither 0 nor from the interval, {interval}, to 9000 seconds");
            problems.at(&path.field("router_lifetime"), words);
        } else if self.prefix_lifetime() < LeaseTime::Seconds(3 * u32::from(interval)) {
            let least = LeaseTime::Seconds(3 * u32::from(interval));
            let words = format!("{} is less than three intervals, {least}", self.prefix_lifetime());
            problems.at(&path.field("prefix_lifetime"), words);
        }
        if self.dhcpv6 != Dhcpv6::Addresses {
            for prefix in interface.prefixes().filter(|prefix| !interface.advertises(prefix)) {
                let words =
                    format!("has to be \"addresses\": those of {prefix} cannot be told in another way");
                problems.at(&path.field("dhcpv6"), words);
            }
        }
    }

    /// dnsmasq's.
    const INTERVAL: u16 = 600;
}

/// What is served where nothing is said about it.
pub(super) fn usual() -> Option<Serve> {
    Some(Serve::default())
}

/// Nothing is `false`, because TOML has no word for null.
pub(super) mod or_not {
    use std::fmt;

    use serde::de::value::MapAccessDeserializer;
    use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
    use serde::ser::{Serialize, Serializer};

    use super::Serve;

    /// For the schema.
    #[derive(schemars::JsonSchema)]
    #[schemars(untagged, rename = "ServeOrNot")]
    #[expect(dead_code)]
    pub(crate) enum Form {
        Serve(Serve),
        Not(bool),
    }

    pub(crate) fn serialize<S: Serializer>(serve: &Option<Serve>, serializer: S) -> Result<S::Ok, S::Error> {
        match serve {
            Some(serve) => serve.serialize(serializer),
            None => serializer.serialize_bool(false),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Serve>, D::Error> {
        deserializer.deserialize_any(ServeOrNot)
    }

    struct ServeOrNot;

    impl<'de> Visitor<'de> for ServeOrNot {
        type Value = Option<Serve>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("what is served, or false")
        }

        fn visit_bool<E>(self, serve: bool) -> Result<Self::Value, E> {
            Ok(serve.then(Serve::default))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Serve::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }
}
