//! DHCP options: `dhcp-option`.

use std::fmt::{self, Display};
use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_core::{Path, Problems};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::number::{self, Takes};
use crate::value::{DomainName, OptionText, Tag};

/// A DHCP option, for all who ask or for those with a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DhcpOption {
    /// Only for requests with this tag, for instance the name of the interface they came in on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Which option, and what it says.
    pub value: OptionValue,
}

/// Which option, and what it says.
///
/// An empty list of routers or DNS servers suppresses the option that dnsmasq would send by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OptionValue {
    /// Option 3: the routers, best first. By default dnsmasq itself.
    Router(Vec<Ipv4Addr>),
    /// Option 6: the DNS servers. By default dnsmasq itself, where it serves DNS.
    Dns(Vec<Ipv4Addr>),
    /// Option 15: the domain.
    Domain(DomainName),
    /// Option 26: the MTU in bytes, at least 68 (RFC 2132, section 5.1).
    Mtu(u16),
    /// Option 42: the NTP servers.
    Ntp(Vec<Ipv4Addr>),
    /// Option 119: the domains in which names are looked up (RFC 3397).
    Search(Vec<DomainName>),
    /// Option 121: routes (RFC 3442). A client that takes them ignores option 3, so they have the default route too.
    ClasslessRoutes(Vec<ClasslessRoute>),
    /// DHCPv6 option 23 and, in router advertisements, RDNSS (RFC 8106): the DNS servers.
    Dns6(Vec<Ipv6Addr>),
    /// DHCPv6 option 24 and, in router advertisements, DNSSL: the domains in which names are looked up.
    Search6(Vec<DomainName>),
    /// DHCPv6 option 56: the NTP servers.
    Ntp6(Vec<Ipv6Addr>),
    /// Any other option of DHCPv4.
    Number {
        /// Its number: 1 to 254, except those that dnsmasq makes itself and those that have a name here.
        code: u8,
        /// What it says.
        value: RawValue,
    },
    /// Any other option of DHCPv6 that dnsmasq has no format of its own for.
    Number6 {
        /// Its number.
        code: u16,
        /// What it says.
        value: RawValue,
    },
}

/// One route of option 121.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClasslessRoute {
    /// The destinations; `0.0.0.0/0` for the default route.
    #[schemars(with = "guestnet_core::schema::Ipv4Prefix")]
    pub to: Ipv4Net,
    /// The gateway. Left out: the destinations are on the link (RFC 3442, `0.0.0.0`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Ipv4Addr>,
}

/// What an option that is given by its number says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawValue {
    /// Nothing; an option that dnsmasq would send by itself is suppressed.
    Nothing,
    /// A number of 8 bits.
    U8(u8),
    /// A number of 16 bits.
    U16(u16),
    /// A number of 32 bits.
    U32(u32),
    /// IPv4 addresses.
    Addresses(Vec<Ipv4Addr>),
    /// IPv6 addresses.
    Addresses6(Vec<Ipv6Addr>),
    /// A text.
    Text(OptionText),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl DhcpOption {
    /// For all who ask.
    pub fn new(value: OptionValue) -> Self {
        Self { tag: None, value }
    }

    /// For requests with `tag`.
    pub fn tagged(tag: impl Into<Tag>, value: OptionValue) -> Self {
        Self { tag: Some(tag.into()), value }
    }

    pub(super) fn check(&self, path: &Path, problems: &mut Problems) {
        let path = path.field("value");
        use OptionValue as V;
        match &self.value {
            V::Router(list) => check_addresses(list, true, &path.field("router"), problems),
            V::Dns(list) => check_addresses(list, true, &path.field("dns"), problems),
            V::Ntp(list) => check_addresses(list, false, &path.field("ntp"), problems),
            V::Dns6(list) => check_addresses6(list, true, &path.field("dns6"), problems),
            V::Ntp6(list) => check_addresses6(list, false, &path.field("ntp6"), problems),
            V::Search(list) => check_domains(list, &path.field("search"), problems),
            V::Search6(list) => check_domains(list, &path.field("search6"), problems),
            V::ClasslessRoutes(list) => check_routes(list, &path.field("classless_routes"), problems),
            V::Mtu(mtu) if *mtu < 68 => {
                problems.at(&path.field("mtu"), format!("{mtu} is less than 68, the least MTU of IPv4"));
            }
            V::Mtu(_) | V::Domain(_) => {}
            V::Number { code, value } => {
                check_number(number::v4(*code), value, &path.field("number"), problems);
            }
            V::Number6 { code, value } => {
                check_number(number::v6(*code), value, &path.field("number6"), problems);
            }
        }
    }
}

fn check_count(count: usize, may_be_empty: bool, path: &Path, problems: &mut Problems) {
    // Each has at most 16 characters for IPv4, 42 for IPv6, and a line of dnsmasq has 1024.
    const MOST: usize = 20;
    if count > MOST {
        problems.at(path, format!("{count} are too many, {MOST} fit"));
    }
    if count == 0 && !may_be_empty {
        problems.at(path, "the list is empty");
    }
}

fn check_addresses(list: &[Ipv4Addr], may_be_empty: bool, path: &Path, problems: &mut Problems) {
    check_count(list.len(), may_be_empty, path, problems);
    for (n, _) in list.iter().enumerate().filter(|(_, ip)| ip.is_unspecified()) {
        problems
            .at(&path.index(n), "dnsmasq puts an address of its own in place of 0.0.0.0; give the address");
    }
}

fn check_addresses6(list: &[Ipv6Addr], may_be_empty: bool, path: &Path, problems: &mut Problems) {
    check_count(list.len(), may_be_empty, path, problems);
    for (n, ip) in list.iter().enumerate() {
        let ip = ip.to_string();
        if ["::", "fd00::", "fe80::"].contains(&ip.as_str()) {
            let why = format!("dnsmasq puts an address of its own in place of {ip}; give the address");
            problems.at(&path.index(n), why);
        }
    }
}

fn check_domains(list: &[DomainName], path: &Path, problems: &mut Problems) {
    check_count(list.len(), false, path, problems);
    let length: usize = list.iter().map(|domain| domain.as_str().len() + 2).sum();
    if length > 255 {
        problems.at(path, format!("they take {length} bytes, an option has 255"));
    }
}

fn check_routes(list: &[ClasslessRoute], path: &Path, problems: &mut Problems) {
    check_count(list.len(), false, path, problems);
    for (n, route) in list.iter().enumerate().filter(|(_, route)| route.to != route.to.trunc()) {
        let why = format!("{} has bits behind its prefix; {} is meant?", route.to, route.to.trunc());
        problems.at(&path.index(n).field("to"), why);
    }
}

fn check_number(takes: Takes, value: &RawValue, path: &Path, problems: &mut Problems) {
    let wanted = match (&takes, value) {
        (Takes::None(why), _) => return problems.at(&path.field("code"), *why),
        (_, RawValue::Nothing)
        | (Takes::Addresses, RawValue::Addresses(_))
        | (Takes::Addresses6, RawValue::Addresses6(_))
        | (Takes::Text, RawValue::Text(_)) => None,
        (Takes::Seconds, RawValue::U32(n)) => {
            i32::try_from(*n).is_err().then_some("a number of seconds below 2147483648 (u32)")
        }
        (Takes::Anything { ipv6 }, value) => match value {
            RawValue::Addresses(_) if *ipv6 => Some("IPv6 addresses or anything else but IPv4 addresses"),
            RawValue::Addresses6(_) if !*ipv6 => Some("IPv4 addresses or anything else but IPv6 addresses"),
            _ => None,
        },
        (Takes::Addresses, _) => Some("IPv4 addresses (addresses)"),
        (Takes::Addresses6, _) => Some("IPv6 addresses (addresses6)"),
        (Takes::Text, _) => Some("a text (text)"),
        (Takes::Seconds, _) => Some("a number of seconds (u32)"),
    };
    let path = path.field("value");
    if let Some(wanted) = wanted {
        problems.at(&path, format!("this option takes {wanted}"));
    }
    match value {
        RawValue::Addresses(list) => check_addresses(list, false, &path.field("addresses"), problems),
        RawValue::Addresses6(list) => check_addresses6(list, false, &path.field("addresses6"), problems),
        RawValue::Bytes(bytes) if bytes.is_empty() || bytes.len() > 255 => {
            let why = format!("an option has 1 to 255 bytes, not {}; see also nothing", bytes.len());
            problems.at(&path.field("bytes"), why);
        }
        _ => {}
    }
}

impl fmt::Display for DhcpOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dhcp-option=")?;
        if let Some(tag) = &self.tag {
            write!(f, "tag:{tag},")?;
        }
        use OptionValue as V;
        match &self.value {
            V::Router(list) => listed(f, "3", list),
            V::Dns(list) => listed(f, "6", list),
            V::Domain(domain) => write!(f, "15,{domain}"),
            V::Mtu(mtu) => write!(f, "26,{mtu}"),
            V::Ntp(list) => listed(f, "42", list),
            V::Search(list) => listed(f, "119", list),
            V::ClasslessRoutes(list) => listed(f, "121", list),
            V::Dns6(list) => listed(f, "option6:dns-server", list.iter().map(Bracketed)),
            V::Search6(list) => listed(f, "option6:domain-search", list),
            V::Ntp6(list) => listed(f, "option6:ntp-server", list.iter().map(Bracketed)),
            V::Number { code, value } => {
                write!(f, "{code}")?;
                raw(f, value, matches!(number::v4(*code), Takes::Anything { .. }))
            }
            V::Number6 { code, value } => {
                write!(f, "option6:{code}")?;
                raw(f, value, matches!(number::v6(*code), Takes::Anything { .. }))
            }
        }
    }
}

impl fmt::Display for ClasslessRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.to, self.via.unwrap_or(Ipv4Addr::UNSPECIFIED))
    }
}

/// An IPv6 address as options have it.
struct Bracketed<'a>(&'a Ipv6Addr);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

fn listed(
    f: &mut fmt::Formatter<'_>,
    option: &str,
    values: impl IntoIterator<Item = impl Display>,
) -> fmt::Result {
    f.write_str(option)?;
    values.into_iter().try_for_each(|value| write!(f, ",{value}"))
}

/// A value behind its number. dnsmasq guesses the type of a value from its looks, so where it has no format of its
/// own for the option, everything but addresses is written as bytes, which look like nothing else.
fn raw(f: &mut fmt::Formatter<'_>, value: &RawValue, as_bytes: bool) -> fmt::Result {
    match value {
        RawValue::Nothing => Ok(()),
        RawValue::Addresses(list) => listed(f, "", list),
        RawValue::Addresses6(list) => listed(f, "", list.iter().map(Bracketed)),
        RawValue::U8(n) => bytes(f, &[*n]),
        RawValue::U16(n) => bytes(f, &n.to_be_bytes()),
        RawValue::U32(n) if as_bytes => bytes(f, &n.to_be_bytes()),
        RawValue::U32(n) => write!(f, ",{n}"),
        RawValue::Text(text) if as_bytes => bytes(f, text.as_str().as_bytes()),
        RawValue::Text(text) => write!(f, ",{text}"),
        RawValue::Bytes(list) => bytes(f, list),
    }
}

fn bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    match bytes {
        // Two digits alone would be a decimal number; `b` says that it has one byte.
        [one] => write!(f, ",{one}b"),
        many => {
            let text: Vec<String> = many.iter().map(|b| format!("{b:02x}")).collect();
            write!(f, ",{}", text.join(":"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: &str) -> String {
        DhcpOption::new(serde_json::from_str(json).unwrap()).to_string()
    }

    fn problems(json: &str) -> Vec<String> {
        let mut problems = Problems::new();
        DhcpOption::new(serde_json::from_str(json).unwrap()).check(&Path::root(), &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn options_are_written_so_that_dnsmasq_need_not_guess() {
        for (json, wanted) in [
            (r#"{"router":[]}"#, "3"),
            (r#"{"dns":["1.1.1.1","9.9.9.9"]}"#, "6,1.1.1.1,9.9.9.9"),
            (r#"{"dns6":["2620:fe::fe"]}"#, "option6:dns-server,[2620:fe::fe]"),
            (r#"{"mtu":1426}"#, "26,1426"),
            (
                r#"{"classless_routes":[{"to":"10.0.0.1/32"},{"to":"0.0.0.0/0","via":"10.0.0.1"}]}"#,
                "121,10.0.0.1/32,0.0.0.0,0.0.0.0/0,10.0.0.1",
            ),
            (r#"{"number":{"code":60,"value":{"text":"1.2"}}}"#, "60,31:2e:32"),
            (r#"{"number":{"code":66,"value":{"text":"tftp.example"}}}"#, "66,tftp.example"),
            (r#"{"number":{"code":23,"value":{"u8":64}}}"#, "23,64b"),
            (r#"{"number":{"code":58,"value":{"u32":60}}}"#, "58,60"),
            (r#"{"number":{"code":224,"value":"nothing"}}"#, "224"),
            (r#"{"number6":{"code":7001,"value":{"u16":258}}}"#, "option6:7001,01:02"),
        ] {
            assert_eq!(line(json), format!("dhcp-option={wanted}"));
            assert_eq!(problems(json), [""; 0]);
        }
    }

    #[test]
    fn values_that_would_be_taken_for_something_else_are_refused() {
        for (json, path) in [
            (r#"{"router":["0.0.0.0"]}"#, "value.router[0]"),
            (r#"{"dns6":["fd00::"]}"#, "value.dns6[0]"),
            (r#"{"ntp":[]}"#, "value.ntp"),
            (r#"{"mtu":67}"#, "value.mtu"),
            (r#"{"classless_routes":[{"to":"10.0.0.1/8"}]}"#, "value.classless_routes[0].to"),
            (r#"{"number":{"code":53,"value":{"u8":1}}}"#, "value.number.code"),
            (r#"{"number":{"code":26,"value":{"u16":1400}}}"#, "value.number.code"),
            (r#"{"number":{"code":7,"value":{"text":"x"}}}"#, "value.number.value"),
            (r#"{"number":{"code":60,"value":{"addresses6":["2001:db8::1"]}}}"#, "value.number.value"),
            (r#"{"number":{"code":60,"value":{"bytes":[]}}}"#, "value.number.value.bytes"),
            (r#"{"number6":{"code":3,"value":{"u8":1}}}"#, "value.number6.code"),
        ] {
            let found = problems(json);
            assert_eq!(found.len(), 1, "{json}: {found:?}");
            assert!(found[0].starts_with(&format!("{path}: ")), "{found:?}");
        }
    }
}
